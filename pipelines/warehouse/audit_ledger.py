"""The ledger of an audit: the runs that a list shows, compared with those that are held."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from pipelines.warehouse.ledger import Ledger
from pipelines.warehouse.queries import queries

_FETCHED_AT_ONCE = 500
_COPY_LISTED = (
    "copy ingest.audited_runs (load_id, run_id, listed_digest) from stdin (format binary)"
)


@dataclass(frozen=True)
class Comparison:
    """Counts of runs: `loaded` and `missing` of those `listed`, `changed` of those loaded.

    A run that is loaded without the test results that the API has of it counts as changed. `gone`
    are held here and no longer listed.
    """

    listed: int = 0
    loaded: int = 0
    missing: int = 0
    changed: int = 0
    gone: int = 0


class AuditLedger(Ledger):
    """The session of one audit over one scope; it moves no watermark."""

    def begin_audit(self, since: datetime | None, started_at: datetime) -> None:
        """Write the load's own row; `since` None: the whole history is compared."""
        self.since, self._started_at = since, started_at
        self._audit_sql = queries("audit")

        def window(_high_water: datetime | None) -> dict[str, Any]:
            return {"kind": "audit", "window_from": since, "window_to": started_at}

        self._begin("begin_load", window)
        self.connection.execute(self._audit_sql["forget_listed"], self.key)

    def save_listed(self, runs: Iterable[tuple[str, bytes]]) -> None:
        """Note runs of a page: ID and digest as listed."""
        with (
            self.connection.transaction(),
            self.connection.cursor().copy(_COPY_LISTED) as copy,
        ):
            copy.set_types(["int8", "text", "bytea"])
            for run_id, listed_digest in runs:
                copy.write_row((self.load_id, run_id, listed_digest))

    def compare(self) -> Comparison:
        """What has been noted, against what is held now."""
        cursor = self.connection.cursor(row_factory=dict_row)
        row = cursor.execute(self._audit_sql["compare"], self._parameters).fetchone()
        return Comparison(**(row or {}))

    def to_fix(self, after: str) -> list[tuple[str, bytes, bool]]:
        """The next runs that are missing or changed, behind the one with ID `after`.

        ID, digest as listed, and whether it is missing.
        """
        parameters = {**self._parameters, "after": after, "most": _FETCHED_AT_ONCE}
        return self.connection.execute(self._audit_sql["to_fix"], parameters).fetchall()

    def save_audit(self, found: Comparison, fixed: int, error: str | None) -> None:
        """Write the audit's row, and forget the runs that were noted for it."""
        with self.connection.transaction():
            self.connection.execute(
                self._audit_sql["save_audit"],
                {
                    **self._parameters,
                    **vars(found),
                    "audited_at": self._started_at,
                    "fixed": fixed,
                    "is_complete": error is None and found.missing == 0,
                    "error": error,
                },
            )
            self.connection.execute(self._audit_sql["forget_listed"], self.key)

    @property
    def _parameters(self) -> dict[str, Any]:
        results = self.source.results
        return {
            **self.key,
            "load_id": self.load_id,
            "since": self.since,
            "is_filtered": bool(self.source.filters),
            "reads_results": results is not None and not self.is_missing(results.endpoint),
        }
