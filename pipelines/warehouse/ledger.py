"""One scope's session with the warehouse: its lock, its watermark, its load's row, its commits.

Everything that a load knows of its own progress goes through here, in the transaction of the rows
that it stands for: killed at any point, a load is simply an earlier watermark.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
import psycopg
from psycopg.types.json import Jsonb, set_json_dumps

from pipelines.errors import WarehouseError
from pipelines.http.json_decode import to_text
from pipelines.sources.base import FlatRun, Rejected, RunSource, Watermark
from pipelines.warehouse.batch import Batch, Deferred, FetchResult, NotFound
from pipelines.warehouse.engine import reason
from pipelines.warehouse.locks import LockedSession
from pipelines.warehouse.outcomes import save_outcomes, save_unknown_fields, unknown_fields
from pipelines.warehouse.queries import queries
from pipelines.warehouse.stored_runs import OpenRun, StoredRun
from pipelines.warehouse.watermarks import read_watermark, save_watermark
from pipelines.warehouse.writer import column_types, merge_references, merge_runs

Result = TypeVar("Result")

# What a run holds is checked before it comes here; should a check be wrong, one run pays for it.
_REFUSES_A_VALUE = (
    psycopg.DataError,
    psycopg.ProgrammingError,
    psycopg.errors.ProgramLimitExceeded,
)


@dataclass
class LoadStats:
    """What a load has committed.

    Rows written by table; records set aside, and how many of them are runs without a readable ID;
    runs deferred to later loads with the reason; runs found deleted.
    """

    rows: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    without_id: int = 0
    deferred: dict[str, str] = field(default_factory=dict)
    deleted: int = 0

    def add(self, results: Iterable[FetchResult], written: Counter[str], deleted: int) -> None:
        """Count what one batch has committed."""
        self.rows += written
        self.deleted += deleted
        for result in results:
            match result.outcome:
                case Rejected(run_id=run_id, is_run=is_run):
                    self.rejected += 1
                    self.without_id += run_id is None and is_run
                case Deferred(run_id=run_id, error=error):
                    self.deferred[run_id] = error
                case FlatRun(run_id=run_id):
                    self.deferred.pop(run_id, None)
                case _:
                    pass


class Ledger:
    """The session of one load over one scope; used in one thread at a time.

    Methods other than `open`, `call` and `close` are called through `call`. `waits` is called with
    the name of the session that holds the scope's lock.
    """

    def __init__(
        self, url: str, source: RunSource, scope: str, waits: Callable[[str], None]
    ) -> None:
        name = f"{source.name} {scope}"
        self._session = LockedSession(
            url,
            f"testruns {name}",
            busy=f"{name} is being loaded",
            waits=waits,
            resume=self._resume,
        )
        self.source = source
        self.key = {"source": source.name, "scope": scope}
        self.sql = queries("ledger")
        self._known_fields: set[tuple[str, str]] = set()
        self._written_references: dict[str, dict[Any, tuple[Any, ...]]] = {}
        self.load_id = 0
        # Of a backfill alone, which notes the runs that it has seen.
        self.backfill_id: int | None = None
        self.watermark = self.watermark_before = Watermark()
        self.stats = LoadStats()

    @property
    def connection(self) -> psycopg.Connection:
        """The session as it is now; after a loss it is another."""
        return self._session.connection

    def open(self) -> None:
        """Connect and take the scope's lock. Raises WarehouseError naming who holds it."""
        self._session.open()
        set_json_dumps(msgspec.json.encode, self.connection)
        try:
            self.types = self.call(lambda: column_types(self.connection))
            if missing := [table for table in self.source.columns if table not in self.types]:
                raise WarehouseError(f"the warehouse failed: {missing[0]} does not exist")
        except WarehouseError:
            self.close()
            raise

    def close(self) -> None:
        """End the session, and the lock with it."""
        self._session.close()

    def call(self, work: Callable[..., Result], *args: Any) -> Result:
        """`work(*args)` in the session, or in a second one should the first be lost.

        Raises WarehouseError when Postgres fails.
        """
        try:
            return self._session.call(work, *args)
        except psycopg.Error as error:
            raise WarehouseError(f"the warehouse failed: {reason(error)}") from error

    def _resume(self) -> None:
        set_json_dumps(msgspec.json.encode, self.connection)
        if not self.load_id:
            return
        row = self.connection.execute(self.sql["load_outcome"], {"load_id": self.load_id})
        if row.fetchone() != ("running",):
            raise WarehouseError("the session was lost, and another load has begun meanwhile")

    def begin(self, lookback: timedelta, started_at: datetime) -> Watermark:
        """Write the load's own row; the watermark from which to walk."""

        def window(high_water: datetime | None) -> dict[str, Any]:
            return {
                "kind": "incremental",
                "window_from": high_water and high_water - lookback,
                "window_to": started_at,
            }

        self._begin("begin_load", window)
        return self.watermark

    def _begin(
        self, statement: str, window: Callable[[datetime | None], dict[str, Any]]
    ) -> tuple[Any, ...]:
        """Write the load's row by that statement; what it returns, the load's ID first."""
        with self.connection.transaction():
            self.connection.execute(self.sql["mark_interrupted_loads"], self.key)
            watermark = read_watermark(self.connection, self.key, self.source.filters)
            high_water = watermark.high_water
            parameters = {**self.key, "high_water": high_water, **window(high_water)}
            row = self.connection.execute(self.sql[statement], parameters).fetchone() or (0,)
        self.watermark = self.watermark_before = watermark
        self.load_id = row[0]
        return row

    def stored_runs(self, run_ids: list[str], now: datetime) -> dict[str, StoredRun]:
        """What is held of these runs, by ID."""
        params = {**self.key, "run_ids": run_ids, "now": now}
        rows = self.connection.execute(self.sql["run_states"], params)
        return {run_id: StoredRun(*values) for run_id, *values in rows}

    def due_open_runs(self, now: datetime) -> list[OpenRun]:
        """Open runs that are to be requested now (`save_run_states` has the rule)."""
        rows = self.connection.execute(self.sql["due_open_runs"], {**self.key, "now": now})
        return [OpenRun(*row) for row in rows]

    def is_missing(self, endpoint: str) -> bool:
        """Whether the API did not have the endpoint when a load asked last."""
        row = self.connection.execute(
            self.sql["is_missing_endpoint"], {**self.key, "endpoint": endpoint}
        ).fetchone()
        return row is not None

    def save_endpoint(self, endpoint: str, error: str | None) -> None:
        """Remember that the API does not have the endpoint, or (`error` None) forget it."""
        statement = "save_missing_endpoint" if error else "forget_missing_endpoint"
        params = {**self.key, "endpoint": endpoint, "error": error}
        self.connection.execute(self.sql[statement], params)

    def commit(self, batch: Batch) -> None:
        """Write a batch, its watermark and the load's row, all or nothing.

        Should a run hold what cannot be written, it is put off and the others are written one by
        one.
        """
        try:
            self._commit(batch)
        except Exception as error:
            if not _is_of_one_run(error):
                raise
            self._commit_one_by_one(batch)

    def _commit_one_by_one(self, batch: Batch) -> None:
        for result in batch.results:
            try:
                self._commit(Batch([result]))
            except Exception as error:
                if not _is_of_one_run(error) or not isinstance(result.outcome, FlatRun):
                    raise
                self._commit(Batch([self._put_off(result, result.outcome, error)]))
        self._commit(Batch(references=batch.references, watermark=batch.watermark))

    def _put_off(self, result: FetchResult, run: FlatRun, error: Exception) -> FetchResult:
        """Deferred where Postgres refuses the run: that may change. Else set aside as JSON."""
        masked = self.source.client.masked
        if isinstance(error, psycopg.Error):
            message = masked(f"the warehouse refuses the run: {reason(error)}")
            deferred = Deferred(run.run_id, message, is_transient=False, opened_at=run.opened_at)
            return FetchResult(deferred)
        endpoint = self.source.run_endpoint if result.is_detail else self.source.list_endpoint
        message = masked(f"cannot be written: {type(error).__name__} {error}")
        payload = masked(self.source.redactor.text(to_text(result.canonical)))
        rejected = Rejected(endpoint, run.run_id, payload, message)
        return replace(result, outcome=rejected)

    def _commit(self, batch: Batch) -> None:
        results = batch.latest
        outcomes = [result.outcome for result in results]
        runs = [outcome for outcome in outcomes if isinstance(outcome, FlatRun)]
        rejected = sum(isinstance(outcome, Rejected) for outcome in outcomes)
        not_found = [outcome.run_id for outcome in outcomes if isinstance(outcome, NotFound)]
        fields = unknown_fields(self.source.columns, self.source.nested, runs) - self._known_fields
        references = {
            table: [row for key, row in rows.items() if self._references(table).get(key) != row]
            for table, rows in batch.references.items()
        }
        watermark = batch.watermark or self.watermark
        written: Counter[str] = Counter()
        scope = {**self.key, "load_id": self.load_id, "backfill_id": self.backfill_id}
        with self.connection.transaction():
            if runs:
                written += merge_runs(self.connection, self.source, runs, self.types, self.load_id)
            written += merge_references(
                self.connection, self.source, references, self.types, self.load_id
            )
            save_outcomes(self.connection, scope, results)
            if fields:
                save_unknown_fields(self.connection, scope, fields)
            deleted = self.reconcile(not_found)
            if watermark != self.watermark:
                save_watermark(self.connection, self.key, self.source.filters, watermark)
            self._update_load(written, rejected, watermark)
        # Only what is committed counts.
        self.watermark = watermark
        self._known_fields |= fields
        for table, rows in batch.references.items():
            self._references(table).update(rows)
        self.stats.add(results, written, deleted)

    def reconcile(self, not_found: list[str]) -> int:  # noqa: ARG002
        """Runs newly marked as deleted, in the batch's transaction: none.

        A load that has not read a whole window concludes no deletion (design: deletes).
        """
        return 0

    def end(self, error: str | None) -> None:
        """Write how the load ended; `error` None: all loaded."""
        with self.connection.transaction():
            self._update_load(Counter(), 0, self.watermark)
            outcome = "succeeded" if error is None else "failed"
            self.connection.execute(
                self.sql["end_load"],
                {"load_id": self.load_id, "outcome": outcome, "error": error},
            )

    def _update_load(self, written: Counter[str], rejected: int, watermark: Watermark) -> None:
        client = self.source.client
        quota = client.rate_limiter.quota.as_json()
        self.connection.execute(
            self.sql["update_load"],
            {
                "load_id": self.load_id,
                "requests": Jsonb(dict(client.traffic.requests)),
                "requests_total": client.traffic.requests.total(),
                "bytes_received": client.traffic.bytes_received,
                "waited_seconds": client.traffic.waited_seconds,
                "quota": Jsonb(quota) if quota else None,
                "rows_written": Jsonb(dict(self.stats.rows + written)),
                "rows_rejected": self.stats.rejected + rejected,
                "watermark_after": watermark.high_water,
            },
        )

    def _references(self, table: str) -> dict[Any, tuple[Any, ...]]:
        return self._written_references.setdefault(table, {})


def _is_of_one_run(error: Exception) -> bool:
    """Whether what a run holds has caused it, rather than the warehouse."""
    return isinstance(error, _REFUSES_A_VALUE) or not isinstance(error, psycopg.Error)
