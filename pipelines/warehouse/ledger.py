"""One scope's session with the warehouse: its lock, its mark, its load's row, its commits.

Everything that a load knows of its own progress goes through here, in the transaction of the rows
that it stands for: killed at any point, a load is simply an earlier watermark.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row, scalar_row
from psycopg.types.json import Jsonb, set_json_dumps

from pipelines.client import Client
from pipelines.errors import WarehouseError
from pipelines.source import (
    Batch,
    FlatRun,
    Gone,
    Mark,
    Outcome,
    Owed,
    Rejected,
    RunSource,
    Walk,
)
from pipelines.warehouse.connect import reason
from pipelines.warehouse.merge import column_types, merge_references, merge_runs, unknown_fields
from pipelines.warehouse.queries import queries

_LOCK_WAIT = "60s"
# What a run holds is checked before it comes here; should a check be wrong, one run pays for it.
_REFUSES_A_VALUE = (psycopg.DataError, psycopg.ProgrammingError)


@dataclass(frozen=True)
class Held:
    """What is held of a run: its digest as listed; open, and to be asked for again by now."""

    listed_digest: bytes | None
    is_open: bool
    is_due: bool


@dataclass
class Tally:
    """What a load has done.

    Rows written by table; records set aside, and how many of them are runs without a
    readable ID; runs still
    owed with the reason; runs found deleted.
    """

    rows: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    nameless: int = 0
    owed: dict[str, str] = field(default_factory=dict)
    deleted: int = 0


class Ledger:
    """The session of one load over one scope; made, used and closed in one thread at a time."""

    def __init__(self, connection: psycopg.Connection, source: RunSource, scope: str) -> None:
        set_json_dumps(msgspec.json.encode, connection)
        self.connection, self.source, self._scope = connection, source, scope
        self.key = {"source": source.name, "scope": scope}
        self.types = column_types(connection)
        self.sql = queries("ledger")
        self._known_fields: set[tuple[str, str]] = set()
        self._sent_references: dict[str, dict[Any, tuple[Any, ...]]] = {}
        self.load_id = 0
        # Of a backfill alone, which notes the runs that it has met.
        self.backfill_id: int | None = None
        self.mark = self.mark_before = Mark()
        self.tally = Tally()

    def take_lock(self) -> None:
        """Hold the scope until this session ends, waiting up to a minute for another load.

        Raises WarehouseError naming who holds it.
        """
        lock = {"lock_name": f"testruns {self.source.name} {self._scope}"}
        scalar = self.connection.cursor(row_factory=scalar_row)
        if scalar.execute(self.sql["take_lock"], lock).fetchone():
            return
        self.connection.execute(f"set lock_timeout = '{_LOCK_WAIT}'")
        try:
            self.connection.execute(self.sql["wait_for_lock"], lock)
        except psycopg.errors.LockNotAvailable:
            holder = scalar.execute(self.sql["lock_holder"], lock).fetchone() or "another load"
            raise WarehouseError(
                f"{self.source.name} {self._scope} is being loaded by {holder}; "
                f"waited {_LOCK_WAIT} for it"
            ) from None
        finally:
            self.connection.execute("set lock_timeout = 0")

    def begin(self, lookback: timedelta, started_at: datetime) -> Mark:
        """Read the mark and write the load's own row; the mark from which to walk.

        A mark made under other filters counts for nothing: what they hid lies before it.
        """
        with self.connection.transaction():
            self.connection.execute(self.sql["bury_dead_loads"], self.key)
            self.read_mark()
            window_from = self.mark.high_water
            begun = self.connection.execute(
                self.sql["begin_load"],
                {
                    **self.key,
                    "kind": "incremental",
                    "window_from": window_from and window_from - lookback,
                    "window_to": started_at,
                    "high_water": self.mark.high_water,
                },
            ).fetchone()
            self.load_id = begun[0] if begun else 0
        return self.mark

    def read_mark(self) -> None:
        """Take the scope's mark from the warehouse into `mark` and `mark_before`."""
        row = self._dicts().execute(self.sql["read_mark"], self.key).fetchone()
        if row is not None and row["filters"] == self.source.filters:
            self.mark = self.mark_before = _mark(row)

    def held(self, run_ids: list[str], now: datetime) -> dict[str, Held]:
        """What is held of these runs, by ID."""
        rows = self.connection.execute(
            self.sql["run_states"],
            {"source": self.source.name, "run_ids": run_ids, "now": now},
        )
        return {run_id: Held(*values) for run_id, *values in rows}

    def due_open_runs(self, now: datetime) -> list[str]:
        """IDs of open runs that are to be asked for now (`save_run_states` has the rule)."""
        rows = self.connection.execute(self.sql["due_open_runs"], {**self.key, "now": now})
        return [run_id for (run_id,) in rows]

    def commit(self, batch: Batch, client: Client) -> None:
        """Write a batch, its mark and the load's row, all or nothing.

        Should Postgres refuse what a run holds, that run is owed and the others are written one by
        one. Raises WarehouseError when it refuses the batch for another reason.
        """
        try:
            try:
                self._commit(batch, client)
            except _REFUSES_A_VALUE:
                self._commit_one_by_one(batch, client)
        except psycopg.Error as error:
            raise WarehouseError(f"the warehouse refused a batch: {reason(error)}") from error

    def _commit_one_by_one(self, batch: Batch, client: Client) -> None:
        for one, listed_digest in batch.outcomes:
            try:
                self._commit(Batch([(one, listed_digest)]), client)
            except _REFUSES_A_VALUE as error:
                if not isinstance(one, FlatRun):
                    raise
                told = client.masked(f"the warehouse refuses the run: {reason(error)}")
                self._commit(Batch([(Owed(one.run_id, told, is_transient=False), None)]), client)
        self._commit(Batch(references=batch.references, mark=batch.mark), client)

    def _commit(self, batch: Batch, client: Client) -> None:
        # A run met twice counts as it was met last.
        outcomes = {
            (one.run_id, one.payload if isinstance(one, Rejected) else None): (one, listed_digest)
            for one, listed_digest in batch.outcomes
        }
        runs = [one for one, _ in outcomes.values() if isinstance(one, FlatRun)]
        rejected = [one for one, _ in outcomes.values() if isinstance(one, Rejected)]
        owed = {one.run_id: one.error for one, _ in outcomes.values() if isinstance(one, Owed)}
        gone = [one.run_id for one, _ in outcomes.values() if isinstance(one, Gone)]
        written: Counter[str] = Counter()
        fields = unknown_fields(self.source, runs) - self._known_fields
        references = {
            table: [
                row
                for reference_id, row in {row[0]: row for row in rows}.items()
                if self._sent(table).get(reference_id) != row
            ]
            for table, rows in batch.references.items()
        }
        with self.connection.transaction():
            if runs:
                written += merge_runs(self.connection, self.source, runs, self.types, self.load_id)
            written += merge_references(
                self.connection, self.source, references, self.types, self.load_id
            )
            self._save_run_states(outcomes.values())
            if runs:
                self._save_reconciliations(runs)
            if gone:
                self.connection.execute(
                    self.sql["save_gone"], {"source": self.source.name, "run_ids": gone}
                )
            if runs:
                self.connection.execute(
                    self.sql["supersede_rejected"],
                    {"source": self.source.name, "run_ids": [run.run_id for run in runs]},
                )
            if rejected:
                self._save_rejected(rejected)
            if fields:
                self._save_unknown_fields(fields)
            deleted = self.reconcile(gone)
            if batch.mark is not None and batch.mark != self.mark:
                self._save_mark(batch.mark)
            self._update_load(written, len(rejected), batch.mark or self.mark, client)
        # Only what is committed counts.
        self.mark = batch.mark or self.mark
        self._known_fields |= fields
        for table, rows in references.items():
            self._sent(table).update((row[0], row) for row in rows)
        self.tally.rows += written
        self.tally.rejected += len(rejected)
        self.tally.nameless += sum(one.run_id is None and one.is_run for one in rejected)
        self.tally.owed |= owed
        for run in runs:
            self.tally.owed.pop(run.run_id, None)
        self.tally.deleted += deleted

    def end(self, client: Client, error: str | None) -> None:
        """Write how the load ended; `error` None: all loaded."""
        with self.connection.transaction():
            self._update_load(Counter(), 0, self.mark, client)
            outcome = "succeeded" if error is None else "failed"
            self.connection.execute(
                self.sql["end_load"],
                {"load_id": self.load_id, "outcome": outcome, "error": error},
            )

    def _save_run_states(self, outcomes: Iterable[tuple[Outcome, bytes | None]]) -> None:
        states: dict[str, tuple[str, bytes | None, bytes | None, bool, datetime | None, bool]] = {}
        for one, listed in outcomes:
            match one:
                case FlatRun(run_id=run_id):
                    states[run_id] = (run_id, listed, one.digest, one.is_open, one.opened_at, True)
                case Owed(run_id=run_id):
                    # Open, so that it is asked for by ID; not met.
                    states[run_id] = (run_id, None, None, True, None, False)
                case Rejected(run_id=str(run_id)):
                    states[run_id] = (run_id, listed, None, False, None, True)
                case _:
                    pass
        if not states:
            return
        run_ids, listed_digests, contents, are_open, opened_at, are_met = map(
            list, zip(*states.values(), strict=True)
        )
        self.connection.execute(
            self.sql["save_run_states"],
            {
                **self.key,
                "run_ids": run_ids,
                "listed_digests": listed_digests,
                "content_digests": contents,
                "are_open": are_open,
                "opened_at": opened_at,
                "are_met": are_met,
                "backfill_id": self.backfill_id,
            },
        )

    def _save_reconciliations(self, runs: list[FlatRun]) -> None:
        differing = [
            (run.run_id, one.total, one.announced, one.loaded, run.is_open)
            for run in runs
            for one in run.differences
        ]
        columns = ("run_ids", "totals", "announced", "loaded", "are_open")
        values = zip(*differing, strict=True) if differing else ((),) * len(columns)
        self.connection.execute(
            self.sql["save_reconciliations"],
            {
                **self.key,
                "load_id": self.load_id,
                "met": [run.run_id for run in runs],
                **dict(zip(columns, map(list, values), strict=True)),
            },
        )

    def reconcile(self, gone: list[str]) -> int:  # noqa: ARG002
        """Runs newly marked as deleted, in the batch's transaction: none.

        A load that has not read a whole window concludes no deletion (design: deletes).
        """
        return 0

    def _save_rejected(self, rejected: list[Rejected]) -> None:
        self.connection.execute(
            self.sql["save_rejected"],
            {
                **self.key,
                "load_id": self.load_id,
                "endpoints": [one.endpoint for one in rejected],
                "run_ids": [one.run_id for one in rejected],
                "payloads": [one.payload for one in rejected],
                "payload_digests": [
                    blake2b(one.payload.encode(), digest_size=16).digest() for one in rejected
                ],
                "errors": [one.error for one in rejected],
            },
        )

    def _save_unknown_fields(self, fields: set[tuple[str, str]]) -> None:
        tables, names = map(list, zip(*sorted(fields), strict=True))
        self.connection.execute(
            self.sql["save_unknown_fields"],
            {
                "source": self.source.name,
                "load_id": self.load_id,
                "tables": tables,
                "fields": names,
            },
        )

    def _save_mark(self, mark: Mark) -> None:
        walk = mark.walk
        self.connection.execute(
            self.sql["save_mark"],
            {
                **self.key,
                "high_water": mark.high_water,
                "cursor": mark.cursor,
                "started_at": walk and walk.started_at,
                "newest_seen": walk and walk.newest_seen,
                "page_earliest": walk and walk.page_earliest,
                "page_latest": walk and walk.page_latest,
                "list_order": walk.list_order if walk else "unknown",
                "known_order": mark.known_order,
                "filters": self.source.filters,
            },
        )

    def _update_load(
        self, written: Counter[str], rejected: int, mark: Mark, client: Client
    ) -> None:
        quota = client.pacer.quota.as_json()
        self.connection.execute(
            self.sql["update_load"],
            {
                "load_id": self.load_id,
                "requests": Jsonb(dict(client.traffic.requests)),
                "requests_total": client.traffic.requests.total(),
                "bytes_received": client.traffic.bytes_received,
                "waited_seconds": client.traffic.waited_seconds,
                "quota": Jsonb(quota) if quota else None,
                "rows_written": Jsonb(dict(self.tally.rows + written)),
                "rows_rejected": self.tally.rejected + rejected,
                "watermark_after": mark.high_water,
            },
        )

    def _sent(self, table: str) -> dict[Any, tuple[Any, ...]]:
        return self._sent_references.setdefault(table, {})

    def _dicts(self) -> psycopg.Cursor[dict[str, Any]]:
        return self.connection.cursor(row_factory=dict_row)


def _mark(row: dict[str, Any]) -> Mark:
    walk = None
    if row["started_at"] is not None:
        walk = Walk(
            started_at=row["started_at"],
            newest_seen=row["newest_seen"],
            page_earliest=row["page_earliest"],
            page_latest=row["page_latest"],
            list_order=row["list_order"],
        )
    return Mark(row["high_water"], row["cursor"], walk, row["known_order"])
