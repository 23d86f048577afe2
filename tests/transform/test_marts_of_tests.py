"""The marts of tests on a real Postgres: planted tests are found, and any history is judged right.

Formulas one by one are dbt's own unit tests, beside the models.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.support.dbt import Connection, dbt, insert, rows
from tests.support.mart_oracle import Result, days, streaks

MARTS = ("+dim_tests", "+fct_failure_streaks", "+fct_failure_clusters")
FIRST_NIGHT = datetime(2026, 3, 1, 2, tzinfo=UTC)
FIGURES = [
    f"facts.{window}_{figure}"
    for window in ("recent", "long")
    for figure in (
        *("results", "transitions", "flip_rate", "flip_rate_low", "flip_rate_high"),
        *("passed", "pass_rate", "pass_rate_low", "pass_rate_high", "entropy_bits"),
    )
]
# name and occurrence of the assertion, environment
Test = tuple[str | None, int, str | None]
# environment, start, and a list an iteration of what was asserted: name and outcome
Run = tuple[str | None, datetime | None, list[list[tuple[str | None, str]]]]


@pytest.fixture
def warehouse(dbt_warehouse_url: str) -> Iterator[Connection]:
    with psycopg.connect(dbt_warehouse_url, autocommit=True) as connection:
        yield connection


def load(
    warehouse: Connection,
    run_id: str,
    asserted: Sequence[Sequence[tuple[str | None, str, str | None]]],
    **run: Any,
) -> None:
    """A Postman run of one item an iteration, of which each assertion is (name, letter, error)."""
    for table in ("collection_runs", "executions", "assertions"):
        warehouse.execute(f"delete from raw_postman.{table} where run_id = %s".encode(), [run_id])
    defaults = {"collection_id": "c", "status": "finished", "source": "newman", "load_id": 1}
    insert(warehouse, "raw_postman.collection_runs", {"run_id": run_id} | defaults | run)
    for index, assertions in enumerate(asserted):
        key = {"run_id": run_id, "execution_index": index}
        extra = Jsonb({"iteration": index})
        insert(warehouse, "raw_postman.executions", key | {"item_name": "item", "extra": extra})
        for position, (name, letter, error) in enumerate(assertions):
            told = {"assertion_index": position, "name": name, "passed": letter == "P"}
            skipped = Jsonb({"skipped": True}) if letter == "S" else None
            insert(
                warehouse,
                "raw_postman.assertions",
                key | told | {"error": error, "extra": skipped},
            )


def test_planted_tests_are_found_and_steady_ones_are_not_accused(
    dbt_warehouse_url: str, warehouse: Connection, dbt_target: Path
) -> None:
    planted = {
        "steady": "P" * 30,
        "one bad night": "P" * 10 + "F" + "P" * 19,
        "always red": "F" * 30,
        "flaky": "P" * 23 + "FPFPPFP",
        "broken": "P" * 26 + "FFFF",
        "mended": "P" * 22 + "FFFF" + "P" * 4,
        "failed last": "P" * 29 + "F",
        "worse": "P" * 22 + "FF" + "P" * 6,
        "young": "-" * 25 + "PFPFP",
        "skipped": "S" * 30,
    }
    names = list(planted)
    insert(warehouse, "raw_testmo.automation_sources", {"id": 5, "name": "web", "load_id": 1})
    for night in range(30):
        started_at = FIRST_NIGHT + timedelta(days=night)
        letters = [(name, planted[name][night]) for name in names]
        items = [(name, letter, f"{name}: {night}") for name, letter in letters if letter != "-"]
        load(warehouse, f"{night}", [items], started_at=started_at)
        run = {"run_id": night, "project_id": 7, "source_id": 5, "load_id": 1}
        insert(warehouse, "raw_testmo.automation_runs", run | {"created_at": started_at})
        for number, (name, letter) in enumerate(letters):
            status = {"P": 2, "F": 3, "S": 1}.get(letter)
            test = {"run_id": night, "automation_test_id": number, "name": name, "status": status}
            # flaky under another name every night: its case says that it is one test
            case = {"automation_case_id": 1, "name": f"flaky {night}"} if name == "flaky" else {}
            if status:
                insert(warehouse, "raw_testmo.automation_run_tests", test | case)
    load(warehouse, "queued", [[("steady", "F", "steady: 0")]], status="queued")

    dbt(dbt_warehouse_url, dbt_target, "run", "--select", *MARTS)

    verdicts = {
        "steady": "healthy",
        "one bad night": "healthy",
        "always red": "broken",
        "flaky": "flaky",
        "broken": "broken",
        "mended": "recovering",
        "failed last": "regressing",
        "worse": "regressing",
        "young": "new",
        "skipped": "new",
    }
    for system, name in (("postman", "assertion_name"), ("testmo", "test_name")):
        told = dict(
            rows(
                warehouse,
                f"select replace({name}, ' 29', ''), health from marts.dim_tests"
                f" where system = '{system}'",
            )
        )
        assert told == verdicts, system
    assert rows(
        warehouse,
        """
        select tests.assertion_name, days.recent_transitions from marts.fct_test_flakiness as days
        inner join marts.dim_tests as tests using (test_key)
        where days.is_flaky and days.business_date = '2026-03-30' and tests.system = 'postman'
        order by days.recent_flip_rate desc
        """,
    ) == [("flaky", 6)]
    # still red, longest first; the queued failure has no time, and so no streak
    assert rows(
        warehouse,
        """
        select tests.assertion_name, streaks.failures from marts.fct_failure_streaks as streaks
        inner join marts.dim_tests as tests using (test_key)
        where streaks.is_open and tests.system = 'postman' order by streaks.first_failed_at
        """,
    ) == [("always red", 30), ("broken", 4), ("failed last", 1)]
    assert rows(
        warehouse,
        """
        select normalised_message, failures, failures_not_started, tests
        from marts.fct_failure_clusters order by failures desc, normalised_message limit 2
        """,
    ) == [("", 47, 0, 8), ("always red: <number>", 30, 0, 1)]
    assert rows(
        warehouse,
        "select failures, failures_not_started, first_seen_at from marts.fct_failure_clusters"
        " where normalised_message = 'steady: <number>'",
    ) == [(1, 1, None)]
    assert rows(
        warehouse,
        "select assertion_name, results_not_started from marts.dim_tests"
        " where results_not_started > 0",
    ) == [("steady", 1)]


def test_any_history_of_changes_ends_as_plain_python_judges_what_is_there(
    dbt_warehouse_url: str, warehouse: Connection, dbt_target: Path
) -> None:
    dice = random.Random(20260301)  # noqa: S311 - histories, not secrets
    runs: dict[str, Run] = {}

    def put(run_id: str) -> None:
        """A run like no other: of any night, in any environment, loaded later than all before."""
        environment = dice.choice([None, "", "e"])
        # several runs start at once, several iterations are in one run
        night = FIRST_NIGHT + timedelta(days=dice.randrange(60), hours=12 * dice.randrange(2))
        started_at = None if dice.random() < 0.05 else night
        asserted = [
            [(name, dice.choice("PPPPFFS")) for name in (None, "", "a", "a")]
            for _ in range(dice.choice([1, 1, 2]))
        ]
        runs[run_id] = environment, started_at, asserted
        load(
            warehouse,
            run_id,
            [[(name, letter, None) for name, letter in item] for item in asserted],
            environment_id=environment,
            started_at=started_at,
            loaded_at=FIRST_NIGHT + timedelta(days=100, seconds=next(clock)),
        )

    def delete(run_id: str) -> None:
        del runs[run_id]
        statement = "update raw_postman.collection_runs set deleted_at = now() where run_id = %s"
        warehouse.execute(statement, [run_id])

    clock = iter(range(1000))
    for number in range(120):
        put(f"{number:03}")
    dbt(dbt_warehouse_url, dbt_target, "run", "--select", *MARTS)
    for number in range(0, 20, 4):
        put(f"{number:03}")
        delete(f"{number + 1:03}")
    # as if it had failed: what it has not seen must wait for it
    late = ("--exclude", "fct_failure_streaks")
    dbt(dbt_warehouse_url, dbt_target, "run", "--select", *MARTS, *late)
    for number in range(115, 125):
        put(f"{number:03}")
    delete("050")
    dbt(dbt_warehouse_url, dbt_target, "run", "--select", *MARTS)

    assert rows(warehouse, "select * from staging.int_test_changes") == []
    known = results_of(runs)
    told = rows(
        warehouse,
        f"""
        select
            tests.assertion_name, tests.assertion_occurrence, facts.environment_id,
            facts.business_date, facts.results_total, facts.results_passed, facts.results_failed,
            {", ".join(FIGURES)}, facts.is_flaky, verdicts.health
        from marts.fct_test_flakiness as facts
        inner join marts.fct_test_health as verdicts using (test_environment_key, business_date)
        inner join marts.dim_tests as tests on facts.test_key = tests.test_key
        """,
    )
    assert {row[:4]: row[4:] for row in told} == {
        (*test, day): pytest.approx(expected, abs=1e-9)
        for test, results in known.items()
        for day, expected in days(results).items()
    }
    assert {"broken", "flaky", "new", "regressing"} <= {row[-1] for row in told}
    told = rows(
        warehouse,
        """
        select
            tests.assertion_name, tests.assertion_occurrence, facts.environment_id,
            facts.first_failed_run_key, facts.first_failed_at, facts.failures, facts.recovered_at,
            facts.duration_seconds, facts.seconds_since_recovery
        from marts.fct_failure_streaks as facts
        inner join marts.dim_tests as tests using (test_key)
        """,
    )
    assert Counter(told) == Counter(
        (*test, *streak) for test, results in known.items() for streak in streaks(results)
    )
    failed = Counter(
        started_at is None
        for _, started_at, asserted in runs.values()
        for item in asserted
        for _, letter in item
        if letter == "F"
    )
    assert rows(
        warehouse,
        "select normalised_message, failures, failures_not_started, tests"
        " from marts.fct_failure_clusters",
    ) == [("", failed.total(), failed[True], 4)]


def results_of(runs: dict[str, Run]) -> dict[Test, list[Result]]:
    """The results of the runs that have started, a list a test and environment."""
    known: dict[Test, list[Result]] = {}
    for run_id, (environment, started_at, asserted) in runs.items():
        if started_at is None:
            continue
        position = 0
        for item in asserted:
            seen: Counter[str | None] = Counter()
            for name, letter in item:
                seen[name] += 1
                position += 1
                outcome = {"P": "passed", "F": "failed", "S": "skipped"}[letter]
                result = Result(outcome, started_at, (run_id, position), f"postman:{run_id}")
                known.setdefault((name, seen[name], environment), []).append(result)
    return known
