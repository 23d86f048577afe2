"""An import killed before or after any of its commits, and one that is larger than its memory."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.contract import POSTMAN, REPORTS
from tests.support.crash import Gate
from tests.support.db import query, tables
from tests.support.fork_server import ForkServer
from tests.support.reports import as_bytes, case, execution, failed, junit, newman, passed

MOST_MIB = 150
# What the process has taken at most, by the kernel; rusage would count the process that started it.
MEASURED = """
import atexit, sys
atexit.register(lambda: sys.stderr.write(open("/proc/self/status").read()))
from pipelines.cli import main
main()
"""
JOB = '<properties><property name="pipeline_id" value="1"/></properties>'


def folder_of_reports(folder: Path) -> Path:
    reports_folder = folder / "reports"
    reports_folder.mkdir()
    executions = [
        execution(number, assertions=[passed("ok"), failed("bad")]) for number in range(3)
    ]
    (reports_folder / "a.json").write_bytes(as_bytes(newman(executions)))
    (reports_folder / "b.json").write_bytes(as_bytes(newman(executions[:2])))
    (reports_folder / "c.xml").write_text(junit(JOB, case("x"), case("y", "<failure/>"), case("y")))
    (reports_folder / "d.xml").write_text(junit(JOB, case("z")))
    (reports_folder / "e.txt").write_text("no report")
    return reports_folder


def test_killed_at_any_commit_the_next_import_ends_with_the_same_rows(
    fork_server: ForkServer, new_warehouse: Callable[[], str], tmp_path: Path
) -> None:
    reports = folder_of_reports(tmp_path)

    def imported(gate: Gate) -> int:
        variables = {"TESTRUNS_WAREHOUSE_URL": gate.url, "TESTRUNS_HOME": str(tmp_path / "home")}
        done = fork_server.run(tmp_path, variables, "import", str(reports))
        assert "Traceback" not in done.stderr
        return done.returncode

    url = new_warehouse()
    with Gate(url) as gate:
        assert imported(gate) == 0
        commits = gate.commits
    expected = tables(url, {**POSTMAN, **REPORTS})
    assert [len(rows) for rows in expected.values()] == [2, 5, 10, 1, 3, 2]
    assert commits >= 5

    for commit in range(1, commits + 1):
        for is_after in (False, True):
            killed_url = new_warehouse()
            with Gate(killed_url) as gate:
                variables = {
                    "TESTRUNS_WAREHOUSE_URL": gate.url, "TESTRUNS_HOME": str(tmp_path / "home"),
                }  # fmt: skip
                child = fork_server.start(variables, "import", str(reports))
                gate.kill_at(commit, child, after=is_after)
                assert child.end().returncode < 0
                gate.stop_killing()
                # What was committed is whole: a file that is loaded has its run.
                assert query(
                    killed_url,
                    "select path from ingest.imported_files where run_id is not null and run_id"
                    " not in (select run_id from raw_postman.collection_runs"
                    " union all select run_id from raw_reports.runs)",
                ) == []  # fmt: skip
                assert imported(gate) == 0
            assert tables(killed_url, {**POSTMAN, **REPORTS}) == expected
            assert query(
                killed_url, "select count(*) from ingest.loads where outcome = 'running'"
            ) == [(0,)]


def test_a_report_larger_than_the_memory_that_it_may_take(
    warehouse_url: str, tmp_path: Path
) -> None:
    one = execution(0)
    one["response"]["stream"]["data"] = ["@"]
    before, _, after = json.dumps(newman([one])).partition('"@"')
    path = tmp_path / "large.json"
    with path.open("w") as file:
        file.write(before)
        file.writelines("101, 102, 103, 104, 105, 106, 107, 108,\n" * 1000 for _ in range(4500))
        file.write(f"109{after}")
    assert path.stat().st_size > MOST_MIB * 2**20

    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "import", str(path)],
        env={
            "PATH": os.environ["PATH"], "TESTRUNS_WAREHOUSE_URL": warehouse_url,
            "TESTRUNS_HOME": str(tmp_path / "home"),
        },
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )  # fmt: skip

    [kib] = re.findall(r"VmHWM:\s+(\d+) kB", done.stderr)
    assert int(kib) < MOST_MIB * 1024
    assert query(warehouse_url, "select count(*) from raw_postman.executions") == [(1,)]
