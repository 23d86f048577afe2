"""Permits to send requests, as processes lease them from the limits of an API key."""

from dataclasses import dataclass
from typing import NamedTuple

# A lease that was not renewed by then is void: its process is killed, or has long been idle.
LEASE_SECONDS = 5.0
# No answer takes longer (client: two minutes).
_IN_FLIGHT_SECONDS = 150.0


class Rules(NamedTuple):
    """What the settings say.

    `per_minute` is the ceiling where the API announces no limit; `monthly_reserve` the number of
    the month's calls that are never used, None: the API has no monthly budget.
    """

    per_minute: int
    monthly_reserve: int | None = None


@dataclass
class Share:
    """What one process holds: permits not used yet, requests in flight, when it said so."""

    permits: int = 0
    in_flight: int = 0
    seen_at: float = 0.0

    def held(self, now: float) -> int:
        """Permits that it may still use. A time in the future: the clock was set back."""
        return self.permits if abs(now - self.seen_at) < LEASE_SECONDS else 0

    def under_way(self, now: float) -> int:
        """Requests without an answer yet."""
        return 0 if self.is_over(now) else self.in_flight

    def is_over(self, now: float) -> bool:
        """Nothing of it counts any more."""
        return abs(now - self.seen_at) >= _IN_FLIGHT_SECONDS


class Lease(NamedTuple):
    """Permits for one process until `expires_at`; without any, when to look again.

    `in_flight`: the most requests that it may have in flight, None: as many as it likes.
    """

    permits: int
    look_at: float
    is_probe: bool = False
    in_flight: int | None = None
    expires_at: float = 0.0
