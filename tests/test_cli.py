"""The command line as its users meet it: a process, its output, its exit status."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from pipelines.errors import TestrunsError
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.history import seeded_history
from pipelines.sandbox.server import Sandbox
from tests.support.cli import command
from tests.support.db import query
from tests.support.factories import BOOKS, postman_run
from tests.support.fork_server import Done, ForkServer

Variables = dict[str, str]
Run = Callable[..., Done]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    history = seeded_history(datetime.now(UTC), days=4)
    with Sandbox(
        history, requests_per_minute=1_000_000, forbidden_projects=frozenset({3})
    ) as served:
        yield served


@pytest.fixture
def variables(sandbox: Sandbox, warehouse_url: str, tmp_path: Path) -> Variables:
    return {
        **sandbox.settings,
        "TESTRUNS_WAREHOUSE_URL": warehouse_url,
        "TESTRUNS_HOME": str(tmp_path / "home"),
        "TESTMO_PROJECT_IDS": "1,2",
    }


@pytest.fixture
def run(fork_server: ForkServer) -> Run:
    """`testruns …` in a folder, with no variables but these."""
    return fork_server.run


def first_line(done: Done) -> str:
    """The only complaint on stderr."""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_a_load_says_what_it_wrote_and_a_second_one_that_nothing_is_new(
    run: Run, variables: Variables, tmp_path: Path
) -> None:
    first = run(tmp_path, variables, "load")
    assert (first.returncode, first.stderr) == (0, "")
    lines = first.stdout.splitlines()
    assert len(lines) == 6
    assert all(" runs, " in line and " UTC" in line for line in lines)

    second = run(tmp_path, variables, "load")
    assert second.returncode == 0
    assert second.stdout.count("nothing new") == 6


def test_a_source_without_a_key_is_left_out_and_said_so(
    run: Run, variables: Variables, tmp_path: Path
) -> None:
    del variables["POSTMAN_API_KEY"]
    done = run(tmp_path, variables, "load")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "postman: not loaded, POSTMAN_API_KEY is not set"


def test_without_any_key_there_is_nothing_to_load(run: Run, tmp_path: Path) -> None:
    done = run(tmp_path, {}, "load")
    assert done.returncode == 2
    assert "POSTMAN_API_KEY, TESTMO_API_TOKEN" in first_line(done)
    assert not (tmp_path / ".testruns").exists()


@pytest.mark.parametrize(
    ("changes", "named", "status"),
    [
        ({"TESTRUNS_LOOKBACK_HOURS": "soon"}, "TESTRUNS_LOOKBACK_HOURS", 2),
        ({"TESTRUNS_WAREHOUSE_URL": "mysql://h/d"}, "TESTRUNS_WAREHOUSE_URL", 2),
        ({"TESTMO_API_URL": ""}, "TESTMO_API_URL", 2),
    ],
)
def test_a_bad_setting_is_one_line_and_no_request(
    run: Run,
    variables: Variables,
    sandbox: Sandbox,
    tmp_path: Path,
    changes: Variables,
    named: str,
    status: int,
) -> None:
    before = len(sandbox.requests)
    done = run(tmp_path, {**variables, **changes}, "load")
    assert done.returncode == status
    assert first_line(done).startswith(f"testruns: {named}: ")
    assert len(sandbox.requests) == before


def test_an_unreadable_env_file_is_one_line(run: Run, variables: Variables, tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    done = run(tmp_path, variables, "load")
    assert done.returncode == 2
    assert first_line(done).startswith("testruns: .env: cannot be read")


def test_a_wrong_key_names_its_setting_and_never_itself(
    run: Run, variables: Variables, sandbox: Sandbox, tmp_path: Path
) -> None:
    sent = len(sandbox.requests)
    done = run(
        tmp_path, {**variables, "POSTMAN_API_KEY": "wr0ng-key"}, "load", "--source", "postman"
    )
    assert done.returncode == 1
    assert "POSTMAN_API_KEY" in done.stdout
    assert "wr0ng-key" not in done.stdout + done.stderr
    assert "4 of 4 scopes failed" in first_line(done)
    assert len(sandbox.requests) == sent + 1


def test_an_unknown_collection_and_a_forbidden_project_stop_only_themselves(
    run: Run, variables: Variables, warehouse_url: str, tmp_path: Path
) -> None:
    known = variables["POSTMAN_COLLECTION_IDS"].split(",")[0]
    done = run(
        tmp_path,
        {**variables, "POSTMAN_COLLECTION_IDS": f"nobody,{known}", "TESTMO_PROJECT_IDS": "3,1"},
        "load",
    )
    assert done.returncode == 1
    assert "HTTP 404" in done.stdout
    assert "HTTP 403" in done.stdout
    assert "(postman nobody, testmo 3)" in first_line(done)
    with psycopg.connect(warehouse_url) as connection:
        loaded = connection.execute(
            "select count(*) > 0 from raw_postman.collection_runs"
            " union all select count(*) > 0 from raw_testmo.automation_runs"
        ).fetchall()
    assert loaded == [(True,), (True,)]


def test_a_server_that_is_not_there_is_named_by_its_setting(
    run: Run, variables: Variables, tmp_path: Path
) -> None:
    nowhere = f"http://127.0.0.1:{unused_port()}"
    done = run(tmp_path, {**variables, "POSTMAN_API_URL": nowhere}, "load", "--source", "postman")
    assert done.returncode == 1
    assert "POSTMAN_API_URL" in done.stdout
    assert "4 of 4 scopes failed" in first_line(done)


def test_a_warehouse_that_is_not_there_is_one_line_without_its_password(
    run: Run, variables: Variables, tmp_path: Path
) -> None:
    nowhere = f"postgresql://me:s3cret@127.0.0.1:{unused_port()}/none"
    done = run(tmp_path, {**variables, "TESTRUNS_WAREHOUSE_URL": nowhere}, "load")
    assert done.returncode == 1
    assert first_line(done).startswith("testruns: TESTRUNS_WAREHOUSE_URL: ")
    assert "s3cret" not in done.stderr


def test_what_the_warehouse_refuses_between_two_loads_is_one_line(
    run: Run, variables: Variables, warehouse_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        connection.execute("drop table ingest.names")
    done = run(tmp_path, variables, "transform")
    assert done.returncode == 1
    assert first_line(done).startswith('testruns: the warehouse failed: relation "ingest.names" ')


@pytest.mark.parametrize("arguments", [["nightly"], ["demo"], ["dev"]])
def test_a_home_that_cannot_be_written_is_one_line(
    run: Run, variables: Variables, tmp_path: Path, arguments: list[str]
) -> None:
    # No folder, as on a disk that is read-only, for whoever runs this.
    (tmp_path / "home").write_text("a file")
    done = run(tmp_path, variables, *arguments)
    assert done.returncode == 1
    assert str(tmp_path / "home") in first_line(done)


def test_what_nobody_expected_is_one_line_that_names_a_log_file(
    variables: Variables, tmp_path: Path
) -> None:
    script = (
        "import sys; sys.argv = ['testruns', 'status']\n"
        "from pipelines import cli\n"
        "cli._settings_to_show = lambda: None\n"
        "cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    [log] = (tmp_path / "home" / "logs").iterdir()
    assert done.returncode == 1
    assert first_line(done).startswith("testruns: unexpected AttributeError")
    assert first_line(done).endswith(f"the traceback is in {log}")
    assert "Traceback" in log.read_text("utf-8")


def test_loading_needs_neither_dagster_nor_dbt_nor_pandas(
    variables: Variables, tmp_path: Path
) -> None:
    script = (
        "import sys; sys.argv = ['testruns', 'load', '--source', 'testmo']\n"
        "from pipelines.cli import cli; cli(standalone_mode=False)\n"
        "heavy = {'dagster', 'dbt', 'pandas', 'sqlalchemy', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_status_shows_the_url_without_its_password(
    run: Run, variables: Variables, tmp_path: Path
) -> None:
    assert run(tmp_path, variables, "load", "--source", "testmo").returncode == 0
    shown = run(tmp_path, variables, "status", "--json")
    status = json.loads(shown.stdout)
    password = psycopg.conninfo.conninfo_to_dict(variables["TESTRUNS_WAREHOUSE_URL"])["password"]
    assert str(password) not in shown.stdout
    assert status["warehouse"].startswith("postgresql://testruns@127.0.0.1:")
    assert status["password_in"] == "TESTRUNS_WAREHOUSE_URL"
    assert [(row["source"], row["scope"]) for row in status["watermarks"]] == [
        ("testmo", "1"),
        ("testmo", "2"),
    ]
    assert {row["outcome"] for row in status["last_loads"]} == {"succeeded"}

    for_people = run(tmp_path, variables, "status").stdout
    assert "Open runs" in for_people
    assert "role testruns_reader" in for_people
    assert re.search(r"^Testmo\n.*\n  1  20", for_people, re.MULTILINE)
    assert str(password) not in for_people
    assert max(map(len, for_people.splitlines()[4:])) <= 80


def test_a_dry_backfill_requests_no_run_and_writes_none(
    run: Run, variables: Variables, sandbox: Sandbox, warehouse_url: str, tmp_path: Path
) -> None:
    sent = len(sandbox.requests)
    done = run(tmp_path, variables, "backfill", "--since", "2020-01-01", "--dry-run")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 6
    paths = [request.path for request in list(sandbox.requests)[sent:]]
    assert paths
    assert all(path.endswith("/runs") for path in paths)
    with psycopg.connect(warehouse_url) as connection:
        row = connection.execute("select count(*) from ingest.loads").fetchone()
    assert row == (0,)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--since", "yesterday"], "--since: 'yesterday' is no date or time"),
        (["--since", "0001-01-01T00+09:00"], "--since: '0001-01-01T00+09:00' is no date or time"),
        (["--since", "2026-02-01", "--until", "2026-01-01"], "--until: must be later"),
        (["--since", "2026-02-01", "--project", "77"], "--project: 77 is not among"),
    ],
)
def test_a_backfill_that_makes_no_sense_is_one_line(
    run: Run, variables: Variables, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    done = run(tmp_path, variables, "backfill", *arguments)
    assert done.returncode == 2
    assert first_line(done).startswith(f"testruns: {complaint}")


@pytest.mark.parametrize("command", ["status", "report", "transform"])
def test_to_look_before_anything_is_set_up_makes_no_warehouse(
    run: Run, tmp_path: Path, command: str
) -> None:
    done = run(tmp_path, {}, command)
    assert done.returncode == 2
    assert first_line(done).startswith("testruns: nothing is set up yet: try `testruns demo`")
    assert list(tmp_path.iterdir()) == []


def test_records_that_are_rejected_again_are_a_failure_until_one_is_healed(
    run: Run, warehouse_url: str, tmp_path: Path
) -> None:
    bad = postman_run(2)
    bad["executions"] = "2147483648"
    data = SandboxData([postman_run(1), bad], [], BOOKS)
    with Sandbox(data, requests_per_minute=1_000_000) as sandbox:
        variables = {
            **sandbox.settings,
            "TESTRUNS_WAREHOUSE_URL": warehouse_url,
            "TESTRUNS_HOME": str(tmp_path / "home"),
        }
        assert "1 records rejected" in run(tmp_path, variables, "load").stdout
        again = run(tmp_path, variables, "retry-rejected")
        assert again.returncode == 1
        assert first_line(again) == "testruns: 1 of 1 records are still rejected"
        assert "executions" in again.stdout
        # As if a later version took what this one refuses.
        query(
            warehouse_url,
            "update ingest.rejected_records set payload = replace(payload, '\"2147483648\"', '[]')"
            " returning 1",
        )
        healed = run(tmp_path, variables, "retry-rejected")
        assert (healed.returncode, healed.stderr) == (0, "")
        assert "1 records, " in healed.stdout


@pytest.mark.parametrize("command", [[], ["warehouse"]])
def test_the_help_of_every_command_is_whole_at_80_columns(
    run: Run, tmp_path: Path, command: list[str]
) -> None:
    done = run(tmp_path, {"COLUMNS": "80"}, *command, "--help")
    assert done.returncode == 0
    assert "..." not in done.stdout.partition("Commands:")[2]
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["load", "--sorce", "x"], "No such option '--sorce'."),
        (["lod"], "No such command 'lod'."),
        (["load", "--source", "jira"], "Invalid value for '--source'"),
        (["backfill"], "Missing option '--since'."),
        (["sandbox", "--fault", "nonsense"], "'nonsense'"),
        (
            ["dev", "--host", "203.0.113.1"],
            "--host, --port: cannot serve on 203.0.113.1:3000: Cannot assign requested address\n",
        ),
    ],
)
def test_bad_usage_is_one_line(
    run: Run, variables: Variables, tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    done = run(tmp_path, variables, *arguments)
    assert done.returncode == (1 if "dev" in arguments else 2)
    assert first_line(done).startswith("testruns: ")
    assert complaint in done.stderr


def test_a_page_that_is_not_installed_is_one_line(
    variables: Variables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dagster_webserver", None)
    with pytest.raises(
        TestrunsError, match=r"^Dagster's UI is not installed: pip install .*\[ui\]"
    ):
        command(tmp_path, variables, "dev")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_what_completes_the_command(run: Run, tmp_path: Path, shell: str) -> None:
    done = run(tmp_path, {}, "completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"_TESTRUNS_COMPLETE={shell}_complete" in done.stdout


def test_shell_completion_knows_the_commands(run: Run, tmp_path: Path) -> None:
    asking = {
        "_TESTRUNS_COMPLETE": "bash_complete",
        "COMP_WORDS": "testruns re",
        "COMP_CWORD": "1",
    }
    done = run(tmp_path, asking)
    assert done.stdout.split() == ["plain,report", "plain,retry-rejected"]
