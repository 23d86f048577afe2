"""A run that cannot be fetched or written now comes with a later load."""

import json
from collections.abc import Callable

import psycopg
import pytest

from pipelines.ingest.reparse import reparse_rejected
from pipelines.settings import Settings
from tests.support.contract import POSTMAN
from tests.support.db import query, tables
from tests.support.factories import COLLECTION, postman_run, testmo_run
from tests.support.oracle import tables_of_postman
from tests.support.small_history import (
    ALL_POSTMAN,
    ALL_TESTMO,
    Load,
    assert_loaded,
)
from tests.support.tampering import Tampered, listed, with_members

MakeSettings = Callable[[dict[str, str]], Settings]


def test_a_run_that_cannot_be_fetched_is_deferred_and_loaded_the_next_time(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    sandbox.changes["/runs/run-2"] = 503
    postman, _testmo = load(sandbox.settings)
    assert postman.error is not None
    assert "run-2" in postman.error
    assert "503" in postman.error
    assert postman.is_transient
    assert tables(warehouse_url, POSTMAN) == tables_of_postman(
        [run for run in ALL_POSTMAN if run["id"] != "run-2"], POSTMAN
    )

    sandbox.changes.clear()
    sandbox.requests.clear()
    assert load(sandbox.settings)[0].error is None
    details = [one.path for one in sandbox.requests if not one.path.endswith("/runs")]
    assert details == [f"/collections/{COLLECTION}/runs/run-2"]
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)


def test_an_answer_about_another_run_is_none_about_the_run_that_was_requested(
    load: Load, make_settings: MakeSettings, warehouse_url: str, sandbox: Tampered
) -> None:
    sandbox.changes["/runs/run-2"] = with_members(run=postman_run(99))
    postman, _testmo = load(sandbox.settings)
    assert postman.error is not None
    assert postman.error.endswith("asked for run-2, got run-99")
    kept = (
        "select run_id, payload::json ->> 'id', error, retry_outcome from ingest.rejected_records"
    )
    of_another = ("run-2", "run-99", "id: asked for run-2, got run-99")
    assert query(warehouse_url, kept) == [(*of_another, None)]
    _reports, [record] = reparse_rejected(make_settings(sandbox.settings), "postman", warehouse_url)
    assert record.outcome == "id: asked for run-2, got run-99"

    sandbox.changes.clear()
    assert load(sandbox.settings)[0].error is None
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)
    assert query(warehouse_url, kept) == [(*of_another, "superseded")]


def test_a_deferred_run_is_requested_by_id_when_the_list_no_longer_shows_it(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    sandbox.changes["/runs/run-2"] = 503
    load(sandbox.settings)
    sandbox.changes.clear()
    sandbox.changes["/runs"] = listed(lambda runs: [run for run in runs if run["id"] != "run-2"])
    load(sandbox.settings)

    assert tables(warehouse_url, POSTMAN) == tables_of_postman(ALL_POSTMAN, POSTMAN)


@pytest.mark.parametrize(("status", "is_transient"), [(500, True), (403, False)])
def test_whether_trying_again_can_help_is_said_of_an_api_that_gives_no_run(
    load: Load, sandbox: Tampered, status: int, *, is_transient: bool
) -> None:
    for number in range(6):
        sandbox.changes[f"/runs/run-{number}"] = status
    postman, testmo = load(sandbox.settings)

    assert testmo.error is None
    assert postman.error is not None
    assert str(status) in postman.error
    assert postman.is_transient is is_transient


def test_a_run_listed_twice_is_loaded_once(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    def twice(body: bytes) -> bytes:
        page = json.loads(body)
        for member in ("runs", "result"):
            if member in page:
                page[member] = [run for run in page[member] for _ in range(2)]
        return json.dumps(page).encode()

    sandbox.changes["/runs"] = twice
    assert [report.error for report in load(sandbox.settings)] == [None, None]
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)


def test_a_run_that_was_gone_and_is_listed_again_as_it_was_is_no_longer_gone(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    running = testmo_run(9, is_completed=False, completed_at=None)
    sandbox.put_testmo_run(running)
    load(sandbox.settings)
    sandbox.remove_testmo_run(9)
    load(sandbox.settings)
    gone = "select gone_at is not null from ingest.run_states where run_id = '9'"
    assert query(warehouse_url, gone) == [(True,)]

    sandbox.put_testmo_run(running)
    load(sandbox.settings)
    assert query(warehouse_url, gone) == [(False,)]


def test_a_run_that_the_warehouse_refuses_is_deferred_and_costs_no_other_run(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        # As if a check of ours had a hole.
        connection.execute(
            "create function refuse() returns trigger language plpgsql as"
            " $$ begin raise exception 'no room' using errcode = '22003'; end $$"
        )
        connection.execute(
            "create trigger refusing before insert on raw_postman.collection_runs for each row"
            " when (new.run_id = 'run-3') execute function refuse()"
        )
    try:
        first, second = load(sandbox.settings)
        assert second.error is None
        assert first.error is not None
        assert first.error.endswith("as run-3: the warehouse refuses the run: no room")
        assert_loaded(warehouse_url, ALL_POSTMAN[:3] + ALL_POSTMAN[4:], ALL_TESTMO)
    finally:
        with psycopg.connect(warehouse_url, autocommit=True) as connection:
            connection.execute("drop function refuse cascade")
    assert [report.error for report in load(sandbox.settings)] == [None, None]
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)
