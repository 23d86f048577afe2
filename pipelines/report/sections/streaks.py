"""Streaks of failures: those that are open, and those that ended in the period."""

from typing import Any

from pipelines.report.data import ReportData, Row
from pipelines.report.formats import full_name
from pipelines.report.period import Period

TITLE = "Streaks"


def view(data: ReportData) -> dict[str, Any]:
    """Both kinds, as the query ranks them.

    A row is of tests of an environment that began to fail in the same run, and passed again in the
    same; `left` and `width` are its place in the period, in percent of it.
    """
    rows = [
        row
        | {
            "name": full_name(row),
            "scope": data.scope_name(row["system"], row["collection_or_project_id"]),
            **_place(row, data.period),
        }
        for row in data.rows("streaks")
    ]
    return {
        "open_streaks": [row for row in rows if row["was_open"]],
        "past_streaks": [row for row in rows if not row["was_open"]],
    }


def _place(row: Row, period: Period) -> dict[str, float]:
    ended_at = row["recovered_at"] or period.as_of
    length = (period.as_of - period.since).total_seconds()
    left = max((row["first_failed_at"] - period.since).total_seconds(), 0) / length
    right = (ended_at - period.since).total_seconds() / length
    return {
        "seconds": (ended_at - row["first_failed_at"]).total_seconds(),
        "left": left * 100,
        "width": max(right - left, 0) * 100,
    }
