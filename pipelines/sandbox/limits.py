"""How many requests are still allowed, in fixed windows of a clock.

Postman counts a minute and a calendar month apart and announces both on every answer; Testmo
counts, announces nothing, and refuses. The clock gives epoch seconds and is an argument, so that
a test can let a minute or a month pass without waiting for it.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], float]

_MINUTE_SECONDS = 60


def minute_end(now: float) -> float:
    """Give the end of the clock minute that holds `now`, in epoch seconds."""
    return (now // _MINUTE_SECONDS + 1) * _MINUTE_SECONDS


def month_end(now: float) -> float:
    """Give the end of the calendar month (UTC) that holds `now`, in epoch seconds."""
    today = datetime.fromtimestamp(now, UTC)
    first = datetime(today.year, today.month, 1, tzinfo=UTC)
    # 32 days from a first always end in the next month.
    return (first + timedelta(days=32)).replace(day=1).timestamp()


class Quota:
    """A number of requests that is fresh again whenever a window of the clock ends."""

    def __init__(self, limit: int, window_end: Callable[[float], float], clock: Clock) -> None:
        """Start full; `window_end` says when the window that holds a given time is over."""
        self.limit = limit
        self._window_end = window_end
        self._clock = clock
        self._ends_at = -math.inf
        self._spent = 0

    @property
    def remaining(self) -> int:
        """Requests left in the present window."""
        self._roll()
        return max(self.limit - self._spent, 0)

    @property
    def reset_seconds(self) -> int:
        """Whole seconds until the quota is fresh again, at least 1."""
        now = self._roll()
        return max(math.ceil(self._ends_at - now), 1)

    def spend(self) -> None:
        """Take one request from the present window."""
        self._roll()
        self._spent += 1

    def _roll(self) -> float:
        now = self._clock()
        if now >= self._ends_at:
            self._ends_at = self._window_end(now)
            self._spent = 0
        return now


class PostmanLimits:
    """A minute's and a month's quota, enforced apart, as Postman's rate-limit page has them."""

    def __init__(self, per_minute: int, per_month: int, clock: Clock) -> None:
        """Start with both full."""
        self.minute = Quota(per_minute, minute_end, clock)
        self.month = Quota(per_month, month_end, clock)

    def exhausted(self) -> Quota | None:
        """Give the quota that has nothing left, the month first; None if both have some."""
        return next((quota for quota in (self.month, self.minute) if not quota.remaining), None)

    def spend(self) -> None:
        """Take one request from both."""
        self.minute.spend()
        self.month.spend()

    def headers(self) -> dict[str, str]:
        """Give the figures that stand on every Postman answer."""
        per_month, left_this_month = str(self.month.limit), str(self.month.remaining)
        return {
            "RateLimit-Limit": str(self.minute.limit),
            "RateLimit-Remaining": str(self.minute.remaining),
            "RateLimit-Reset": str(self.minute.reset_seconds),
            "RateLimit-Policy": f"{self.minute.limit};w={_MINUTE_SECONDS}",
            "X-RateLimit-Limit": per_month,
            "X-RateLimit-Remaining": left_this_month,
            "RateLimit-Limit-Month": per_month,
            "RateLimit-Remaining-Month": left_this_month,
        }
