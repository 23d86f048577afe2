"""Outages: one cause that made many tests fail at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.report.data import ReportData, Row
from pipelines.report.formats import format_time, outage_cause, pluralize

TITLE = "Outages"


@dataclass(frozen=True)
class OutageLine:
    """An outage in words: where and when it began, what it hit and when it ended.

    `tests_hit` is the number of tests that failed in it.
    """

    began: str
    what: str
    tests_hit: int

    def __str__(self) -> str:
        return f"{self.began}: {self.what}"


def view(data: ReportData) -> dict[str, Any]:
    """Those of the period, the latest first."""
    return {"outages": [_outage(row, data) for row in data.rows("outages")]}


def lines(data: ReportData, since: datetime | None = None) -> list[OutageLine]:
    """Those of the period, the latest first; with `since`, those not ended at that moment (UTC)."""
    return [
        _line(row, data)
        for row in data.rows("outages")
        if since is None or row["was_open"] or row["recovered_at"] >= since
    ]


def _line(row: Row, data: ReportData) -> OutageLine:
    zone = data.period.zone
    ended = "not ended"
    if not row["was_open"]:
        ended = f"ended {format_time(row['recovered_at'], zone)}"
    return OutageLine(
        began=f"{data.scope_name(row['system'], row['scope'])}, "
        f"{format_time(row['started_at'], zone)} {zone}",
        what=f"{outage_cause(row)}; {pluralize(row['tests_hit'], 'test')} in "
        f"{pluralize(row['runs_failed'], 'run')}, {ended}",
        tests_hit=row["tests_hit"],
    )


def _outage(row: Row, data: ReportData) -> Row:
    ended_at = row["recovered_at"] or data.period.as_of
    return row | {
        "cause": outage_cause(row),
        "scope": data.scope_name(row["system"], row["scope"]),
        "seconds": (ended_at - row["started_at"]).total_seconds(),
    }
