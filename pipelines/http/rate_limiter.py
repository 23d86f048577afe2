"""When the next request may go: as fast as the API's own headers allow, never into a refusal.

Permits come in small shares from the limits of the API key, which all processes of all machines
have in common (`rate_limits`); what this process has learned meanwhile goes there with the next
share. So a request costs no more than a look at what is held here.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from pipelines.errors import QuotaSpentError, WarehouseError
from pipelines.http.leases import LEASE_SECONDS, Lease, Rules
from pipelines.http.limit_store import LimitStore, MemoryStore
from pipelines.http.rate_limit_headers import Quota, announcement
from pipelines.http.rate_limits import LOOK_SECONDS, OUT_OF_ORDER, RateLimits

LONGEST_WAIT_SECONDS = 300.0
# A share is what a second needs, and no less than this.
_LEAST_SHARE = 16
_SHARE_SECONDS = 1.0
# So often a process says that its requests are still under way.
_STILL_THERE_SECONDS = 60.0
_NOTHING = Lease(0, 0.0)


class RateLimiter:
    """Permits for the requests of this process to one API.

    `per_minute` is the ceiling where the API announces none. `monthly_reserve` is the number of
    the month's calls that is never touched, as the variable `reserve_setting` says; None: the API
    has no monthly budget, and its `X-RateLimit-*` are the window's. `store` keeps the limits of the
    API key; None: this limiter is alone. `clock` gives seconds since the epoch; `waits` is called
    with the seconds of a wait.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        monthly_reserve: int | None = None,
        reserve_setting: str = "",
        store: LimitStore | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        waits: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._rules = Rules(per_minute, monthly_reserve)
        self._reserve_setting = reserve_setting
        self._store: LimitStore = MemoryStore() if store is None else store
        self._clock, self.sleep, self._waits = clock, sleep, waits
        self._process = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(4).hex()}"
        # As they were when the last share came, and what was learned here since then.
        self._limits = RateLimits()
        self._news: list[Callable[[RateLimits], None]] = []
        self._lease, self._unused, self._used = _NOTHING, 0, 0
        self._leased_at: float | None = None
        self._taken_by_others = 0
        self._is_urgent = False
        self._in_flight = 0
        self._gate, self._leasing = asyncio.Lock(), asyncio.Lock()
        self._answered = asyncio.Event()
        self._renewal: asyncio.Task[None] | None = None
        self.quota = Quota()
        self.waited_seconds = 0.0
        self.refusals = 0

    @property
    def per_minute(self) -> int:
        """Requests a minute: as the API announces, else the ceiling."""
        return self.quota.limit or self._rules.per_minute

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        """Wait until a request may go, and count it as in flight while it is under way.

        Raises QuotaSpentError instead of waiting more than five minutes or touching the reserve,
        WarehouseError where the limits cannot be read.
        """
        async with self._gate:
            is_probe = await self._wait()
        try:
            yield
        finally:
            self._in_flight -= 1
            if is_probe:
                self._learn(RateLimits.probe_ended)
            self._answered.set()
            if self._renewal is None or self._renewal.done():
                self._renewal = asyncio.ensure_future(self._renew())

    async def close(self) -> None:
        """Give back what was not used, and tell what was learned last."""
        if self._renewal is not None:
            self._renewal.cancel()
        if self._leased_at is not None:
            with suppress(WarehouseError):  # without a word the permits come free in seconds
                async with self._leasing:
                    await self._exchange(0)
        await self._store.close()

    def _now(self) -> float:
        return self._clock() + self._store.ahead_seconds

    async def _wait(self) -> bool:
        """Use the next permit; whether it is a probe's."""
        while True:
            now = self._now()
            self._answered.clear()
            self._check_month(now)
            if self._may_go(now):
                self._unused -= 1
                self._used += 1
                self._in_flight += 1
                self._learn(partial(RateLimits.requested, at=now))
                return self._lease.is_probe
            look_at = await self._lease_more(now)
            if look_at is None:
                continue
            if look_at - now > LONGEST_WAIT_SECONDS:
                until = max(look_at, self._limits.not_before)
                raise QuotaSpentError(f"the rate limit is used up; {_resumes(until)}")
            if not self._in_flight and look_at - now > 1:
                self._waits(look_at - now)
            is_idle = not self._in_flight
            await self._pause(look_at - now)
            paused_until = self._now()
            self.waited_seconds += max(0.0, paused_until - now)
            if is_idle:
                self._learn(partial(RateLimits.paused, process=self._process, now=paused_until))

    def _may_go(self, now: float) -> bool:
        """Whether a permit is held and nothing learned since speaks against it."""
        limits, lease = self._limits, self._lease
        if not self._unused or now >= lease.expires_at or now < limits.nothing_before:
            return False
        if lease.in_flight is not None and self._in_flight >= lease.in_flight:
            return False
        remaining = limits.window_remaining
        taken = self._in_flight + self._taken_by_others
        return remaining is None or lease.is_probe or remaining - limits.spare > taken

    async def _lease_more(self, now: float) -> float | None:
        """Get another share; None: there is one, else the time to look again."""
        lease, limits = self._lease, self._limits
        if self._unused and lease.in_flight is not None and self._in_flight >= lease.in_flight:
            return now + LEASE_SECONDS
        if self._leased_at is not None and not self._is_urgent:
            expected = limits.room(self._rules, self._process, self._in_flight, 1, now)
            is_old = now >= self._leased_at + LOOK_SECONDS and limits.others(self._process)
            is_up_to_others = is_old and expected.look_at <= now + LOOK_SECONDS
            if not expected.permits and not is_up_to_others:
                return expected.look_at
        # To its end, even if who asks is cancelled: permits that nobody knew of would be lost.
        await asyncio.shield(self._lease_now())
        return None if self._unused else self._lease.look_at

    async def _lease_now(self) -> None:
        async with self._leasing:
            if not self._may_go(self._now()):
                await self._exchange(self._wanted())

    def _wanted(self) -> int:
        """Permits for about a second, at the rate of the last share."""
        if self._leased_at is None:
            return _LEAST_SHARE
        seconds = max(self._now() - self._leased_at, 0.1)
        return max(_LEAST_SHARE, int(self._used / seconds * _SHARE_SECONDS))

    async def _exchange(self, most: int) -> None:
        """Tell what was learned, give back what was not used, and lease at most so many permits."""
        if self._lease.is_probe and self._unused:
            self._learn(RateLimits.probe_ended)  # given back, it would keep all waiting for it
        news, self._news, self._unused = self._news, [], 0

        def change(limits: RateLimits) -> tuple[float, Lease, RateLimits]:
            now = self._now()
            if self._leased_at is None:
                limits.joined(now)
            for learn in news:
                learn(limits)
            lease = limits.lease(self._rules, self._process, self._in_flight, most, now)
            return now, lease, deepcopy(limits)

        try:
            leased_at, self._lease, self._limits = await self._store.update(change)
        except BaseException:
            self._news = news + self._news
            raise
        self._unused, self._used, self._is_urgent = self._lease.permits, 0, False
        self._leased_at = leased_at
        self._taken_by_others = self._limits.taken_by_others(self._process, leased_at)
        for learn in self._news:
            learn(self._limits)

    async def _renew(self) -> None:
        """Each second, for as long as there is something to tell or to give back."""
        while self._unused or self._news or self._in_flight:
            await asyncio.sleep(_SHARE_SECONDS)
            async with self._leasing:
                seconds = self._now() - (self._leased_at or 0.0)
                has_news = self._unused or self._news
                if seconds >= (_SHARE_SECONDS if has_news else _STILL_THERE_SECONDS):
                    with suppress(WarehouseError):  # the next request will meet it too
                        await self._exchange(self._wanted() if self._used else 0)

    async def _pause(self, seconds: float) -> None:
        """Until the time is up, or an answer has changed what is known."""
        answered = asyncio.ensure_future(self._answered.wait())
        asleep = asyncio.ensure_future(self.sleep(seconds))
        try:
            await asyncio.wait((answered, asleep), return_when=asyncio.FIRST_COMPLETED)
        finally:
            answered.cancel()
            asleep.cancel()

    def _check_month(self, now: float) -> None:
        left, reserve = self._limits.month_remaining, self._rules.monthly_reserve
        if left is not None and reserve is not None and left <= reserve:
            not_before = self._limits.not_before
            when = "resumes at the start of the account's next month; what is loaded stays"
            raise QuotaSpentError(
                f"the month's budget of calls: {left} of {self.quota.month_limit or '?'} left, "
                f"{reserve} kept in reserve ({self._reserve_setting}); "
                f"{_resumes(not_before) if now < not_before else when}"
            )

    def _learn(self, what: Callable[[RateLimits], None]) -> None:
        what(self._limits)
        self._news.append(what)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Take in what an answer announces; call it while the request still counts as in flight.

        After a 429 nothing goes before the wait that it announces, or 60 seconds; after a 503 not
        before the wait that it announces, if any. `headers` are by lower-case name.
        """
        now = self._now()
        announced = announcement(headers, now, has_month=self._rules.monthly_reserve is not None)
        self._remember(announced.quota)
        self._learn(partial(RateLimits.answered, announced=announced, at=now))
        if status == 429:
            self.refusals += 1
            self._learn(
                partial(
                    RateLimits.refused,
                    announced=announced,
                    at=now,
                    rules=self._rules,
                    has_window=self.quota.remaining is not None,
                    in_flight=self._in_flight,
                    process=self._process,
                )
            )
        elif status == 503:
            self._learn(partial(RateLimits.unavailable, announced=announced, at=now))
        if now < self._limits.not_before:
            self._unused, self._is_urgent = 0, True

    def _remember(self, quota: Quota) -> None:
        month, before = quota.month_remaining, self.quota.month_remaining
        if month is not None and before is not None and month < before + OUT_OF_ORDER:
            quota = replace(quota, month_remaining=min(month, before))
        self.quota = replace(self.quota, **quota.as_json())


def _resumes(until: float) -> str:
    moment = datetime.fromtimestamp(until, UTC)
    return f"resumes {moment:%F %T} UTC; what is loaded stays, a load after that goes on from here"
