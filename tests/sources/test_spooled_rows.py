"""Rows that lie in a file once they are many."""

from datetime import UTC, datetime

import pytest

from pipelines.sources.rows import Row
from pipelines.sources.spooled_rows import SpooledRows


def block(first: int, length: int) -> list[Row]:
    at = datetime(2026, 5, 1, tzinfo=UTC)
    return [(first + number, "é", None, at, {"big": 10**30}) for number in range(length)]


@pytest.mark.parametrize(
    "lengths", [[], [3], [2000], [1999, 2], [5000], [1000] * 7, [2, 3000, 0, 1]]
)
def test_rows_come_in_order_as_often_as_needed(lengths: list[int]) -> None:
    rows = SpooledRows()
    expected: list[Row] = []
    for length in lengths:
        expected += block(len(expected), length)
        rows.add(block(len(rows), length))
    assert len(rows) == len(expected)
    assert list(rows) == list(rows) == expected
    assert (expected[-1:] or [()])[0] in rows or not expected
    assert (-1,) not in rows


def test_a_reading_that_is_left_half_way_disturbs_no_other() -> None:
    rows = SpooledRows()
    rows.add(block(0, 5000))
    rows.add(block(5000, 5000))
    reading = iter(rows)
    assert [next(reading)[0] for _ in range(3)] == [0, 1, 2]
    assert [row[0] for row in rows] == list(range(10_000))
