"""What a load says while it goes on, on a terminal and in a pipe."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.ingest.load_lines import detail_lines, format_minutes, scope_line
from pipelines.ingest.progress import NullProgress, ScopeReport
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.terminal.progress import load_progress
from tests.support.db import query
from tests.support.factories import BOOKS, COLLECTION, PROJECT, postman_run, testmo_run

ROOT = Path(__file__).resolve().parents[2]


def test_a_scope_that_failed_says_so_before_all_else() -> None:
    report = ScopeReport("postman", "c1", error="HTTP 502", requests={"GET /runs": 5})
    assert scope_line(report) == "postman c1: FAILED: HTTP 502; 5 requests"
    rows = {"raw_postman.collection_runs": 2, "raw_postman.executions": 1500}
    written = ScopeReport("postman", "c1", error="HTTP 502", rows=rows)
    assert "FAILED: HTTP 502; 2 runs, 1,502 rows written before;" in scope_line(written)


def test_verbose_adds_what_a_scope_cost() -> None:
    report = ScopeReport(
        "testmo",
        "1",
        requests={"GET /automation/runs": 12},
        rows={"raw_testmo.automation_runs": 1200, "raw_testmo.users": 0},
        bytes_received=2_500_000,
        waited_seconds=61.2,
        quota={"remaining": 48, "limit": 60},
    )
    assert detail_lines(report) == [
        "  12 requests: GET /automation/runs",
        "  1,200 rows: raw_testmo.automation_runs",
        "  2.5 MB received, 61 s waited for the rate limit, requests left: 48 of 60 this minute",
    ]


def test_a_forged_line_in_an_error_stays_in_its_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with load_progress() as progress:
        error = "HTTP 500: x\npostman c2: nothing new"
        progress.scope_ends(ScopeReport("postman", "c1", error=error))
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_minutes_read_as_hours_when_there_are_many() -> None:
    assert [format_minutes(value) for value in (0.2, 59.4, 60, 200)] == [
        *("about 1 min", "about 59 min", "about 1 h 0 min", "about 3 h 20 min")
    ]


class Sizes(NullProgress):
    """Keeps what is said before a first load."""

    def __init__(self) -> None:
        self.sizes: list[tuple[str, str, int, float]] = []

    def scope_sized(self, source: str, scope: str, runs: int, minutes: float) -> None:
        self.sizes.append((source, scope, runs, minutes))


def test_a_first_load_says_what_is_before_it_and_a_second_does_not(
    load: Callable[..., list[ScopeReport]], warehouse_url: str
) -> None:
    numbers = range(1, 231)
    data = SandboxData([*map(postman_run, numbers)], [*map(testmo_run, numbers)], BOOKS)
    progress = Sizes()
    with Sandbox(data, requests_per_minute=100_000) as sandbox:
        load(sandbox.settings, progress)
        load(sandbox.settings, progress)
        postman, testmo = progress.sizes
        # As if the first load had been stopped in the middle.
        query(
            warehouse_url,
            "with gone as (delete from ingest.run_states where source = 'testmo'"
            " and run_id::int < 131 returning 1) update ingest.watermarks set high_water ="
            " (select created_at from raw_testmo.automation_runs where run_id = 131)"
            " where source = 'testmo' returning 1",
        )
        load({**sandbox.settings, "TESTRUNS_LOOKBACK_HOURS": "0"}, progress)
    assert postman[:3] == ("postman", COLLECTION, 230)
    assert testmo[:3] == ("testmo", str(PROJECT), 230)
    # A page of the list is a request, and so is each run: its detail in Postman, its results here.
    assert postman[3] == pytest.approx((230 + 2.3) / 100_000)
    # Testmo announces no limit: the setting's ceiling holds.
    assert testmo[3] == pytest.approx((230 + 2.3) / 100_000)
    assert [(source, runs) for source, _, runs, _ in progress.sizes[2:]] == [("testmo", 131)]


def test_hours_of_loading_are_announced_before_they_begin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with load_progress() as progress:
        progress.scope_sized("postman", "c1", 60_000, 200.0)
    assert capsys.readouterr().err == (
        "testruns: postman c1: 60,000 runs to load, about 3 h 20 min at the allowed rate; "
        "a stopped load goes on where it was\n"
    )


def test_a_bar_is_for_the_terminal_and_lines_are_for_the_file(
    warehouse_url: str, tmp_path: Path
) -> None:
    data = SandboxData([postman_run(number) for number in range(3)], [], BOOKS)
    terminal, stderr = os.openpty()
    with Sandbox(data, requests_per_minute=1_000_000) as sandbox:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", "load", "--verbose"],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "TERM": "xterm-256color",
                "NO_COLOR": "1",
                "TESTRUNS_WAREHOUSE_URL": warehouse_url,
                "TESTRUNS_HOME": str(tmp_path / "home"),
                **sandbox.settings,
            },
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            timeout=60,
            check=False,
        )
    os.close(stderr)
    drawn = os.read(terminal, 1_000_000).decode()
    os.close(terminal)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert re.search(r"^postman \S+: 3 runs, 18 rows, 4 requests, up to", done.stdout, re.MULTILINE)
    assert "\x1b[" in drawn
    # NO_COLOR: 30 to 49 and their like are colours
    assert not re.search(r"\x1b\[(?:\d+;)*[349]\d[;m]", drawn)
