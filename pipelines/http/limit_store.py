"""Where the limits of an API key are kept."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from pipelines.http.rate_limits import RateLimits

Result = TypeVar("Result")


class LimitStore(Protocol):
    """The limits of one API key, shared by all who have a store of the same key.

    `ahead_seconds`: how much the store's clock is ahead of this machine's.
    """

    ahead_seconds: float

    async def update(self, change: Callable[[RateLimits], Result]) -> Result:
        """Let `change` read and change the limits while nobody else does; what it returns.

        It may be called again on newer limits, and only its last call counts. Raises
        WarehouseError where the store fails.
        """
        ...

    async def close(self) -> None:
        """Nothing more will be asked."""
        ...


class MemoryStore:
    """Limits that nobody outside this process sees."""

    ahead_seconds = 0.0

    def __init__(self) -> None:
        self._limits = RateLimits()

    async def update(self, change: Callable[[RateLimits], Result]) -> Result:
        """Apply `change`."""
        return change(self._limits)

    async def close(self) -> None:
        """Keep nothing open."""
