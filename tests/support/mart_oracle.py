"""What the marts of tests must say, computed in plain Python from lists of results."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

Z = 1.959963984540054
Figures = tuple[float | None, ...]


@dataclass(frozen=True)
class Result:
    """One result of one test in one environment; `order` settles its place within a moment."""

    outcome: str
    started_at: datetime
    order: tuple[str, int]
    run_key: str

    @property
    def is_decided(self) -> bool:
        return self.outcome in {"passed", "failed"}


def in_order(results: Iterable[Result]) -> list[Result]:
    return sorted(results, key=lambda result: (result.started_at, result.order))


def wilson(hits: int, trials: int) -> tuple[float | None, float | None]:
    """Bounds of the interval, as textbooks write it: centre and half width."""
    if trials <= 0:
        return None, None
    share = hits / trials
    centre = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    spread = math.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2))
    half = Z * spread / (1 + Z**2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def window_figures(passes: Sequence[bool]) -> Figures:
    """n, transitions, flip rate and interval, passed, pass rate and interval, entropy."""
    n, passed = len(passes), sum(passes)
    flips = sum(one != other for one, other in pairwise(passes))
    rate = passed / n if n else None
    shares = [share for share in (rate, 1 - rate) if share] if rate is not None else []
    entropy = -sum(share * math.log2(share) for share in shares) if n else None
    flip_rate = flips / (n - 1) if n > 1 else None
    return n, flips, flip_rate, *wilson(flips, n - 1), passed, rate, *wilson(passed, n), entropy


def is_flaky(passes: Sequence[bool]) -> bool | None:
    flips = window_figures(passes[-10:])[1]
    return None if len(passes) < 10 or flips is None else flips >= 3


def health(passes: Sequence[bool]) -> str:
    recent, before = passes[-10:], passes[-50:-10]

    def broken(until: int) -> bool:
        return until >= 3 and not any(passes[until - 3 : until])

    if broken(len(passes)):
        return "broken"
    if len(passes) < 10:
        return "new"
    if is_flaky(passes):
        return "flaky"
    was_broken = any(broken(until) for until in range(len(passes) - 9, len(passes) + 1))
    lost = sum(before) * len(recent) - sum(recent) * len(before)
    has_dropped = len(before) >= 10 and 100 * lost > 15 * len(before) * len(recent)
    if not passes[-1] or (has_dropped and not was_broken):
        return "regressing"
    return "recovering" if was_broken else "healthy"


def days(results: Sequence[Result]) -> dict[date, tuple[object, ...]]:
    """Each day (UTC) of a test: its counts, its windows as of its end, and the verdicts."""
    told: dict[date, tuple[object, ...]] = {}
    for day in {result.started_at.date() for result in results}:
        outcomes = [result.outcome for result in results if result.started_at.date() == day]
        passes = [
            result.outcome == "passed"
            for result in in_order(results)
            if result.is_decided and result.started_at.date() <= day
        ]
        told[day] = (
            *(len(outcomes), outcomes.count("passed"), outcomes.count("failed")),
            *window_figures(passes[-10:]),
            *window_figures(passes[-50:]),
            *(is_flaky(passes), health(passes)),
        )
    return told


def streaks(results: Sequence[Result]) -> list[tuple[object, ...]]:
    """Run and time of the first failure, number, end, seconds, seconds since the last recovery."""
    found: list[tuple[object, ...]] = []
    failed: list[Result] = []
    recovered: datetime | None = None

    def close(end: datetime | None) -> None:
        first = failed[0].started_at
        since = (first - recovered).total_seconds() if recovered else None
        lasted = (end - first).total_seconds() if end else None
        found.append((failed[0].run_key, first, len(failed), end, lasted, since))
        failed.clear()

    for result in filter(lambda result: result.is_decided, in_order(results)):
        if result.outcome == "failed":
            failed.append(result)
        elif failed:
            close(result.started_at)
            recovered = result.started_at
    if failed:
        close(None)
    return found
