"""Values that do not fit their columns: where they must have gone."""

import re
from typing import Any

from pipelines.sources.base import FlatRun

Json = dict[str, Any]


def put(record: Any, path: str, value: Any) -> None:
    """Set what stands at `executions[1].request.url`."""
    *outer, last = [
        int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)
    ]
    for key in outer:
        record = record[key]
    record[last] = value


def assert_left_over(odd: FlatRun, null: FlatRun, path: str, value: Any) -> None:
    """The rows are those of the run without the value, which stands in one `extra` instead.

    `path` leads to the value in the run; `null` is the same run with null there.
    """
    *_, inner = path.rpartition("].")
    expected: Any = value
    for key in reversed(inner.split(".")):
        expected = {key: expected}
    assert odd.rows.keys() == null.rows.keys()
    differing = []
    for table, rows in odd.rows.items():
        for row, row_without in zip(rows, null.rows[table], strict=True):
            if row != row_without:
                assert row[:-1] == row_without[:-1], path
                differing.append((row_without[-1], row[-1]))
    [(extra_without, extra)] = differing
    assert extra == _merged(extra_without or {}, expected), path


def _merged(extra: Json, more: Json) -> Json:
    merged = dict(extra)
    for key, value in more.items():
        is_object = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if is_object else value
    return merged
