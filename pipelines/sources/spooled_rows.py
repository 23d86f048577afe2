"""Rows on their way to Postgres, the first ones in memory, the others in a temporary file."""

import pickle
from collections.abc import Collection, Iterator, Sequence
from tempfile import TemporaryFile
from typing import Any
from weakref import finalize

from pipelines.sources.rows import Row

_MOST_IN_MEMORY = 2_000


class SpooledRows(Collection[Row]):
    """Rows that are added block by block, and read in order as often as needed.

    However many they are, no more than 2,000 and the block that is being read stand in memory. The
    file is gone with the object.
    """

    def __init__(self) -> None:
        self._head: list[Row] = []
        self._blocks = 0
        self._length = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Add a block."""
        self._length += len(rows)
        if not self._blocks and self._length <= _MOST_IN_MEMORY:
            self._head += rows
            return
        if not self._blocks:
            self._file = TemporaryFile()  # noqa: SIM115 - closed with the object
            finalize(self, self._file.close)
        self._blocks += 1
        pickle.dump(rows, self._file, pickle.HIGHEST_PROTOCOL)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Row]:
        yield from self._head
        if self._blocks:
            self._file.seek(0)
            for _ in range(self._blocks):
                yield from pickle.load(self._file)  # noqa: S301 - of our own, in no one's reach

    def __contains__(self, row: Any) -> bool:
        return any(row == other for other in self)
