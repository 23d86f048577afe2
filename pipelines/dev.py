"""`testruns dev`: Dagster's page, its daemon and our assets, on this command's settings.

The warehouse is opened and the dbt project parsed before Dagster starts, once, so that none of its
processes has to; they are told through their environment. Dagster's own `dagster dev` does the rest
as a child process, which is stopped by the signal that stops us.
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from urllib.error import URLError
from urllib.request import urlopen

import click
from pydantic import SecretStr

from pipelines.dagster_home import dagster_home
from pipelines.dbt_manifest import read_manifest
from pipelines.errors import TestrunsError
from pipelines.settings import Settings
from pipelines.warehouse.connect import open_warehouse

# `dagster dev` recommends its successor, which takes no workspace of an installed package.
_NO_NOISE = "ignore:Function `dev_command` is superseded"


def run_dev(
    settings: Settings,
    *,
    port: int = 3000,
    host: str = "127.0.0.1",
    extra_environment: Mapping[str, str] | None = None,
) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP; Dagster's exit status.

    `extra_environment` are settings that this process's environment and .env do not hold; with
    any, .env is not read at all. For the main thread, which alone receives signals. Raises
    TestrunsError when the port is taken or this home is served already, and what opening the
    warehouse and parsing the dbt project raise.
    """
    home = dagster_home(settings)
    with _alone(home):
        _check_port(host, port)
        url = open_warehouse(settings)
        read_manifest(settings.model_copy(update={"testruns_warehouse_url": SecretStr(url)}))
        environment = {
            **os.environ,
            **(extra_environment or {}),
            "TESTRUNS_HOME": str(settings.testruns_home),
            "TESTRUNS_WAREHOUSE_URL": url,
            "DAGSTER_HOME": str(home),
            "PYTHONWARNINGS": ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), _NO_NOISE))),
        }
        return _serve(
            [
                *(sys.executable, "-m", "dagster", "dev", "--module-name", "pipelines.definitions"),
                *("--host", host, "--port", str(port), "--log-level", "warning"),
            ],
            environment,
            folder=settings.testruns_home if extra_environment else Path.cwd(),
            page=f"http://{host}:{port}",
        )


def _serve(command: list[str], environment: dict[str, str], folder: Path, page: str) -> int:
    stopped = Event()
    # A session of its own: Ctrl-C in the terminal would otherwise reach each of Dagster's
    # processes beside the one that is to end them in order.
    child = subprocess.Popen(  # noqa: S603 - no shell, and the program is this Python
        command, env=environment, cwd=folder, start_new_session=True
    )

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if stopped.is_set():
            os.killpg(child.pid, signal.SIGKILL)
        else:
            stopped.set()
            child.terminate()

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        Thread(target=_announce, args=(page, stopped), daemon=True).start()
        return child.wait()
    finally:
        stopped.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _announce(page: str, stopped: Event) -> None:
    """Say where the page is as soon as it can be opened."""
    while not stopped.wait(0.2):
        with contextlib.suppress(URLError, OSError), urlopen(f"{page}/server_info", timeout=5):
            click.echo(f"Dagster: {page} (Ctrl-C stops it)")
            return


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Two daemons on one home would start every schedule twice."""
    with (home / "dev.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TestrunsError(f"Dagster is running already on {home}") from None
        yield


def _check_port(host: str, port: int) -> None:
    try:
        socket.create_server((host, port)).close()
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "ports go from 1 to 65535"
        raise TestrunsError(f"--port: cannot serve on {host}:{port}: {reason}") from None
