"""What a load says of itself: how it goes on, and what it did in each scope."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pipelines.settings import Source


class Progress(Protocol):
    """Who is told how a load goes on."""

    def scope_begins(self, source: Source, scope: str) -> None:
        """The scope's first request is about to be sent."""

    def runs_fetched(self, source: Source, scope: str, runs: int) -> None:
        """So many more runs have been fetched."""

    def waits(self, source: Source, seconds: float) -> None:
        """The rate limit allows nothing for so long."""

    def scope_ends(self, report: "ScopeReport") -> None:
        """The scope is done with."""


class NullProgress:
    """A progress that tells nobody."""

    def scope_begins(self, source: Source, scope: str) -> None:
        """Tell nobody."""

    def runs_fetched(self, source: Source, scope: str, runs: int) -> None:
        """Tell nobody."""

    def waits(self, source: Source, seconds: float) -> None:
        """Tell nobody."""

    def scope_ends(self, report: "ScopeReport") -> None:
        """Tell nobody."""


@dataclass(frozen=True)
class ScopeReport:
    """What a load did in one scope (a row of `ingest.loads`, where it came to have one).

    `error` is None if all of it loaded, else one line; `is_transient`: trying again can help,
    but not before the API's budget resumes where `is_quota_spent`.
    `rows` are rows written by table, `requests` sent by endpoint, retries included; `quota` is
    what the API announced last (see pace.Quota); `deleted` are runs found gone by a backfill.
    High waters are UTC.
    """

    source: Source
    scope: str
    load_id: int | None = None
    error: str | None = None
    is_transient: bool = False
    is_quota_spent: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    deleted: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    bytes_received: int = 0
    waited_seconds: float = 0.0
    quota: dict[str, int] = field(default_factory=dict)
    high_water_before: datetime | None = None
    high_water_after: datetime | None = None
