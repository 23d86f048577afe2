"""One scope's session: its lock, its mark, and commits that are whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.errors import WarehouseError
from pipelines.ingest.load import run_source
from pipelines.ingest.progress import NullProgress
from pipelines.settings import Settings
from pipelines.sources.base import (
    FlatRun,
    References,
    Rejected,
    RunSource,
    WalkState,
    Watermark,
)
from pipelines.sources.content import sanitize
from pipelines.warehouse.batch import Batch, Deferred, FetchResult, NotFound, Outcome
from pipelines.warehouse.ledger import Ledger
from pipelines.warehouse.stored_runs import OpenRun
from tests.support.contract import POSTMAN
from tests.support.db import end_sessions, everything, query, tables
from tests.support.factories import postman_run
from tests.support.oracle import tables_of_postman

Json = dict[str, Any]

RUNS = "raw_postman.collection_runs"
NOW = datetime(2026, 5, 1, 12, 30, 15, 123_456, UTC)
LOOKBACK = timedelta(hours=72)
# As `postman_run(1)` is held.
RUN_1 = OpenRun("run-1", datetime(2026, 5, 1, 11, tzinfo=UTC), is_loaded=True)


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
        self._open: list[Ledger] = []

    def source(self, **variables: str) -> RunSource:
        settings = self._make_settings({**self._variables, **variables})
        return run_source(settings, "postman", NullProgress(), None)

    def begun(self, scope: str = "a", **variables: str) -> Ledger:
        """A load that has begun; the one before it in its scope is no more."""
        for ledger in self._open:
            if ledger.key["scope"] == scope:
                ledger.close()
        ledger = Ledger(self._url, self.source(**variables), scope, no_wait)
        ledger.open()
        self._open.append(ledger)
        ledger.begin(LOOKBACK, NOW)
        return ledger

    def close(self) -> None:
        for ledger in self._open:
            ledger.close()


def no_wait(holder: str) -> None:
    pytest.fail(f"waits for {holder}")


@pytest.fixture
def sessions(
    warehouse_url: str, make_settings: Callable[[dict[str, str]], Settings]
) -> Iterator[Sessions]:
    sessions = Sessions(warehouse_url, make_settings)
    yield sessions
    sessions.close()


@pytest.fixture
def source(sessions: Sessions) -> RunSource:
    return sessions.source()


def batch(
    *outcomes: Outcome, watermark: Watermark | None = None, listed: bytes | None = b"L"
) -> Batch:
    return Batch([FetchResult(outcome, listed) for outcome in outcomes], {}, watermark)


@pytest.fixture
def flat(source: RunSource) -> Callable[[Json], FlatRun]:
    def flatten(run: Json) -> FlatRun:
        return source.flatten(*sanitize(run))

    return flatten


# The watermark


WALK = WalkState(
    *(NOW - timedelta(minutes=5), NOW, NOW - timedelta(days=2), NOW, "newest_first"),
    *(7, 5, 2**62),
)


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
        first.commit(batch(watermark=watermark))
        assert first.watermark == watermark

        assert sessions.begun().watermark == watermark
        assert sessions.begun("b").watermark == Watermark()


def test_a_scope_that_was_never_read_has_no_mark(sessions: Sessions) -> None:
    assert sessions.begun().watermark == Watermark()


def test_a_mark_made_under_other_filters_counts_for_nothing(sessions: Sessions) -> None:
    first = sessions.begun(POSTMAN_RUN_SOURCES="api,monitor")
    first.commit(batch(watermark=Watermark(NOW)))

    assert sessions.begun(POSTMAN_RUN_SOURCES="monitor,api").watermark == Watermark(NOW)
    assert sessions.begun(POSTMAN_RUN_SOURCES="monitor").watermark == Watermark()
    assert sessions.begun().watermark == Watermark()


def test_a_mark_that_stands_is_not_written_again(sessions: Sessions, warehouse_url: str) -> None:
    watermark = Watermark(NOW, None, None, "newest_first")
    first = sessions.begun()
    first.commit(batch(watermark=watermark))
    before = query(warehouse_url, "select * from ingest.watermarks")
    second = sessions.begun()
    second.commit(batch(watermark=watermark))

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
    ledger.end(error)

    found = "select outcome, error, finished_at is not null from ingest.loads"
    assert query(warehouse_url, found) == [(outcome, error, True)]


def test_a_load_says_which_window_it_looked_at(sessions: Sessions, warehouse_url: str) -> None:
    first = sessions.begun()
    first.commit(batch(watermark=Watermark(NOW)))
    sessions.begun()

    windows = "select window_from, window_to, watermark_before from ingest.loads order by load_id"
    assert query(warehouse_url, windows) == [(None, NOW, None), (NOW - LOOKBACK, NOW, NOW)]


# Commits


def test_rows_mark_states_and_the_load_are_committed_together(
    sessions: Sessions, warehouse_url: str, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    ledger.commit(batch(flat(postman_run(1)), watermark=Watermark(NOW)))

    assert tables(warehouse_url, POSTMAN) == tables_of_postman([postman_run(1)], POSTMAN)
    rows = query(
        warehouse_url,
        f"select r.loaded_at = w.updated_at from {RUNS} r, ingest.watermarks w",
    )
    assert rows == [(True,)]
    written = "select rows_written, watermark_after from ingest.loads"
    assert query(warehouse_url, written) == [
        ({RUNS: 1, "raw_postman.executions": 2, "raw_postman.assertions": 3}, NOW)
    ]


def test_a_commit_that_fails_leaves_nothing_of_itself(
    sessions: Sessions, warehouse_url: str, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    ledger.commit(batch(flat(postman_run(1)), watermark=Watermark(NOW)))
    query(warehouse_url, f"insert into {RUNS} (run_id, load_id) values ('run-3', 0) returning 1")
    before = everything(warehouse_url)
    others = [
        "select * from ingest.watermarks",
        "select * from ingest.run_states",
        "select * from ingest.rejected_records",
        "select * from ingest.loads",
    ]
    held = [query(warehouse_url, statement) for statement in others]
    stats = (dict(ledger.stats.rows), ledger.stats.rejected, dict(ledger.stats.deferred))
    bad = batch(
        flat(postman_run(2, runner="x")),
        Rejected("GET x", "run-9", "{}", "id: is missing"),
        Deferred("run-8", "HTTP 500"),
        flat(postman_run(3)),
        watermark=Watermark(NOW + LOOKBACK),
    )
    with pytest.raises(WarehouseError, match=r"^the warehouse failed: duplicate key[^\n]*$"):
        ledger.call(ledger.commit, bad)

    assert everything(warehouse_url) == before
    assert [query(warehouse_url, statement) for statement in others] == held
    assert (dict(ledger.stats.rows), ledger.stats.rejected, dict(ledger.stats.deferred)) == stats
    assert ledger.watermark == Watermark(NOW)


def test_a_run_met_twice_in_a_batch_counts_as_it_was_met_last(
    sessions: Sessions, warehouse_url: str, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    later = postman_run(1, duration=5)
    ledger.commit(batch(flat(postman_run(1)), flat(later)))

    assert tables(warehouse_url, POSTMAN) == tables_of_postman([later], POSTMAN)


def test_what_is_held_of_a_run_is_its_digest_as_listed(
    sessions: Sessions, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    finished, running = postman_run(1), postman_run(2, status="running")
    ledger.commit(batch(flat(finished), flat(running), listed=b"first"))
    held = ledger.stored_runs(["run-1", "run-2", "run-3"], datetime.now(UTC))

    assert set(held) == {"run-1", "run-2"}
    assert (held["run-1"].listed_digest, held["run-1"].is_open) == (b"first", False)
    assert (held["run-2"].is_open, held["run-2"].is_due) == (True, True)
    # Asked for by ID, it is the same as listed before.
    ledger.commit(batch(flat(running), listed=None))
    again = ledger.stored_runs(["run-2"], datetime.now(UTC))["run-2"]
    assert (again.listed_digest, again.is_open, again.is_due) == (b"first", True, False)


def test_a_deferred_run_is_due_until_it_has_been_fetched(
    sessions: Sessions, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    ledger.commit(batch(Deferred("run-1", "HTTP 500", opened_at=NOW)))
    assert ledger.stats.deferred == {"run-1": "HTTP 500"}
    assert ledger.due_open_runs(datetime.now(UTC)) == [OpenRun("run-1", NOW, is_loaded=False)]
    # Its listing counts as unknown, so that the walk fetches it as well.
    assert ledger.stored_runs(["run-1"], NOW)["run-1"].listed_digest is None

    ledger.commit(batch(flat(postman_run(1))))
    assert ledger.stats.deferred == {}
    assert ledger.due_open_runs(datetime.now(UTC)) == []


def test_of_deferred_runs_those_come_first_that_were_requested_least(sessions: Sessions) -> None:
    ledger = sessions.begun()
    runs = [
        Deferred(f"run-{number}", "HTTP 404", opened_at=NOW - number * LOOKBACK)
        for number in range(3)
    ]
    ledger.commit(batch(*runs))
    ledger.commit(batch(runs[0]))

    due = [run.run_id for run in ledger.due_open_runs(datetime.now(UTC))]
    assert due == ["run-1", "run-2", "run-0"]


def test_a_run_that_is_gone_is_not_due_until_it_returns(
    sessions: Sessions, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    running = flat(postman_run(1, status="running"))
    ledger.commit(batch(running))
    ledger.commit(batch(NotFound("run-1")))
    assert ledger.due_open_runs(datetime.now(UTC)) == []

    changed = flat(postman_run(1, status="running", duration=2))
    ledger.commit(batch(changed))
    assert ledger.due_open_runs(datetime.now(UTC)) == [RUN_1]


def test_open_runs_of_other_scopes_are_not_due_here(
    sessions: Sessions, flat: Callable[[Json], FlatRun]
) -> None:
    other = sessions.begun("b")
    other.commit(batch(flat(postman_run(1, status="running"))))

    assert sessions.begun("a").due_open_runs(datetime.now(UTC)) == []
    assert other.due_open_runs(datetime.now(UTC)) == [RUN_1]


def test_a_rejected_record_is_kept_once_for_each_payload(
    sessions: Sessions, warehouse_url: str
) -> None:
    first = sessions.begun()
    record = Rejected("GET x", "run-1", '{"id": 1}', "id: expected text")
    other = Rejected("GET x", None, '{"id": 2}', "id: is missing")
    first.commit(batch(record, other))
    second = sessions.begun()
    second.commit(batch(record))

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
    testmo = run_source(settings, "testmo", NullProgress(), None)
    ledger = Ledger(warehouse_url, testmo, "5", no_wait)
    ledger.open()
    with closing(ledger):
        ledger.begin(LOOKBACK, NOW)
        for name in ("Ada", "Ada", "Bo", "Ada"):
            users = {"raw_testmo.users": [(1, name, None), (1, name, None), (2, "Cy", None)]}
            one = Batch()
            one.add(FetchResult(references=References(users)))
            ledger.commit(one)
            assert query(warehouse_url, "select id, name from raw_testmo.users order by 1") == [
                (1, name),
                (2, "Cy"),
            ]
    assert ledger.stats.rows == {"raw_testmo.users": 2 + 1 + 1}


# Sessions that are lost


def test_a_session_that_is_lost_is_opened_once_more_with_its_lock(
    sessions: Sessions, warehouse_url: str, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    for number in range(3):
        end_sessions(warehouse_url)
        ledger.call(ledger.commit, batch(flat(postman_run(number)), watermark=Watermark(NOW)))
    end_sessions(warehouse_url)
    ledger.call(ledger.end, None)

    runs = [postman_run(number) for number in range(3)]
    assert tables(warehouse_url, POSTMAN) == tables_of_postman(runs, POSTMAN)
    assert ledger.stats.rows[RUNS] == 3
    assert query(warehouse_url, "select outcome from ingest.loads") == [("succeeded",)]
    locks = (
        "select count(*) from pg_locks where locktype = 'advisory' and database = ("
        "select oid from pg_database where datname = current_database())"
    )
    assert query(warehouse_url, locks) == [(1,)]


def test_a_load_whose_scope_was_taken_over_meanwhile_writes_nothing_more(
    sessions: Sessions, warehouse_url: str, flat: Callable[[Json], FlatRun]
) -> None:
    lost = sessions.begun()
    end_sessions(warehouse_url)
    other = sessions.begun()
    other.end(None)
    other.close()

    with pytest.raises(WarehouseError, match="another load has begun meanwhile"):
        lost.call(lost.commit, batch(flat(postman_run(1)), watermark=Watermark(NOW)))
    assert query(warehouse_url, f"select count(*) from {RUNS}") == [(0,)]


# What cannot be written


def test_a_run_that_cannot_be_written_is_set_aside_and_its_batch_is_written(
    sessions: Sessions, warehouse_url: str, flat: Callable[[Json], FlatRun]
) -> None:
    ledger = sessions.begun()
    deep: Any = "x"
    for _level in range(5000):
        deep = [deep]
    bad = flat(postman_run(2))
    parent, ((*values, _extra), *_) = next(iter(bad.rows.items()))
    bad = replace(bad, rows={**bad.rows, parent: [(*values, {"deep": deep})]})
    results = Batch(
        [
            FetchResult(flat(postman_run(1)), b"L", b"{}"),
            FetchResult(bad, b"L", b'{"id": "run-2"}', is_detail=True),
            FetchResult(Rejected("GET x", "run-9", "{}", "id: is missing"), b"L"),
            FetchResult(flat(postman_run(3)), b"L", b"{}"),
        ],
        watermark=Watermark(NOW),
    )
    ledger.commit(results)

    runs = [postman_run(1), postman_run(3)]
    assert tables(warehouse_url, POSTMAN) == tables_of_postman(runs, POSTMAN)
    found = query(
        warehouse_url,
        "select endpoint, run_id, payload, error from ingest.rejected_records order by run_id",
    )
    assert found[0][:3] == ("GET collections/{id}/runs/{runId}", "run-2", '{"id": "run-2"}')
    assert found[0][3].startswith("cannot be written: RecursionError")
    assert found[1][1] == "run-9"
    assert ledger.stats.rejected == 2
    assert ledger.watermark == Watermark(NOW)
