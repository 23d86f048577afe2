"""Simulated APIs with limits of all kinds, in a time that passes only when all wait."""

import asyncio
import math
import random
import selectors
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from pipelines.http.limit_store import LimitStore
from pipelines.http.rate_limiter import RateLimiter

Result = TypeVar("Result")

STARTED_AT = datetime(2026, 11, 28, 12, 0, 57, tzinfo=UTC)


class SimulatedSelector(selectors.SelectSelector):
    """Waits for nothing: where a loop would sleep, its time is moved on instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everything waits for ever"
        self.now += timeout
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose hours pass at once."""

    def __init__(self) -> None:
        self._selector_of_time = SimulatedSelector()
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        return self._selector_of_time.now


def clock() -> float:
    return STARTED_AT.timestamp() + asyncio.get_running_loop().time()


def in_simulated_time(scenario: Coroutine[Any, Any, Result]) -> Result:
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(scenario)


# --- simulated APIs -------------------------------------------------------------------------


class Window(Protocol):
    """How an API counts: requests left now, one more of them, seconds until there are more."""

    limit: int
    seconds: int

    def left(self, now: float) -> int: ...
    def spend(self, now: float) -> None: ...
    def reset(self, now: float) -> float: ...


@dataclass
class FixedWindow:
    """So many requests from one reset to the next: at full minutes, or after the first request."""

    limit: int
    seconds: int = 60
    by_the_clock: bool = True
    used: int = 0
    ends_at: float = -math.inf

    def left(self, now: float) -> int:
        if now >= self.ends_at:
            begun_at = now // self.seconds * self.seconds if self.by_the_clock else now
            self.ends_at, self.used = begun_at + self.seconds, 0
        return self.limit - self.used

    def spend(self, now: float) -> None:
        assert self.left(now) > 0
        self.used += 1

    def reset(self, now: float) -> float:
        return self.ends_at - now


@dataclass
class SlidingWindow:
    """So many requests in any 60 seconds; the announced reset is when the oldest falls out."""

    limit: int
    seconds: int = 60
    sent: deque[float] = field(default_factory=deque)

    def left(self, now: float) -> int:
        while self.sent and self.sent[0] <= now - self.seconds:
            self.sent.popleft()
        return self.limit - len(self.sent)

    def spend(self, now: float) -> None:
        assert self.left(now) > 0
        self.sent.append(now)

    def reset(self, now: float) -> float:
        return self.sent[0] + self.seconds - now


Headers = Callable[[Window, float, Callable[[float], float]], dict[str, str]]


def as_postman(window: Window, now: float, rounded: Callable[[float], float]) -> dict[str, str]:
    return {
        "ratelimit-limit": str(window.limit),
        "ratelimit-remaining": str(window.left(now)),
        "ratelimit-reset": str(rounded(window.reset(now))),
        "ratelimit-policy": f"{window.limit};w={window.seconds}",
    }


def as_epochs(window: Window, now: float, rounded: Callable[[float], float]) -> dict[str, str]:
    announced = as_postman(window, now, rounded)
    return {**announced, "ratelimit-reset": str(rounded(now + window.reset(now)))}


def as_laravel(window: Window, now: float, _: Callable[[float], float]) -> dict[str, str]:
    return {
        "x-ratelimit-limit": str(window.limit),
        "x-ratelimit-remaining": str(window.left(now)),
    }


def as_nothing(_window: Window, _now: float, _rounded: Callable[[float], float]) -> dict[str, str]:
    return {}


@dataclass
class Api:
    """An API as seen from afar: requests take time to arrive, and so do answers.

    `latency` is the range of seconds for each way; `lost` the share of answers that never come.
    """

    window: Window
    announces: Headers = as_postman
    rounded: Callable[[float], float] = math.ceil
    latency: tuple[float, float] = (0.05, 0.25)
    lost: float = 0.0
    announces_wait: bool = True
    accepted: int = 0
    accepted_of_others: int = 0
    refused: int = 0
    sent_into_refusal: int = 0
    _refuses_until: float = 0.0
    _chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311

    async def request_by(self, rate_limiter: RateLimiter) -> None:
        """One request, its answer reported as the client does."""
        async with rate_limiter.acquire():
            self.sent_into_refusal += clock() < self._refuses_until - 1e-6
            await asyncio.sleep(self._chance.uniform(*self.latency))
            now = clock()
            is_refused = not self._take(now)
            self.refused += is_refused
            self.accepted += not is_refused
            headers = self.announces(self.window, now, self.rounded)
            reset = self.window.reset(now)
            if is_refused and self.announces_wait:
                headers["retry-after"] = str(self.rounded(reset))
            await asyncio.sleep(self._chance.uniform(*self.latency))
            if self._chance.random() < self.lost:
                return
            if "retry-after" in headers or headers.get("ratelimit-remaining") == "0":
                announced_until = clock() + self.rounded(reset)
                self._refuses_until = max(self._refuses_until, min(announced_until, now + reset))
            rate_limiter.answered(429 if is_refused else 200, headers)

    async def requests_of_others(self, per_minute: float) -> None:
        """Other users of the same key, at random; they take what they get."""
        while True:
            await asyncio.sleep(self._chance.expovariate(per_minute / 60))
            self.accepted_of_others += self._take(clock())

    def _take(self, now: float) -> bool:
        has_room = self.window.left(now) > 0
        if has_room:
            self.window.spend(now)
        return has_room


def simulate(
    api: Api,
    *,
    hours: float = 1,
    ceiling: int = 300,
    others: float = 0,
    workers: int = 16,
    stores: Sequence[LimitStore | None] = (None,),
    after_hours: float = 0,
) -> None:
    """Let the workers of a process ask for all they can get, for hours; a process a store."""

    async def request_on(rate_limiter: RateLimiter) -> None:
        while True:
            await api.request_by(rate_limiter)

    async def scenario() -> None:
        await asyncio.sleep(after_hours * 3600)
        limiters = [RateLimiter(ceiling, store=store, clock=clock) for store in stores]
        tasks = [
            asyncio.create_task(request_on(limiter)) for limiter in limiters for _ in range(workers)
        ]
        if others:
            tasks.append(asyncio.create_task(api.requests_of_others(others)))
        ended, _ = await asyncio.wait(tasks, timeout=hours * 3600)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert not [task.exception() for task in ended]

    in_simulated_time(scenario())


def used(api: Api, hours: float = 1) -> float:
    """Share of all that the limit allows in so many hours."""
    allowed = api.window.limit * 3600 / api.window.seconds * hours
    return (api.accepted + api.accepted_of_others) / allowed


LIMITS: dict[str, Callable[[], Api]] = {
    "a minute by the clock": lambda: Api(FixedWindow(300)),
    "from the first request": lambda: Api(FixedWindow(30, by_the_clock=False)),
    "a reset rounded down": lambda: Api(FixedWindow(30), rounded=math.floor),
    "from the first request, rounded down": lambda: Api(
        FixedWindow(30, by_the_clock=False), rounded=math.floor
    ),
    "a reset rounded to the nearest": lambda: Api(
        FixedWindow(30, by_the_clock=False), rounded=round
    ),
    "a reset in fractions": lambda: Api(FixedWindow(30), rounded=float),
    "a reset as an epoch": lambda: Api(FixedWindow(30), as_epochs),
    "a reset as an epoch, rounded down": lambda: Api(
        FixedWindow(30), as_epochs, rounded=math.floor
    ),
    "one request": lambda: Api(FixedWindow(1)),
    "fewer than may be under way": lambda: Api(FixedWindow(5), rounded=math.floor),
    "any sixty seconds": lambda: Api(SlidingWindow(30)),
    "any sixty seconds, rounded down": lambda: Api(SlidingWindow(80), rounded=math.floor),
    "ten seconds": lambda: Api(FixedWindow(5, seconds=10)),
    "nothing announced": lambda: Api(FixedWindow(40), as_nothing),
    "nothing announced, from the first": lambda: Api(
        FixedWindow(40, by_the_clock=False), as_nothing
    ),
    "nothing announced, any sixty seconds": lambda: Api(SlidingWindow(40), as_nothing),
    "no reset announced": lambda: Api(FixedWindow(30), as_laravel),
    "no reset announced, from the first": lambda: Api(
        FixedWindow(30, by_the_clock=False), as_laravel
    ),
    "answers at once": lambda: Api(FixedWindow(30), latency=(0.0005, 0.001)),
    "an answer in twenty lost": lambda: Api(FixedWindow(60), lost=0.05),
}
