"""The marts of tests on a real Postgres: planted tests are found, and any history is judged right.

Formulas one by one are dbt's own unit tests, beside the models.
"""

import hashlib
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.support import flat_runs
from tests.support.dbt import Connection, dbt, insert, marts, rows
from tests.support.flat_runs import FlatRun
from tests.support.mart_oracle import (
    Days,
    Outcome,
    Streak,
    SuiteRun,
    needed_episodes,
    outages,
    same_code,
    streaks,
    worst,
)

MARTS = (
    *("+dim_tests", "+fct_failure_streaks", "+fct_failure_clusters", "+fct_outages"),
    "+fct_same_code_flakiness",
)
FIRST_NIGHT = datetime(2026, 3, 1, 2, tzinfo=UTC)
FIGURES = [
    f"facts.{window}_{figure}"
    for window in ("recent", "long")
    for figure in (
        *("results", "transitions", "flip_rate", "flip_rate_low", "flip_rate_high"),
        *("passed", "pass_rate", "pass_rate_low", "pass_rate_high", "entropy_bits"),
    )
]
PLACE = """coalesce(
    tests.request_key, tests.system || ' ' || coalesce(tests.class_name, tests.test_folder)
)"""
NAME = "regexp_replace(coalesce(tests.assertion_name, tests.test_name), '[0-9]+', '#')"
# request_key or folder, normalised name of the test, environment
Test = tuple[str, str, str | None]
# So few tests as these histories have must be enough to say what is usual among them.
FEWEST_BESIDE = 8
VARS = ("--vars", f"flaky_usual_tests: {FEWEST_BESIDE}")
NEEDED = -4  # episodes_needed among the figures of a day


@dataclass
class Run:
    """A run as invented: items of (ID, name, host, assertions), which are (name, letter)."""

    run_id: str
    environment: str | None
    started_at: datetime | None
    items: list[tuple[str, str, str, list[tuple[str, str]]]]
    code: flat_runs.Code = flat_runs.NO_CODE


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
            values_of_mart = {"assertion_index": position, "name": name, "passed": letter == "P"}
            skipped = Jsonb({"skipped": True}) if letter == "S" else None
            insert(
                warehouse,
                "raw_postman.assertions",
                key | values_of_mart | {"error": error, "extra": skipped},
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
        "removed": "P" * 18 + "-" * 12,
        "returned": "P" * 10 + "-" * 12 + "P" * 8,
        "now and then": "P-" * 15,
    }
    names = list(planted)
    insert(warehouse, "raw_testmo.automation_sources", {"id": 5, "name": "web", "load_id": 1})
    for night in range(30):
        started_at = FIRST_NIGHT + timedelta(days=night)
        letters = [(name, planted[name][night]) for name in names]
        items = [(name, letter, f"{name}: {night}") for name, letter in letters if letter != "-"]
        # newman makes up an ID for an environment without one: it names nothing
        made_up = {"environment_id": f"made up {night}"}
        load(warehouse, f"{night}", [items], started_at=started_at, **made_up)
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
        "removed": "gone",
        "returned": "healthy",
        "now and then": "healthy",
    }
    for system, name in (("postman", "assertion_name"), ("testmo", "test_name")):
        values_of_mart = dict(
            rows(
                warehouse,
                f"select replace({name}, ' 29', ''), health from marts.dim_tests"
                f" where system = '{system}'",
            )
        )
        assert values_of_mart == verdicts, system
    assert rows(
        warehouse,
        """
        select tests.assertion_name, days.episodes from marts.fct_test_flakiness as days
        inner join marts.dim_tests as tests using (test_key)
        where days.is_flaky and days.business_date = '2026-03-30' and tests.system = 'postman'
        order by days.episodes desc
        """,
    ) == [("flaky", 3)]
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
        select normalised_message, normalised_name, failures, failures_not_started, tests
        from marts.fct_failure_clusters order by failures desc, normalised_message limit 2
        """,
    ) == [("", "always red", 30, 0, 1), ("always red: <number>", "always red", 30, 0, 1)]
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


def put_run(warehouse: Connection, run: Run, loaded_at: datetime) -> None:
    load(warehouse, run.run_id, [], environment_id=run.environment, started_at=run.started_at,
         loaded_at=loaded_at)  # fmt: skip
    flat_runs.put_code(warehouse, "postman", run.run_id, run.code)
    for index, (item_id, name, host, assertions) in enumerate(run.items):
        key = {"run_id": run.run_id, "execution_index": index}
        url = {"execution_id": item_id, "item_name": name, "request_url": f"https://{host}/x"}
        insert(warehouse, "raw_postman.executions", key | url | {"response_status_code": 200})
        for position, (assertion, letter) in enumerate(assertions):
            values_of_mart = {
                "assertion_index": position,
                "name": assertion,
                "passed": letter == "P",
            }
            skipped = Jsonb({"skipped": True}) if letter == "S" else None
            insert(warehouse, "raw_postman.assertions", key | values_of_mart | {"extra": skipped})


def random_run(dice: random.Random, number: int) -> Run:
    """A run of some of ten items of two hosts; now and then a host is out, or IDs are made up."""
    night = FIRST_NIGHT + timedelta(days=dice.randrange(60), hours=12 * dice.randrange(2))
    run_id = f"{number:03}"
    out = dice.choices([None, "pay.test", ""], [17, 2, 1])[0]
    has_own_ids = dice.random() < 0.9
    items = []
    for item in range(10):
        host = "pay.test" if item < 6 else "shop.test"
        # items 8 and 9 have one name; item 7 was renamed
        name = {7: f"item {'b' if night.month > 3 else 'a'}", 9: "item 8"}.get(item, f"item {item}")
        for _ in range(dice.choices([0, 1, 2], [2, 12, 2])[0]):
            is_out = out is not None and host.startswith(out) and dice.random() < 0.9
            weights = [1, 8, 1] if is_out else [(40, 1, 2), (12, 6, 1), (8, 8, 8)][item % 3]
            letters = [dice.choices("PFS", weights)[0] for _ in range(2)]
            asserted = [("ok", letters[0]), (f"Order {dice.randrange(9999)} is paid", letters[1])]
            item_id = f"id {item}" if has_own_ids else f"id {item} of {run_id}"
            items.append((item_id, name, host, asserted))
    started_at = None if dice.random() < 0.04 else night
    commits = [(f"c{commit}", "d2", None) for commit in range(6)]
    half_known = [("c1", None, None), (None, "d1", None), ("c1", "d1", None)]
    code = dice.choice([flat_runs.NO_CODE, *half_known, *commits])
    return Run(run_id, dice.choice([None, "", "e"]), started_at, items, code)


@pytest.mark.builds
def test_any_history_of_changes_ends_as_plain_python_judges_what_is_there(
    dbt_warehouse_url: str, warehouse: Connection, dbt_target: Path
) -> None:
    dice = random.Random(20260301)  # noqa: S311 - histories, not secrets
    clock = iter(range(1000))
    runs: dict[str, Run] = {}
    flat: dict[int, FlatRun] = {}

    def put(number: int) -> None:
        """A run like no other: of any night, in any environment, loaded later than all before."""
        run = runs[f"{number:03}"] = random_run(dice, number)
        put_run(warehouse, run, FIRST_NIGHT + timedelta(days=100, seconds=next(clock)))

    def delete(number: int) -> None:
        del runs[f"{number:03}"]
        statement = "update raw_postman.collection_runs set deleted_at = now() where run_id = %s"
        warehouse.execute(statement, [f"{number:03}"])

    def put_flat(number: int) -> None:
        night = FIRST_NIGHT + timedelta(days=dice.randrange(60))
        run = flat[number] = flat_runs.random_run(dice, number, night)
        loaded_at = FIRST_NIGHT + timedelta(days=100, seconds=next(clock))
        flat_runs.put(warehouse, run, loaded_at, dice)

    for number in range(150):
        put(number)
    for number in range(100):
        put_flat(number)
    dbt(dbt_warehouse_url, dbt_target, "run", "--select", *MARTS, *VARS)
    for number in range(0, 20, 4):
        put(number)
        delete(number + 1)
        put_flat(number)
        put_flat(number + 1)
        flat_runs.remove(warehouse, flat.pop(number + 2))
        flat_runs.remove(warehouse, flat.pop(number + 3))
    # the code of a run becomes known later, and what statuses mean on the instance
    flat[50].code = ("c1", None, None)
    flat_runs.put_code(warehouse, "reports", flat[50].run_id, flat[50].code)
    flat_runs.explain_statuses(warehouse)
    # as if it had failed: what it has not seen must wait for it
    late = ("--exclude", "int_failure_streaks")
    dbt(dbt_warehouse_url, dbt_target, "run", "--select", *MARTS, *late, *VARS)
    for number in range(145, 155):
        put(number)
    delete(50)
    for number in range(95, 105):
        put_flat(number)
    # newman's JSON report of the same run has come
    flat_runs.supersede(warehouse, flat.pop(60))
    # a night of one environment that is seen once, and so is none; and a second one of another
    for number, environment in ((160, "once"), (161, "twice"), (162, "twice")):
        put(number)
        runs[f"{number}"].environment = environment
        put_run(warehouse, runs[f"{number}"], FIRST_NIGHT + timedelta(days=101))
    dbt(dbt_warehouse_url, dbt_target, "run", "--select", *MARTS, *VARS)

    assert rows(warehouse, "select * from staging.int_test_changes") == []
    runs["160"].environment = None
    known, out = expected_verdicts(runs, flat.values())
    assert_days_and_verdicts(warehouse, known, out)
    assert_streaks(warehouse, known, out)
    assert_same_code(warehouse, known, out)
    assert sum(map(len, out.values())) > 20
    assert rows(warehouse, "select sum(tests_hit), sum(failures) from marts.fct_outages") == [
        (
            sum(map(len, out.values())),
            sum(len(streak.failed) for found in out.values() for streak in found),
        )
    ]
    incremental = marts(warehouse)
    dbt(dbt_warehouse_url, dbt_target, "run", "--select", *MARTS, *VARS, "--full-refresh")
    assert marts(warehouse) == incremental


def scope_of(test: Test) -> tuple[str, str | None]:
    """The system of a test, which has one collection, project or source here, and environment."""
    system, space, _ = test[0].partition(" ")
    return system if space else "postman", test[2]


def assert_days_and_verdicts(
    warehouse: Connection, known: dict[Test, list[Outcome]], out: dict[Test, list[Streak]]
) -> None:
    """Figures and verdicts of each test, environment and day."""
    values_of_mart = rows(
        warehouse,
        f"""
        select
            {PLACE}, {NAME},
            facts.environment_id, facts.business_date,
            facts.results_total, facts.results_passed, facts.results_failed,
            facts.results_in_outages, {", ".join(FIGURES)},
            facts.episodes, facts.results_since_episode, facts.failures_in_a_row,
            facts.is_in_outage, facts.undecided_in_a_row, facts.episodes_needed,
            facts.last_test_run_key,
            facts.is_flaky, verdicts.health
        from marts.fct_test_flakiness as facts
        inner join marts.fct_test_health as verdicts using (test_environment_key, business_date)
        inner join marts.dim_tests as tests on facts.test_key = tests.test_key
        """,
    )
    judged = {test: Days(outcomes, out[test]) for test, outcomes in known.items()}
    beside: dict[tuple[str, str | None, date], list[int]] = defaultdict(list)
    for test, days in judged.items():
        for day in days.all:
            episodes = days.episodes(day)
            if episodes is not None:
                beside[(*scope_of(test), day)].append(episodes)
    expected = {
        (*test, day): days.figures(
            day, needed_episodes(beside[(*scope_of(test), day)], least=FEWEST_BESIDE)
        )
        for test, days in judged.items()
        for day in days.all
    }
    assert len({figures[NEEDED] for figures in expected.values()}) >= 3
    assert {row[:4] for row in values_of_mart} == set(expected)
    for row in values_of_mart:
        assert row[4:-3] == pytest.approx(expected[row[:4]][:-3], abs=1e-9), row[:4]
        assert row[-3:] == expected[row[:4]][-3:], row[:4]
    assert {"broken", "flaky", "new", "regressing", "healthy"} <= {
        row[-1] for row in values_of_mart
    }


def assert_streaks(
    warehouse: Connection, known: dict[Test, list[Outcome]], out: dict[Test, list[Streak]]
) -> None:
    """Each streak of failures, and whether it began in an outage."""
    values_of_mart = rows(
        warehouse,
        f"""
        select
            {PLACE}, {NAME},
            facts.environment_id, facts.first_failed_run_key, facts.first_failed_at,
            facts.failures, facts.recovered_at, facts.outage_key is not null,
            facts.seconds_since_recovery
        from marts.fct_failure_streaks as facts
        inner join marts.dim_tests as tests using (test_key)
        """,
    )
    assert Counter(values_of_mart) == Counter(
        (
            *test,
            *(streak.failed[0].run_key, streak.failed[0].started_at, len(streak.failed)),
            streak.recovered and streak.recovered.started_at,
            any(streak.failed[0].run_key == one.failed[0].run_key for one in out[test]),
            before
            and before.recovered
            and (streak.failed[0].started_at - before.recovered.started_at).total_seconds(),
        )
        for test, outcomes in known.items()
        for before, streak in pairwise([None, *streaks(outcomes)])
        if streak
    )


def assert_same_code(
    warehouse: Connection, known: dict[Test, list[Outcome]], out: dict[Test, list[Streak]]
) -> None:
    """Figures and verdict of each test and environment over the codes that it ran on."""
    values_of_mart = rows(
        warehouse,
        f"""
        select
            {PLACE}, {NAME}, facts.environment_id, facts.code_identities, facts.same_code_groups,
            facts.mixed_groups, facts.results_decided, facts.results_failed,
            facts.results_in_outages, facts.mixed_rate, facts.mixed_rate_low, facts.mixed_rate_high,
            facts.is_flaky
        from marts.fct_same_code_flakiness as facts
        inner join marts.dim_tests as tests using (test_key)
        """,
    )
    expected = {
        test: figures
        for test, outcomes in known.items()
        if (figures := same_code(outcomes, out[test])) is not None
    }
    assert {row[:3] for row in values_of_mart} == set(expected)
    for row in values_of_mart:
        assert row[3:-1] == pytest.approx(expected[row[:3]][:-1], abs=1e-9), row[:3]
        assert row[-1] is expected[row[:3]][-1], row[:3]
    assert {row[-1] for row in values_of_mart} == {None, False, True}


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def digest(*parts: Any) -> str:
    return md5(json.dumps(parts))


def compared(run: Run) -> set[str]:
    """The digests of item IDs by which a run is compared with others."""
    return set(sorted({md5(item_id)[:16] for item_id, *_ in run.items})[:10])


def results_of(run: Run, *, recurs: bool) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Outcome and host of each result, by request_key and normalised name of the assertion."""
    items: dict[str, list[str]] = defaultdict(list)
    results: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for item_id, name, host, asserted in run.items:
        if item_id not in items[name]:
            items[name].append(item_id)
        number = items[name].index(item_id) + 1
        by_name = digest("item name", "c", name, number)
        key = digest("item ID", "c", item_id) if recurs else by_name
        for assertion, letter in asserted:
            outcome = {"P": "passed", "F": "failed", "S": "skipped"}[letter]
            results[key, re.sub("[0-9]+", "#", assertion)].append((outcome, host))
    return results


def expected_verdicts(
    runs: dict[str, Run], flat: Iterable[FlatRun]
) -> tuple[dict[Test, list[Outcome]], dict[Test, list[Streak]]]:
    """Outcomes of the runs that have started by test and environment, and its outage streaks."""
    seen = Counter(one for run in runs.values() for one in compared(run))
    known: dict[Test, list[Outcome]] = defaultdict(list)
    suites: dict[tuple[str | None, ...], list[tuple[datetime, str, SuiteRun]]] = defaultdict(list)
    for run in runs.values():
        if run.started_at is None:
            continue
        run_key = f"postman:{run.run_id}"
        results = results_of(run, recurs=any(seen[one] > 1 for one in compared(run)))
        for (key, assertion), found in results.items():
            word = worst(outcome for outcome, _ in found)
            host = next(host for outcome, host in found if outcome == word)
            code = run.code if any(run.code) else None
            known[key, assertion, run.environment].append(
                Outcome(word, run.started_at, run.run_id, run_key, key, host, code)
            )
        decided = [outcome for found in results.values() for outcome, _ in found]
        failed = decided.count("failed")
        of_suite = SuiteRun(run_key, failed, failed + decided.count("passed"))
        suites["postman", run.environment].append((run.started_at, run.run_id, of_suite))
    for one in flat:
        if one.started_at is not None:
            for test, outcome in flat_runs.outcomes(one).items():
                known[*test, one.environment].append(outcome)
            if one.tests:
                suite = (one.system, re.sub("[0-9]+", "#", one.kind), one.environment)
                suites[suite].append((one.started_at, one.run_id, flat_runs.suite_run(one)))
    return known, outage_streaks(known, suites)


def outage_streaks(
    known: dict[Test, list[Outcome]],
    suites: dict[tuple[str | None, ...], list[tuple[datetime, str, SuiteRun]]],
) -> dict[Test, list[Streak]]:
    """The streaks of each test that began in an outage of one of the suites."""
    owners: dict[int, Test] = {}
    of_runs: dict[str, list[Outcome]] = defaultdict(list)
    begun: list[Streak] = []
    for test, outcomes in known.items():
        of_test = streaks(outcomes)
        begun += of_test
        owners |= {id(streak): test for streak in of_test}
        for outcome in outcomes:
            of_runs[outcome.run_key].append(outcome)
    out: dict[Test, list[Streak]] = defaultdict(list)
    for of_suite in suites.values():
        ordered = [run for *_, run in sorted(of_suite, key=lambda one: one[:2])]
        for outage in outages(ordered, of_runs, begun):
            for streak in outage:
                out[owners[id(streak)]].append(streak)
    return out
