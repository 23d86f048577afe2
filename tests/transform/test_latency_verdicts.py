"""What the rule for slower requests costs and finds in seeded worlds; dbt says the same."""

import datetime as dt
import math
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.support.dbt import Connection, dbt, rows
from tests.support.latency_oracle import (
    Days,
    flat,
    is_slower,
    normal_deviate,
    slowdown_z,
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


@dataclass(frozen=True)
class Host:
    """How all answers of a day vary together, and on which days of the week there are any.

    `moods` is the standard deviation of the logarithm of the factor of each day.
    """

    moods: float = 0
    monday: float = 1
    weekdays: range = range(7)


def days_of(
    endpoint: Endpoint,
    answers: int,
    number: int,
    dice: random.Random,
    slower_from: int | None = None,
    host: Host = Host(),
) -> Days:
    """The answers of each of a number of days; from one of them on they take half as long again."""
    days = []
    for day in range(number):
        factor = 1.5 if slower_from is not None and day >= slower_from else 1.0
        factor *= math.exp(dice.gauss(0, host.moods)) if host.moods else 1
        factor *= host.monday if day % 7 == 0 else 1
        sent = answers if day % 7 in host.weekdays else 0
        days.append([round(endpoint(dice) * factor) for _ in range(sent)])
    return days


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
        verdict for _ in range(60) for verdict in slower_days(days_of(endpoint, answers, 120, dice))
    ]
    assert sum(verdicts) < 0.02 * len(verdicts)


MOODY = {
    "10 %": (Host(0.1), 20, 0.4),
    "20 %": (Host(0.2), 20, 0.2),
    "20 %, few answers": (Host(0.2), 4, 0.2),
    "20 %, once a day": (Host(0.2), 1, 0.4),
    "20 %, many answers": (Host(0.2), 60, 0.4),
    "30 %": (Host(0.3), 20, 0.6),
    "30 %, working days": (Host(0.3, weekdays=range(5)), 20, 0.2),
    "slow Mondays": (Host(monday=1.3), 20, 0.2),
    "20 %, slow Mondays": (Host(0.2, monday=1.3), 20, 0.2),
    "20 %, once a week": (Host(0.2, weekdays=range(1)), 20, 0.2),
}


@pytest.mark.parametrize("world", MOODY)
def test_a_host_that_is_busy_on_some_days_is_no_slowdown(world: str) -> None:
    host, answers, spread = MOODY[world]
    dice = random.Random(f"moody {world}")  # noqa: S311 - dice, no secret
    verdicts = [
        verdict
        for _ in range(60)
        for verdict in slower_days(days_of(steady(400, spread), answers, 120, dice, host=host))
    ]
    assert sum(verdicts) < 0.02 * len(verdicts)


@pytest.mark.parametrize("answers", [4, 8, 20])
@pytest.mark.parametrize(("median", "spread"), [(50, 0.1), (50, 0.4), (400, 0.25), (3000, 0.4)])
def test_half_as_slow_again_is_found_within_a_week_from_four_answers_a_day_on(
    answers: int, median: float, spread: float
) -> None:
    assert share_found(Host(), answers, median, spread) >= 0.84


@pytest.mark.parametrize(
    ("host", "answers", "spread"),
    [
        (Host(0.1), 4, 0.4),
        (Host(0.1, weekdays=range(5)), 8, 0.4),
        (Host(0.2), 4, 0.2),
        (Host(0.2), 20, 0.4),
        (Host(monday=1.3), 4, 0.4),
    ],
)
def test_half_as_slow_again_is_found_on_a_busy_host(
    host: Host, answers: int, spread: float
) -> None:
    assert share_found(host, answers, 400, spread) >= 0.84


def share_found(host: Host, answers: int, median: float, spread: float) -> float:
    """Of endpoints that take half as long again: how many are found within a week."""
    dice = random.Random(f"slower {host} {answers} {median} {spread}")  # noqa: S311
    change, trials = 40, 50
    endpoint = steady(median, spread)
    return (
        sum(
            any(slower_days(days_of(endpoint, answers, change + 7, dice, change, host), change))
            for _ in range(trials)
        )
        / trials
    )


USUAL: Days = [[100.0, 104.0], [96.0, 102.0], [98.0, 100.0]] * 4


def test_one_answer_of_a_minute_moves_no_rank() -> None:
    assert not is_slower([[100], [97], [103], [60_000], [60_000]], USUAL)
    assert is_slower([[130], [140], [150], [135], [120]], USUAL)


def test_many_answers_of_one_slow_day_are_one_day() -> None:
    assert not is_slower([[100], [97], [103], [101], [300.0] * 100], USUAL)


@pytest.mark.parametrize(
    ("days", "t"), [(3, 31.821), (4, 6.965), (5, 4.541), (12, 2.764), (27, 2.485), (35, 2.445)]
)
def test_one_threshold_judges_any_number_of_days(days: int, t: float) -> None:
    # t by the tables: exceeded by chance in 1 of 100
    deviate = normal_deviate(t, days - 2)
    assert deviate < 2.33
    if days >= 5:
        assert deviate == pytest.approx(2.326, abs=0.06)


def test_two_days_are_too_few_and_equal_ones_say_nothing() -> None:
    assert slowdown_z([[400.0] * 9], [[100.0] * 20]) is None
    assert slowdown_z([[100.0] * 9] * 3, [[100.0] * 20] * 9) is None
    assert slowdown_z([[1.0, 4], [2, 3]], [[2.0, 3], [1, 4]]) is None


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
            z, share = slowdown_z(recent, before), tail_share(flat(recent), flat(before))
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
    assert all(day < MOVE for day in alarms["moving", "staging"] + alarms["moving", "prod"])
    assert health == {
        "quick": "slow",
        "slow": "slow",
        "noisy": "healthy",
        "moving": "healthy",
        "once": "healthy",
    }
