"""The days that a seeded history covers, the chance that shapes them, and its format of times."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random

_SATURDAY = 5


@dataclass(frozen=True)
class Period:
    """The `days` before `end` (UTC), in which everything but the open runs is over.

    Chance comes from `seed`, with a stream for each subject, such as one day of one collection:
    a day is the same whenever the period ends, so that a later history continues an earlier one.
    """

    end: datetime
    days: int
    seed: int

    def before_end(self, **amount: float) -> datetime:
        """Give the time so many `days`, `hours` or `minutes` before the end."""
        return self.end - timedelta(**amount)

    def dates(self) -> Iterator[date]:
        """Go through the calendar days that the period touches, oldest first."""
        first = self.before_end(days=self.days).date()
        return (first + timedelta(days=n) for n in range((self.end.date() - first).days + 1))

    def holds(self, begun: datetime, over: datetime) -> bool:
        """Say whether something lies in the period, and ended an hour before it did."""
        return self.before_end(days=self.days) <= begun and over <= self.before_end(hours=1)

    def progress(self, at: datetime, *, days: float) -> float:
        """Give how much of the last so many days had passed, from 0 before them to 1 at the end."""
        return max(0.0, 1 - (self.end - at) / timedelta(days=days))

    def dice(self, subject: str) -> Random:
        """Give the subject's own stream of chance."""
        return Random(f"{self.seed}/{subject}")  # noqa: S311 - invented runs, no secrets


def is_workday(day: date) -> bool:
    """Say whether it is Monday to Friday."""
    return day.weekday() < _SATURDAY


def starts_on(
    day: date, times: tuple[str, ...], workday_runs: tuple[int, int], dice: Random
) -> list[datetime]:
    """Give when runs start: at times of day such as `07:12`, and on workdays so many more.

    A scheduler is late by up to 40 seconds; people push and merge at office hours.
    """
    starts = [at_clock(day, clock, dice) for clock in times]
    if is_workday(day):
        opening = datetime.combine(day, time(7, 30), UTC)
        starts += [
            opening + timedelta(milliseconds=dice.randrange(10 * 3_600_000))
            for _ in range(dice.randint(*workday_runs))
        ]
    return starts


def at_clock(day: date, clock: str, dice: Random) -> datetime:
    """Give a time of day, and the seconds by which a scheduler is late."""
    late = timedelta(milliseconds=dice.randrange(40_000))
    return datetime.combine(day, time.fromisoformat(clock), UTC) + late


def iso(at: datetime) -> str:
    """Write a time as both APIs do: UTC, milliseconds, `Z`."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
