"""A plain client of the sandbox, which sees what goes over the wire and mends nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.factories import BOOKS, COLLECTION, PROJECT, postman_run, testmo_run

Json = dict[str, Any]

POSTMAN_IDS = [f"run-{number}" for number in range(25)]  # newest first
TESTMO_IDS = list(range(1, 31))  # newest first
APIS = ["postman", "testmo"]


class Wire:
    """Asks for lists and details with the right keys."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.lists = {
            "postman": f"{sandbox.postman_url}/collections/{COLLECTION}/runs?limit=100",
            "testmo": f"{sandbox.testmo_url}/projects/{PROJECT}/automation/runs",
        }
        self.details = {
            "postman": f"{sandbox.postman_url}/collections/{COLLECTION}/runs/",
            "testmo": f"{sandbox.testmo_url}/automation/runs/",
        }
        self.http = httpx.Client(
            headers={
                "x-api-key": sandbox.postman_api_key,
                "Authorization": f"Bearer {sandbox.testmo_api_token}",
            },
            timeout=5,
        )

    def ask(self, api: str = "postman", **params: Any) -> httpx.Response:
        return self.http.get(httpx.URL(self.lists[api]).copy_merge_params(params))

    def page(self, api: str, **params: Any) -> tuple[list[Json], Json]:
        page = self.ask(api, **params).json()
        return page["runs" if api == "postman" else "result"], page

    def detail(self, api: str, run_id: object) -> Json:
        body = self.http.get(f"{self.details[api]}{run_id}").json()
        run: Json = body["run" if api == "postman" else "result"]
        return run

    def whole(self, api: str) -> list[Json]:
        """All runs of a list, page after page."""
        runs: list[Json] = []
        params: Json = {}
        while True:
            listed, page = self.page(api, **params)
            runs += listed
            number, cursor = page.get("next_page"), page.get("meta", {}).get("nextCursor")
            if not (number or cursor):
                return runs
            params = {"cursor": cursor} if cursor else {"page": number}


@contextmanager
def wire_of_histories() -> Iterator[Wire]:
    """A sandbox of 25 Postman runs and 30 Testmo runs, and a client of it."""
    data = SandboxData(
        [postman_run(number) for number in range(25)],
        [testmo_run(number) for number in range(1, 31)],
        BOOKS,
    )
    with Sandbox(data) as sandbox:
        wire = Wire(sandbox)
        with wire.http:
            yield wire


def as_in_the_beginning(sandbox: Sandbox) -> None:
    """No fault any more, and what faults have done to the source undone."""
    sandbox.faults.clear()
    for run in sandbox.postman_runs:
        sandbox.remove_postman_run(run["id"])
    for run in sandbox.testmo_runs:
        sandbox.remove_testmo_run(run["id"])
    for run in sandbox.data.postman_runs:
        sandbox.put_postman_run(run)
    for run in sandbox.data.testmo_runs:
        sandbox.put_testmo_run(run)
