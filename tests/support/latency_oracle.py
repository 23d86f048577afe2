"""When a request has become slower, computed from lists of latencies as textbooks have it."""

import math
import statistics
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence

RECENT_DAYS, BASELINE_DAYS = 7, 28
Days = Sequence[Sequence[float]]
"""The latencies of each day, ms."""


def mann_whitney_z(recent: Sequence[float], before: Sequence[float]) -> float | None:
    """Of all pairs how many `recent` wins, half of a draw for each, in standard deviations."""
    if not recent or not before:
        return None
    ordered, number = sorted(before), len(recent) + len(before)
    wins = sum((bisect_left(ordered, x) + bisect_right(ordered, x)) / 2 for x in recent)
    ties = sum(n**3 - n for n in Counter([*recent, *before]).values())
    pairs = len(recent) * len(before)
    variance = pairs / 12 * (number + 1 - ties / (number * (number - 1)))
    return (wins - pairs / 2) / math.sqrt(variance) if variance > 0 else None


def is_slower(recent: Sequence[float], before: Sequence[float]) -> bool:
    """At least 5 and 15 answers, beyond chance by rank, 15 % and 10 ms in the median."""
    if len(recent) < 5 or len(before) < 15:
        return False
    z = mann_whitney_z(recent, before)
    median, usual = statistics.median(recent), statistics.median(before)
    return z is not None and z > 2.6 and median >= 1.15 * usual and median >= usual + 10


def tail_share(recent: Sequence[float], before: Sequence[float]) -> float | None:
    """How many of `recent` lie above the 90th percentile of `before`."""
    if not before:
        return None
    if len(before) == 1:
        limit = before[0]
    else:
        limit = statistics.quantiles(before, n=10, method="inclusive")[-1]
    return sum(x > limit for x in recent) / len(recent)


def windows(days: Days, day: int) -> tuple[list[float], list[float]]:
    """The latencies of the recent days up to `day`, and those of the baseline before them."""
    first = day - RECENT_DAYS + 1
    recent = [x for latencies in days[max(first, 0) : day + 1] for x in latencies]
    before = days[max(first - BASELINE_DAYS, 0) : max(first, 0)]
    return recent, [x for latencies in before for x in latencies]


def slower_days(days: Days, first: int = RECENT_DAYS + BASELINE_DAYS) -> list[bool]:
    """The verdict of each day from `first` on, by when both windows are full."""
    return [is_slower(*windows(days, day)) for day in range(first, len(days))]
