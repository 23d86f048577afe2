"""Several first nights at once, on a home that nobody has used."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.db import query
from tests.support.factories import BOOKS, postman_run, testmo_run

OPEN = """
import sys, uuid
from pipelines.orchestration.instance import open_instance
from pipelines.settings import load_settings
print("ready", flush=True)
sys.stdin.readline()
with open_instance(load_settings(), str(uuid.uuid4())) as instance:
    assert instance.get_runs_count() == 0
"""


@pytest.mark.builds
def test_processes_that_are_the_first_on_a_home_wait_for_one_another(tmp_path: Path) -> None:
    home = tmp_path / "home"
    root = str(Path(__file__).resolve().parents[2])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": root, "TESTRUNS_HOME": str(home)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0], ended


@pytest.mark.slow
def test_two_first_nights_at_once_both_succeed(
    new_warehouse: Callable[[], str], tmp_path: Path
) -> None:
    url = new_warehouse()
    data = SandboxData([postman_run(1)], [testmo_run(1)], BOOKS)
    with Sandbox(data, requests_per_minute=60_000) as sandbox:
        environment = {
            **sandbox.settings,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "TESTRUNS_HOME": str(tmp_path / "home"),
            "TESTRUNS_WAREHOUSE_URL": url,
        }
        nights = [
            subprocess.Popen(
                [sys.executable, "-m", "pipelines.cli", "nightly"],
                env=environment,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(2)
        ]
        output = [night.communicate(timeout=300)[0] for night in nights]
    assert [night.returncode for night in nights] == [0, 0], output
    assert query(url, "select count(*) from marts.fct_test_runs") == [(2,)]
