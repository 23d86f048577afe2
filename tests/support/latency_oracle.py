"""When a request has become slower, computed from lists of latencies as textbooks have it."""

import math
import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

RECENT_DAYS, BASELINE_DAYS = 7, 28
Days = Sequence[Sequence[float]]
"""The latencies of each day, ms."""


def student_t(recent: Sequence[float], before: Sequence[float]) -> float:
    """Of the difference of two means, by the pooled variance within the samples."""
    within = sum(
        statistics.pvariance(sample) * len(sample) for sample in (recent, before) if sample
    )
    freedom = len(recent) + len(before) - 2
    difference = statistics.fmean(recent) - statistics.fmean(before)
    if within == 0:
        return math.copysign(math.inf, difference)
    return difference / math.sqrt(within / freedom * (1 / len(recent) + 1 / len(before)))


def normal_deviate(t: float, freedom: int) -> float:
    """The deviate of a normal distribution that is about as rare as this Student's t."""
    # of days that are all alike no certainty is more than this
    excess = min(1 + t * t / freedom, 1e9)
    return math.copysign(math.sqrt((freedom - 0.5) * math.log(excess)), t)


def slowdown_z(recent: Days, before: Days) -> float | None:
    """How far the mean ranks of the recent days lie above those before, as a normal deviate."""
    recent, before = [day for day in recent if day], [day for day in before if day]
    freedom = len(recent) + len(before) - 2
    ordered = sorted(x for day in (*recent, *before) for x in day)
    if not recent or not before or freedom < 1:
        return None
    means = [
        [
            statistics.fmean(
                (bisect_left(ordered, x) + bisect_right(ordered, x) + 1) / 2 for x in day
            )
            for day in days
        ]
        for days in (recent, before)
    ]
    if len({mean for sample in means for mean in sample}) == 1:
        return None
    return normal_deviate(student_t(*means), freedom)


def is_slower(recent: Days, before: Days) -> bool:
    """At least 5 and 15 answers, days beyond chance by rank, 15 % and 10 ms in the median."""
    after, earlier = flat(recent), flat(before)
    if len(after) < 5 or len(earlier) < 15:
        return False
    median, usual = statistics.median(after), statistics.median(earlier)
    if median < 1.15 * usual or median < usual + 10:
        return False
    z = slowdown_z(recent, before)
    return z is not None and z > 2.3


def flat(days: Days) -> list[float]:
    """The latencies of all days, ms."""
    return [x for latencies in days for x in latencies]


def tail_share(recent: Sequence[float], before: Sequence[float]) -> float | None:
    """How many of `recent` lie above the 90th percentile of `before`."""
    if not before:
        return None
    if len(before) == 1:
        limit = before[0]
    else:
        limit = statistics.quantiles(before, n=10, method="inclusive")[-1]
    return sum(x > limit for x in recent) / len(recent)


def windows(days: Days, day: int) -> tuple[Days, Days]:
    """The recent days up to `day`, and those of the baseline before them."""
    first = day - RECENT_DAYS + 1
    return days[max(first, 0) : day + 1], days[max(first - BASELINE_DAYS, 0) : max(first, 0)]


def slower_days(days: Days, first: int = RECENT_DAYS + BASELINE_DAYS) -> list[bool]:
    """The verdict of each day with an answer from `first` on, by when both windows are full."""
    return [is_slower(*windows(days, day)) for day in range(first, len(days)) if days[day]]
