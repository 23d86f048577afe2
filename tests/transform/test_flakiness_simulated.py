"""What the rules for flaky tests and outages cost and bring, in simulated suites through real dbt.

Planted coins are to be found, sound tests are not to be accused, whatever goes wrong around them.
Bounds, not figures: a rule that is changed shows its price here.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.support.dbt import Connection, dbt, rows

FIRST_NIGHT = datetime(2026, 1, 1, 2, tzinfo=UTC)
NIGHTS, TESTS, SERVICES = 160, 90, 6
WARM_UP = 50
RATES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
OUT_OF_ONE = ("service", "small service", "partial", "few", "pairs")
OUTS = {"pairs": 0.5}  # how often a night has an outage, 0.06 elsewhere
RELEASES = {"releases": 2, "big releases": 6}  # tests that each breaks, at most
WORLDS = ("calm", *OUT_OF_ONE, "everything", "bad weeks", "noisy", *RELEASES)


@dataclass
class Suite:
    """Which tests fail in which night: `flaky` are planted coins, `sound` are not to blame."""

    services: list[int]
    flaky: list[int]
    rates: list[float]
    sound: list[int]
    failed: list[set[int]] = field(default_factory=lambda: [set() for _ in range(NIGHTS)])

    @classmethod
    def of(cls, world: str, dice: random.Random) -> "Suite":
        """As many tests as the world has, of which some are flaky and some broken."""
        number, weights, flaky, broken = TESTS, [1.0] * SERVICES, 12, 4
        if world == "small service":
            weights = [50, 25, 12, 7, 4, 2]
        if world == "few":
            number, weights, flaky, broken = 8, [1, 1], 1, 1
        if world == "noisy":
            flaky = 36
        services = dice.choices(range(len(weights)), weights, k=number)
        tests = dice.sample(range(number), number)
        # Both of one kind: where one is broken, nothing tells when their service is out.
        if world == "pairs":
            for place, test in enumerate(tests):
                services[test] = place // 2
        rates = [RATES[place % len(RATES)] for place in range(flaky)]
        suite = cls(services, tests[:flaky], rates, tests[flaky + broken :])
        for failed in suite.failed:
            failed.update(tests[flaky : flaky + broken])
        return suite

    def fails(self, night: int, nights: int, tests: list[int]) -> None:
        """These tests fail in so many nights."""
        for failed in self.failed[night : night + nights]:
            failed.update(tests)


def simulated(world: str, dice: random.Random) -> Suite:
    suite = Suite.of(world, dice)
    tests = range(len(suite.services))
    for night, failed in enumerate(suite.failed):
        failed.update(
            test
            for test, rate in zip(suite.flaky, suite.rates, strict=True)
            if dice.random() < rate
        )
        share, out = 0.0, -1
        if world in OUT_OF_ONE and dice.random() < OUTS.get(world, 0.06):
            share = dice.choice((0.5, 0.8, 1)) if world == "partial" else 1
            out = dice.choice(sorted(set(suite.services)))
        if world == "everything" and dice.random() < 0.06:
            share = dice.choice((0.5, 0.9, 1))
        if world == "bad weeks" and 70 <= night < 84:
            share = dice.choice((0.2, 0.4, 0.8))
        failed.update(
            test for test in tests if out in (-1, suite.services[test]) and dice.random() < share
        )
        if world in RELEASES and night % 7 in {0, 2, 4}:  # each breaks something that is mended
            broken = dice.sample(tests, dice.randint(1, RELEASES[world]))
            suite.fails(night, dice.randint(1, 5), broken)
    for test in suite.sound[: len(tests) // 10]:  # a fault that was mended, of one night or of many
        suite.fails(dice.randrange(NIGHTS - 1), dice.choice((1, 3, 10, 30)), [test])
    return suite


def store(warehouse: Connection, world: str, suite: Suite) -> None:
    with warehouse.cursor() as cursor:
        with cursor.copy(
            "copy raw_postman.collection_runs (run_id, collection_id, status, source, started_at,"
            " load_id) from stdin"
        ) as copy:
            for night in range(NIGHTS):
                started_at = FIRST_NIGHT + timedelta(days=night)
                copy.write_row((f"{world} {night}", world, "finished", "newman", started_at, 1))
        with cursor.copy(
            "copy raw_postman.executions (run_id, execution_index, execution_id, item_name,"
            " request_url, response_status_code) from stdin"
        ) as copy:
            for night in range(NIGHTS):
                for test, service in enumerate(suite.services):
                    url = f"https://service-{service}.example.test/"
                    copy.write_row((f"{world} {night}", test, f"{test}", f"{test}", url, 200))
        with cursor.copy(
            "copy raw_postman.assertions (run_id, execution_index, assertion_index, name, passed)"
            " from stdin"
        ) as copy:
            for night, failed in enumerate(suite.failed):
                for test in range(len(suite.services)):
                    copy.write_row((f"{world} {night}", test, 0, "ok", test not in failed))


@pytest.fixture
def warehouse(dbt_warehouse_url: str) -> Iterator[Connection]:
    with psycopg.connect(dbt_warehouse_url, autocommit=True) as connection:
        yield connection


@pytest.mark.slow
def test_planted_coins_are_found_and_sound_tests_are_not_accused(
    dbt_warehouse_url: str, warehouse: Connection, dbt_target: Path
) -> None:
    suites = {
        f"{world} {seed}": simulated(world, random.Random(f"{world} {seed}"))  # noqa: S311 - coins
        for world in WORLDS
        # each of few sound tests that releases happen to break twice, for a run, is a whole percent
        for seed in range(4 if world in RELEASES else 1)
    }
    for world, suite in suites.items():
        store(warehouse, world, suite)
    dbt(dbt_warehouse_url, dbt_target, "run", "--select", "+dim_tests", "+fct_outages")

    verdicts: dict[str, dict[int, list[tuple[int, bool]]]] = {suite: {} for suite in suites}
    for world, test, night, is_flaky in rows(
        warehouse,
        """
        select
            tests.collection_or_project_id, tests.item_name::integer,
            days.business_date - date '2026-01-01', coalesce(days.is_flaky, false)
        from marts.fct_test_flakiness as days
        inner join marts.dim_tests as tests using (test_key)
        """,
    ):
        verdicts[world].setdefault(test, []).append((night, is_flaky))
    outages = dict(
        rows(
            warehouse,
            "select collection_or_project_id, count(*) from marts.fct_outages group by 1",
        )
    )

    def days_flaky(world: str, test: int) -> list[bool]:
        return [is_flaky for night, is_flaky in verdicts[world][test] if night >= WARM_UP]

    found = {
        rate: [
            is_flaky
            for world, suite in suites.items()
            for test, planted in zip(suite.flaky, suite.rates, strict=True)
            if planted == rate
            for is_flaky in days_flaky(world, test)
        ]
        for rate in RATES
    }
    recall = {rate: sum(days) / len(days) for rate, days in found.items()}
    assert sum(recall.values()) / len(RATES) >= 0.85, recall
    assert min(recall[rate] for rate in RATES if rate >= 0.1) >= 0.95, recall
    accused = {
        world: [
            any(is_flaky for _, is_flaky in verdicts[suite][test])
            for suite in suites
            if suite.startswith(f"{world} ")
            for test in suites[suite].sound
        ]
        for world in WORLDS
    }
    # A sound test that releases broke twice, for one run each, is like a coin of 1 %.
    shares = {world: sum(tests) / len(tests) for world, tests in accused.items()}
    assert max(shares.values()) < 0.02, shares
    assert sum(map(sum, accused.values())) < 0.01 * sum(map(len, accused.values())), shares
    by_chance = ("calm", "noisy", *RELEASES)
    assert max(outages.get(f"{world} 0", 0) for world in by_chance) <= 3, outages
    certain = ("service", "pairs", "everything", "bad weeks")
    assert min(outages[f"{world} 0"] for world in certain) >= 5, outages
