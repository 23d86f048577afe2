"""The one way out: tables that fit, nothing hidden in a line, and readers that go away."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.terminal import output
from tests.support.db import query
from tests.support.factories import BOOKS, postman_run

ROOT = Path(__file__).resolve().parents[2]
TESTRUNS = [sys.executable, "-m", "pipelines.cli"]


def table(*rows: tuple[str, ...]) -> list[str]:
    """The lines of a table in a pipe."""
    out = io.StringIO()
    with redirect_stdout(out):
        output.table("Names", ("", "runs", "share"), rows, numbers=2)
    return out.getvalue().splitlines()


NAMES = st.text(
    # Modifiers (skin tones, categories Sk and Lm) have no width without what they modify.
    st.characters(
        categories=["Lu", "Ll", "Lo", "N", "Sc", "Sm", "So", "Zs"], exclude_characters="①②"
    ),
    max_size=200,
)


@given(NAMES)
def test_a_table_fits_80_columns_and_loses_nothing(name: str) -> None:
    lines = table((name, "①", "②"))
    assert max(map(cell_len, lines)) <= 80
    printed = "".join("".join(lines[2:]).split())
    assert printed.replace("①②", "") == "".join(name.split())


def test_a_table_is_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "word " * 15
    assert len(table((name, "1", "2"))) == 4
    monkeypatch.setenv("COLUMNS", "120")
    assert len(table((name, "1", "2"))) == 3


def environment(url: str, home: Path, sandbox: Sandbox) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "TESTRUNS_WAREHOUSE_URL": url,
        "TESTRUNS_HOME": str(home),
        **sandbox.settings,
    }


def test_a_load_goes_on_when_its_reader_has_gone(warehouse_url: str, tmp_path: Path) -> None:
    data = SandboxData([postman_run(number) for number in range(3)], [], BOOKS)
    reading, writing = os.pipe()
    os.close(reading)
    with Sandbox(data, requests_per_minute=1_000_000) as sandbox:
        done = subprocess.run(
            [*TESTRUNS, "load"],
            cwd=tmp_path,
            env=environment(warehouse_url, tmp_path / "home", sandbox),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    assert query(warehouse_url, "select count(*) from raw_postman.collection_runs") == [(3,)]


@pytest.mark.parametrize("closing", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_load_goes_on_without_its_streams(
    warehouse_url: str, tmp_path: Path, closing: str
) -> None:
    data = SandboxData([postman_run(number) for number in range(3)], [], BOOKS)
    with Sandbox(data, requests_per_minute=1_000_000) as sandbox:
        done = subprocess.run(
            ["sh", "-c", f"exec {sys.executable} -m pipelines.cli load {closing}"],
            cwd=tmp_path,
            env=environment(warehouse_url, tmp_path / "home", sandbox),
            timeout=60,
            check=False,
        )
    assert done.returncode == 0
    assert query(warehouse_url, "select count(*) from raw_postman.collection_runs") == [(3,)]


def test_a_result_that_finds_no_room_is_said_to_be_lost(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*TESTRUNS, "sandbox", "--list-faults"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "testruns: the output could not be written: No space left on device\n"


# A shell without job control starts what is in the background with SIGINT ignored.
IN_BACKGROUND = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]


@pytest.mark.parametrize("shell", [[], IN_BACKGROUND], ids=["in front", "in background"])
def test_a_terminal_that_goes_away_ends_a_load_in_order(
    warehouse_url: str, tmp_path: Path, shell: list[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        running = subprocess.Popen(
            [*shell, *TESTRUNS, "load"],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "TESTRUNS_WAREHOUSE_URL": warehouse_url,
                "TESTRUNS_HOME": str(tmp_path / "home"),
                "POSTMAN_API_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
                "POSTMAN_API_KEY": "key",
                "POSTMAN_COLLECTION_IDS": "one",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        request, _ = silent.accept()
        with request:
            running.send_signal(signal.SIGHUP)
            _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert re.fullmatch(r"\n?testruns: interrupted; .*\n", err)


def test_what_the_encoding_lacks_is_escaped(tmp_path: Path) -> None:
    done = subprocess.run(
        [*TESTRUNS, "report", "--since", "gestern früh"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PYTHONIOENCODING": "ascii",
            "TESTRUNS_WAREHOUSE_URL": "postgresql://nobody@127.0.0.1/none",
        },
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"testruns: --since: 'gestern fr\\xfch' is no date")
