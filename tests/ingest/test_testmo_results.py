"""The test results of Testmo's runs: with their run or not at all, and never asked for twice."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from pipelines.http.retry import RetryPolicy
from pipelines.ingest.audit import audit_source
from pipelines.ingest.backfill import Window, backfill_source, estimate_source
from pipelines.ingest.progress import ScopeReport
from pipelines.ingest.reparse import reparse_rejected
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from pipelines.terminal.load_lines import scope_line
from tests.support.contract import TESTMO
from tests.support.db import everything, query, tables
from tests.support.factories import BOOKS, PROJECT, testmo_run
from tests.support.oracle import tables_of_testmo

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
        made = [result(number, run["id"]) for number in range(run["total_count"])]
        return self.results.get(run["id"], made)

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
    def asked(self) -> Counter[str]:
        """Requests since this was asked last: `list`, `2/tests` or `2`."""
        paths = [
            request.path.split("automation/runs", 1)[1].strip("/") for request in self.requests
        ]
        self.requests.clear()
        return Counter(path or "list" for path in paths)


def run(number: int, **more: Any) -> Json:
    """A run that passed its `number` tests, but for what `more` says."""
    return testmo_run(number, **{"success_count": number, **more})


@pytest.fixture
def retry() -> RetryPolicy:
    return RetryPolicy(first_wait_seconds=0)


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def sandbox() -> Iterator[Instance]:
    data = SandboxData([], [run(number) for number in range(1, 6)], BOOKS)
    with Instance(data, requests_per_minute=1_000_000) as sandbox:
        yield sandbox


@pytest.fixture
def assert_whole(warehouse_url: str) -> Callable[[Sandbox], None]:
    def check(sandbox: Sandbox) -> None:
        expected = tables_of_testmo(sandbox.testmo_runs, TESTMO, sandbox.data.testmo_tests)
        assert tables(warehouse_url, TESTMO) == expected

    return check


def counts(url: str) -> dict[int, int]:
    return dict(query(url, f"select run_id, count(*) from {RESULTS} group by 1"))


def differences(url: str) -> list[tuple[Any, ...]]:
    """Where the counts of runs are not what their results come to."""
    return query(
        url,
        "select run_id, substr(total, 7), announced, loaded, reason from ingest.reconciliations"
        " where total like 'tests.%' order by 1, 2",
    )


def test_results_come_with_a_new_or_changed_run_and_cost_no_request_else(
    load: Load, sandbox: Instance, warehouse_url: str, assert_whole: Callable[[Sandbox], None]
) -> None:
    sandbox.put_testmo_run(run(2_300))
    sandbox.put_testmo_run(run(6, total_count=0, success_count=0))
    [report] = load(sandbox.settings)
    assert report.error is None
    each = {f"{number}/tests": 1 for number in range(1, 7)}
    assert sandbox.asked == {"list": 1, **each, "2300/tests": 3}
    assert report.requests[ENDPOINT] == 9
    assert report.rows[RESULTS] == 2_300 + 15
    assert_whole(sandbox)
    assert differences(warehouse_url) == []

    before = everything(warehouse_url)
    [report] = load(sandbox.settings)
    assert (report.rows, sandbox.asked) == ({}, {"list": 1})
    assert everything(warehouse_url) == before

    sandbox.put_testmo_run(run(3, total_count=2, success_count=2))
    sandbox.put_testmo_run(run(7, hours_ago=0.5))
    load(sandbox.settings)
    assert sandbox.asked == {"list": 1, "3/tests": 1, "7/tests": 1}
    assert_whole(sandbox)


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("is_bare", [False, True])
def test_an_instance_without_the_endpoint_is_noticed_once_and_asked_once_a_load(
    load: Load, warehouse_url: str, status: int, *, is_bare: bool
) -> None:
    data = SandboxData([], [run(number) for number in range(1, 6)], BOOKS)
    settings = {"TESTRUNS_LOOKBACK_HOURS": "4"}
    with Instance(data, testmo_list_is_bare=is_bare) as sandbox:

        def asked() -> int:
            return sum(n for path, n in sandbox.asked.items() if path.endswith("/tests"))

        sandbox.answers["/tests?1"] = [status] * 100
        [report] = load({**sandbox.settings, **settings})
        assert report.error is None
        assert report.rows["raw_testmo.automation_runs"] == 5
        assert "without test results, which this instance does not give" in scope_line(report)
        assert f"HTTP {status}" in scope_line(report)
        # Another run is asked for before it is believed.
        assert asked() == 2
        missing = "select source, endpoint from ingest.missing_endpoints"
        assert query(warehouse_url, missing) == [("testmo", ENDPOINT)]

        [report] = load({**sandbox.settings, **settings})
        assert (asked(), report.rows, report.notice) == (0, {}, None)
        sandbox.put_testmo_run(run(6, hours_ago=0.9))
        sandbox.put_testmo_run(run(7, hours_ago=0.8))
        [report] = load({**sandbox.settings, **settings})
        assert (asked(), report.error) == (1, None)
        assert report.notice is not None
        assert counts(warehouse_url) == {}

        # It has the endpoint now: the next run shows it, and runs of the lookback get theirs.
        sandbox.answers.clear()
        sandbox.put_testmo_run(run(8, hours_ago=0.7))
        [report] = load({**sandbox.settings, **settings})
        assert report.notice == (
            f"{ENDPOINT} answers now: test results are loaded; `testruns backfill` fetches those of"
            " older runs"
        )
        assert query(warehouse_url, missing) == []
        load({**sandbox.settings, **settings})
        assert set(counts(warehouse_url)) == {1, 2, 3, 4, 6, 7, 8}
        asked()
        [report] = load({**sandbox.settings, **settings})
        assert (asked(), report.rows, report.notice) == (0, {}, None)


@pytest.mark.parametrize("run_id", [5, 3, 1])
def test_a_404_for_one_run_alone_defers_it(
    load: Load,
    sandbox: Instance,
    warehouse_url: str,
    assert_whole: Callable[[Sandbox], None],
    run_id: int,
) -> None:
    sandbox.answers[f"/{run_id}/tests?1"] = [404]
    [report] = load(sandbox.settings)
    assert report.error is not None
    assert report.error.startswith(
        f"1 run(s) deferred to the next load, as {run_id}: the API gives test results of other"
        " runs, but testmo GET automation/runs/{id}/tests: HTTP 404"
    )
    assert set(counts(warehouse_url)) == {1, 2, 3, 4, 5} - {run_id}
    held = "select count(*) from raw_testmo.automation_runs"
    assert query(warehouse_url, held) == [(4,)]
    assert query(warehouse_url, "select * from ingest.missing_endpoints") == []

    [report] = load(sandbox.settings)
    assert report.error is None
    assert_whole(sandbox)


def test_a_run_whose_results_fail_is_deferred_whole_and_loaded_by_the_next_load(
    load: Load, sandbox: Instance, warehouse_url: str, assert_whole: Callable[[Sandbox], None]
) -> None:
    load(sandbox.settings)
    before = counts(warehouse_url)
    sandbox.put_testmo_run(run(3, total_count=2_500, success_count=2_500))
    sandbox.put_testmo_run(run(6, hours_ago=0.5, total_count=1_500, success_count=1_500))
    sandbox.answers["/3/tests?2"] = sandbox.answers["/6/tests?2"] = [500] * 20
    [report] = load(sandbox.settings)
    assert report.error is not None
    assert report.error.startswith("2 run(s) deferred to the next load, as 3: testmo GET")
    assert "HTTP 500" in report.error
    assert report.is_transient
    # Neither the run nor its results, half or old: what was loaded before stands together.
    assert counts(warehouse_url) == before

    sandbox.answers.clear()
    [report] = load(sandbox.settings)
    assert report.error is None
    assert_whole(sandbox)


def test_results_that_fail_for_every_run_end_the_scope_in_one_line(
    load: Load, sandbox: Instance, assert_whole: Callable[[Sandbox], None]
) -> None:
    sandbox.answers["/tests?1"] = [403] * 100
    [report] = load(sandbox.settings)
    assert report.error is not None
    assert "HTTP 403" in report.error
    assert "\n" not in report.error
    sandbox.answers.clear()
    load(sandbox.settings)
    assert_whole(sandbox)


def test_a_quota_that_ends_between_two_pages_leaves_the_run_to_the_next_load(
    load: Load, sandbox: Instance, warehouse_url: str, assert_whole: Callable[[Sandbox], None]
) -> None:
    sandbox.put_testmo_run(run(6, hours_ago=6, total_count=2_500, success_count=2_500))
    sandbox.put_testmo_run(run(7, hours_ago=2.5))
    sandbox.answers["/6/tests?2"] = [429]
    [report] = load(sandbox.settings)
    assert report.is_quota_spent
    assert counts(warehouse_url) == {}
    # The limit is remembered in the warehouse.
    query(warehouse_url, "delete from ingest.rate_limits returning 1")

    [report] = load(sandbox.settings)
    assert report.error is None
    assert_whole(sandbox)


def test_a_contradiction_of_the_pages_defers_the_run_alone(
    load: Load, sandbox: Instance, warehouse_url: str, assert_whole: Callable[[Sandbox], None]
) -> None:
    for number in (6, 7):
        sandbox.put_testmo_run(run(number, total_count=1_200, success_count=1_200))

    def without_results(page: Json) -> Json:
        return {**page, "result": [], "next_page": None}

    sandbox.answers["/6/tests?2"] = [without_results] * 3
    sandbox.answers["/7/tests?1"] = [lambda page: {**page, "total": 1_300}]
    [report] = load(sandbox.settings)
    assert report.error is not None
    assert report.error.startswith("2 run(s) deferred")
    assert set(counts(warehouse_url)) == {1, 2, 3, 4, 5}
    load(sandbox.settings)
    assert_whole(sandbox)


def test_odd_values_cost_no_result_and_one_without_an_id_no_neighbour(
    load: Load, make_settings: MakeSettings, sandbox: Instance, warehouse_url: str
) -> None:
    sandbox.results[1] = [
        result(0, 1, status="odd", elapsed=1.5, name="a\0b", repository_case_ids=[1]),
        {"name": "without an ID"},
        result(1, 1, name="https://u:p@x.test/?token=s", created_at="yesterday"),
        7,
    ]
    [report] = load(sandbox.settings)
    assert (report.error, report.rejected) == (None, 2)
    found = query(
        warehouse_url,
        f"select automation_test_id, status, elapsed, name, created_at, extra from {RESULTS}"
        " where run_id = 1 order by 1",
    )
    extra = {"status": "odd", "elapsed": 1.5, "repository_case_ids": [1]}
    url = "https://REDACTED:REDACTED@x.test/?token=REDACTED"
    assert found == [
        (10_000, None, None, "a\ufffdb", datetime(2026, 5, 1, 12, tzinfo=UTC), extra),
        (10_001, 2, 1_500, url, None, {"created_at": "yesterday"}),
    ]
    fields = f"select field from ingest.unknown_fields where table_name = '{RESULTS}' order by 1"
    assert query(warehouse_url, fields) == [
        ("created_at",), ("elapsed",), ("repository_case_ids",), ("status",),
    ]  # fmt: skip
    aside = "select endpoint, run_id, error, retry_outcome from ingest.rejected_records order by 3"
    assert query(warehouse_url, aside) == [
        (ENDPOINT, "1", "automation_test_id: is missing", None),
        (ENDPOINT, "1", "result: expected an object, got a number", None),
    ]
    # The run announces one result, and two are loaded.
    assert differences(warehouse_url) == [("1", "total_count", 1, 2, "surplus")]

    # Set aside again with a new version of the run, they are not settled.
    sandbox.put_testmo_run(run(1, name="again"))
    load(sandbox.settings)
    assert {row[3] for row in query(warehouse_url, aside)} == {None}
    settings = make_settings(sandbox.settings)
    assert [one.outcome for one in reparse_rejected(settings, "testmo", warehouse_url)[1]] == [
        "automation_test_id: is missing", "result: expected an object, got a number",
    ]  # fmt: skip

    # As if a later version understood them: the run is asked for once, and settles them.
    sandbox.results[1] = [result(0, 1)]
    query(
        warehouse_url,
        "update ingest.rejected_records set payload = '{\"automation_test_id\": 1}'"
        " where payload like '%without%' returning 1",
    )
    _ = sandbox.asked
    reparse_rejected(settings, "testmo", warehouse_url)
    assert sandbox.asked == {"1": 1, "1/tests": 1}
    assert {row[3] for row in query(warehouse_url, aside)} == {"superseded"}
    assert differences(warehouse_url) == []


@pytest.mark.parametrize("levels", [990, 3_000])
def test_a_result_that_is_nested_too_deeply_is_set_aside_alone(
    load: Load, sandbox: Instance, warehouse_url: str, levels: int
) -> None:
    deep = b"[" * levels + b"]" * levels
    sandbox.answers["/2/tests?1"] = [
        b'{"result": [{"automation_test_id": 1}, {"automation_test_id": 2, "x": %b},'
        b' {"automation_test_id": 3}], "total": 3}' % deep
    ]
    [report] = load(sandbox.settings)
    assert report.error is None
    found = query(warehouse_url, f"select automation_test_id from {RESULTS} where run_id = 2")
    assert found == [(1,), (3,)]
    aside = "select endpoint, run_id, error from ingest.rejected_records"
    assert query(warehouse_url, aside) == [(ENDPOINT, "2", "nested too deeply")]


def test_counts_are_compared_by_what_each_status_means_on_the_instance(
    load: Load, sandbox: Instance, warehouse_url: str
) -> None:
    # 12 is passed by the instance's statuses, which do not hold 2 and 3.
    for number, statuses in ((1, [12]), (2, [12, 3]), (3, [2, 2, 3]), (4, [3, 3, 4, 1])):
        sandbox.results[number] = [
            result(place, number, status=status) for place, status in enumerate(statuses)
        ]
    sandbox.put_testmo_run(run(2, success_count=1, failure_count=1))
    sandbox.put_testmo_run(run(4, success_count=0, failure_count=2, is_completed=False))
    sandbox.put_testmo_run(run(5, untested_count=2, total_count=6))
    sandbox.results[5] = [result(place, 5) for place in range(5)]
    load(sandbox.settings)
    different = [
        ("3", "failure_count", 0, 1, "surplus"),
        ("3", "success_count", 3, 2, "missing"),
    ]
    assert differences(warehouse_url) == different
    # What has not changed is not compared anew.
    load(sandbox.settings)
    assert differences(warehouse_url) == different


def test_an_open_run_has_the_results_of_when_it_last_changed(
    load: Load, warehouse_url: str, assert_whole: Callable[[Sandbox], None]
) -> None:
    is_open = {"is_completed": False, "completed_at": None, "status": 4, "hours_ago": 500}
    data = SandboxData([], [run(1), run(9, **is_open)], BOOKS)
    with Instance(data, testmo_list_is_bare=True) as sandbox:
        load(sandbox.settings)
        _ = sandbox.asked
        load(sandbox.settings)
        # Unchanged: asked for itself, and not for its results.
        assert sandbox.asked == {"list": 1, "9": 1}
        query(warehouse_url, "update ingest.run_states set next_check_at = null returning 1")
        sandbox.put_testmo_run(run(9, **{**is_open, "total_count": 11, "success_count": 11}))
        load(sandbox.settings)
        assert sandbox.asked == {"list": 1, "9": 1, "9/tests": 1}
        assert_whole(sandbox)


def test_results_turned_off_cost_nothing_and_come_with_a_backfill_once_turned_on(
    load: Load,
    make_settings: MakeSettings,
    sandbox: Instance,
    warehouse_url: str,
    assert_whole: Callable[[Sandbox], None],
) -> None:
    off = {**sandbox.settings, "TESTMO_LOAD_TESTS": "false"}
    [report] = load(off)
    assert report.error is None
    assert sandbox.asked == {"list": 1}
    on = make_settings({**sandbox.settings, "TESTRUNS_LOOKBACK_HOURS": "0"})
    [estimate] = estimate_source(on, "testmo", (str(PROJECT),), ALL)
    assert (estimate.runs, estimate.requests) == (5, 1 + 5)
    _ = sandbox.asked
    [report] = backfill_source(on, "testmo", (str(PROJECT),), ALL, warehouse_url)
    assert report.error is None
    assert sandbox.asked.total() == 1 + 5
    assert_whole(sandbox)

    # A window that has not changed is read, and nothing is written.
    before = everything(warehouse_url)
    [report] = backfill_source(on, "testmo", (str(PROJECT),), ALL, warehouse_url)
    assert report.rows == {}
    assert everything(warehouse_url) == before
    # Results that changed while the counts did not are found by a backfill alone.
    sandbox.results[4] = [result(number, 4, status=3) for number in range(4)]
    assert load(sandbox.settings)[0].rows == {}
    [report] = backfill_source(on, "testmo", (str(PROJECT),), ALL, warehouse_url)
    assert report.rows[RESULTS] == 4
    assert_whole(sandbox)
    # Off again, what is loaded stays.
    sandbox.put_testmo_run(run(2, name="again"))
    load(off)
    assert counts(warehouse_url) == {number: number for number in range(1, 6)}


def test_an_audit_that_fetches_what_is_missing_fetches_its_results(
    load: Load,
    make_settings: MakeSettings,
    sandbox: Instance,
    warehouse_url: str,
    assert_whole: Callable[[Sandbox], None],
) -> None:
    load(sandbox.settings)
    late = run(6, hours_ago=5000)
    sandbox.put_testmo_run(late)
    load(sandbox.settings)
    assert set(counts(warehouse_url)) == {1, 2, 3, 4, 5}
    settings = make_settings(sandbox.settings)
    [audit] = audit_source(settings, "testmo", (str(PROJECT),), warehouse_url, fix=True)
    assert (audit.fixed, audit.is_complete) == (1, True)
    assert_whole(sandbox)


def test_an_audit_names_runs_that_are_loaded_without_their_results_and_fetches_them(
    load: Load,
    make_settings: MakeSettings,
    sandbox: Instance,
    warehouse_url: str,
    assert_whole: Callable[[Sandbox], None],
) -> None:
    load({**sandbox.settings, "TESTMO_LOAD_TESTS": "false"})
    settings = make_settings(sandbox.settings)
    scope = (str(PROJECT),)
    [audit] = audit_source(settings, "testmo", scope, warehouse_url)
    assert audit.found is not None
    assert (audit.found.missing, audit.found.changed, audit.fixed) == (0, 5, 0)
    [audit] = audit_source(settings, "testmo", scope, warehouse_url, fix=True)
    assert audit.found is not None
    assert (audit.found.changed, audit.fixed, audit.is_complete) == (0, 5, True)
    assert_whole(sandbox)


def test_a_deleted_run_keeps_its_results(
    load: Load, make_settings: MakeSettings, sandbox: Instance, warehouse_url: str
) -> None:
    load(sandbox.settings)
    before = counts(warehouse_url)
    sandbox.remove_testmo_run(4)
    settings = make_settings(sandbox.settings)
    [report] = backfill_source(settings, "testmo", (str(PROJECT),), ALL, warehouse_url)
    assert report.deleted == 1
    assert counts(warehouse_url) == before
    # It returns among many new ones, as it was.
    for number in range(10, 20):
        sandbox.put_testmo_run(run(number))
    sandbox.put_testmo_run(run(4))
    load(sandbox.settings)
    deleted = "select count(*) from raw_testmo.automation_runs where deleted_at is not null"
    assert query(warehouse_url, deleted) == [(0,)]
