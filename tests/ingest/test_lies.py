"""Servers that contradict themselves: nothing is lost, and a load says so until it is resolved."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from pipelines.ingest.backfill import Window, backfill_source
from pipelines.ingest.progress import NullProgress, ScopeReport
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.faults.plan import Faults
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from pipelines.sources.spec import SourceName
from tests.support.contract import POSTMAN
from tests.support.db import query, tables
from tests.support.factories import BOOKS, NOW, postman_run
from tests.support.oracle import tables_of_postman

Json = dict[str, Any]
Load = Callable[..., list[ScopeReport]]

RUNS = "raw_postman.collection_runs"
HISTORY = [postman_run(number) for number in range(120)]
# A run that the list shows in the midst of the others, and that the API does not know.
GHOST: Json = {"id": "ghost", "status": "finished", "startedAt": HISTORY[1]["startedAt"]}


class Lying(Sandbox):
    """Shows ten runs a page; `unknown` runs answer 404; `emptied` pages are empty so many times.

    Pages count from 0, each by the cursor that led to it.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self.faults = Faults("small-pages")
        self.unknown: set[str] = set()
        self.ghosts: list[Json] = []
        self.emptied: dict[int, int] = {}
        self.status_of_cursors = 200
        self.announced = 0
        self._cursors: list[str] = []

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        cursor = request.query.get("cursor", "")
        if cursor and self.status_of_cursors != 200:
            return web.Response(status=self.status_of_cursors, body=b"{}")
        response = await super()._serve(request)
        if request.path.rpartition("/")[2] in self.unknown:
            return web.Response(status=404, body=b"{}")
        if request.path.endswith("/runs") and response.status == 200:
            assert isinstance(response.body, bytes)
            response.body = self._page(cursor, response.body)
        return response

    def _page(self, cursor: str, body: bytes) -> bytes:
        if cursor not in self._cursors:
            self._cursors.append(cursor)
        number = self._cursors.index(cursor)
        if self.emptied.get(number, 0):
            self.emptied[number] -= 1
            return b'{"runs": [], "meta": {}}'
        page = json.loads(body)
        if self.announced:
            page["meta"]["total"] = self.announced
        if not cursor:
            page["runs"][1:1] = self.ghosts
        return json.dumps(page).encode()

    @property
    def details(self) -> list[str]:
        """The runs that were requested by ID since the last call."""
        paths = [request.path for request in self.requests]
        self.requests.clear()
        return [path.rpartition("/")[2] for path in paths if not path.endswith("/runs")]


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def sandbox() -> Iterator[Lying]:
    with Lying(SandboxData(HISTORY, [], BOOKS), requests_per_minute=1_000_000) as sandbox:
        yield sandbox


@pytest.fixture
def variables(sandbox: Lying) -> dict[str, str]:
    settings = {k: v for k, v in sandbox.settings.items() if k.startswith("POSTMAN")}
    return {**settings, "POSTMAN_REQUESTS_PER_MINUTE": "1000000"}


def assert_loaded(url: str, runs: list[Json]) -> None:
    assert tables(url, POSTMAN) == tables_of_postman(runs, POSTMAN)


# Runs that the list shows and that the API does not know


def test_an_api_that_knows_none_of_its_runs_loses_none_once_it_heals(
    load: Load, warehouse_url: str, sandbox: Lying, variables: dict[str, str]
) -> None:
    sandbox.unknown = {run["id"] for run in HISTORY}
    for _night in range(2):
        [report] = load(variables)
        assert report.error is not None
        assert report.error.startswith("120 run(s) deferred to the next load, as run-")
        assert "the list shows it, but" in report.error
        assert report.is_transient
        # It is not asked for all of them each night.
        assert len(sandbox.details) < 50

    sandbox.unknown = set()
    [report] = load(variables)

    assert report.error is None
    assert_loaded(warehouse_url, HISTORY)


def test_old_runs_that_the_api_never_gives_hold_up_no_new_one(
    load: Load, warehouse_url: str, sandbox: Lying, variables: dict[str, str]
) -> None:
    kept, forgotten = HISTORY[:90], {run["id"] for run in HISTORY[90:]}
    sandbox.unknown = set(forgotten)
    load(variables)
    assert_loaded(warehouse_url, kept)
    sandbox.put_postman_run(postman_run(1000, hours_ago=-1))
    for _night in range(5):
        assert load(variables)[0].error is not None
    assert_loaded(warehouse_url, [postman_run(1000, hours_ago=-1), *kept])

    # A few that come back are found among those that do not.
    sandbox.unknown -= {"run-100", "run-119"}
    for _night in range(4):
        load(variables)
    assert {run_id for (run_id,) in query(warehouse_url, f"select run_id from {RUNS}")} >= {
        "run-100",
        "run-119",
    }


def test_a_run_that_vanishes_between_list_and_detail_is_gone_when_the_list_has_forgotten_it(
    load: Load, warehouse_url: str, sandbox: Lying, variables: dict[str, str]
) -> None:
    sandbox.ghosts = [GHOST]
    for _night in range(2):
        [report] = load(variables)
        assert report.error is not None
        assert report.error.startswith("1 run(s) deferred to the next load, as ghost: the list")
    assert_loaded(warehouse_url, HISTORY)

    sandbox.ghosts = []
    assert [report.error for report in load(variables)] == [None]
    assert "ghost" in sandbox.details
    assert [report.error for report in load(variables)] == [None]
    assert "ghost" not in sandbox.details
    assert_loaded(warehouse_url, HISTORY)


def test_beyond_the_lookback_only_a_backfill_concludes_that_a_run_is_gone(
    load: Load,
    warehouse_url: str,
    sandbox: Lying,
    variables: dict[str, str],
    make_settings: Callable[[dict[str, str]], Settings],
) -> None:
    sandbox.ghosts = [{**GHOST, "startedAt": HISTORY[110]["startedAt"]}]
    load(variables)
    sandbox.ghosts = []
    for _night in range(2):
        assert load(variables)[0].error is not None

    window = Window(NOW.replace(year=2026, month=1))
    settings = make_settings(variables)
    [report] = backfill_source(
        settings, "postman", settings.scopes("postman"), window, warehouse_url
    )

    assert report.error is None
    assert [report.error for report in load(variables)] == [None]


def test_an_open_run_that_is_gone_is_no_failure(
    load: Load, warehouse_url: str, sandbox: Lying, variables: dict[str, str]
) -> None:
    sandbox.put_postman_run(postman_run(500, hours_ago=2000, status="running"))
    load(variables)
    sandbox.remove_postman_run("run-500")

    assert [report.error for report in load(variables)] == [None]
    gone = "select gone_at is not null from ingest.run_states where run_id = 'run-500'"
    assert query(warehouse_url, gone) == [(True,)]


# Lists that end too early


@pytest.mark.parametrize("wanted", [None, "monitor", "monitor,api"])
@pytest.mark.parametrize("times", [1, 1000])
def test_an_empty_page_costs_no_run(
    load: Load,
    warehouse_url: str,
    sandbox: Lying,
    variables: dict[str, str],
    wanted: str | None,
    times: int,
) -> None:
    sandbox.emptied = {2: times}
    if wanted:
        variables = {**variables, "POSTMAN_RUN_SOURCES": wanted}
    [report] = load(variables)
    if times > 1:
        assert report.error is not None
        assert "empty page" in report.error
        sandbox.emptied = {}
        [report] = load(variables)

    assert report.error is None
    assert_loaded(warehouse_url, HISTORY)


class Killed(NullProgress):
    """Ends a load from within, as a kill does."""

    def __init__(self, after: int) -> None:
        self._left = after

    def runs_fetched(self, source: SourceName, scope: str, runs: int) -> None:  # noqa: ARG002
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("wanted", [None, "monitor", "monitor,api"])
def test_a_short_list_costs_no_run_in_a_walk_that_is_gone_on_with(
    load: Load,
    warehouse_url: str,
    sandbox: Lying,
    variables: dict[str, str],
    wanted: str | None,
) -> None:
    if wanted:
        variables = {**variables, "POSTMAN_RUN_SOURCES": wanted}
    with pytest.raises(KeyboardInterrupt):
        load(variables, Killed(4))
    # The next page is the last, it says, and so does the first one after that.
    sandbox.faults = Faults("small-pages", "meta-empty:times=2")
    [report] = load(variables)
    if wanted != "monitor":
        assert report.error is not None
        assert "and tells of 120" in report.error
        [report] = load(variables)

    assert report.error is None
    assert_loaded(warehouse_url, HISTORY)


def test_a_total_that_counts_what_a_filter_hides_is_no_failure(
    load: Load, warehouse_url: str, sandbox: Lying, variables: dict[str, str]
) -> None:
    others = [postman_run(200 + number, source="newman") for number in range(30)]
    for run in others:
        sandbox.put_postman_run(run)
    sandbox.announced = 150
    for _night in range(2):
        [report] = load({**variables, "POSTMAN_RUN_SOURCES": "monitor"})
        assert report.error is None
    assert_loaded(warehouse_url, HISTORY)


@pytest.mark.parametrize("status", [400, 404, 410, 414, 422, 500])
def test_new_runs_are_read_however_a_stored_cursor_is_refused(
    load: Load, warehouse_url: str, sandbox: Lying, variables: dict[str, str], status: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(variables, Killed(4))
    sandbox.status_of_cursors = status
    new = [postman_run(1000 + number, hours_ago=-1 - number) for number in range(3)]
    for run in new:
        sandbox.put_postman_run(run)
    [report] = load(variables)
    assert report.error is not None
    assert str(status) in report.error
    found = {run_id for (run_id,) in query(warehouse_url, f"select run_id from {RUNS}")}
    assert found >= {run["id"] for run in new}

    sandbox.status_of_cursors = 200
    sandbox.requests.clear()
    assert [report.error for report in load(variables)] == [None]
    assert not found & {*sandbox.details}
    assert_loaded(warehouse_url, [*HISTORY, *new])
