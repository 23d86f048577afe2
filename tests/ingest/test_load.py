"""From the sandbox to the warehouse: the tables are what was served, and stay so as it changes."""

import gc
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.ingest.progress import NullProgress
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.history import seeded_history
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from pipelines.sources.base import FlatRun
from pipelines.sources.spec import SourceName
from tests.support.db import everything, query
from tests.support.factories import BOOKS, COLLECTION, NOW, PROJECT, postman_run, testmo_run
from tests.support.loads import RUNS, Load, assert_equal_to, hourly_runs, requests_by_kind


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(hourly_runs()) as sandbox:
        yield sandbox


@pytest.mark.parametrize("is_bare", [False, True])
def test_a_whole_history_is_loaded_row_for_row_and_only_once(
    load: Load, warehouse_url: str, *, is_bare: bool
) -> None:
    data = seeded_history(datetime(2026, 5, 4, 3, tzinfo=UTC), days=20)
    with Sandbox(data, testmo_list_is_bare=is_bare) as sandbox:
        variables = sandbox.settings
        first = load(variables)
        assert [report.error for report in first] == [None] * 7
        runs = (data.postman_runs, data.testmo_runs, data.testmo_books)
        assert_equal_to(warehouse_url, *runs, data.testmo_tests)
        details = requests_by_kind(sandbox)
        details.pop("list")
        # A page of test results a run.
        assert details.pop("tests") == len(data.testmo_runs)
        assert set(details.values()) == {1}
        assert len(details) == len(data.postman_runs) + is_bare * len(data.testmo_runs)

        before = everything(warehouse_url)
        second = load(variables)
        open_runs = [run["id"] for run in data.postman_runs if run["status"] == "running"]
        if is_bare:
            open_runs += [str(run["id"]) for run in data.testmo_runs if not run["is_completed"]]
        again = requests_by_kind(sandbox)
        assert again.pop("list") <= 2 * 7
        assert again == Counter(open_runs)
        assert {report.error for report in second} == {None}
        assert not any(report.rows for report in second)
        assert everything(warehouse_url) == before

        # Open runs have just been requested, and are left alone for a while.
        load(variables)
        assert set(requests_by_kind(sandbox)) == {"list"}
        assert everything(warehouse_url) == before


def test_what_is_new_is_loaded_and_the_rest_left_as_it_is(
    load: Load, warehouse_url: str, sandbox: Sandbox
) -> None:
    load(sandbox.settings)
    before = everything(warehouse_url)
    requests_by_kind(sandbox)
    sandbox.put_postman_run(postman_run(100, hours_ago=-1))
    sandbox.put_testmo_run(testmo_run(101, hours_ago=-1))
    reports = load(sandbox.settings)

    # The sandbox has no test results: one request finds that it still is so.
    assert requests_by_kind(sandbox) == {"list": 2, "run-100": 1, "tests": 1}
    assert [sum(report.rows.values()) for report in reports] == [1 + 2 + 3, 1 + 1 + 1 + 3]
    after = everything(warehouse_url)
    for table, rows in before.items():
        assert set(map(repr, rows)) <= set(map(repr, after[table])), table
    assert_equal_to(
        warehouse_url,
        [*(postman_run(number) for number in range(12)), postman_run(100, -1)],
        [*(testmo_run(number) for number in range(1, 11)), testmo_run(101, -1)],
        BOOKS,
    )


def test_a_run_that_has_changed_replaces_itself_and_its_children(
    load: Load, warehouse_url: str, sandbox: Sandbox
) -> None:
    load(sandbox.settings)
    [(first_loaded_at, load_id)] = query(
        warehouse_url, f"select first_loaded_at, load_id from {RUNS} where run_id = 'run-3'"
    )
    requests_by_kind(sandbox)
    whole = postman_run(3)
    shorter = postman_run(
        3, duration=7, status="failed", executions=whole["executions"][1:], reran=True
    )
    thread = {**testmo_run(4)["threads"][0], "id": 99}
    changed = testmo_run(4, threads=[thread], tags=["main"], links=[], name="again")
    sandbox.put_postman_run(shorter)
    sandbox.put_testmo_run(changed)
    load(sandbox.settings)

    assert requests_by_kind(sandbox) == {"list": 2, "run-3": 1, "tests": 1}
    assert_equal_to(
        warehouse_url,
        [postman_run(number) if number != 3 else shorter for number in range(12)],
        [testmo_run(number) if number != 4 else changed for number in range(1, 11)],
        BOOKS,
    )
    [stamps] = query(
        warehouse_url,
        f"select first_loaded_at, loaded_at > first_loaded_at, load_id from {RUNS}"
        " where run_id = 'run-3'",
    )
    assert stamps[:2] == (first_loaded_at, True)
    assert stamps[2] > load_id
    others = f"select count(*) from {RUNS} where loaded_at = first_loaded_at and run_id <> 'run-3'"
    assert query(warehouse_url, others) == [(11,)]


def test_a_run_whose_summary_is_the_same_costs_no_request(
    load: Load, warehouse_url: str, sandbox: Sandbox
) -> None:
    load(sandbox.settings)
    requests_by_kind(sandbox)
    # The summary has no `duration`, so the list does not tell.
    sandbox.put_postman_run(postman_run(3, duration=77))
    load(sandbox.settings)

    assert requests_by_kind(sandbox) == {"list": 2}
    durations = f"select duration_ms from {RUNS} where run_id = 'run-3'"
    assert query(warehouse_url, durations) == [(1003,)]


def test_a_run_that_lands_late_is_loaded_within_the_lookback(
    load: Load, warehouse_url: str
) -> None:
    history = [postman_run(number) for number in range(0, 500, 2)]
    with Sandbox(SandboxData(history, [], BOOKS)) as sandbox:
        load(sandbox.settings)
        sandbox.put_postman_run(postman_run(71))
        sandbox.put_postman_run(postman_run(401))
        load(sandbox.settings)

    landed = f"select run_id from {RUNS} where run_id in ('run-71', 'run-401')"
    assert query(warehouse_url, landed) == [("run-71",)]


def test_only_the_newest_page_is_requested_without_a_lookback(load: Load, sandbox: Sandbox) -> None:
    variables = {**sandbox.settings, "TESTRUNS_LOOKBACK_HOURS": "0"}
    load(variables)
    sandbox.put_testmo_run(testmo_run(100, hours_ago=1))
    requests_by_kind(sandbox)

    [_, testmo] = load(variables)
    assert testmo.rows["raw_testmo.automation_runs"] == 1
    assert requests_by_kind(sandbox) == {"list": 2, "tests": 1}


def test_a_reference_that_is_renamed_is_written_and_its_neighbours_are_not(
    load: Load, warehouse_url: str, sandbox: Sandbox
) -> None:
    load(sandbox.settings)
    users = "select name, loaded_at > first_loaded_at from raw_testmo.users"
    assert query(warehouse_url, users) == [("Ada", False)]
    renamed = SandboxData(
        [], [testmo_run(number) for number in range(1, 11)], {**BOOKS, "users": {"2": "Ada L."}}
    )
    with Sandbox(renamed) as later:
        [report] = load(later.settings)

    assert report.rows == {"raw_testmo.users": 1}
    assert query(warehouse_url, users) == [("Ada L.", True)]
    configs = "select loaded_at = first_loaded_at from raw_testmo.configs"
    assert query(warehouse_url, configs) == [(True,)]


def test_the_watermark_is_the_newest_run(load: Load, warehouse_url: str, sandbox: Sandbox) -> None:
    load(sandbox.settings)
    marks = "select source, scope, high_water, cursor from ingest.watermarks order by source"

    assert query(warehouse_url, marks) == [
        ("postman", COLLECTION, NOW, None),
        ("testmo", str(PROJECT), NOW - timedelta(hours=1), None),
    ]


def test_an_empty_history_is_no_failure(load: Load, warehouse_url: str) -> None:
    data = SandboxData([postman_run(1)], [], BOOKS)
    with Sandbox(data) as sandbox:
        sandbox.remove_postman_run("run-1")
        reports = load(sandbox.settings)

        assert [(report.error, report.rows) for report in reports] == [(None, {})] * 2
        sandbox.put_postman_run(postman_run(2))
        load(sandbox.settings)
    assert query(warehouse_url, f"select run_id from {RUNS}") == [("run-2",)]


def test_each_scope_has_a_watermark_of_its_own(load: Load, warehouse_url: str) -> None:
    other = "99-aaaa"
    runs = [postman_run(number) for number in range(5)]
    runs += [postman_run(100 + number, 900 + number, collectionId=other) for number in range(5)]
    projects = [testmo_run(number) for number in range(1, 4)]
    projects += [testmo_run(100 + number, 900 + number, project_id=6) for number in range(4)]
    with Sandbox(SandboxData(runs, projects, BOOKS)) as sandbox:
        load(sandbox.settings)
        late = postman_run(200, 899, collectionId=other)
        sandbox.put_postman_run(late)
        load(sandbox.settings)

    assert_equal_to(warehouse_url, [*runs, late], projects, BOOKS)
    marks = dict(query(warehouse_url, "select scope, high_water from ingest.watermarks"))
    assert marks[COLLECTION] == NOW
    assert marks[other] == NOW - timedelta(hours=899)
    assert marks["6"] == NOW - timedelta(hours=900)


class Watching(NullProgress):
    """Counts what is held in memory whenever a batch is about to be committed."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.held: list[int] = []
        # What is there already is not looked through at each batch.
        gc.freeze()

    def runs_fetched(self, source: SourceName, scope: str, runs: int) -> None:  # noqa: ARG002
        self.batches.append(runs)
        self.held.append(sum(type(thing) is FlatRun for thing in gc.get_objects()))


@pytest.mark.parametrize("is_bare", [False, True])
def test_a_load_holds_a_few_hundred_runs_however_long_the_history(
    load: Load, *, is_bare: bool
) -> None:
    data = SandboxData(
        [postman_run(number) for number in range(400)],
        [testmo_run(number) for number in range(1, 401)],
        BOOKS,
    )
    watching = Watching()
    with Sandbox(data, testmo_list_is_bare=is_bare) as sandbox:
        reports = load(sandbox.settings, watching)

    assert {report.error for report in reports} == {None}
    assert sum(watching.batches) == 800
    assert max(watching.batches) <= 200
    # One batch being committed, one being gathered, and 64 steps read ahead.
    assert max(watching.held) <= 200 + 200 + 64


def test_a_batch_of_large_runs_is_small(load: Load) -> None:
    heavy = [postman_run(number, note="x" * 700_000) for number in range(12)]
    watching = Watching()
    with Sandbox(SandboxData(heavy, [], BOOKS)) as sandbox:
        load(sandbox.settings, watching)

    assert sum(watching.batches) == 12
    assert max(watching.batches) <= 3


def test_a_load_imports_neither_dagster_nor_dbt_nor_pandas(
    sandbox: Sandbox, make_settings: Callable[[dict[str, str]], Settings], warehouse_url: str
) -> None:
    check = (
        "import sys\n"
        "from pipelines.cli import cli\n"
        "status = cli(['load'], standalone_mode=False)\n"
        "heavy = {'dagster', 'dagster_dbt', 'dbt', 'pandas', 'numpy', 'sqlalchemy'}\n"
        "print(status, sorted(heavy & set(sys.modules)))\n"
    )
    settings = make_settings(sandbox.settings)
    variables = {
        **sandbox.settings,
        "TESTRUNS_WAREHOUSE_URL": warehouse_url,
        "TESTRUNS_HOME": str(settings.testruns_home),
        "PATH": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", check],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "0 []"
    assert query(warehouse_url, f"select count(*) from {RUNS}") == [(12,)]
