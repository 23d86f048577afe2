"""The demo as a newcomer runs it: one command, nothing set, and what it leaves to look at."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from pipelines.settings import load_settings
from pipelines.terminal.demo import demo_environment

pytestmark = pytest.mark.builds

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Demo:
    folder: Path
    output: str

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            cwd=self.folder,
            # The user's own warehouse is none of the demo's business, whatever is set.
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("newcomer")
    done = Demo(folder, "").run("demo")
    assert (done.returncode, done.stderr) == (0, "")
    demo = Demo(folder, done.stdout)
    yield demo
    demo.run("warehouse", "stop")


def without_figures(text: str) -> list[str]:
    """Its lines without what differs from run to run."""
    lines = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[\d,.]*\d", "0", text).splitlines()
    return [" ".join(line.split()) for line in lines]


def test_the_readme_shows_what_the_demo_prints(demo: Demo) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- demo -->\n```\n(.*?)```", readme, re.DOTALL)
    assert shown is not None
    lines = without_figures(shown[1])
    assert len(lines) > 12
    printed = iter(without_figures(demo.output))
    # In this order; `…` stands for lines that are left out.
    assert [line for line in lines if line != "…" and line not in printed] == []


def test_the_summary_finds_what_the_history_hides(demo: Demo) -> None:
    _, flaky = demo.output.split("Flaky tests")
    assert "Filter by price: Results are sorted by price" in flaky.splitlines()[2]
    _, slow = demo.output.split("Slowest requests")
    assert "List transactions" in slow.splitlines()[2]
    outage = demo.output.index("  outage of Payments, ")
    assert demo.output.index("host payments.example.com, HTTP 503; 28 tests in 10 runs") > outage
    assert "still open" in demo.output
    assert "of the usual" in demo.output


def test_the_report_lies_where_the_demo_says(demo: Demo) -> None:
    named = re.search(r"^  (\S+\.html)$", demo.output, re.MULTILINE)
    assert named is not None
    page = (demo.folder / named[1]).read_text(encoding="utf-8")
    assert "Filter by price: Results are sorted by price" in page
    assert "Nightly devices / Cart: shows the total (64)" in page
    assert "see the run in Testmo" not in page
    assert len(page) < 1_000_000


def test_collections_and_projects_have_the_names_of_the_map(demo: Demo) -> None:
    _, health = demo.output.split("The last 14 days")
    named = {" ".join(line.split()[:3]) for line in health.splitlines()}
    assert {"testmo Web shop", "postman Shop checkout"} <= named


def test_the_psql_line_that_it_prints_opens_the_warehouse(demo: Demo) -> None:
    line = re.search(r"PGPASSFILE=(\S+) psql (\S+)", demo.output)
    assert line is not None
    with psycopg.connect(line[2], passfile=str(demo.folder / line[1])) as connection:
        rows = connection.execute("select count(*) > 500 from marts.fct_test_runs").fetchall()
    assert rows == [(True,)]


def test_the_reader_reads_the_marts_and_writes_nothing(demo: Demo) -> None:
    line = re.search(r"PGPASSFILE=(\S+) psql (\S+)", demo.output)
    assert line is not None
    url = line[2].replace("testruns@", "testruns_reader@")
    with psycopg.connect(url, passfile=str(demo.folder / line[1])) as connection:
        for table in ("marts.fct_test_runs", "bi.runs"):
            rows = connection.execute(f"select count(*) > 500 from {table}".encode()).fetchall()
            assert rows == [(True,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from raw_testmo.users")


def test_a_second_demo_leaves_the_first_its_warehouse(demo: Demo) -> None:
    settings = load_settings({"TESTRUNS_HOME": str(demo.folder / ".testruns")}, demo.folder)
    with demo_environment(settings, empty=False):
        refused = [demo.run("demo"), demo.run("dev")]
    for one in refused:
        assert one.returncode == 1
        complaint = one.stderr.splitlines()[-1]
        assert complaint.endswith("is in use by another testruns demo or dev; end it first")
    assert demo.run("status").returncode == 0


def test_status_shows_the_demo_while_nothing_else_is_set_up(demo: Demo) -> None:
    status = demo.run("status")
    assert status.returncode == 0
    assert "this is the demo's warehouse" in status.stderr
    assert "postman" in status.stdout
