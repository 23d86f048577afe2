"""What answers may take in memory, decoded; all of it follows from TESTRUNS_MAX_BODY_MB.

Sixteen requests are under way at once, and any of them may get an answer of the largest size. So
small answers, and most are, are decoded as they come; a large one waits until all work before it
is dealt with, and is then the only one.
"""

from asyncio import Event
from contextvars import ContextVar
from dataclasses import dataclass

# Measured: a body as text and as canonical JSON, a value of it as Python's and in a row.
_BYTES_PER_BYTE = 2
_BYTES_PER_VALUE = 110

# Set once all work before this is dealt with (`map_ordered`); None: there is no other work.
TURN: ContextVar[Event | None] = ContextVar("turn", default=None)


def weight(body: bytes) -> int:
    """What a JSON body takes in memory until its rows are written, in bytes, at most."""
    values = sum(map(body.count, (b",", b":", b"[", b"{")))
    return _BYTES_PER_BYTE * len(body) + _BYTES_PER_VALUE * values


@dataclass(frozen=True)
class MemoryBounds:
    """Bounds in bytes, all from that of the largest body."""

    body: int

    @property
    def small(self) -> int:
        """Of a body that waits for its turn, and of the weight of one that need not."""
        return self.body // 32

    def weight(self, *, is_list: bool) -> int:
        """Of a body's weight; two pages of a list may be held beside one detail."""
        largest = 3 * self.body + 2**20
        return largest // 6 if is_list else largest
