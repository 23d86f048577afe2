"""What a load reports: how it goes on, and what it did in each scope."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pipelines.sources.spec import SourceName


class Progress(Protocol):
    """Hears how a load goes on."""

    def scope_begins(self, source: SourceName, scope: str) -> None:
        """The scope's first request is about to be sent."""

    def scope_sized(self, source: SourceName, scope: str, runs: int, minutes: float) -> None:
        """A first load has so many runs before it; their requests take so long at the limit.

        Only where the API announces how many there are.
        """

    def runs_fetched(self, source: SourceName, scope: str, runs: int) -> None:
        """So many more runs have been fetched."""

    def waits(self, source: SourceName, seconds: float) -> None:
        """The rate limit allows nothing for so long."""

    def waits_for_lock(self, source: SourceName, scope: str, holder: str) -> None:
        """Another session holds the scope: `holder` is its role, host and process."""

    def scope_ends(self, report: "ScopeReport") -> None:
        """The scope is done with."""


class NullProgress:
    """Hears and does nothing."""

    def scope_begins(self, source: SourceName, scope: str) -> None:
        """Do nothing."""

    def scope_sized(self, source: SourceName, scope: str, runs: int, minutes: float) -> None:
        """Do nothing."""

    def runs_fetched(self, source: SourceName, scope: str, runs: int) -> None:
        """Do nothing."""

    def waits(self, source: SourceName, seconds: float) -> None:
        """Do nothing."""

    def waits_for_lock(self, source: SourceName, scope: str, holder: str) -> None:
        """Do nothing."""

    def scope_ends(self, report: "ScopeReport") -> None:
        """Do nothing."""


@dataclass(frozen=True)
class ScopeReport:
    """What a load did in one scope (a row of `ingest.loads`, where it came to have one).

    `error` is None if all of it loaded, else one line; `is_transient`: trying again can help,
    but not before the API's budget resumes where `is_quota_spent`.
    `rows` are rows written by table, `requests` sent by endpoint, retries included; `quota` is
    what the API announced last; `deleted` are runs found gone by a backfill; `notice` is a line
    that is no error.
    High waters are UTC.
    """

    source: SourceName
    scope: str
    load_id: int | None = None
    error: str | None = None
    is_transient: bool = False
    is_quota_spent: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    rejected: int = 0
    deleted: int = 0
    notice: str | None = None
    requests: dict[str, int] = field(default_factory=dict)
    bytes_received: int = 0
    waited_seconds: float = 0.0
    quota: dict[str, int] = field(default_factory=dict)
    high_water_before: datetime | None = None
    high_water_after: datetime | None = None
