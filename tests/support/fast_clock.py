"""Waits a thousand times as short, so that a test meets time-outs and limits as users do."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.http.client import Client
from pipelines.http.rate_limiter import RateLimiter
from pipelines.http.transport import Bounds

_SPEED = 1000


class FastClock:
    """Epoch seconds that pass a thousand times as fast, for both ends of a connection."""

    def __init__(self) -> None:
        self._began, self._real = time.time(), time.monotonic()

    def __call__(self) -> float:
        return self._began + (time.monotonic() - self._real) * _SPEED

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / _SPEED)


@contextmanager
def in_haste(clock: FastClock, *, timeout_seconds: float = 10.0) -> Iterator[None]:
    """Every client made in this block waits by that clock, and for an answer only so long."""
    client = Client.__init__.__kwdefaults__ or {}
    rate_limiter = RateLimiter.__init__.__kwdefaults__ or {}
    before = dict(client), dict(rate_limiter)
    client |= {
        "bounds": Bounds(total_seconds=2 * timeout_seconds, read_seconds=timeout_seconds),
    }
    rate_limiter |= {"sleep": clock.sleep, "clock": clock}
    try:
        yield
    finally:
        client |= before[0]
        rate_limiter |= before[1]
