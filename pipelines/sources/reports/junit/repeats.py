"""The same test twice in one file: tried again, or run with other data."""

from collections.abc import Set as AbstractSet
from typing import Any

from pipelines.sources.reports.report import ATTEMPTS, COLUMNS, TESTS, RowWriter

_STATUS = COLUMNS[TESTS].index("status") - 1
_DURATION = COLUMNS[TESTS].index("duration_ms") - 1
_MESSAGE = COLUMNS[TESTS].index("message") - 1
_TYPE = COLUMNS[TESTS].index("type") - 1
_EXTRA = COLUMNS[TESTS].index("extra") - 1


class Repeats:
    """Notes where tests of the same suites, class and name stand."""

    def __init__(self) -> None:
        self._first: dict[bytes, int] = {}
        self._repeated: dict[bytes, list[int]] = {}

    def add(self, case: bytes, index: int) -> None:
        """Note a result."""
        if case not in self._first:
            self._first[case] = index
        else:
            self._repeated.setdefault(case, [self._first[case]]).append(index)

    @property
    def cases(self) -> AbstractSet[bytes]:
        """Digests of all tests."""
        return self._first.keys()

    @property
    def any(self) -> bool:
        """Whether a test stands there twice."""
        return bool(self._repeated)

    def settled(self, rows: RowWriter) -> RowWriter:
        """The rows anew: failures that one pass ends are attempts of it; others are numbered.

        A result that repeats a test without that is kept with its `occurrence`, from 2 on.
        """
        attempts: dict[int, list[int]] = {}
        occurrences: dict[int, int] = {}
        tables = rows.tables()
        repeated = {index for indexes in self._repeated.values() for index in indexes}
        kept = {row[0]: row for row in tables[TESTS] if row[0] in repeated}
        for indexes in self._repeated.values():
            *before, last = indexes
            has_failed_before = all(kept[i][_STATUS] in ("failed", "errored") for i in before)
            if kept[last][_STATUS] == "passed" and has_failed_before:
                attempts[last] = before
            else:
                occurrences |= {index: n for n, index in enumerate(indexes[1:], 2)}
        folded = {index for indexes in attempts.values() for index in indexes}
        settled = rows.another()
        new_index: dict[int, int] = {}
        for row in tables[TESTS]:
            index = row[0]
            if index in folded:
                continue
            new_index[index] = row[0] = len(new_index)
            if index in occurrences:
                row[_EXTRA] = {**(row[_EXTRA] or {}), "occurrence": occurrences[index]}
            if index in attempts:
                row[_EXTRA] = {**(row[_EXTRA] or {}), "flaky": True}
                tried = [*(kept[before] for before in attempts[index]), row]
                for number, attempt in enumerate(tried, 1):
                    settled.add(ATTEMPTS, (new_index[index], number, *_attempt(attempt)))
            settled.add(TESTS, tuple(row))
        for row in tables.get(ATTEMPTS, ()):
            if row[0] in new_index and row[0] not in attempts:
                settled.add(ATTEMPTS, (new_index[row[0]], *row[1:]))
        return settled


def _attempt(row: list[Any]) -> tuple[Any, ...]:
    return row[_STATUS], row[_DURATION], row[_MESSAGE], row[_TYPE]
