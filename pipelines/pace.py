"""When the next request may go: as fast as the API's own headers allow, never into a refusal.

Three gauges must all agree. The wait that a refusal told. The window that the API announces
(Postman: `RateLimit-*` on each answer): what is left of it, less what is under way. And a ceiling
over the last minute's own requests, the announced limit or else the setting: alone it keeps an API
that announces nothing (Testmo), beside a window it makes up for resets that are told too early.

Where nothing is known, at the start, after a pause or a refusal, one request goes alone and its
answer opens the rest: were it refused, it would be one and not sixteen.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pipelines.errors import QuotaSpentError

LONGEST_WAIT_SECONDS = 300.0
_WINDOW_SECONDS = 60.0
# By Testmo's documentation: without Retry-After wait at least 60 seconds.
_UNTOLD_WAIT_SECONDS = 60.0
# Waits are told in whole seconds, and some servers round them down.
_ROUNDING_SECONDS = 1.0
# Our minute is longer than the API's by this share, since requests take their time to arrive.
_MARGIN = 1 / 60
# Unannounced, so many under way use the ceiling up at two seconds an answer; more would only be
# refused together.
_IN_FLIGHT_PER_CEILING = 1 / 30
# Of a window that others use too, the last calls are theirs: at most this share.
_MOST_SPARED = 0.03
# Answers arrive in any order; a month's budget that rises by more than this is a new month's.
_OUT_OF_ORDER = 100
# A reset below this is a number of seconds, above it an epoch (design: quota spent).
_EPOCH = 1_000_000_000
_YEAR_9999 = 253_370_764_800
_WAITS = ("retryafter", "x-ratelimit-retryafter", "retry-after")


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


@dataclass
class _Window:
    """Requests left in the announced window, and when it is over."""

    left: int
    reset_at: float


class Pacer:
    """The turns of one API, shared by all requests to it.

    `per_minute` is the ceiling where the API announces none. `monthly_reserve` is the number of
    the month's calls that is never touched; None: the API has no monthly budget, and its
    `X-RateLimit-*` are the window's. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        monthly_reserve: int | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        waits: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._per_minute, self._reserve = per_minute, monthly_reserve
        self._clock, self._sleep, self._waits = clock, sleep, waits
        self._gate = asyncio.Lock()
        self._answered = asyncio.Event()
        self._in_flight = 0
        self._sent: deque[float] = deque()  # times of the last window's requests, refused ones not
        self._window_seconds = _WINDOW_SECONDS
        self._window: _Window | None = None
        self._late_seconds = 0.0  # how much later than told a window is taken to be over
        self._spare = 0
        self._must_scout, self._scout_is_out = True, False
        self._not_before = 0.0
        self.quota = Quota()
        self.waited_seconds = 0.0
        self.refusals = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until a request may go, and count it as in flight while it is under way.

        Raises QuotaSpentError instead of waiting more than five minutes or touching the reserve.
        """
        async with self._gate:
            await self._wait()
            is_scout = self._must_scout
            self._scout_is_out |= is_scout
            self._sent.append(self._clock())
            self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self._scout_is_out &= not is_scout
            self._answered.set()

    async def _wait(self) -> None:
        while True:
            now = self._clock()
            self._check_month(now)
            until = self._next_turn(now)
            if until is None:
                return
            if until - now > LONGEST_WAIT_SECONDS:
                raise QuotaSpentError(f"the rate limit is used up; {_resumes(until)}")
            is_idle = not self._in_flight
            if is_idle and until - now > 1:
                self._waits(until - now)
            self._answered.clear()
            await self._pause(until - now)
            self.waited_seconds += max(0.0, self._clock() - now)
            # What was announced before a pause is old: others may use the key as well.
            self._must_scout |= is_idle

    async def _pause(self, seconds: float) -> None:
        """Until the time is up, or an answer has changed what is known."""
        answered = asyncio.ensure_future(self._answered.wait())
        asleep = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait((answered, asleep), return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered.cancel()
            asleep.cancel()

    def _check_month(self, now: float) -> None:
        left = self.quota.month_remaining
        if left is not None and self._reserve is not None and left <= self._reserve:
            when = "resumes at the start of the account's next month; what is loaded stays"
            raise QuotaSpentError(
                f"the month's budget of calls: {left} of {self.quota.month_limit or '?'} left, "
                f"{self._reserve} kept in reserve (POSTMAN_MONTHLY_RESERVE); "
                f"{_resumes(self._not_before) if now < self._not_before else when}"
            )

    def _next_turn(self, now: float) -> float | None:
        """The time to look again, were no answer to come before it; None: a request may go."""
        ceiling = self.quota.limit or self._per_minute
        minute = self._window_seconds * (1 + _MARGIN)
        while self._sent and self._sent[0] <= now - minute:
            self._sent.popleft()
        at_an_answer = now + _WINDOW_SECONDS
        if now < self._not_before:
            return self._not_before
        if len(self._sent) >= ceiling:
            return self._sent[-ceiling] + minute
        if self._month_is_in_flight():
            return at_an_answer
        if self._window is not None and self._window.left - self._spare <= self._in_flight:
            over = self._window.reset_at + self._late_seconds
            if now < over:
                return over
            self._window, self._must_scout = None, True
        if self._must_scout:
            return at_an_answer if self._scout_is_out else None
        if self._window is None and self._in_flight >= max(1, ceiling * _IN_FLIGHT_PER_CEILING):
            return at_an_answer
        return None

    def _month_is_in_flight(self) -> bool:
        left = self.quota.month_remaining
        return (
            left is not None
            and self._reserve is not None
            and left - self._in_flight <= self._reserve
        )

    def answered(self, headers: Mapping[str, str]) -> None:
        """Take in what an answer announces; call it while the request still counts as in flight."""
        told = self._told(headers)
        self.quota = replace(self.quota, **told.as_json())
        self._must_scout = False
        if told.remaining is None:
            return
        policy = re.search(rf"\b{told.limit};w=(\d{{1,6}})\b", headers.get("ratelimit-policy", ""))
        self._window_seconds = float(policy[1]) if policy else _WINDOW_SECONDS
        now = self._clock()
        reset = _seconds(headers.get("ratelimit-reset"), now)
        if self._window is None:
            wait = self._window_seconds if reset is None else reset
            self._window = _Window(told.remaining, now + wait)
            return
        later = 0.0 if reset is None else now + reset - self._window.reset_at
        if later > self._window_seconds / 2:
            self._window = _Window(told.remaining, self._window.reset_at + later)
        elif later > -self._window_seconds / 2:  # else it is of the window before
            self._window.left = min(self._window.left, told.remaining)
            # Of resets rounded differently the latest counts; by more only slow answers differ.
            self._window.reset_at += min(max(0.0, later), _ROUNDING_SECONDS)

    def _told(self, headers: Mapping[str, str]) -> Quota:
        limit, remaining = headers.get("ratelimit-limit"), headers.get("ratelimit-remaining")
        x_limit, x_remaining = (
            headers.get("x-ratelimit-limit"),
            headers.get("x-ratelimit-remaining"),
        )
        if self._reserve is None:
            return Quota(_whole(limit or x_limit), _whole(remaining or x_remaining))
        month = _whole(headers.get("ratelimit-remaining-month") or x_remaining)
        before = self.quota.month_remaining
        if month is not None and before is not None and month < before + _OUT_OF_ORDER:
            month = min(month, before)
        return Quota(
            _whole(limit),
            _whole(remaining),
            _whole(headers.get("ratelimit-limit-month") or x_limit),
            month,
        )

    def refused(self, headers: Mapping[str, str]) -> None:
        """Take in a 429, after `answered`: nothing goes before the wait it tells, or 60 seconds."""
        now = self._clock()
        self.refusals += 1
        if self._sent:
            self._sent.pop()
        if self.quota.remaining is None:
            self._lower(now)
        else:
            # The window was not over when its reset said so, or others use it too.
            self._late_seconds = _ROUNDING_SECONDS
            self._spare = min(self._spare + 1, int((self.quota.limit or 0) * _MOST_SPARED))
        told = (_seconds(headers.get(name), now) for name in _WAITS)
        wait = next((one for one in told if one is not None), _UNTOLD_WAIT_SECONDS)
        self._not_before = max(self._not_before, now + wait + _ROUNDING_SECONDS)
        self._window, self._must_scout = None, True

    def _lower(self, now: float) -> None:
        """An unannounced limit was met: what was let through since the last time is its best guess.

        At least half the ceiling, since others may have used the rest; and as it was, where none
        of ours was let through at all.
        """
        let_through = sum(at >= self._not_before for at in self._sent) - self._in_flight + 1
        if let_through > 0 and now >= self._not_before:
            lower = min(let_through, self._per_minute)
            self._per_minute = max(1, self._per_minute // 2, lower)


def _resumes(until: float) -> str:
    moment = datetime.fromtimestamp(until, UTC)
    return f"resumes {moment:%F %T} UTC; what is loaded stays, a load after that goes on from here"


def _whole(value: str | None) -> int | None:
    """A count; None for what is none, as the -1 that some APIs say for "no limit"."""
    try:
        number = -1 if value is None else int(float(value.split(",")[0].split(";")[0]))
    except (ValueError, OverflowError):
        return None
    return number if number >= 0 else None


def _seconds(value: str | None, now: float) -> float | None:
    """A wait as seconds, from a number of seconds, an epoch (above 1e9) or an HTTP date.

    None for what is none of them, or beyond the calendar.
    """
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
            number = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None
    if not number < _YEAR_9999:  # NaN is below nothing
        return None
    return max(0.0, number - now if number > _EPOCH else number)
