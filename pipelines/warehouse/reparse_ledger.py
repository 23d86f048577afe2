"""The ledger of a retry: records set aside before, and what became of them."""

from dataclasses import dataclass

from pipelines.sources.base import Watermark
from pipelines.warehouse.ledger import Ledger


@dataclass(frozen=True)
class RejectedRecord:
    """A row of `ingest.rejected_records`; `payload` is JSON text as it was sent."""

    rejected_id: int
    endpoint: str
    run_id: str | None
    payload: str


class RetryLedger(Ledger):
    """The session that parses a scope's rejected records again."""

    def begin_retry(self) -> Watermark:
        """Write the load's own row; the mark that stands."""
        with self.connection.transaction():
            self.connection.execute(self.sql["mark_interrupted_loads"], self.key)
            self.read_watermark()
            begun = self.connection.execute(
                self.sql["begin_retry"], {**self.key, "high_water": self.watermark.high_water}
            ).fetchone()
            self.load_id = begun[0] if begun else 0
        return self.watermark

    def rejected_records(self, after: int) -> list[RejectedRecord]:
        """The next fifty records that are not settled, behind the one with ID `after`."""
        rows = self.connection.execute(self.sql["rejected_records"], {**self.key, "after": after})
        return [RejectedRecord(*row) for row in rows]

    def save_retried(self, outcomes: dict[int, str]) -> None:
        """Keep what became of each record: "loaded", or the error that it met again."""
        self.connection.execute(
            self.sql["save_retried"],
            {"rejected_ids": list(outcomes), "outcomes": list(outcomes.values())},
        )
