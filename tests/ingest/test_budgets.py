"""What a load may cost, as far as it can be counted: requests, statements, rows, modules.

Seconds are no business of a test: `make bench` has those. What is counted here is the same on any
machine, and grows unnoticed: a request a run, a statement a row, an import that drags in pandas.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pipelines.ingest.progress import ScopeReport
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.db import query
from tests.support.factories import BOOKS, postman_run, testmo_run

Load = Callable[..., list[ScopeReport]]

_RUNS = 240
_PAGES = 3
# The first page holds the lookback of 72 hours (the runs stand an hour apart), the second shows
# that it is over.
_LOOKBACK_PAGES = 2
_BATCH_RUNS = 40
# Once a second or so, and at either end, what is known of the API's limits is shared.
_LIMITS = 10


@pytest.fixture(scope="module")
def served() -> Iterator[Sandbox]:
    """240 runs of each API; the two oldest of Postman's have never ended."""
    open_runs = [
        postman_run(number, status="running", finishedAt=None) for number in range(_RUNS - 2, _RUNS)
    ]
    data = SandboxData(
        [*(postman_run(number) for number in range(_RUNS - 2)), *open_runs],
        [testmo_run(number) for number in range(1, _RUNS + 1)],
        BOOKS,
    )
    with Sandbox(data, requests_per_minute=1_000_000) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(served: Sandbox) -> Sandbox:
    """The same for each test: no request counted yet, no run added by another."""
    known = {run["id"] for run in served.data.postman_runs}
    for run in served.postman_runs[:]:
        if run["id"] not in known:
            served.remove_postman_run(run["id"])
    served.requests.clear()
    return served


def settings_of(sandbox: Sandbox, api: str) -> dict[str, str]:
    return {name: value for name, value in sandbox.settings.items() if name.startswith(api)}


def requests_by_kind(sandbox: Sandbox) -> Counter[str]:
    """Requests since the last call: lists, details, test results."""
    names = {"runs": "list", "tests": "tests"}
    kinds = Counter(
        names.get(request.path.rpartition("/")[2], "detail") for request in sandbox.requests
    )
    sandbox.requests.clear()
    return kinds


def test_requests_are_one_a_new_run_and_the_pages_of_the_list(load: Load, sandbox: Sandbox) -> None:
    variables = settings_of(sandbox, "POSTMAN")
    load(variables)
    first = requests_by_kind(sandbox)
    assert first["detail"] == _RUNS
    assert first.total() <= _RUNS + _RUNS // 100 + 2

    load(variables)
    assert requests_by_kind(sandbox) == {
        "list": _LOOKBACK_PAGES,
        "detail": 2,
    }  # the open runs, by ID

    load(variables)
    assert requests_by_kind(sandbox) == {
        "list": _LOOKBACK_PAGES
    }  # just requested, left alone for a while

    for number in range(10):
        sandbox.put_postman_run(postman_run(1000 + number, hours_ago=-1 - number))
    load(variables)
    assert requests_by_kind(sandbox) == {"list": _LOOKBACK_PAGES, "detail": 10}


def test_a_list_that_shows_all_is_read_without_a_detail(load: Load, sandbox: Sandbox) -> None:
    variables = settings_of(sandbox, "TESTMO")
    load(variables)
    # The sandbox has no test results, which two requests find out.
    assert requests_by_kind(sandbox) == {"list": _PAGES, "tests": 2}
    load(variables)
    assert requests_by_kind(sandbox) == {"list": 1}


@pytest.mark.parametrize("api", ["POSTMAN", "TESTMO"])
def test_a_load_without_news_writes_no_row(
    load: Load, sandbox: Sandbox, warehouse_url: str, api: str
) -> None:
    variables = settings_of(sandbox, api)
    assert sum(sum(report.rows.values()) for report in load(variables)) >= 6 * _RUNS
    load(variables)  # which asks for open runs
    states = "select source, run_id, xmin::text from ingest.run_states order by 1, 2"
    before = query(warehouse_url, states)
    [report] = load(variables)
    assert report.rows == {}
    assert query(warehouse_url, states) == before


class _Statements:
    """Statements that reach a warehouse from now on, by the server's own log."""

    def __init__(self, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            name = connection.info.dbname
            connection.execute(f"alter database \"{name}\" set log_statement = 'all'".encode())
            (data,) = connection.execute("show data_directory").fetchone() or ("",)
        self._log = Path(data).parent / "server.log"
        self._read = self._log.stat().st_size

    def since_last(self) -> list[str]:
        with self._log.open(encoding="utf-8") as log:
            log.seek(self._read)
            output = log.read()
            self._read = log.tell()
        return re.findall(r" LOG:  (?:statement|execute [^:]*): (.+)", output)


@pytest.mark.parametrize("api", ["POSTMAN", "TESTMO"])
def test_statements_are_a_dozen_a_batch_and_none_a_row(
    load: Load, sandbox: Sandbox, warehouse_url: str, api: str
) -> None:
    statements = _Statements(warehouse_url)
    variables = settings_of(sandbox, api)
    load(variables)
    first = statements.since_last()
    batches = first.count("COMMIT") - 2  # a load's row has a transaction of its own at either end
    # Testmo's list holds all: a page is a batch. Of details, a page's last batch is what is left.
    pages_alone = api == "TESTMO"
    assert 0 < batches <= _PAGES + (0 if pages_alone else -(-_RUNS // _BATCH_RUNS) - 1)
    assert len(first) <= 14 * batches + 25 + _LIMITS
    assert not [one for one in first if one.lower().startswith('insert into "raw_postman')]

    load(variables)
    statements.since_last()
    load(variables)
    assert 0 < len(statements.since_last()) <= 25 + _LIMITS


def imported(folder: Path, variables: dict[str, str], *arguments: str) -> set[str]:
    """Modules that `testruns …` imports, as Python itself lists them."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipelines.cli", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
    return {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


_HEAVY = {"dagster", "dagster_dbt", "dbt", "jinja2", "numpy", "pandas", "sqlalchemy"}


def test_a_load_imports_what_it_needs_and_nothing_for_people(
    sandbox: Sandbox, warehouse_url: str, tmp_path: Path
) -> None:
    variables = {
        **sandbox.settings,
        "TESTRUNS_WAREHOUSE_URL": warehouse_url,
        "TESTRUNS_HOME": str(tmp_path / "home"),
    }
    loading = imported(tmp_path, variables, "load")
    assert "pipelines.ingest.load" in loading
    assert not packages(loading) & (_HEAVY | {"rich"})
    assert len(loading) <= 600

    looking = imported(tmp_path, variables, "status")
    assert "pipelines.terminal.status" in looking
    # What reads, reads through SQLAlchemy.
    assert not packages(looking) & (_HEAVY - {"sqlalchemy"} | {"aiohttp", "httpx", "uvloop"})
    assert len(looking) <= 700


def test_help_imports_next_to_nothing(tmp_path: Path) -> None:
    helping = imported(tmp_path, {}, "--help")
    assert "click" in packages(helping)
    assert not packages(helping) & (_HEAVY | {"aiohttp", "msgspec", "psycopg", "pydantic"})
    assert len(helping) <= 140
