"""The test results of Testmo's runs: with their run or not at all, and never requested twice."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from pipelines.ingest.backfill import backfill_source, estimate_source
from pipelines.ingest.reparse import reparse_rejected
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.db import everything, query
from tests.support.factories import BOOKS, PROJECT
from tests.support.testmo_instance import (
    ALL,
    ENDPOINT,
    RESULTS,
    Instance,
    Load,
    MakeSettings,
    counts,
    differences,
    result,
    run,
)


def test_results_come_with_a_new_or_changed_run_and_cost_no_request_else(
    load: Load, sandbox: Instance, warehouse_url: str, assert_whole: Callable[[Sandbox], None]
) -> None:
    sandbox.put_testmo_run(run(2_300))
    sandbox.put_testmo_run(run(6, total_count=0, success_count=0))
    [report] = load(sandbox.settings)
    assert report.error is None
    each = {f"{number}/tests": 1 for number in range(1, 7)}
    assert sandbox.new_requests == {"list": 1, **each, "2300/tests": 3}
    assert report.requests[ENDPOINT] == 9
    assert report.rows[RESULTS] == 2_300 + 15
    assert_whole(sandbox)
    assert differences(warehouse_url) == []

    before = everything(warehouse_url)
    [report] = load(sandbox.settings)
    assert (report.rows, sandbox.new_requests) == ({}, {"list": 1})
    assert everything(warehouse_url) == before

    sandbox.put_testmo_run(run(3, total_count=2, success_count=2))
    sandbox.put_testmo_run(run(7, hours_ago=0.5))
    load(sandbox.settings)
    assert sandbox.new_requests == {"list": 1, "3/tests": 1, "7/tests": 1}
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
    stored_rows = query(
        warehouse_url,
        f"select automation_test_id, status, elapsed, name, created_at, extra from {RESULTS}"
        " where run_id = 1 order by 1",
    )
    extra = {"status": "odd", "elapsed": 1.5, "repository_case_ids": [1]}
    url = "https://REDACTED:REDACTED@x.test/?token=REDACTED"
    assert stored_rows == [
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

    # As if a later version understood them: the run is requested once, and settles them.
    sandbox.results[1] = [result(0, 1)]
    query(
        warehouse_url,
        "update ingest.rejected_records set payload = '{\"automation_test_id\": 1}'"
        " where payload like '%without%' returning 1",
    )
    _ = sandbox.new_requests
    reparse_rejected(settings, "testmo", warehouse_url)
    assert sandbox.new_requests == {"1": 1, "1/tests": 1}
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
    stored_rows = query(warehouse_url, f"select automation_test_id from {RESULTS} where run_id = 2")
    assert stored_rows == [(1,), (3,)]
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
        _ = sandbox.new_requests
        load(sandbox.settings)
        # Unchanged: requested itself, and not for its results.
        assert sandbox.new_requests == {"list": 1, "9": 1}
        query(warehouse_url, "update ingest.run_states set next_check_at = null returning 1")
        sandbox.put_testmo_run(run(9, **{**is_open, "total_count": 11, "success_count": 11}))
        load(sandbox.settings)
        assert sandbox.new_requests == {"list": 1, "9": 1, "9/tests": 1}
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
    assert sandbox.new_requests == {"list": 1}
    on = make_settings({**sandbox.settings, "TESTRUNS_LOOKBACK_HOURS": "0"})
    [estimate] = estimate_source(on, "testmo", (str(PROJECT),), ALL)
    assert (estimate.runs, estimate.requests) == (5, 1 + 5)
    _ = sandbox.new_requests
    [report] = backfill_source(on, "testmo", (str(PROJECT),), ALL, warehouse_url)
    assert report.error is None
    assert sandbox.new_requests.total() == 1 + 5
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
