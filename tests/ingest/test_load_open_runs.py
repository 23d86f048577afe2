"""Runs that have not ended: loaded as they are, and again until they have ended."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.contract import POSTMAN
from tests.support.db import everything, query, tables
from tests.support.factories import BOOKS, COLLECTION, postman_run, testmo_run
from tests.support.loads import Load, assert_equal_to, hourly_runs, requests_by_kind
from tests.support.oracle import tables_of_postman


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(hourly_runs()) as sandbox:
        yield sandbox


def test_an_open_run_of_any_age_is_requested_until_it_has_ended(
    load: Load, warehouse_url: str, sandbox: Sandbox
) -> None:
    killed = postman_run(500, hours_ago=2000, status="running", executions=[])
    untold = testmo_run(501, hours_ago=2000, is_completed=False, status=4, completed_at=None)
    sandbox.put_postman_run(killed)
    sandbox.put_testmo_run(untold)
    for number in range(600, 800):  # so that it stands beyond the lookback
        sandbox.put_postman_run(postman_run(number))
    load(sandbox.settings)
    requests_by_kind(sandbox)
    sandbox.put_postman_run(postman_run(500, hours_ago=2000))
    sandbox.put_testmo_run(testmo_run(501, hours_ago=2000))
    load(sandbox.settings)

    counts = requests_by_kind(sandbox)
    assert (counts["run-500"], counts["501"]) == (1, 1)
    assert_equal_to(
        warehouse_url,
        [postman_run(number) for number in [*range(12), *range(600, 800)]]
        + [postman_run(500, hours_ago=2000)],
        [*(testmo_run(number) for number in range(1, 11)), testmo_run(501, hours_ago=2000)],
        BOOKS,
    )
    load(sandbox.settings)
    assert set(requests_by_kind(sandbox)) == {"list"}


def test_an_open_run_that_is_gone_is_requested_once_more_and_kept(
    load: Load, warehouse_url: str, sandbox: Sandbox
) -> None:
    sandbox.put_postman_run(postman_run(500, hours_ago=2000, status="running"))
    load(sandbox.settings)
    before = everything(warehouse_url)
    sandbox.remove_postman_run("run-500")
    requests_by_kind(sandbox)

    reports = load(sandbox.settings)
    assert [report.error for report in reports] == [None, None]
    assert requests_by_kind(sandbox)["run-500"] == 1
    load(sandbox.settings)
    assert requests_by_kind(sandbox) == {"list": 2}
    # Only a backfill, which has read a whole window, may conclude that a run is deleted.
    assert everything(warehouse_url) == before


def test_open_runs_are_requested_less_often_as_they_age(
    load: Load, warehouse_url: str, sandbox: Sandbox
) -> None:
    started = (datetime.now(UTC) - timedelta(hours=60)).isoformat()
    sandbox.put_postman_run(postman_run(500, status="running", startedAt=started))
    load(sandbox.settings)
    waits = []
    for _night in range(5):
        due = "update ingest.run_states set next_check_at = now() where is_open returning 1"
        query(warehouse_url, due)
        load(sandbox.settings)
        [(wait,)] = query(
            warehouse_url, "select next_check_at - now() from ingest.run_states where is_open"
        )
        waits.append(round(wait / timedelta(hours=1)))

    # Twice as long each time, up to a tenth of its age.
    assert waits == [1, 2, 4, 6, 6]


def test_a_run_still_queued_is_loaded_and_again_once_it_has_started(
    load: Load, warehouse_url: str
) -> None:
    queued = {"id": "run-1", "collectionId": COLLECTION, "status": "queued"}
    with Sandbox(SandboxData([queued], [], BOOKS)) as sandbox:
        load(sandbox.settings)
        assert tables(warehouse_url, POSTMAN) == tables_of_postman([queued], POSTMAN)
        sandbox.put_postman_run(postman_run(1))
        load(sandbox.settings)

    assert tables(warehouse_url, POSTMAN) == tables_of_postman([postman_run(1)], POSTMAN)
