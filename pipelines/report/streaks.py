"""Streaks of failures: those that are open, and those that ended in the period."""

from dataclasses import dataclass
from datetime import datetime

from pipelines.report.formats import named_test, short_id
from pipelines.report.period import Period
from pipelines.report.reading import Row
from pipelines.report.scopes import Scopes


@dataclass(frozen=True)
class Streak:
    """Tests of an environment that began to fail in the same run, and passed again in the same.

    `left` and `width` are its place in the period, in percent of it.
    """

    name: str
    tests: int
    scope: str
    environment: str | None
    failures: int
    failed_at: datetime
    last_failed_at: datetime
    last_passed_at: datetime | None
    recovered_at: datetime | None
    seconds: float
    left: float
    width: float


@dataclass(frozen=True)
class Streaks:
    """Streaks of one state, those shown and how many there are of such groups and tests."""

    shown: list[Streak]
    groups: int
    tests: int


def streaks(rows: list[Row], scopes: Scopes, period: Period, *, is_open: bool) -> Streaks:
    """Open streaks, or those that ended in the period, the longest first."""
    chosen = [row for row in rows if row["was_open"] == is_open]
    if not chosen:
        return Streaks([], 0, 0)
    return Streaks(
        [_streak(row, scopes, period) for row in chosen],
        chosen[0]["groups"],
        int(chosen[0]["tests_in_all"]),
    )


def _streak(row: Row, scopes: Scopes, period: Period) -> Streak:
    ended = row["recovered_at"] or period.as_of
    length = (period.as_of - period.since).total_seconds()
    left = max((row["first_failed_at"] - period.since).total_seconds(), 0) / length
    right = (ended - period.since).total_seconds() / length
    return Streak(
        name=named_test(row),
        tests=row["tests"],
        scope=scopes.name(row["system"], row["collection_or_project_id"]),
        environment=row["environment_id"] and short_id(row["environment_id"]),
        failures=row["failures"],
        failed_at=row["first_failed_at"],
        last_failed_at=row["last_failed_at"],
        last_passed_at=row["last_passed_at"],
        recovered_at=row["recovered_at"],
        seconds=(ended - row["first_failed_at"]).total_seconds(),
        left=left * 100,
        width=max(right - left, 0) * 100,
    )
