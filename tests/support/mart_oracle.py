"""What the marts of tests must say, computed in plain Python from lists of outcomes."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

Z = 1.959963984540054
Figures = tuple[float | None, ...]


@dataclass(frozen=True)
class Outcome:
    """How a test ended in one run; `order` settles the run's place within a moment.

    `item` is the request or test that failed once with it, `component` its host, folder or class;
    `code` is what its run tested, `attempts` how many of them passed and failed (of a retry).
    """

    outcome: str
    started_at: datetime
    order: str
    run_key: str
    item: str = ""
    component: str | None = None
    code: tuple[str | None, ...] | None = None
    attempts: tuple[int, int] | None = None

    @property
    def is_decided(self) -> bool:
        return self.outcome in {"passed", "failed"}


@dataclass
class Streak:
    """Failures in a row, and the pass that ended them."""

    failed: list[Outcome]
    last_passed: Outcome | None
    recovered: Outcome | None = None


@dataclass(frozen=True)
class SuiteRun:
    """A run of a suite that has started, in order, and how many of its results were decided."""

    run_key: str
    failed: int
    decided: int


def worst(outcomes: Iterable[str]) -> str:
    """What several results of one test in one run come to."""
    listed = list(outcomes)
    return next((one for one in ("failed", "passed") if one in listed), listed[0])


def by_start(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda outcome: (outcome.started_at, outcome.order))


def streaks(outcomes: Sequence[Outcome]) -> list[Streak]:
    found: list[Streak] = []
    last_passed: Outcome | None = None
    for outcome in by_start(outcomes):
        is_failing = bool(found) and found[-1].recovered is None
        if outcome.outcome == "failed":
            if is_failing:
                found[-1].failed.append(outcome)
            else:
                found.append(Streak([outcome], last_passed))
        elif outcome.outcome == "passed":
            if is_failing:
                found[-1].recovered = outcome
            last_passed = outcome
    return found


def usual_runs(runs: Sequence[SuiteRun], place: int) -> list[SuiteRun]:
    """Those before it that decided at least half as much, if there are three."""
    usual = [run for run in runs[:place] if 2 * run.decided >= runs[place].decided][-50:]
    return usual if len(usual) >= 3 else []


def outages(runs: Sequence[SuiteRun], streaks_of_suite: Sequence[Streak]) -> list[list[Streak]]:
    """The streaks of each outage of a suite."""
    begun: dict[str, list[Streak]] = defaultdict(list)
    for streak in streaks_of_suite:
        begun[streak.failed[0].run_key].append(streak)

    def items(run: SuiteRun, component: str | None) -> int:
        return len(
            {
                streak.failed[0].item
                for streak in begun[run.run_key]
                if streak.last_passed and component in (None, streak.failed[0].component)
            }
        )

    def is_unusual(place: int, component: str | None, least: int) -> bool:
        counts = sorted(items(run, component) for run in usual_runs(runs, place))
        usual = counts[math.ceil(len(counts) / 4) - 1]
        number = items(runs[place], component)
        return number >= least and number > max(3 * usual, 2 * statistics.median_low(counts))

    def is_short(of_outage: list[Streak]) -> bool:
        return statistics.median(len(streak.failed) for streak in of_outage) <= 10

    found = []
    for place in (place for place in range(len(runs)) if usual_runs(runs, place)):
        run = runs[place]
        all_of_run = begun[run.run_key]
        turned = sum(streak.last_passed is not None for streak in all_of_run)
        is_nearly_all = turned >= 5 and run.failed >= 0.8 * run.decided
        if (is_nearly_all or is_unusual(place, None, 5)) and is_short(all_of_run):
            found.append(all_of_run)
            continue
        for component in {streak.failed[0].component for streak in all_of_run} - {None}:
            hit = [streak for streak in all_of_run if streak.failed[0].component == component]
            if is_unusual(place, component, 4) and is_short(hit):
                found.append(hit)
    return found


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


def episodes(passes: Sequence[bool]) -> tuple[int, int | None]:
    """Short ones that ended in the last 150 results, and the results since the last of them."""
    ends = []
    failures = 0
    for place, passed in enumerate(passes):
        if passed and 1 <= failures <= 2:
            ends.append(place)
        failures = 0 if passed else failures + 1
    ends = [end for end in ends if end >= len(passes) - 150]
    return len(ends), len(passes) - 1 - ends[-1] if ends else None


def is_flaky(passes: Sequence[bool], undecided: int) -> bool | None:
    """Of the results outside of outages, and how many undecided ones came last."""
    if len(passes[-50:]) < 10 or undecided >= 50:
        return None
    number, since = episodes(passes)
    if number < 2 or since is None:
        return False
    distance = (min(len(passes), 150) - since) / number
    return since <= max(50, 4 * distance)


def same_code(outcomes: Sequence[Outcome], out: Sequence[Streak]) -> tuple[object, ...] | None:
    """Figures and verdict of a test over the codes that it ran on; None where none is known.

    `out` are its streaks that began in an outage.
    """
    left_out = {outcome.run_key for streak in out for outcome in streak.failed}
    groups: dict[tuple[str | None, ...], tuple[int, int]] = {}
    in_outages = 0
    for outcome in [one for one in by_start(outcomes) if one.is_decided][-150:]:
        if outcome.code is None:
            continue
        has_passed = outcome.outcome == "passed"
        passed, failed = outcome.attempts or (int(has_passed), int(not has_passed))
        if outcome.run_key in left_out:
            in_outages, failed = in_outages + failed, 0
        before = groups.get(outcome.code, (0, 0))
        groups[outcome.code] = before[0] + passed, before[1] + failed
    if not groups:
        return None
    counted = [group for group in groups.values() if sum(group) >= 2]
    mixed, results = sum(all(group) for group in counted), sum(map(sum, counted))
    has_verdict = len(counted) >= 5 and results >= 10
    return (
        *(len(groups), len(counted), mixed, results, sum(failed for _, failed in counted)),
        *(in_outages, mixed / len(counted) if counted else None, *wilson(mixed, len(counted))),
        mixed >= 2 if has_verdict else None,
    )


def health(passes: Sequence[bool], failing: int, undecided: int, *, in_outage: bool) -> str:
    """`failing` results in a row, outages included; `passes` leave them out."""
    recent, before = passes[-10:], passes[-50:-10]

    def broken(until: int) -> bool:
        return until >= 3 and not any(passes[until - 3 : until])

    if undecided >= 50:
        return "skipped"
    if failing >= 3:
        return "broken"
    if len(passes) < 10:
        return "new"
    if is_flaky(passes, undecided):
        return "flaky"
    was_broken = any(broken(until) for until in range(len(passes) - 9, len(passes) + 1))
    lost = sum(before) * len(recent) - sum(recent) * len(before)
    has_dropped = len(before) >= 10 and 100 * lost > 15 * len(before) * len(recent)
    if (failing and not in_outage) or (has_dropped and not was_broken):
        return "regressing"
    return "recovering" if was_broken else "healthy"


def days(outcomes: Sequence[Outcome], out: Sequence[Streak]) -> dict[date, tuple[object, ...]]:
    """Each day (UTC) of a test: its counts, its windows as of its end, and the verdicts.

    `out` are its streaks that began in an outage.
    """
    left_out = {outcome.run_key for streak in out for outcome in streak.failed}
    figures: dict[date, tuple[object, ...]] = {}
    for day in {outcome.started_at.date() for outcome in outcomes}:
        known = [outcome for outcome in by_start(outcomes) if outcome.started_at.date() <= day]
        today = [outcome for outcome in known if outcome.started_at.date() == day]
        decided = [outcome for outcome in known if outcome.is_decided]
        passes = [one.outcome == "passed" for one in decided if one.run_key not in left_out]
        failing = undecided = 0
        for outcome in decided:
            failing = failing + 1 if outcome.outcome == "failed" else 0
        for outcome in known:
            undecided = 0 if outcome.is_decided else undecided + 1
        in_outage = bool(decided) and decided[-1].run_key in left_out
        words = [outcome.outcome for outcome in today]
        figures[day] = (
            *(len(words), words.count("passed"), words.count("failed")),
            sum(outcome.run_key in left_out for outcome in today),
            *window_figures(passes[-10:]),
            *window_figures(passes[-50:]),
            *episodes(passes),
            *(min(failing, 50), in_outage, min(undecided, 50), today[-1].run_key),
            is_flaky(passes, undecided),
            health(passes, failing, undecided, in_outage=in_outage),
        )
    return figures
