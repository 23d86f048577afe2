"""A window read again: what it adds, replaces, marks as gone, and what it leaves alone."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from pipelines.ingest.backfill import Window, backfill_source, estimate_source
from pipelines.ingest.progress import ScopeReport
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import SOURCES, Settings
from tests.support.db import everything, query
from tests.support.factories import BOOKS, COLLECTION, NOW, PROJECT, postman_run, testmo_run

Load = Callable[..., list[ScopeReport]]
MakeSettings = Callable[[dict[str, str]], Settings]

DAY = Window(NOW - timedelta(hours=24), NOW)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    data = SandboxData(
        [postman_run(number) for number in range(1, 60)],
        [testmo_run(number) for number in range(1, 60)],
        BOOKS,
    )
    with Sandbox(data, requests_per_minute=1_000_000) as served:
        yield served


@pytest.fixture
def reread(
    make_settings: MakeSettings, warehouse_url: str, sandbox: Sandbox
) -> Callable[..., list[ScopeReport]]:
    """Backfills a window of both sources."""

    def run(window: Window, **variables: str) -> list[ScopeReport]:
        settings = make_settings({**sandbox.settings, **variables})
        return [
            report
            for source in SOURCES
            for report in backfill_source(
                settings, source, settings.scopes(source), window, warehouse_url
            )
        ]

    return run


def marks(url: str) -> list[tuple[Any, ...]]:
    return query(url, "select * from ingest.watermarks order by 1, 2")


def deleted(url: str) -> list[str]:
    rows = query(
        url,
        "select run_id from raw_postman.collection_runs where deleted_at is not null"
        " union all select run_id::text from raw_testmo.automation_runs"
        " where deleted_at is not null order by 1",
    )
    return [run_id for (run_id,) in rows]


def test_a_window_that_has_not_changed_writes_nothing(
    load: Load, reread: Load, sandbox: Sandbox, warehouse_url: str
) -> None:
    load(sandbox.settings)
    before, high_water = everything(warehouse_url), marks(warehouse_url)
    reports = reread(DAY)
    assert [(report.error, report.rows) for report in reports] == [(None, {}), (None, {})]
    assert everything(warehouse_url) == before
    assert marks(warehouse_url) == high_water
    # The runs of the day once each, and no other.
    assert reports[0].requests["GET collections/{id}/runs/{runId}"] == 24


def test_a_change_that_no_summary_shows_is_found_within_the_window_only(
    load: Load, reread: Load, sandbox: Sandbox, warehouse_url: str
) -> None:
    load(sandbox.settings)
    for number in (5, 50):
        run = postman_run(number)
        run["executions"] = run["executions"][:1]
        sandbox.put_postman_run(run)
    (postman, _) = reread(DAY)
    assert postman.rows["raw_postman.collection_runs"] == 1
    counts = query(
        warehouse_url,
        "select run_id, count(*) from raw_postman.executions"
        " where run_id in ('run-5', 'run-50') group by 1 order by 1",
    )
    assert counts == [("run-5", 1), ("run-50", 2)]


def test_a_backfill_into_an_empty_warehouse_loads_the_window_and_moves_no_watermark(
    reread: Load, warehouse_url: str
) -> None:
    reread(DAY)
    assert marks(warehouse_url) == []
    assert query(
        warehouse_url,
        "select (select count(*) from raw_postman.collection_runs),"
        " (select count(*) from raw_testmo.automation_runs)",
    ) == [(24, 24)]


def test_vanished_runs_are_marked_and_returned_ones_are_cleared(
    load: Load, reread: Load, sandbox: Sandbox, warehouse_url: str
) -> None:
    load(sandbox.settings)
    children = query(warehouse_url, "select count(*) from raw_postman.executions")
    sandbox.remove_postman_run("run-3")
    sandbox.remove_postman_run("run-40")
    sandbox.remove_testmo_run(testmo_run(4)["id"])

    reports = reread(DAY)
    assert [report.deleted for report in reports] == [1, 1]
    assert deleted(warehouse_url) == sorted(["run-3", str(testmo_run(4)["id"])])
    assert query(warehouse_url, "select count(*) from raw_postman.executions") == children

    again = everything(warehouse_url)
    assert [report.deleted for report in reread(DAY)] == [0, 0]
    assert everything(warehouse_url) == again

    sandbox.put_postman_run(postman_run(3))
    sandbox.put_testmo_run(testmo_run(4))
    reread(DAY)
    assert deleted(warehouse_url) == []


def test_a_deleted_run_that_returns_is_cleared_by_the_next_load_as_well(
    load: Load, reread: Load, sandbox: Sandbox, warehouse_url: str
) -> None:
    load(sandbox.settings)
    sandbox.remove_postman_run("run-3")
    reread(DAY)
    assert deleted(warehouse_url) == ["run-3"]
    sandbox.put_postman_run(postman_run(3))
    load(sandbox.settings)
    assert deleted(warehouse_url) == []


def test_no_deletion_is_concluded_under_a_filter(
    load: Load, reread: Load, sandbox: Sandbox, warehouse_url: str
) -> None:
    load(sandbox.settings)
    sandbox.remove_postman_run("run-3")
    sandbox.remove_testmo_run(testmo_run(4)["id"])
    reread(DAY, POSTMAN_RUN_SOURCES="monitor", TESTMO_SOURCE_IDS="1")
    assert deleted(warehouse_url) == []


def test_no_deletion_is_concluded_from_a_list_that_broke_off(
    load: Load, reread: Load, sandbox: Sandbox, warehouse_url: str
) -> None:
    load(sandbox.settings)
    sandbox.remove_postman_run("run-3")
    (postman, _) = reread(DAY, POSTMAN_API_KEY="not-the-key")
    assert postman.error is not None
    assert deleted(warehouse_url) == []


def test_an_interrupted_backfill_goes_on_where_it_was(
    load: Load, reread: Load, sandbox: Sandbox, warehouse_url: str
) -> None:
    load(sandbox.settings)
    reread(DAY)
    # As if it had been killed after ten runs: not ended, the rest not met.
    query(
        warehouse_url,
        "with killed as (update ingest.loads set outcome = 'running', finished_at = null"
        "                where kind = 'backfill' and source = 'postman' returning load_id)"
        " update ingest.run_states set backfill_id = null"
        " where source = 'postman'"
        " and run_id in (select 'run-' || n from generate_series(11, 24) as n)"
        " returning 1",
    )
    (postman, _) = reread(DAY)
    assert postman.requests["GET collections/{id}/runs/{runId}"] == 14
    outcomes = query(
        warehouse_url,
        "select outcome, backfill_id = min(load_id) over () from ingest.loads"
        " where kind = 'backfill' and source = 'postman' order by load_id",
    )
    assert outcomes == [("interrupted", True), ("succeeded", True)]


def test_an_estimate_counts_the_runs_of_the_window_and_requests_none(
    make_settings: MakeSettings, sandbox: Sandbox
) -> None:
    settings = make_settings(sandbox.settings)
    (postman,) = estimate_source(settings, "postman", (COLLECTION,), DAY)
    assert (postman.runs, postman.requests) == (24, 25)
    (testmo,) = estimate_source(settings, "testmo", (str(PROJECT),), DAY)
    # The list shows whole runs; their test results are a request each.
    assert (testmo.runs, testmo.requests) == (24, 1 + 24)
    assert not [one for one in sandbox.requests if "runs/" in one.path]
