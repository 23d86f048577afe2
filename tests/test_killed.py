"""Killed at any moment, a load is an earlier watermark: the next one ends with the same tables."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from contract import POSTMAN, REFERENCES, TESTMO
from expected import references, tables_of_postman, tables_of_testmo
from invented import BOOKS, postman_run, testmo_run
from reading import query, tables

from pipelines.load import load_source
from pipelines.progress import ScopeReport, Silence
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings, Source

Json = dict[str, Any]
Load = Callable[..., list[ScopeReport]]

RUNS = "raw_postman.collection_runs"
POSTMAN_RUNS = [postman_run(number) for number in range(330)]
TESTMO_RUNS = [testmo_run(number) for number in range(1, 241)]
QUICKLY = {"TESTMO_REQUESTS_PER_MINUTE": "6000"}
# A page is a batch; while one is committed the next is gathered.
MOST_AGAIN = 200 + 16


class Deadly(Sandbox):
    """A sandbox that kills its client when the request of a number arrives."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.victim: subprocess.Popen[str] | None = None
        self.kill_at = 0

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        if self.victim is not None and len(self.requests) >= self.kill_at:
            os.kill(self.victim.pid, signal.SIGKILL)
            self.victim = None
        return await super()._serve(request)


@pytest.fixture
def sandbox() -> Iterator[Deadly]:
    data = SandboxData(POSTMAN_RUNS, TESTMO_RUNS, BOOKS)
    with Deadly(data, testmo_list_is_bare=True) as sandbox:
        yield sandbox


def details(sandbox: Sandbox) -> Counter[str]:
    """How often each run was asked for."""
    return Counter(
        request.path for request in sandbox.requests if not request.path.endswith("/runs")
    )


def assert_whole(url: str) -> None:
    assert tables(url, POSTMAN) == tables_of_postman(POSTMAN_RUNS, POSTMAN)
    assert tables(url, TESTMO) == tables_of_testmo(TESTMO_RUNS, TESTMO)
    assert tables(url, REFERENCES) == references(TESTMO_RUNS, BOOKS, REFERENCES)


class PowerCutError(Exception):
    """Nothing in the package expects this."""


class PowerCut(Silence):
    """Ends a load as the commit of that number, counting those with runs, is about to begin."""

    def __init__(self, commit: int) -> None:
        self._left = commit

    def runs_fetched(self, source: Source, scope: str, runs: int) -> None:  # noqa: ARG002
        self._left -= bool(runs)
        if not self._left:
            raise PowerCutError


@pytest.mark.parametrize("commit", [1, 2, 3])
def test_a_load_that_ends_before_any_commit_is_gone_on_with(
    load: Load, warehouse_url: str, sandbox: Deadly, commit: int
) -> None:
    with pytest.raises(PowerCutError):
        load({**sandbox.settings, **QUICKLY}, PowerCut(commit))
    held = query(warehouse_url, f"select count(*) from {RUNS}")
    assert held == [(100 * (commit - 1),)]
    fetched = sum(details(sandbox).values())
    load({**sandbox.settings, **QUICKLY})

    assert_whole(warehouse_url)
    again = sum(details(sandbox).values()) - len(POSTMAN_RUNS) - len(TESTMO_RUNS)
    assert again <= min(MOST_AGAIN, fetched)
    outcomes = "select outcome from ingest.loads order by load_id"
    assert query(warehouse_url, outcomes) == [("interrupted",), ("succeeded",), ("succeeded",)]


def test_a_load_that_ends_at_every_second_commit_still_comes_to_its_end(
    load: Load, warehouse_url: str, sandbox: Deadly
) -> None:
    kills = 0
    while True:
        try:
            load({**sandbox.settings, **QUICKLY}, PowerCut(2))
        except PowerCutError:
            kills += 1
            assert kills < 12
        else:
            break

    assert kills >= 4
    assert_whole(warehouse_url)
    again = sum(details(sandbox).values()) - len(POSTMAN_RUNS) - len(TESTMO_RUNS)
    assert again <= kills * MOST_AGAIN
    marks = "select cursor from ingest.watermarks"
    assert query(warehouse_url, marks) == [(None,), (None,)]


def test_a_process_that_is_killed_loses_nothing_and_doubles_nothing(
    load: Load,
    warehouse_url: str,
    make_settings: Callable[[dict[str, str]], Settings],
    sandbox: Deadly,
    tmp_path: Path,
) -> None:
    home = str(make_settings(sandbox.settings).testruns_home)
    environment = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME")},
        **sandbox.settings,
        **QUICKLY,
        "TESTRUNS_WAREHOUSE_URL": warehouse_url,
        "TESTRUNS_HOME": home,
    }
    loaded = 0
    for requests_later in (0, 130, 240, 240):
        before = sum(details(sandbox).values())
        sandbox.kill_at = len(sandbox.requests) + requests_later
        with subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", "load"],
            env=environment,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            sandbox.victim = process
            said, _ = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, said
        statement = (
            f"select (select count(*) from {RUNS}) + count(*) from raw_testmo.automation_runs"
        )
        [(held,)] = query(warehouse_url, statement)
        fetched = sum(details(sandbox).values()) - before
        assert fetched - (held - loaded) <= MOST_AGAIN
        loaded = held

    assert 0 < loaded < len(POSTMAN_RUNS) + len(TESTMO_RUNS)
    assert {report.error for report in load({**sandbox.settings, **QUICKLY})} == {None}
    assert_whole(warehouse_url)
    outcomes = dict(query(warehouse_url, "select outcome, count(*) from ingest.loads group by 1"))
    assert outcomes["succeeded"] >= 2
    assert outcomes["interrupted"] == 4


def test_two_loads_at_once_fetch_and_write_everything_once(
    warehouse_url: str, make_settings: Callable[[dict[str, str]], Settings], sandbox: Deadly
) -> None:
    settings = make_settings({**sandbox.settings, **QUICKLY})

    def both(_number: int) -> list[ScopeReport]:
        return [
            report
            for source in settings.configured_sources
            for report in load_source(settings, source, warehouse_url)
        ]

    with ThreadPoolExecutor(2) as threads:
        reports = [report for done in threads.map(both, range(2)) for report in done]

    assert {report.error for report in reports} == {None}
    assert_whole(warehouse_url)
    assert set(details(sandbox).values()) == {1}
    rows = Counter[str]()
    for report in reports:
        rows.update(report.rows)
    assert rows[RUNS] == len(POSTMAN_RUNS)
    assert rows["raw_testmo.automation_runs"] == len(TESTMO_RUNS)
