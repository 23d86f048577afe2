"""Waits a thousand times as short, so that a test meets time-outs and limits as users do."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp

from pipelines.client import Client
from pipelines.pace import Pacer

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
    pacer = Pacer.__init__.__kwdefaults__ or {}
    before = dict(client), dict(pacer)
    client |= {
        "sleep": clock.sleep,
        "timeout": aiohttp.ClientTimeout(total=2 * timeout_seconds, sock_read=timeout_seconds),
    }
    pacer |= {"sleep": clock.sleep, "clock": clock}
    try:
        yield
    finally:
        client |= before[0]
        pacer |= before[1]
