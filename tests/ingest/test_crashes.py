"""Killed at any moment, a load is an earlier watermark: the next one ends with the same tables."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from pipelines.ingest.load import load_source
from pipelines.ingest.progress import ScopeReport
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from tests.support.contract import POSTMAN, REFERENCES, TESTMO
from tests.support.crash import Gate, KillingSandbox
from tests.support.db import query, tables
from tests.support.factories import BOOKS, postman_run, testmo_run
from tests.support.fork_server import ChildProcess, Done, ForkServer
from tests.support.oracle import references, tables_of_postman, tables_of_testmo

RUNS = "raw_postman.collection_runs"
POSTMAN_RUNS = [postman_run(number) for number in range(230)]
TESTMO_RUNS = [testmo_run(number) for number in range(1, 131)]
# What no load can parse: details that are no object, and a record without an ID on each page.
SPOILED = {"run-7", "run-90", "run-133", "run-229", "30", "128"}
WITHOUT_ID = {"status": "finished", "name": "nobody"}


def results(run: dict[str, Any]) -> list[dict[str, Any]]:
    """As many test results as the run counts, in one page; of one run three pages."""
    return [
        {"automation_test_id": 10_000 * run["id"] + number, "name": f"test {number}", "status": 12}
        for number in range(2_300 if run["id"] == 60 else run["total_count"])
    ]


EXPECTED = {
    **tables_of_postman([run for run in POSTMAN_RUNS if run["id"] not in SPOILED], POSTMAN),
    **tables_of_testmo(
        [run for run in TESTMO_RUNS if str(run["id"]) not in SPOILED], TESTMO, results
    ),
    **references(TESTMO_RUNS, BOOKS, REFERENCES),
}
SET_ASIDE = {
    *(("postman", run_id, "7") for run_id in SPOILED if run_id.startswith("run")),
    *(("testmo", run_id, "7") for run_id in SPOILED if not run_id.startswith("run")),
    ("postman", None, json.dumps(WITHOUT_ID)),
    ("testmo", None, json.dumps(WITHOUT_ID)),
    *(
        ("testmo", str(run["id"]), json.dumps(WITHOUT_ID))
        for run in TESTMO_RUNS
        if str(run["id"]) not in SPOILED
    ),
}
# The most that a batch may hold is a page of the list (design: "From bytes to rows").
ONE_BATCH = 100


class Spoiling(KillingSandbox):
    """Answers with details and records that nobody can parse."""

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        response = await super()._serve(request)
        if response.status == 200:
            assert isinstance(response.body, bytes)
            body = json.loads(response.body)
            member = "runs" if "runs" in body else "run" if "run" in body else "result"
            if isinstance(body[member], list):
                body[member].append(WITHOUT_ID)
            elif request.path.rpartition("/")[2] in SPOILED:
                body[member] = 7
            response.body = json.dumps(body).encode()
        return response


@pytest.fixture(scope="module")
def sandbox() -> Iterator[KillingSandbox]:
    data = SandboxData(POSTMAN_RUNS, TESTMO_RUNS, BOOKS, results)
    with Spoiling(data, testmo_list_is_bare=True, requests_per_minute=1_000_000) as sandbox:
        yield sandbox


def variables(sandbox: Sandbox, url: str, home: Path) -> dict[str, str]:
    return {
        **sandbox.settings,
        "POSTMAN_REQUESTS_PER_MINUTE": "1000000",
        "TESTRUNS_WAREHOUSE_URL": url,
        "TESTRUNS_HOME": str(home),
    }


def details(sandbox: Sandbox) -> Counter[str]:
    """How often each run was requested, by its ID; test results as `3/tests`."""
    return Counter(
        request.path.rpartition("/runs/")[2]
        for request in sandbox.requests
        if not request.path.endswith("/runs")
    )


def held(url: str) -> set[str]:
    return {run_id for (run_id,) in query(url, "select run_id from ingest.run_states")}


def assert_whole(url: str) -> None:
    assert tables(url, {**POSTMAN, **TESTMO, **REFERENCES}) == EXPECTED
    set_aside = query(url, "select source, run_id, payload from ingest.rejected_records")
    assert sorted(set_aside, key=str) == sorted(SET_ASIDE, key=str)


@dataclass(frozen=True)
class Kill:
    """One process that was killed: how, how many details it had requested, how many for nothing."""

    how: str
    requested: int
    lost: int


class Lives:
    """A warehouse and the loads that die over it."""

    def __init__(self, sandbox: KillingSandbox, fork_server: ForkServer, url: str) -> None:
        self.sandbox, self._fork_server, self.url = sandbox, fork_server, url

    def live(self, how: str, number: int, gate: Gate) -> Kill | None:
        """A load that is to be killed; None: it came to its end before."""
        self.sandbox.requests.clear()
        before = held(self.url)
        child = self._fork_server.start(
            variables(self.sandbox, gate.url, self._fork_server.folder), "load"
        )
        timer = self._threaten(child, how, number, gate)
        done = child.end()
        if timer is not None:
            timer.cancel()
        self.sandbox.stop_killing()
        gate.stop_killing()
        if done.returncode == 0:
            return None
        assert done.returncode == -signal.SIGKILL, done.stderr
        # What of it was committed is seen once its session has ended.
        query(
            self.url,
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
            " where application_name like 'testruns %' and datname = current_database()",
        )
        requested = {run_id for run_id in details(self.sandbox) if not run_id.endswith("/tests")}
        return Kill(how, len(requested), len(requested - (held(self.url) - before)))

    def _threaten(
        self, child: ChildProcess, how: str, number: int, gate: Gate
    ) -> threading.Timer | None:
        match how:
            case "at a request":
                self.sandbox.kill_after(number, child)
            case "before a commit" | "after a commit":
                gate.kill_at(number, child, after=how == "after a commit")
            case _:
                timer = threading.Timer(number / 1000, child.kill)
                timer.start()
                return timer
        return None


WAYS = {
    "at a request": 200,
    "before a commit": 4,
    "after a commit": 3,
    "after a time": 150,  # ms
}


@pytest.fixture(scope="module", params=[20, pytest.param(180, marks=pytest.mark.slow)])
def kills(
    request: pytest.FixtureRequest,
    sandbox: KillingSandbox,
    fork_server: ForkServer,
    new_warehouse: Callable[[], str],
) -> list[Kill]:
    """So many kills; each warehouse, once a load over it has come to its end, was whole."""
    dice = Random(request.param)  # noqa: S311 - no secret
    done: list[Kill] = []
    while len(done) < request.param:
        url = new_warehouse()
        with Gate(url) as gate:
            lives = Lives(sandbox, fork_server, url)
            while True:
                how = list(WAYS)[len(done) % len(WAYS)]
                is_last = len(done) >= request.param
                kill = lives.live(how, 10**6 if is_last else dice.randint(1, WAYS[how]), gate)
                if kill is None:
                    break
                done.append(kill)
        assert_whole(url)
    return done


def test_killed_at_any_moment_loads_come_to_the_same_tables(kills: list[Kill]) -> None:
    ways = Counter(kill.how for kill in kills)
    assert set(ways) == set(WAYS)
    assert sum(kill.requested for kill in kills) > 10 * len(kills)


def test_a_kill_costs_no_more_than_one_batch_of_details_again(kills: list[Kill]) -> None:
    assert max(kill.lost for kill in kills) <= ONE_BATCH


@pytest.mark.slow
def test_killed_before_or_after_each_of_its_commits_a_load_is_gone_on_with(
    sandbox: KillingSandbox, fork_server: ForkServer, new_warehouse: Callable[[], str]
) -> None:
    url = new_warehouse()
    with Gate(url) as gate:
        assert Lives(sandbox, fork_server, url).live("after a time", 10**6, gate) is None
    assert_whole(url)
    assert gate.commits >= 9

    lost = []
    for commit in range(1, gate.commits + 1):
        for how in ("before a commit", "after a commit"):
            url = new_warehouse()
            with Gate(url) as one:
                lives = Lives(sandbox, fork_server, url)
                kill = lives.live(how, commit, one)
                assert kill is not None
                lost.append(kill.lost)
                assert lives.live("after a time", 10**6, one) is None
            assert_whole(url)
            outcomes = Counter(query(url, "select outcome from ingest.loads"))
            assert outcomes[("succeeded",)] >= 2
            assert outcomes[("running",)] == 0
    assert max(lost) <= ONE_BATCH


def test_a_process_started_from_the_shell_is_no_different(
    warehouse_url: str, sandbox: KillingSandbox, fork_server: ForkServer, tmp_path: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "load"],
        env={"PATH": os.environ["PATH"], **variables(sandbox, warehouse_url, tmp_path)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        sandbox.kill_after(150, ChildProcess(process.pid, lambda: Done("testruns", 0)))
        output, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, output
    assert 0 < len(held(warehouse_url)) < len(POSTMAN_RUNS)

    again = fork_server.run(tmp_path, variables(sandbox, warehouse_url, tmp_path), "load")
    assert again.returncode == 0
    assert_whole(warehouse_url)
    outcomes = "select outcome from ingest.loads order by load_id"
    assert query(warehouse_url, outcomes) == [("interrupted",), ("succeeded",), ("succeeded",)]


def test_two_loads_at_once_fetch_and_write_everything_once(
    warehouse_url: str,
    make_settings: Callable[[dict[str, str]], Settings],
    sandbox: KillingSandbox,
    tmp_path: Path,
) -> None:
    settings = make_settings(variables(sandbox, warehouse_url, tmp_path))
    sandbox.requests.clear()

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
    requested = details(sandbox)
    assert requested.pop("60/tests") == 3
    assert set(requested.values()) == {1}
    rows = Counter[str]()
    for report in reports:
        rows.update(report.rows)
    assert rows[RUNS] == len(POSTMAN_RUNS) - 4
    assert rows["raw_testmo.automation_runs"] == len(TESTMO_RUNS) - 2
