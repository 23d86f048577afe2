"""The ledger of `retry-rejected`: records set aside before, and what became of them."""

from dataclasses import dataclass

from pipelines.warehouse.ledger import Ledger


@dataclass(frozen=True)
class RejectedRecord:
    """A row of `ingest.rejected_records`; `payload` is JSON text as it was sent."""

    rejected_id: int
    endpoint: str
    run_id: str | None
    payload: str


class ReparseLedger(Ledger):
    """The session that parses a scope's rejected records again."""

    def begin_reparse(self) -> None:
        """Write the load's own row."""
        self._begin("begin_reparse", lambda _high_water: {})

    def rejected_records(self, after: int) -> list[RejectedRecord]:
        """The next fifty records that are not settled, behind the one with ID `after`."""
        rows = self.connection.execute(self.sql["rejected_records"], {**self.key, "after": after})
        return [RejectedRecord(*row) for row in rows]

    def save_reparsed(self, outcomes: dict[int, str]) -> None:
        """Keep what became of each record: "loaded", or the error that it met again."""
        self.connection.execute(
            self.sql["save_reparsed"],
            {"rejected_ids": list(outcomes), "outcomes": list(outcomes.values())},
        )
