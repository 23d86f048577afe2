"""What the rule for slower requests costs and finds in seeded worlds; dbt says the same."""

import datetime as dt
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import psycopg
import pytest

from tests.support.dbt import Connection, dbt, rows
from tests.support.latency_oracle import (
    Days,
    is_slower,
    mann_whitney_z,
    slower_days,
    tail_share,
    windows,
)

Endpoint = Callable[[random.Random], float]
"""What one answer takes, ms."""


def steady(median: float, spread: float) -> Endpoint:
    """Latencies are log-normal: `spread` is the standard deviation of their logarithm."""
    return lambda dice: median * math.exp(dice.gauss(0, spread))


def with_outliers(endpoint: Endpoint, share: float) -> Endpoint:
    """Some answers take 3 to 20 times as long."""
    return lambda dice: endpoint(dice) * (dice.uniform(3, 20) if dice.random() < share else 1)


def days_of(
    endpoint: Endpoint,
    answers: int,
    number: int,
    dice: random.Random,
    slower_from: int | None = None,
) -> Days:
    """The answers of each of a number of days; from one of them on they take half as long again."""
    return [
        [
            round(endpoint(dice) * (1.5 if slower_from is not None and day >= slower_from else 1))
            for _ in range(answers)
        ]
        for day in range(number)
    ]


CALM = {
    "quick": (steady(50, 0.25), 4),
    "slow": (steady(2000, 0.4), 8),
    "noisy, once a day": (steady(200, 1.0), 1),
    "noisy": (steady(200, 0.6), 4),
    "with outliers, once a day": (with_outliers(steady(80, 0.4), 0.2), 1),
    "with outliers": (with_outliers(steady(80, 0.25), 0.1), 4),
    "many": (steady(50, 0.5), 40),
    "a few milliseconds": (steady(4, 0.5), 20),
}


@pytest.mark.parametrize("world", CALM)
def test_in_a_calm_world_fewer_than_two_days_of_a_hundred_are_false_alarms(world: str) -> None:
    endpoint, answers = CALM[world]
    dice = random.Random(f"calm {world}")  # noqa: S311 - dice, no secret
    verdicts = [
        verdict for _ in range(30) for verdict in slower_days(days_of(endpoint, answers, 120, dice))
    ]
    assert sum(verdicts) < 0.02 * len(verdicts)


@pytest.mark.parametrize("answers", [4, 8, 20])
@pytest.mark.parametrize(("median", "spread"), [(50, 0.1), (50, 0.4), (400, 0.25), (3000, 0.4)])
def test_half_as_slow_again_is_found_within_a_week_from_four_answers_a_day_on(
    answers: int, median: float, spread: float
) -> None:
    dice = random.Random(f"slower {answers} {median} {spread}")  # noqa: S311
    change, trials = 40, 50
    found = sum(
        any(slower_days(days_of(steady(median, spread), answers, change + 7, dice, change), change))
        for _ in range(trials)
    )
    assert found >= 0.84 * trials


def test_one_answer_of_a_minute_moves_no_rank() -> None:
    usual = [100.0, 104, 96, 102, 98] * 4
    assert not is_slower([100, 97, 103, 60_000, 60_000], usual)
    assert is_slower([130, 140, 150, 135, 120], usual)


def test_the_statistic_is_counted_in_standard_deviations_over_all_splits_of_the_values() -> None:
    recent, before = [3, 5, 5, 9], [1, 2, 3, 4, 5]
    pooled = [*recent, *before]

    def wins(chosen: tuple[int, ...]) -> float:
        others = [pooled[place] for place in range(len(pooled)) if place not in chosen]
        return sum(
            (pooled[place] > x) + (pooled[place] == x) / 2 for place in chosen for x in others
        )

    of_all_splits = [wins(chosen) for chosen in combinations(range(len(pooled)), len(recent))]
    expected = (wins((0, 1, 2, 3)) - statistics.mean(of_all_splits)) / statistics.pstdev(
        of_all_splits
    )
    assert mann_whitney_z(recent, before) == pytest.approx(expected)


NIGHTS = 60
FIRST_DAY = dt.date(2026, 3, 1)
RUNS_A_DAY = 4
MOVE = 40
CHANGES = {("quick", "staging"): 50, ("slow", "prod"): 45}


def planted(dice: random.Random) -> dict[tuple[str, str], Days]:
    """Latencies of an item in an environment, day by day: two slow down, the others do not."""
    world = {
        ("quick", "prod"): steady(50, 0.2),
        ("quick", "staging"): steady(50, 0.2),
        ("slow", "prod"): steady(800, 0.3),
        ("slow", "staging"): steady(800, 0.3),
        ("noisy", "prod"): with_outliers(steady(120, 0.5), 0.1),
        ("moving", "prod"): steady(100, 0.2),
        ("moving", "staging"): steady(300, 0.2),
    }
    history = {
        key: days_of(endpoint, RUNS_A_DAY, NIGHTS, dice, CHANGES.get(key))
        for key, endpoint in world.items()
    }
    history["once", "staging"] = days_of(steady(120, 0.9), 1, NIGHTS, dice)
    # the traffic moves to the environment that takes three times as long: nothing has slowed down
    for environment, is_left in (("prod", True), ("staging", False)):
        history["moving", environment] = [
            latencies[:1] if (day >= MOVE) is is_left else latencies
            for day, latencies in enumerate(history["moving", environment])
        ]
    return history


def load_history(warehouse: Connection, history: dict[tuple[str, str], Days]) -> None:
    """Four runs a day in each environment; a run sends each item once, as long as there are any."""
    runs: list[tuple[object, ...]] = []
    sent: list[tuple[object, ...]] = []
    for environment in ("prod", "staging"):
        for day in range(NIGHTS):
            for number in range(RUNS_A_DAY):
                run_id = f"{environment} {day} {number}"
                began = dt.datetime.combine(FIRST_DAY, dt.time(3 + number), dt.UTC)
                began += dt.timedelta(days=day)
                runs.append((run_id, environment, began, began))
                sent += [
                    (run_id, index, f"id {item}", item, days[day][number])
                    for index, ((item, place), days) in enumerate(history.items())
                    if place == environment and number < len(days[day])
                ]
    with warehouse.cursor() as cursor:
        cursor.executemany(
            "insert into raw_postman.collection_runs"
            " (run_id, collection_id, environment_id, status, started_at, finished_at, load_id)"
            " values (%s, 'c1', %s, 'finished', %s, %s, 1)",
            runs,
        )
        cursor.executemany(
            "insert into raw_postman.executions (run_id, execution_index, execution_id, item_name,"
            " response_status_code, response_time_ms) values (%s, %s, %s, %s, 200, %s)",
            sent,
        )


def test_dbt_finds_what_was_planted_and_nothing_else(
    dbt_warehouse_url: str, dbt_target: Path
) -> None:
    history = planted(random.Random(5))  # noqa: S311 - dice, no secret
    with psycopg.connect(dbt_warehouse_url, autocommit=True) as warehouse:
        load_history(warehouse, history)
        dbt(dbt_warehouse_url, dbt_target, "run", "--select", "+dim_requests")
        found = rows(
            warehouse,
            "select item_name, environment_id, business_date - '2026-03-01'::date, slowdown_z,"
            " recent_tail_share, is_regression from marts.fct_request_latency_daily",
        )
        health = dict(rows(warehouse, "select item_name, current_health from marts.dim_requests"))
    expected = {}
    for (item, environment), days in history.items():
        for day in range(NIGHTS):
            recent, before = windows(days, day)
            z, share = mann_whitney_z(recent, before), tail_share(recent, before)
            expected[item, environment, day] = (z, share, is_slower(recent, before))
    assert {
        tuple(key): pytest.approx(tuple(figures))
        for *key, z, share, verdict in found
        for figures in [(z, share, verdict)]
    } == expected

    alarms: dict[tuple[str, str], list[int]] = defaultdict(list)
    for item, environment, day, _, _, is_regression in found:
        if is_regression:
            alarms[item, environment].append(day)
    false_days = 0
    for key, days_of_alarm in alarms.items():
        change = CHANGES.get(key, NIGHTS)
        false_days += sum(day < change for day in days_of_alarm)
    assert false_days <= 0.02 * len(found)
    for key, change in CHANGES.items():
        assert set(alarms[key]) & set(range(change, change + 7))
    assert alarms["moving", "staging"] == alarms["moving", "prod"] == []
    assert health == {
        "quick": "slow",
        "slow": "slow",
        "noisy": "healthy",
        "moving": "healthy",
        "once": "healthy",
    }
