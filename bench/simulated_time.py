"""An event loop whose time passes at once: whoever sleeps wakes as soon as nobody else can act.

So the product's own pacing runs through a year in minutes, and always in the same way.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
_GRAIN_SECONDS = 1e-6


class _NoWaiting(selectors.SelectSelector):
    """Waits for nothing and looks at no file, and adds up what it would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nobody sleeps and nobody acts: the simulation stands still")
        self.waited += max(0.0, timeout)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Its time starts at `began`, seconds since the epoch."""

    def __init__(self, began: float) -> None:
        self._began, self._clock = began, _NoWaiting()
        super().__init__(self._clock)
        # What is due now is due: epoch seconds have no grain as fine as the loop's own.
        self._clock_resolution = _GRAIN_SECONDS

    def time(self) -> float:
        return self._began + self._clock.waited


def simulate(began: float, work: Coroutine[Any, Any, Result]) -> Result:
    """The work's result, in simulated time from `began` on; `loop.time()` is its clock."""
    loop = SimulatedLoop(began)
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
