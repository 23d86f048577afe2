"""The ledger of a backfill, which remembers the runs that it has seen and moves no watermark."""

from datetime import datetime
from typing import Any

from pipelines.sources.base import Watermark
from pipelines.warehouse.ledger import Ledger
from pipelines.warehouse.writer import mark_deleted


class BackfillLedger(Ledger):
    """The session of one backfill over one scope."""

    def begin_backfill(self, since: datetime, until: datetime | None) -> Watermark:
        """Write the load's own row; the watermark that stands, which is never saved.

        A backfill of the same window that did not end within the last day is gone on with: what
        it has seen is not fetched again.
        """

        def window(_high_water: datetime | None) -> dict[str, Any]:
            return {"since": since, "until": until}

        _, self.backfill_id = self._begin("begin_backfill", window)
        self.connection.execute(
            self.sql["save_backfill_id"],
            {"load_id": self.load_id, "backfill_id": self.backfill_id},
        )
        return self.watermark

    def seen(self, run_ids: list[str]) -> set[str]:
        """Which of these runs this backfill has seen already, in an earlier attempt."""
        rows = self.connection.execute(
            self.sql["seen_by_backfill"], {**self._backfill, "run_ids": run_ids}
        )
        return {run_id for (run_id,) in rows}

    def unseen(self, since: datetime, until: datetime, reaches_now: bool) -> list[str]:  # noqa: FBT001
        """Runs of the window that are held here and have not been seen: gone, perhaps.

        Those that never started count where the window reaches up to now.
        """
        window = {"since": since, "until": until, "reaches_now": reaches_now}
        rows = self.connection.execute(
            self.sql["unseen_runs"], {**self.key, **self._backfill, **window}
        )
        return [run_id for (run_id,) in rows]

    def reconcile(self, not_found: list[str]) -> int:
        """Mark as deleted what no list shows and the API does not know."""
        if not not_found:
            return 0
        self.connection.execute(self.sql["save_deleted"], {**self._backfill, "run_ids": not_found})
        return mark_deleted(self.connection, self.source, not_found, self.types, self.load_id)

    @property
    def _backfill(self) -> dict[str, object]:
        return {"source": self.source.name, "backfill_id": self.backfill_id}
