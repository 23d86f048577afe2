"""Test results that an instance, a run or a quota withholds: named, and fetched later."""

from collections.abc import Callable

import pytest

from pipelines.ingest.audit import audit_source
from pipelines.ingest.load_lines import scope_line
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.db import query
from tests.support.factories import BOOKS, PROJECT
from tests.support.testmo_instance import ENDPOINT, Instance, Json, Load, MakeSettings, counts, run


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("is_bare", [False, True])
def test_an_instance_without_the_endpoint_is_noticed_once_and_requested_once_a_load(
    load: Load, warehouse_url: str, status: int, *, is_bare: bool
) -> None:
    data = SandboxData([], [run(number) for number in range(1, 6)], BOOKS)
    settings = {"TESTRUNS_LOOKBACK_HOURS": "4"}
    with Instance(data, testmo_list_is_bare=is_bare) as sandbox:

        def new_requests() -> int:
            return sum(n for path, n in sandbox.new_requests.items() if path.endswith("/tests"))

        sandbox.answers["/tests?1"] = [status] * 100
        [report] = load({**sandbox.settings, **settings})
        assert report.error is None
        assert report.rows["raw_testmo.automation_runs"] == 5
        assert "without test results, which this instance does not give" in scope_line(report)
        assert f"HTTP {status}" in scope_line(report)
        # Another run is requested before it is believed.
        assert new_requests() == 2
        missing = "select source, endpoint from ingest.missing_endpoints"
        assert query(warehouse_url, missing) == [("testmo", ENDPOINT)]

        [report] = load({**sandbox.settings, **settings})
        assert (new_requests(), report.rows, report.notice) == (0, {}, None)
        sandbox.put_testmo_run(run(6, hours_ago=0.9))
        sandbox.put_testmo_run(run(7, hours_ago=0.8))
        [report] = load({**sandbox.settings, **settings})
        assert (new_requests(), report.error) == (1, None)
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
        new_requests()
        [report] = load({**sandbox.settings, **settings})
        assert (new_requests(), report.rows, report.notice) == (0, {}, None)


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
    statement = "select count(*) from raw_testmo.automation_runs"
    assert query(warehouse_url, statement) == [(4,)]
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
