"""What the marts of tests must say, computed in plain Python from lists of outcomes."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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


class Suite:
    """The runs of a suite, in order, and what makes one of them or a component of it an outage."""

    def __init__(
        self,
        runs: Sequence[SuiteRun],
        outcomes: Mapping[str, Sequence[Outcome]],
        streaks_of_suite: Sequence[Streak],
    ) -> None:
        """Note the outcomes of tests by their run, and what began to fail in each."""
        self.runs = runs
        self.outcomes = outcomes
        self.begun: dict[str, list[Streak]] = defaultdict(list)
        for streak in streaks_of_suite:
            self.begun[streak.failed[0].run_key].append(streak)

    def items(self, run: SuiteRun, component: str | None) -> int:
        """How many began to fail in it that had passed."""
        return len(
            {
                streak.failed[0].item
                for streak in self.begun[run.run_key]
                if streak.last_passed and component in (None, streak.failed[0].component)
            }
        )

    def usual_items(self, place: int, component: str | None) -> list[int]:
        """How many began to fail in the runs before it that decided at least half as much.

        The first three runs are compared with those that followed.
        """
        run = self.runs[place]
        others = self.runs[:place] if place >= 3 else [one for one in self.runs if one is not run]
        comparable = [one for one in others if 2 * one.decided >= run.decided]
        compared = comparable[-50:] if place >= 3 else comparable[:50]
        items = [self.items(one, component) for one in compared]
        return items if len(items) >= 3 else []

    def is_unusual(self, place: int, component: str | None) -> bool:
        """More than usual, and than chance explains."""
        run, items = self.runs[place], self.usual_items(place, component)
        if not items:
            return False
        usual = statistics.median_low(items)
        beyond = (4 if component is None else 3) * math.sqrt(usual + 1)
        return self.items(run, component) > usual + min(beyond, run.decided / 4)

    def rarely_fails(self, component: str | None) -> bool:
        """It is a component of which, on average, no more than 0.1 items begin to fail in a run."""
        if component is None:
            return False
        return sum(self.items(run, component) for run in self.runs) <= 0.1 * len(self.runs)

    def has_failed(self, place: int, component: str | None) -> bool:
        """Nearly all of it has."""
        run = self.runs[place]
        failed, decided = run.failed, run.decided
        if component is not None:
            of_component = [
                outcome.outcome == "failed"
                for outcome in self.outcomes[run.run_key]
                if outcome.is_decided and outcome.component == component
            ]
            failed, decided = sum(of_component), len(of_component)
        has_others = place >= 3 or bool(self.usual_items(place, component))
        return has_others and failed >= 0.8 * decided

    def streaks_out(self, place: int, component: str | None) -> list[Streak]:
        """Those that began in an outage of the run or component; none if it is none."""
        run = self.runs[place]
        found = [
            streak
            for streak in self.begun[run.run_key]
            if component in (None, streak.failed[0].component)
        ]
        items = self.items(run, component)
        are_many = items >= min(3, run.decided / 4)
        is_out = (
            items >= 2
            and (
                (are_many and self.is_unusual(place, component))
                or (
                    (are_many or self.rarely_fails(component)) and self.has_failed(place, component)
                )
            )
            and statistics.median(len(streak.failed) for streak in found) <= 10
        )
        return found if is_out else []


def outages(
    runs: Sequence[SuiteRun],
    outcomes: Mapping[str, Sequence[Outcome]],
    streaks_of_suite: Sequence[Streak],
) -> list[list[Streak]]:
    """The streaks of each outage of a suite; `outcomes` by run."""
    suite = Suite(runs, outcomes, streaks_of_suite)
    found = []
    for place, run in enumerate(runs):
        components = {streak.failed[0].component for streak in suite.begun[run.run_key]}
        of_run = suite.streaks_out(place, None)
        found += (
            [of_run]
            if of_run
            else [suite.streaks_out(place, component) for component in components - {None}]
        )
    return [of_outage for of_outage in found if of_outage]


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
    """Those of one run that ended in the last 150 results, and the results since the last."""
    ends = []
    failures = 0
    for place, passed in enumerate(passes):
        if passed and failures == 1:
            ends.append(place)
        failures = 0 if passed else failures + 1
    ends = [end for end in ends if end >= len(passes) - 150]
    return len(ends), len(passes) - 1 - ends[-1] if ends else None


def has_verdict(passes: Sequence[bool], undecided: int) -> bool:
    """Of the results outside of outages, and how many undecided ones came last."""
    return len(passes[-50:]) >= 10 and undecided < 50


def needed_episodes(of_tests: Sequence[int], least: int) -> int:
    """To be flaky, by the episodes of the tests of a scope that have a verdict on a day."""
    without, with_one = of_tests.count(0), of_tests.count(1)
    if len(of_tests) < least:
        return 2
    return 2 + sum(with_one > usual * without for usual in (0.1, 0.34, 0.67))


def is_flaky(passes: Sequence[bool], undecided: int, needed: int) -> bool | None:
    """As `has_verdict`; `needed` are the episodes that make a test of the scope flaky."""
    if not has_verdict(passes, undecided):
        return None
    number, since = episodes(passes)
    if number < needed or since is None:
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


def health(
    passes: Sequence[bool], failing: int, undecided: int, *, in_outage: bool, flaky: bool | None
) -> str:
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
    if flaky:
        return "flaky"
    was_broken = any(broken(until) for until in range(len(passes) - 9, len(passes) + 1))
    lost = sum(before) * len(recent) - sum(recent) * len(before)
    has_dropped = len(before) >= 10 and 100 * lost > 15 * len(before) * len(recent)
    if (failing and not in_outage) or (has_dropped and not was_broken):
        return "regressing"
    return "recovering" if was_broken else "healthy"


class Days:
    """The days (UTC) of a test; `out` are its streaks that began in an outage."""

    def __init__(self, outcomes: Sequence[Outcome], out: Sequence[Streak]) -> None:
        self._outcomes = by_start(outcomes)
        self._left_out = {outcome.run_key for streak in out for outcome in streak.failed}
        self.all = {outcome.started_at.date() for outcome in outcomes}

    def _known(self, day: date) -> list[Outcome]:
        return [outcome for outcome in self._outcomes if outcome.started_at.date() <= day]

    def _passes(self, day: date) -> list[bool]:
        return [
            outcome.outcome == "passed"
            for outcome in self._known(day)
            if outcome.is_decided and outcome.run_key not in self._left_out
        ]

    def _undecided(self, day: date) -> int:
        undecided = 0
        for outcome in self._known(day):
            undecided = 0 if outcome.is_decided else undecided + 1
        return undecided

    def episodes(self, day: date) -> int | None:
        """Those of a test with a verdict as of the end of the day."""
        passes = self._passes(day)
        return episodes(passes)[0] if has_verdict(passes, self._undecided(day)) else None

    def figures(self, day: date, needed: int) -> tuple[object, ...]:
        """Its counts, its windows as of its end, and the verdicts; `needed` as for `is_flaky`."""
        today = [outcome for outcome in self._outcomes if outcome.started_at.date() == day]
        decided = [outcome for outcome in self._known(day) if outcome.is_decided]
        passes, undecided, failing = self._passes(day), self._undecided(day), 0
        for outcome in decided:
            failing = failing + 1 if outcome.outcome == "failed" else 0
        in_outage = bool(decided) and decided[-1].run_key in self._left_out
        words = [outcome.outcome for outcome in today]
        flaky = is_flaky(passes, undecided, needed)
        return (
            *(len(words), words.count("passed"), words.count("failed")),
            sum(outcome.run_key in self._left_out for outcome in today),
            *window_figures(passes[-10:]),
            *window_figures(passes[-50:]),
            *episodes(passes),
            *(min(failing, 50), in_outage, min(undecided, 50), needed, today[-1].run_key),
            flaky,
            health(passes, failing, undecided, in_outage=in_outage, flaky=flaky),
        )
