"""A Testmo instance with as many test results a run as the run counts."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from pipelines.ingest.backfill import Window
from pipelines.ingest.progress import ScopeReport
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from tests.support.db import query
from tests.support.factories import BOOKS, testmo_run

Json = dict[str, Any]
Load = Callable[..., list[ScopeReport]]
MakeSettings = Callable[[dict[str, str]], Settings]
RESULTS = "raw_testmo.automation_run_tests"
ENDPOINT = "GET automation/runs/{id}/tests"
ALL = Window(datetime(2020, 1, 1, tzinfo=UTC))


def result(number: int, run_id: int, **more: Any) -> Json:
    return {
        "automation_test_id": 10_000 * run_id + number,
        "automation_case_id": number,
        "repository_case_id": None,
        "key": f"k-{number}",
        "name": f"test {number}",
        "folder": "Cart",
        "status": 2,
        "elapsed": 1_500,
        "thread_id": 10 * run_id,
        "created_at": "2026-05-01T12:00:00Z",
        **more,
    }


class Instance(Sandbox):
    """Runs 1 to 5, each with as many results as it counts; run 5 is the oldest.

    `answers` are statuses, bodies or changes of a page that answer for a path's end: first these,
    then the sandbox's own.
    """

    def __post_init__(self) -> None:
        self.results: dict[int, list[Any]] = {}
        self.data = SandboxData([], self.data.testmo_runs, BOOKS, self._results_of)
        super().__post_init__()
        self.answers: dict[str, list[int | bytes | Callable[[Json], Json]]] = {}

    def _results_of(self, run: Json) -> list[Json]:
        default_results = [result(number, run["id"]) for number in range(run["total_count"])]
        return self.results.get(run["id"], default_results)

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        response = await super()._serve(request)
        for ending, answers in self.answers.items():
            if f"{request.path}?{request.query.get('page')}".endswith(ending) and answers:
                answer = answers.pop(0)
                if isinstance(answer, int):
                    return web.Response(status=answer, body=b"{}", headers={"Retry-After": "900"})
                if isinstance(answer, bytes):
                    return web.Response(body=answer)
                assert isinstance(response.body, bytes)
                response.body = json.dumps(answer(json.loads(response.body))).encode()
        return response

    @property
    def new_requests(self) -> Counter[str]:
        """Requests since the last call: `list`, `2/tests` or `2`."""
        paths = [
            request.path.split("automation/runs", 1)[1].strip("/") for request in self.requests
        ]
        self.requests.clear()
        return Counter(path or "list" for path in paths)


def run(number: int, **more: Any) -> Json:
    """A run that passed its `number` tests, but for what `more` says."""
    return testmo_run(number, **{"success_count": number, **more})


def counts(url: str) -> dict[int, int]:
    return dict(query(url, f"select run_id, count(*) from {RESULTS} group by 1"))


def differences(url: str) -> list[tuple[Any, ...]]:
    """Where the counts of runs are not what their results come to."""
    return query(
        url,
        "select run_id, substr(total, 7), announced, loaded, reason from ingest.reconciliations"
        " where total like 'tests.%' order by 1, 2",
    )
