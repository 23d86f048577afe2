"""One scope's session: its lock, its mark, and commits that are whole or not at all."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from pipelines.errors import WarehouseError
from pipelines.ingest.load import run_source
from pipelines.ingest.progress import NullProgress
from pipelines.settings import Settings
from pipelines.sources.base import (
    Batch,
    Deferred,
    FlatRun,
    NotFound,
    Outcome,
    Rejected,
    RunSource,
    WalkState,
    Watermark,
)
from pipelines.sources.content import sanitize
from pipelines.warehouse.engine import connect
from pipelines.warehouse.ledger import Ledger
from tests.support.contract import POSTMAN
from tests.support.db import everything, query, tables
from tests.support.factories import postman_run
from tests.support.oracle import tables_of_postman

Json = dict[str, Any]

RUNS = "raw_postman.collection_runs"
NOW = datetime(2026, 5, 1, 12, 30, 15, 123_456, UTC)
LOOKBACK = timedelta(hours=72)


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


class Sessions:
    """Opens sessions of one warehouse, as separate loads would."""

    def __init__(
        self, url: str, make_settings: Callable[[dict[str, str]], Settings], **variables: str
    ) -> None:
        self._url, self._make_settings = url, make_settings
        self._variables = {"POSTMAN_API_KEY": "x", "POSTMAN_COLLECTION_IDS": "a", **variables}
        self.open: list[psycopg.Connection] = []

    def source(self, **variables: str) -> RunSource:
        settings = self._make_settings({**self._variables, **variables})
        return run_source(settings, "postman", NullProgress())

    def ledger(self, scope: str = "a", **variables: str) -> Ledger:
        connection = connect(self._url)
        self.open.append(connection)
        return Ledger(connection, self.source(**variables), scope)

    def begun(self, scope: str = "a", **variables: str) -> Ledger:
        ledger = self.ledger(scope, **variables)
        ledger.begin(LOOKBACK, NOW)
        return ledger


@pytest.fixture
def sessions(
    warehouse_url: str, make_settings: Callable[[dict[str, str]], Settings]
) -> Iterator[Sessions]:
    sessions = Sessions(warehouse_url, make_settings)
    yield sessions
    for connection in sessions.open:
        connection.close()


@pytest.fixture
def source(sessions: Sessions) -> RunSource:
    return sessions.source()


def batch(
    *outcomes: Outcome, watermark: Watermark | None = None, listed: bytes | None = b"L"
) -> Batch:
    return Batch([(outcome, listed) for outcome in outcomes], {}, watermark)


@pytest.fixture
def flat(source: RunSource) -> Callable[[Json], FlatRun]:
    def flatten(run: Json) -> FlatRun:
        return source.flatten(*sanitize(run))

    return flatten


# The lock


def test_a_scope_is_held_by_one_session_and_the_next_is_told_who_it_is(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.warehouse.ledger._LOCK_WAIT", "20ms")
    sessions.ledger().take_lock()
    with pytest.raises(WarehouseError) as refused:
        sessions.ledger().take_lock()

    holder = sessions.open[0].execute("show application_name").fetchone()
    assert holder is not None
    assert str(refused.value) == f"postman a is being loaded by {holder[0]}; waited 20ms for it"


def test_whoever_holds_the_same_scope_of_another_warehouse_is_not_named(
    sessions: Sessions, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.warehouse.ledger._LOCK_WAIT", "20ms")
    for _ in range(3):
        stranger = connect(empty_database_url, role="stranger")
        sessions.open.append(stranger)
        stranger.execute(
            "select pg_advisory_lock_shared(hashtextextended('testruns postman a', 0))"
        )
    sessions.ledger().take_lock()
    with pytest.raises(WarehouseError, match=r"^postman a is being loaded by testruns "):
        sessions.ledger().take_lock()


def test_other_scopes_are_not_held_up(sessions: Sessions) -> None:
    sessions.ledger("a").take_lock()
    sessions.ledger("b").take_lock()


def test_the_lock_of_a_session_that_has_ended_is_free_at_once(sessions: Sessions) -> None:
    sessions.ledger().take_lock()
    sessions.open[0].close()
    sessions.ledger().take_lock()


def test_a_session_waits_for_the_one_before_it(sessions: Sessions) -> None:
    sessions.ledger().take_lock()
    waiting = sessions.ledger()
    with ThreadPoolExecutor(1) as thread:
        taken = thread.submit(waiting.take_lock)
        blocked = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
            " and datname = current_database()"
        )
        with closing(sessions.ledger("other").connection) as watching:
            while watching.execute(blocked).fetchone() == (0,):
                assert not taken.done()
        sessions.open[0].close()
        taken.result(timeout=20)
    timeout = waiting.connection.execute("show lock_timeout").fetchone()
    assert timeout == ("0",)


# The mark


WALK = WalkState(NOW - timedelta(minutes=5), NOW, NOW - timedelta(days=2), NOW, "newest_first")


def test_a_mark_is_read_back_as_it_was_saved(sessions: Sessions) -> None:
    for watermark in (
        Watermark(NOW),
        Watermark(NOW, None, None, "newest_first"),
        Watermark(NOW, "c/+=&", None, "oldest_first"),
        Watermark(None, "c", WalkState(NOW)),
        Watermark(NOW, "c", WALK, "neither"),
        Watermark(),
    ):
        first = sessions.begun()
        first.commit(batch(watermark=watermark), first.source.client)
        assert first.watermark == watermark

        assert sessions.begun().watermark == watermark
        assert sessions.begun("b").watermark == Watermark()


def test_a_scope_that_was_never_read_has_no_mark(sessions: Sessions) -> None:
    assert sessions.begun().watermark == Watermark()


def test_a_mark_made_under_other_filters_counts_for_nothing(sessions: Sessions) -> None:
    first = sessions.begun(POSTMAN_RUN_SOURCES="api,monitor")
    first.commit(batch(watermark=Watermark(NOW)), first.source.client)

    assert sessions.begun(POSTMAN_RUN_SOURCES="monitor,api").watermark == Watermark(NOW)
    assert sessions.begun(POSTMAN_RUN_SOURCES="monitor").watermark == Watermark()
    assert sessions.begun().watermark == Watermark()


def test_a_mark_that_stands_is_not_written_again(sessions: Sessions, warehouse_url: str) -> None:
    watermark = Watermark(NOW, None, None, "newest_first")
    first = sessions.begun()
    first.commit(batch(watermark=watermark), first.source.client)
    before = query(warehouse_url, "select * from ingest.watermarks")
    second = sessions.begun()
    second.commit(batch(watermark=watermark), second.source.client)

    assert query(warehouse_url, "select * from ingest.watermarks") == before


# Loads


def test_a_load_that_never_ended_is_found_by_the_next_of_its_scope(
    sessions: Sessions, warehouse_url: str
) -> None:
    killed, other = sessions.begun("a"), sessions.begun("b")
    sessions.begun("a")

    outcomes = dict(query(warehouse_url, "select load_id, outcome from ingest.loads"))
    assert outcomes[killed.load_id] == "interrupted"
    assert outcomes[other.load_id] == "running"


@pytest.mark.parametrize(("error", "outcome"), [(None, "succeeded"), ("HTTP 404", "failed")])
def test_a_load_says_how_it_ended(
    sessions: Sessions, warehouse_url: str, error: str | None, outcome: str
) -> None:
    ledger = sessions.begun()
    ledger.end(ledger.source.client, error)

    found = "select outcome, error, finished_at is not null from ingest.loads"
    assert query(warehouse_url, found) == [(outcome, error, True)]


def test_a_load_says_which_window_it_looked_at(sessions: Sessions, warehouse_url: str) -> None:
    first = sessions.begun()
    first.commit(batch(watermark=Watermark(NOW)), first.source.client)
    sessions.begun()

    windows = "select window_from, window_to, watermark_before from ingest.loads order by load_id"
    assert query(warehouse_url, windows) == [(None, NOW, None), (NOW - LOOKBACK, NOW, NOW)]


# Commits


def test_rows_mark_states_and_the_load_are_committed_together(
    sessions: Sessions, warehouse_url: str, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    ledger.commit(batch(flat(postman_run(1)), watermark=Watermark(NOW)), ledger.source.client)

    assert tables(warehouse_url, POSTMAN) == tables_of_postman([postman_run(1)], POSTMAN)
    moments = query(
        warehouse_url,
        f"select r.loaded_at = w.updated_at from {RUNS} r, ingest.watermarks w",
    )
    assert moments == [(True,)]
    written = "select rows_written, watermark_after from ingest.loads"
    assert query(warehouse_url, written) == [
        ({RUNS: 1, "raw_postman.executions": 2, "raw_postman.assertions": 3}, NOW)
    ]


def test_a_commit_that_fails_leaves_nothing_of_itself(
    sessions: Sessions, warehouse_url: str, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    ledger.commit(batch(flat(postman_run(1)), watermark=Watermark(NOW)), ledger.source.client)
    query(warehouse_url, f"insert into {RUNS} (run_id, load_id) values ('run-3', 0) returning 1")
    before = everything(warehouse_url)
    others = [
        "select * from ingest.watermarks",
        "select * from ingest.run_states",
        "select * from ingest.rejected_records",
        "select * from ingest.loads",
    ]
    held = [query(warehouse_url, statement) for statement in others]
    stats = (dict(ledger.stats.rows), ledger.stats.rejected, dict(ledger.stats.owed))
    bad = batch(
        flat(postman_run(2, runner="x")),
        Rejected("GET x", "run-9", "{}", "id: is missing"),
        Deferred("run-8", "HTTP 500"),
        flat(postman_run(3)),
        watermark=Watermark(NOW + LOOKBACK),
    )
    with pytest.raises(
        WarehouseError, match=r"^the warehouse refused a batch: duplicate key[^\n]*$"
    ):
        ledger.commit(bad, ledger.source.client)

    assert everything(warehouse_url) == before
    assert [query(warehouse_url, statement) for statement in others] == held
    assert (dict(ledger.stats.rows), ledger.stats.rejected, dict(ledger.stats.owed)) == stats
    assert ledger.watermark == Watermark(NOW)


def test_a_run_met_twice_in_a_batch_counts_as_it_was_met_last(
    sessions: Sessions, warehouse_url: str, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    later = postman_run(1, duration=5)
    ledger.commit(batch(flat(postman_run(1)), flat(later)), ledger.source.client)

    assert tables(warehouse_url, POSTMAN) == tables_of_postman([later], POSTMAN)


def test_what_is_held_of_a_run_is_its_digest_as_listed(
    sessions: Sessions, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    finished, running = postman_run(1), postman_run(2, status="running")
    ledger.commit(batch(flat(finished), flat(running), listed=b"first"), ledger.source.client)
    held = ledger.held(["run-1", "run-2", "run-3"], datetime.now(UTC))

    assert set(held) == {"run-1", "run-2"}
    assert (held["run-1"].listed_digest, held["run-1"].is_open) == (b"first", False)
    assert (held["run-2"].is_open, held["run-2"].is_due) == (True, True)
    # Asked for by ID, it is the same as listed before.
    ledger.commit(batch(flat(running), listed=None), ledger.source.client)
    again = ledger.held(["run-2"], datetime.now(UTC))["run-2"]
    assert (again.listed_digest, again.is_open, again.is_due) == (b"first", True, False)


def test_an_owed_run_is_due_until_it_has_been_had(
    sessions: Sessions, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    ledger.commit(batch(Deferred("run-1", "HTTP 500")), ledger.source.client)
    assert ledger.stats.owed == {"run-1": "HTTP 500"}
    assert ledger.due_open_runs(datetime.now(UTC)) == ["run-1"]
    # Its listing counts as unknown, so that the list asks for it as well.
    assert ledger.held(["run-1"], NOW)["run-1"].listed_digest is None

    ledger.commit(batch(flat(postman_run(1))), ledger.source.client)
    assert ledger.stats.owed == {}
    assert ledger.due_open_runs(datetime.now(UTC)) == []


def test_a_run_that_is_gone_is_not_due_until_it_returns(
    sessions: Sessions, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    running = flat(postman_run(1, status="running"))
    ledger.commit(batch(running), ledger.source.client)
    ledger.commit(batch(NotFound("run-1")), ledger.source.client)
    assert ledger.due_open_runs(datetime.now(UTC)) == []

    changed = flat(postman_run(1, status="running", duration=2))
    ledger.commit(batch(changed), ledger.source.client)
    assert ledger.due_open_runs(datetime.now(UTC)) == ["run-1"]


def test_open_runs_of_other_scopes_are_not_due_here(
    sessions: Sessions, flat: Callable[[Json], FlatRun]
) -> None:
    other = sessions.begun("b")
    other.commit(batch(flat(postman_run(1, status="running"))), other.source.client)

    assert sessions.begun("a").due_open_runs(datetime.now(UTC)) == []
    assert other.due_open_runs(datetime.now(UTC)) == ["run-1"]


def test_a_rejected_record_is_kept_once_for_each_payload(
    sessions: Sessions, warehouse_url: str
) -> None:
    first = sessions.begun()
    record = Rejected("GET x", "run-1", '{"id": 1}', "id: expected text")
    other = Rejected("GET x", None, '{"id": 2}', "id: is missing")
    first.commit(batch(record, other), first.source.client)
    second = sessions.begun()
    second.commit(batch(record), second.source.client)

    found = query(
        warehouse_url,
        "select scope, endpoint, run_id, payload, error, load_id, last_load_id"
        " from ingest.rejected_records order by rejected_id",
    )
    assert found == [
        ("a", "GET x", "run-1", '{"id": 1}', "id: expected text", first.load_id, second.load_id),
        ("a", "GET x", None, '{"id": 2}', "id: is missing", first.load_id, first.load_id),
    ]
    assert first.stats.rejected == 2
    rejected = "select rows_rejected from ingest.loads order by load_id"
    assert query(warehouse_url, rejected) == [(2,), (1,)]


def test_references_that_have_not_changed_are_not_sent_twice(
    warehouse_url: str, make_settings: Callable[[dict[str, str]], Settings]
) -> None:
    settings = make_settings(
        {
            "TESTMO_API_URL": "http://127.0.0.1:1",
            "TESTMO_API_TOKEN": "x",
            "TESTMO_PROJECT_IDS": "5",
        }
    )
    testmo = run_source(settings, "testmo", NullProgress())
    with connect(warehouse_url) as connection:
        ledger = Ledger(connection, testmo, "5")
        ledger.begin(LOOKBACK, NOW)
        for name in ("Ada", "Ada", "Bo", "Ada"):
            users = {"raw_testmo.users": [(1, name, None), (1, name, None), (2, "Cy", None)]}
            ledger.commit(Batch([], users), testmo.client)
            assert query(warehouse_url, "select id, name from raw_testmo.users order by 1") == [
                (1, name),
                (2, "Cy"),
            ]
    assert ledger.stats.rows == {"raw_testmo.users": 2 + 1 + 1}
