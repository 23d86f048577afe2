"""The marts of runs against what plain Python makes of the same rows, however they arrived."""

import datetime as dt
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests.support.dbt import Connection, dbt, load_postman, marts, rows
from tests.support.latency_oracle import flat, is_slower, slowdown_z, tail_share

BERLIN = ZoneInfo("Europe/Berlin")
# Berlin left summer time on 25 October: the history goes over it.
FIRST_NIGHT = dt.datetime(2026, 9, 20, 22, 30, tzinfo=dt.UTC)
NIGHTS = 60
Suite = tuple[str | None, str | None]
"""Collection and environment."""
Period = tuple[dt.datetime, dt.datetime, bool]
"""From when, until when, and whether it is red now."""


@dataclass
class Run:
    """A run as invented; `items` and `times` as building.load_postman takes them."""

    run_id: str
    collection_id: str | None
    environment_id: str | None
    status: str
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    duration_ms: int | None
    items: list[str]
    times: list[int | None]
    is_deleted: bool = False
    requests: list[tuple[str, int | None]] = field(init=False)

    def __post_init__(self) -> None:
        """Which requests count, with their latency: no repeats, no answer no latency."""
        self.requests = [
            (f"item {index}", None if item.startswith("!") or (time or -1) < 0 else time)
            for index, (item, time) in enumerate(zip(self.items, self.times, strict=True))
            if not item.startswith("=")
        ]

    @property
    def outcomes(self) -> list[str]:
        return [letter for item in self.items if item[0] != "=" for letter in item.strip("!")]

    @property
    def is_open(self) -> bool:
        return self.status in {"queued", "running"}

    @property
    def is_success(self) -> bool | None:
        if self.is_open:
            return None
        has_failed = "f" in self.outcomes or any(item.startswith("!") for item in self.items)
        return self.status == "finished" and not has_failed

    @property
    def ended_at(self) -> dt.datetime | None:
        return max((time for time in (self.started_at, self.finished_at) if time), default=None)

    @property
    def day(self) -> dt.date | None:
        began = self.started_at or self.finished_at
        return began.astimezone(BERLIN).date() if began else None


def random_run(dice: random.Random, number: int) -> Run:
    """A run of some night; a few are odd in one way or another."""
    started = FIRST_NIGHT + dt.timedelta(
        days=dice.randrange(NIGHTS), minutes=dice.choice([0, 0, 29, 31, 95])
    )
    finished = started + dt.timedelta(seconds=dice.choice([40, 40, 90, 7200, -60]))
    status = dice.choices(["finished", "failed", "running", "queued"], [20, 2, 1, 1])[0]
    items: list[str] = []
    for _ in range(dice.choice([3, 3, 3, 5]) if status == "finished" else 0):
        items.append(dice.choices(["pp", "p", "ps", "pf", "!f", "u"], [20, 10, 3, 1, 1, 1])[0])
        if dice.random() < 0.1 and not items[-1].startswith("!"):
            items.append("=" + items[-1])
    base = 400 if number % 3 else 40
    times = [dice.choice([base, base + 30, base * 2, base * 12, -5, None]) for _ in items]
    for index, item in enumerate(items):
        if item.startswith("="):
            times[index] = times[index - 1]
    is_timeless = dice.random() < 0.03
    return Run(
        run_id=f"run {number:03}",
        collection_id=dice.choice(["c1", "c1", "c2", None]),
        environment_id=dice.choice(["e1", "e1", None]),
        status=status,
        started_at=None if status == "queued" or is_timeless else started,
        finished_at=None if status in {"queued", "running"} or is_timeless else finished,
        duration_ms=dice.choice([40_000, 41_000, -1, None]),
        items=items,
        times=times,
    )


def store(warehouse: Connection, run: Run, loaded_at: dt.datetime) -> None:
    load_postman(
        warehouse,
        run.run_id,
        run.items,
        times=run.times,
        collection_id=run.collection_id,
        environment_id=run.environment_id,
        status=run.status,
        started_at=run.started_at,
        finished_at=run.finished_at,
        duration_ms=run.duration_ms,
        loaded_at=loaded_at,
        deleted_at=loaded_at if run.is_deleted else None,
    )


def percentile(values: Iterable[int], share: float) -> float:
    """Linear between neighbours."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def expected_runs(runs: list[Run]) -> dict[str, tuple[Any, ...]]:
    """Success, pass rate, completeness and truncated of each run."""
    before: dict[tuple[str | None, str | None], list[int]] = defaultdict(list)
    expected = {}
    # the timeless last, which compare with nothing
    for run in sorted(runs, key=lambda run: (run.started_at is None, run.started_at, run.run_id)):
        passed, failed = run.outcomes.count("p"), run.outcomes.count("f")
        completeness = None
        usual = before[run.collection_id, run.environment_id]
        is_truncated = False
        if run.started_at and not run.is_open:
            if usual and statistics.median(usual[-10:]):
                completeness = len(run.requests) / statistics.median(usual[-10:])
                is_truncated = bool(run.is_success) and completeness <= 0.9 and len(usual) >= 3
            if run.status == "finished":
                usual.append(len(run.requests))
        pass_rate = passed / (passed + failed) if passed + failed else None
        expected[run.run_id] = (run.is_success, pass_rate, completeness, is_truncated)
    return expected


def expected_latencies(runs: list[Run]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Figures of each collection, environment, item and day on which it was answered."""
    latencies: dict[tuple[str | None, ...], dict[dt.date, list[int]]] = defaultdict(dict)
    for run in runs:
        for item, time in run.requests:
            if run.day and time is not None:
                of_item = latencies[run.collection_id, run.environment_id, item]
                of_item.setdefault(run.day, []).append(time)
    expected = {}
    for key, days in latencies.items():
        for day, times in days.items():

            def within(
                first: int, last: int, days: dict[dt.date, list[int]] = days, day: dt.date = day
            ) -> list[list[int]]:
                return [
                    answered
                    for other, answered in days.items()
                    if first <= (day - other).days <= last
                ]

            recent_days, baseline_days = within(0, 6), within(7, 34)
            recent, baseline, week = map(flat, (recent_days, baseline_days, within(1, 7)))
            expected[*key, day] = (
                len(times),
                *(percentile(times, share) for share in (0.5, 0.95, 0.99)),
                statistics.median(recent),
                statistics.median(baseline) if baseline else None,
                slowdown_z(recent_days, baseline_days),
                tail_share(recent, baseline),
                is_slower(recent_days, baseline_days),
                bool(week) and max(times) > 5 * statistics.fmean(week) and max(times) > max(week),
            )
    return expected


def expected_red_periods(runs: list[Run]) -> dict[Suite, list[Period]]:
    """From a failure to the next success of each collection and environment, and if it is open."""
    ends = sorted((run.ended_at, run.run_id, run) for run in runs if run.ended_at)
    periods: dict[Suite, list[Period]] = defaultdict(list)
    for suite in {(run.collection_id, run.environment_id) for run in runs}:
        decided = [
            (end, run.is_success)
            for end, _, run in ends
            if (run.collection_id, run.environment_id) == suite and run.is_success is not None
        ]
        while decided:
            begin, is_success = decided.pop(0)
            if is_success:
                continue
            failed = begin
            while decided and not decided[0][1]:
                failed = decided.pop(0)[0]
            forgotten, now = failed + dt.timedelta(days=35), ends[-1][0]
            until = min(forgotten, now)
            is_open = now < forgotten
            if decided and decided[0][0] <= until:
                until, is_open = decided[0][0], False
            periods[suite].append((begin, until, is_open))
    return periods


def expected_red_minutes(
    periods: dict[Suite, list[Period]],
) -> dict[tuple[str | None, dt.date], float]:
    """Minutes of red of each collection and day: those of which any environment was red."""
    red: dict[tuple[str | None, dt.date], float] = defaultdict(float)
    for collection in {collection for collection, _ in periods}:
        counted = dt.datetime.min.replace(tzinfo=dt.UTC)
        for begin, until, _ in sorted(
            period for suite, some in periods.items() if suite[0] == collection for period in some
        ):
            moment = max(begin, counted)
            while moment < until:
                day = moment.astimezone(BERLIN).date()
                midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), BERLIN)
                stop = min(until, midnight.astimezone(dt.UTC))
                red[collection, day] += (stop - moment).total_seconds() / 60
                moment = stop
            counted = max(counted, until)
    return red


def assert_marts_say(warehouse: Connection, runs: list[Run]) -> None:
    """What the marts hold is what was computed here."""
    found_runs = rows(
        warehouse,
        "select run_id, is_success, pass_rate, completeness, is_truncated from marts.fct_test_runs",
    )
    assert {
        run_id: pytest.approx(tuple(values)) for run_id, *values in found_runs
    } == expected_runs(runs)
    found_latencies = rows(
        warehouse,
        """
        select collection_id, environment_id, item_name, business_date,
               requests_answered, p50_ms, p95_ms, p99_ms, recent_median_ms, baseline_median_ms,
               slowdown_z, recent_tail_share, is_regression, is_spike
        from marts.fct_request_latency_daily
        """,
    )
    assert {
        (collection, environment, item, day): pytest.approx(tuple(figures))
        for collection, environment, item, day, *figures in found_latencies
    } == expected_latencies(runs)
    periods = expected_red_periods(runs)
    found_periods: dict[Suite, list[Period]] = defaultdict(list)
    for collection, environment, *period in rows(
        warehouse,
        "select collection_or_project_id, environment, red_from, red_until, is_open"
        " from marts.fct_red_periods order by red_from",
    ):
        begin, until, is_open = period
        found_periods[collection, environment].append((begin, until, is_open))
    assert found_periods == periods
    found_red = rows(
        warehouse,
        "select collection_or_project_id, business_date, red_minutes"
        " from marts.fct_daily_run_health where red_minutes > 0",
    )
    assert {
        (collection, day): pytest.approx(minutes) for collection, day, minutes in found_red
    } == expected_red_minutes(periods)
    health = rows(
        warehouse,
        "select collection_id, current_health = 'red', suites_red from marts.dim_collections",
    )
    suites_red = Counter(
        collection
        for (collection, _), some in periods.items()
        if any(is_open for *_, is_open in some)
    )
    assert {(c, is_red, number) for c, is_red, number in health} == {
        (collection, suites_red[collection] > 0, suites_red[collection])
        for collection in {run.collection_id for run in runs} - {None}
    }


@pytest.fixture
def warehouse(dbt_warehouse_url: str) -> Iterator[Connection]:
    with psycopg.connect(dbt_warehouse_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def build(dbt_warehouse_url: str, dbt_target: Path) -> Callable[..., None]:
    def build(*options: str) -> None:
        dbt(dbt_warehouse_url, dbt_target, "run", *options, timezone="Europe/Berlin")

    return build


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_marts_are_what_python_computes_after_any_sequence_of_builds(
    warehouse: Connection, build: Callable[..., None], seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - dice, no secret
    runs = {run.run_id: run for run in (random_run(dice, number) for number in range(150))}
    # in no order of time: every build has runs that land late
    names = list(runs)
    dice.shuffle(names)
    held: dict[str, Run] = {}
    for step in range(4):
        loaded_at = FIRST_NIGHT + dt.timedelta(days=NIGHTS, hours=step)
        arriving = names[step * 35 : step * 35 + 35]
        changing = dice.sample(sorted(held), min(len(held), 8))
        for name in [*arriving, *changing]:
            is_deleted = name in held and dice.random() < 0.4
            if name in changing and not is_deleted:
                runs[name] = random_run(dice, int(name.split()[1]))
            runs[name].is_deleted = is_deleted
            held[name] = runs[name]
            store(warehouse, held[name], loaded_at)
        build()
        assert_marts_say(warehouse, [run for run in held.values() if not run.is_deleted])
    incremental = marts(warehouse)
    build("--full-refresh")
    assert incremental == marts(warehouse)
