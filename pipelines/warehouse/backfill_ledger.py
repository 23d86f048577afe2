"""The ledger of a backfill: it remembers which runs of its window it has met, and moves no mark."""

from datetime import datetime

from pipelines.sources.base import Watermark
from pipelines.warehouse.ledger import Ledger
from pipelines.warehouse.writer import mark_deleted


class BackfillLedger(Ledger):
    """The session of one backfill over one scope."""

    def begin_backfill(self, since: datetime, until: datetime | None) -> Watermark:
        """Write the load's own row; the mark that stands, which is read and never saved.

        A backfill of the same window that did not end within the last day is gone on with: what
        it has met is not asked for again.
        """
        with self.connection.transaction():
            self.connection.execute(self.sql["mark_interrupted_loads"], self.key)
            self.read_watermark()
            window = {**self.key, "since": since, "until": until}
            begun = self.connection.execute(
                self.sql["begin_backfill"], {**window, "high_water": self.watermark.high_water}
            ).fetchone()
            self.load_id, self.backfill_id = begun or (0, None)
            self.connection.execute(
                self.sql["save_backfill_id"],
                {"load_id": self.load_id, "backfill_id": self.backfill_id},
            )
        return self.watermark

    def met(self, run_ids: list[str]) -> set[str]:
        """Which of these runs this backfill has met already, in an attempt before."""
        rows = self.connection.execute(
            self.sql["met_by_backfill"], {**self._backfill, "run_ids": run_ids}
        )
        return {run_id for (run_id,) in rows}

    def unseen(self, since: datetime, until: datetime, *, reaches_now: bool) -> list[str]:
        """Runs of the window that are held here and have not been met: gone, perhaps.

        Those that never started count where the window reaches up to now.
        """
        window = {"since": since, "until": until, "reaches_now": reaches_now}
        rows = self.connection.execute(
            self.sql["unmet_runs"], {**self.key, **self._backfill, **window}
        )
        return [run_id for (run_id,) in rows]

    def reconcile(self, gone: list[str]) -> int:
        """Mark as deleted what the API, asked by ID, no longer knows."""
        if not gone:
            return 0
        self.connection.execute(self.sql["save_deleted"], {**self._backfill, "run_ids": gone})
        return mark_deleted(self.connection, self.source, gone, self.types, self.load_id)

    @property
    def _backfill(self) -> dict[str, object]:
        return {"source": self.source.name, "backfill_id": self.backfill_id}
