"""What answers may take in memory, decoded; all of it follows from TESTRUNS_MAX_BODY_MB.

Sixteen requests are under way at once, and any of them may get an answer of the largest size. So
small answers, and most are, are decoded as they come; a large one waits until all work before it
is dealt with, and is then the only one.
"""

from asyncio import Event
from contextvars import ContextVar
from dataclasses import dataclass, field

# Measured until the rows are written, as the share of a step's weight: of values, each as Python's
# and in a row, and the body itself as text and as canonical JSON.
_BYTES_PER_VALUE = 110
_BYTES_PER_BYTE = 2
# Of one long text, which is copied more often: for its row or, set aside, for its payload. One
# character beyond Latin-1 makes Python keep two or four bytes for each of the text.
_BYTES_PER_BYTE_OF_TEXT = 5
_BYTES_PER_BYTE_OF_WIDE_TEXT = 7


@dataclass
class Turn:
    """Of a step of work: `comes` once all steps before it are dealt with (`map_ordered`).

    `held` is the weight of all answers that the step has got so far.
    """

    comes: Event = field(default_factory=Event)
    held: int = 0


# None: a request that belongs to no step, as for the pages of a list.
TURN: ContextVar[Turn | None] = ContextVar("turn", default=None)


def weight(body: bytes, bound: int = 0) -> int:
    """What a JSON body takes in memory until its rows are written, in bytes, at most.

    Where even a body of nothing but brackets would stay within `bound`, nothing is counted.
    """
    most = (_BYTES_PER_BYTE + _BYTES_PER_VALUE) * len(body)
    if most <= bound:
        return most
    values = sum(map(body.count, (b",", b":", b"[", b"{")))
    is_wide = not body.isascii() or b"\\u" in body
    of_text = _BYTES_PER_BYTE_OF_WIDE_TEXT if is_wide else _BYTES_PER_BYTE_OF_TEXT
    return max(_BYTES_PER_BYTE * len(body) + _BYTES_PER_VALUE * values, of_text * len(body))


@dataclass(frozen=True)
class MemoryBounds:
    """Bounds in bytes, all from that of the largest body."""

    body: int

    @property
    def small(self) -> int:
        """Of a body that waits for its turn, and of the weight of a step that need not."""
        return self.body // 32

    @property
    def weight(self) -> int:
        """Of a step, all of its answers together."""
        return 3 * self.body + 2**20

    @property
    def page_weight(self) -> int:
        """Of a page of a list, two of which may be held beside a step."""
        return self.weight // 6
