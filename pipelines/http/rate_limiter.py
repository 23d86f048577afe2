"""When the next request may go: as fast as the API's own headers allow, never into a refusal.

Three gauges must all agree. The wait that a refusal told. The window that the API announces
(Postman: `RateLimit-*` on each answer): what is left of it, less what is under way. And a ceiling
over the last minute's own requests, the announced limit or else the setting: alone it keeps an API
that announces nothing (Testmo), beside a window it makes up for resets that are told too early.
All three are shared with the other processes of this machine that ask the same API.

Where nothing is known, at the start, after a pause or a refusal, one request goes alone and its
answer opens the rest: were it refused, it would be one and not sixteen.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import QuotaSpentError
from pipelines.http import rate_limit_headers as announced
from pipelines.http.gauges import NOT_KNOWN, Gauges, SharedGauges
from pipelines.http.rate_limit_headers import Quota

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
# What another process was told of the month is not older than this, or it does not count.
_MONTH_SECONDS = 60.0
# A probe that has not come back by then is lost, with the process that sent it.
_SCOUT_SECONDS = 35.0
# How often to look for the answers of other processes.
_LOOK_SECONDS = 0.2


class RateLimiter:
    """The turns of one API, shared by all requests to it.

    `per_minute` is the ceiling where the API announces none. `monthly_reserve` is the number of
    the month's calls that is never touched; None: the API has no monthly budget, and its
    `X-RateLimit-*` are the window's. `shared` is the file through which this machine's processes
    keep one pace; None: this pacer is alone. `clock` gives seconds since the epoch.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        monthly_reserve: int | None = None,
        shared: Path | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        waits: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._per_minute, self._reserve = per_minute, monthly_reserve
        self._clock, self._sleep, self._waits = clock, sleep, waits
        self._gauges = SharedGauges(shared, clock)
        self._gate = asyncio.Lock()
        self._answered = asyncio.Event()
        self._in_flight = 0
        self.quota = Quota()
        self.waited_seconds = 0.0
        self.refusals = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until a request may go, and count it as in flight while it is under way.

        Raises QuotaSpentError instead of waiting more than five minutes or touching the reserve.
        """
        async with self._gate:
            is_probe = await self._wait()
        try:
            yield
        finally:
            with self._gauges as gauges:
                self._count(gauges, -1)
                if is_probe:
                    gauges.probe_until = 0.0
            self._answered.set()

    async def _wait(self) -> bool:
        """Take the next turn; whether it is a probe's."""
        while True:
            now = self._clock()
            with self._gauges as gauges:
                self._check_month(gauges, now)
                until = self._next_turn(gauges, now)
                if until is None:
                    is_probe = bool(gauges.must_probe)
                    if is_probe:
                        gauges.probe_until = now + _SCOUT_SECONDS
                    gauges.push(now)
                    self._count(gauges, 1)
                    return is_probe
                is_idle = not gauges.in_flight(now)
            if until - now > LONGEST_WAIT_SECONDS:
                raise QuotaSpentError(f"the rate limit is used up; {_resumes(until)}")
            if not self._in_flight and until - now > 1:
                self._waits(until - now)
            self._answered.clear()
            await self._pause(until - now)
            self.waited_seconds += max(0.0, self._clock() - now)
            if is_idle:
                # What was announced before a pause is old: others may use the key as well.
                with self._gauges as gauges:
                    gauges.must_probe = 1

    def _count(self, gauges: Gauges, change: int) -> None:
        self._in_flight += change
        gauges.count_in_flight(self._gauges.owner, self._in_flight, self._clock())

    async def _pause(self, seconds: float) -> None:
        """Until the time is up, or an answer has changed what is known."""
        answered = asyncio.ensure_future(self._answered.wait())
        asleep = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait((answered, asleep), return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered.cancel()
            asleep.cancel()

    def _check_month(self, gauges: Gauges, now: float) -> None:
        left = self._month_left(gauges, now)
        if left is not None and self._reserve is not None and left <= self._reserve:
            when = "resumes at the start of the account's next month; what is loaded stays"
            raise QuotaSpentError(
                f"the month's budget of calls: {left} of {self.quota.month_limit or '?'} left, "
                f"{self._reserve} kept in reserve (POSTMAN_MONTHLY_RESERVE); "
                f"{_resumes(gauges.not_before) if now < gauges.not_before else when}"
            )

    def _month_left(self, gauges: Gauges, now: float) -> int | None:
        """What is left of the month, as this process or lately another one was told."""
        left = self.quota.month_remaining
        if left is None or gauges.month_left == NOT_KNOWN or gauges.month_at < now - _MONTH_SECONDS:
            return left
        return min(left, gauges.month_left)

    def _next_turn(self, gauges: Gauges, now: float) -> float | None:
        """The time to look again, were no answer to come before it; None: a request may go."""
        ceiling = self._ceiling(gauges)
        full_until = gauges.is_full_until(ceiling, gauges.window_seconds * (1 + _MARGIN))
        in_flight = gauges.in_flight(now)
        is_alone = self._in_flight == in_flight > 0
        at_an_answer = now + (_WINDOW_SECONDS if is_alone else _LOOK_SECONDS)
        if now < gauges.not_before:
            return gauges.not_before
        if now < full_until:
            return full_until
        month_left = self._month_left(gauges, now)
        if month_left is not None and month_left - in_flight <= (self._reserve or 0):
            return at_an_answer
        if gauges.left != NOT_KNOWN and gauges.left - gauges.spare <= in_flight:
            over = gauges.reset_at + gauges.late_seconds
            if now < over:
                return over
            gauges.left, gauges.must_probe = NOT_KNOWN, 1
        if gauges.must_probe:
            return at_an_answer if now < gauges.probe_until else None
        has_window = gauges.left != NOT_KNOWN
        if not has_window and in_flight >= max(1, ceiling * _IN_FLIGHT_PER_CEILING):
            return at_an_answer
        return None

    def _ceiling(self, gauges: Gauges) -> int:
        """The announced limit, else the setting or what refusals have made of it."""
        if gauges.limit > 0:
            return gauges.limit
        lowered = gauges.lowered
        return self._per_minute if lowered == NOT_KNOWN else min(self._per_minute, lowered)

    def answered(self, headers: Mapping[str, str]) -> None:
        """Take in what an answer announces; call it while the request still counts as in flight."""
        now = self._clock()
        told = announced.quota(headers, has_month=self._reserve is not None)
        month, before = told.month_remaining, self.quota.month_remaining
        if month is not None and before is not None and month < before + _OUT_OF_ORDER:
            told = replace(told, month_remaining=min(month, before))
        self.quota = replace(self.quota, **told.as_json())
        with self._gauges as gauges:
            gauges.must_probe = 0
            if told.limit is not None:
                gauges.limit = told.limit
            if told.month_remaining is not None:
                gauges.month_left, gauges.month_at = told.month_remaining, now
            if told.remaining is not None:
                self._see_window(gauges, headers, told, now)

    def _see_window(
        self, gauges: Gauges, headers: Mapping[str, str], told: Quota, now: float
    ) -> None:
        seconds = announced.window_seconds(headers, told.limit) or _WINDOW_SECONDS
        reset = announced.reset(headers, now)
        remaining = told.remaining or 0
        gauges.window_seconds = seconds
        if gauges.left == NOT_KNOWN:
            gauges.left, gauges.reset_at = remaining, now + (seconds if reset is None else reset)
            return
        later = 0.0 if reset is None else now + reset - gauges.reset_at
        if later > seconds / 2:
            gauges.left, gauges.reset_at = remaining, gauges.reset_at + later
        elif later > -seconds / 2:  # else it is of the window before
            gauges.left = min(gauges.left, remaining)
            # Of resets rounded differently the latest counts; by more only slow answers differ.
            gauges.reset_at += min(max(0.0, later), _ROUNDING_SECONDS)

    def refused(self, headers: Mapping[str, str]) -> None:
        """Take in a 429, after `answered`: nothing goes before the wait it tells, or 60 seconds."""
        now = self._clock()
        self.refusals += 1
        with self._gauges as gauges:
            gauges.take_back()
            gauges.learned_at = now
            if self.quota.remaining is None:
                self._lower(gauges, now)
            else:
                # The window was not over when its reset said so, or others use it too.
                gauges.late_seconds = _ROUNDING_SECONDS
                most = int((self.quota.limit or 0) * _MOST_SPARED)
                gauges.spare = min(gauges.spare + 1, most)
            wait = announced.wait(headers, now)
            self._hold(gauges, now, _UNTOLD_WAIT_SECONDS if wait is None else wait)

    def unavailable(self, headers: Mapping[str, str]) -> None:
        """Take in a 503, after `answered`: nothing goes before the wait it tells, if any."""
        now = self._clock()
        wait = announced.wait(headers, now)
        if wait is not None:
            with self._gauges as gauges:
                self._hold(gauges, now, wait)

    def _hold(self, gauges: Gauges, now: float, seconds: float) -> None:
        gauges.not_before = max(gauges.not_before, now + seconds + _ROUNDING_SECONDS)
        gauges.left, gauges.must_probe = NOT_KNOWN, 1

    def _lower(self, gauges: Gauges, now: float) -> None:
        """An unannounced limit was met: what was let through since the last time is its best guess.

        At least half the ceiling, since others may have used the rest; and as it was, where none
        of ours was let through at all.
        """
        ceiling = self._ceiling(gauges)
        minute = now - gauges.window_seconds * (1 + _MARGIN)
        let_through = gauges.sent_since(max(gauges.not_before, minute)) - gauges.in_flight(now) + 1
        if let_through > 0 and now >= gauges.not_before:
            gauges.lowered = max(1, ceiling // 2, min(let_through, ceiling))


def _resumes(until: float) -> str:
    moment = datetime.fromtimestamp(until, UTC)
    return f"resumes {moment:%F %T} UTC; what is loaded stays, a load after that goes on from here"
