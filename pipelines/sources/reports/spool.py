"""Rows on their way from reports to Postgres, kept on disk where they are many.

A run's ID is known only at a report's end, and a report may be larger than memory.
"""

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any, Self

import msgspec

_MOST_IN_MEMORY = 1_000_000
_BLOCK_ROWS = 200


class Spool:
    """One temporary file for all tables; gone with the process."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_MOST_IN_MEMORY)  # noqa: SIM115 - closed below

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def clear(self) -> None:
        """Forget all blocks; no table of before may be read again."""
        self._file.seek(0)
        self._file.truncate()

    def write(self, block: bytes) -> tuple[int, int]:
        """Append a block; where it begins and its length in bytes."""
        begin = self._file.seek(0, 2)
        self._file.write(block)
        return begin, len(block)

    def read(self, begin: int, length: int) -> bytes:
        """A block."""
        self._file.seek(begin)
        return self._file.read(length)


class SpooledTable:
    """Rows that can be appended, counted, and read in order as often as needed."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._blocks: list[tuple[int, int]] = []
        self._last: list[Any] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, row: tuple[Any, ...]) -> None:
        """Add a row; its values are what JSON can hold."""
        self._last.append(row)
        self._length += 1
        if len(self._last) >= _BLOCK_ROWS:
            self.seal()

    def seal(self) -> None:
        """Keep none of the rows in memory."""
        if self._last:
            self._blocks.append(self._spool.write(msgspec.msgpack.encode(self._last)))
            self._last = []

    def __iter__(self) -> Iterator[list[Any]]:
        for begin, length in self._blocks:
            yield from msgspec.msgpack.decode(self._spool.read(begin, length), type=list[list[Any]])
        yield from map(list, self._last)
