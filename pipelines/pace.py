"""When the next request may go: as fast as the API's own headers allow, and never into a refusal.

Postman counts requests in fixed windows and announces limit, remainder and reset with each answer
(`RateLimit-*`); Testmo announces nothing until it refuses. So there are two gauges: the announced
window where there is one, else a ceiling over any 60 seconds. After a window's reset a single
request goes first and its answer opens the rest: were the reset told a second early, one request
would be refused and not sixteen.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from pipelines.errors import QuotaSpentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

LONGEST_WAIT_SECONDS = 300.0
_WINDOW_SECONDS = 60.0
# By Testmo's documentation: without Retry-After wait at least 60 seconds.
_UNTOLD_WAIT_SECONDS = 60.0
# A ceiling's window is ours, the server's begins when the request arrives there.
_CEILING_MARGIN_SECONDS = 0.5
# Waits are told in whole seconds, and some servers round them down.
_REFUSED_MARGIN_SECONDS = 1.0
# A reset below this is a number of seconds, above it an epoch (design: quota spent).
_EPOCH = 1_000_000_000


@dataclass(frozen=True)
class Quota:
    """What the API last announced; None where it announced nothing.

    `limit` and `remaining` are of the current window of `RateLimit-Policy` (a minute), the month's
    are calls of the whole account.
    """

    limit: int | None = None
    remaining: int | None = None
    month_limit: int | None = None
    month_remaining: int | None = None

    def as_json(self) -> dict[str, int]:
        """Only what was announced; empty when nothing was."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Pacer:
    """The turns of one API, shared by all requests to it.

    `per_minute` is the ceiling where the API announces no window of its own; `monthly_reserve` is
    the number of the month's calls that is never touched. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        monthly_reserve: int = 0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], "Awaitable[None]"] = asyncio.sleep,
        waits: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._per_minute, self._reserve = per_minute, monthly_reserve
        self._clock, self._sleep, self._waits = clock, sleep, waits
        self._gate = asyncio.Lock()
        self._answered = asyncio.Event()
        self._in_flight = 0
        self._sent: deque[float] = deque()  # times of the last minute's requests
        self._left: int | None = 1  # of the announced window; None: no window is announced
        self._least_left = 0  # smallest remainder told in it: answers arrive in any order
        self._reset_at: float | None = None
        self._reset_margin = 0.0
        self._not_before = 0.0
        self._not_before_reason = ""
        self.quota = Quota()
        self.waited_seconds = 0.0
        self.refusals = 0

    @asynccontextmanager
    async def turn(self) -> "AsyncIterator[None]":
        """Wait until a request may go, and count it as in flight while it is under way.

        Raises QuotaSpentError instead of waiting more than five minutes.
        """
        async with self._gate:
            await self._wait()
            if self._left is not None:
                self._left -= 1
            self._sent.append(self._clock())
            self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self._answered.set()

    async def _wait(self) -> None:
        while True:
            self._check_month()
            now = self._clock()
            self._forget(now)
            until = self._next_turn(now)
            if until is None:
                return
            if until - now > LONGEST_WAIT_SECONDS:
                resumes = datetime.fromtimestamp(until, UTC)
                raise QuotaSpentError(
                    f"{self._not_before_reason or 'the rate limit'}: resumes {resumes:%F %T} UTC; "
                    "what is loaded stays, the next load after that goes on from here"
                )
            self._answered.clear()
            if until - now > 1 and not self._in_flight:
                self._waits(until - now)
            await self._pause(until - now)
            self.waited_seconds += max(0.0, self._clock() - now)

    async def _pause(self, seconds: float) -> None:
        """Until the time is up, or an answer has changed what is known."""
        if not self._in_flight:
            await self._sleep(seconds)
            return
        answered = asyncio.ensure_future(self._answered.wait())
        asleep = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait((answered, asleep), return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered.cancel()
            asleep.cancel()

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0] <= now - _WINDOW_SECONDS - _CEILING_MARGIN_SECONDS:
            self._sent.popleft()
        if self._reset_at is not None and now >= self._reset_at + self._reset_margin:
            self._reset_at, self._left = None, 1

    def _next_turn(self, now: float) -> float | None:
        """The time to look again, or None: now."""
        if now < self._not_before:
            return self._not_before
        if self._left is None:
            if len(self._sent) < self._per_minute:
                return None
            return self._sent[-self._per_minute] + _WINDOW_SECONDS + _CEILING_MARGIN_SECONDS
        if self._left > 0:
            return None
        if self._reset_at is not None:
            return self._reset_at + self._reset_margin
        # The first request of a window is under way: its answer tells the rest.
        return now + _WINDOW_SECONDS

    def _check_month(self) -> None:
        left = self.quota.month_remaining
        if left is not None and left - self._in_flight <= self._reserve:
            raise QuotaSpentError(
                f"the month's budget of calls: {left} of {self.quota.month_limit or '?'} left, "
                f"{self._reserve} kept in reserve (POSTMAN_MONTHLY_RESERVE); resumes when the API "
                "announces more, at the start of the account's next month"
            )

    def answered(self, headers: Mapping[str, str]) -> None:
        """Take in what an answer announces; call it while the request still counts as in flight."""
        told = Quota(
            limit=_whole(headers.get("ratelimit-limit")),
            remaining=_whole(headers.get("ratelimit-remaining")),
            month_limit=_whole(
                headers.get("ratelimit-limit-month") or headers.get("x-ratelimit-limit")
            ),
            month_remaining=_whole(
                headers.get("ratelimit-remaining-month") or headers.get("x-ratelimit-remaining")
            ),
        )
        if told.as_json():
            self.quota = told
        if told.remaining is None:
            if self._reset_at is None:
                self._left = None
            return
        now = self._clock()
        reset = _seconds(headers.get("ratelimit-reset"), now)
        reset_at = now + (_WINDOW_SECONDS if reset is None else reset)
        if self._reset_at is None:
            self._reset_at, self._least_left = reset_at, told.remaining
        else:
            # The latest of the resets told is nearest to the truth if they are rounded down, and
            # at most a second late if they are rounded up.
            self._reset_at = max(self._reset_at, min(reset_at, self._reset_at + 1.0))
            self._least_left = min(self._least_left, told.remaining)
        self._left = max(0, self._least_left - (self._in_flight - 1))

    def refused(self, headers: Mapping[str, str]) -> None:
        """Take in a 429: nothing goes before the wait that it tells, or 60 seconds."""
        now = self._clock()
        self.refusals += 1
        told = next(
            (
                wait
                for name in ("retryafter", "x-ratelimit-retryafter", "retry-after")
                if (wait := _seconds(headers.get(name), now)) is not None
            ),
            None,
        )
        wait = _REFUSED_MARGIN_SECONDS + (_UNTOLD_WAIT_SECONDS if told is None else told)
        if _whole(headers.get("ratelimit-remaining")) is None:
            if now >= self._not_before:
                # An unannounced limit was met: go slower from here on.
                self._per_minute = max(1, self._per_minute // 2)
        else:
            # The window was not over when its reset said so.
            self._reset_margin = _REFUSED_MARGIN_SECONDS
        self._not_before = max(self._not_before, now + wait)
        self._not_before_reason = "the API refuses requests (429)"
        self._reset_at, self._left = None, 1


def _whole(value: str | None) -> int | None:
    try:
        return None if value is None else int(float(value.split(",")[0].split(";")[0]))
    except (ValueError, OverflowError):
        return None


def _seconds(value: str | None, now: float) -> float | None:
    """A wait as seconds, from a number of seconds, an epoch (above 1e9) or an HTTP date."""
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        try:
            number = parsedate_to_datetime(value).timestamp()
        except (ValueError, TypeError):
            return None
    if number != number:  # noqa: PLR0124 - NaN
        return None
    return max(0.0, number - now if number > _EPOCH else number)
