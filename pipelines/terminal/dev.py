"""`testruns dev`: Dagster's page, its daemon and our assets, on this command's settings.

The warehouse is opened and the dbt project parsed before Dagster starts, once, so that none of its
processes has to; their environment says where they are. Dagster's own `dagster dev` does the rest
as a child process, which is stopped by the signal that stops us.
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from urllib.request import urlopen

from pydantic import SecretStr

from pipelines.errors import TestrunsError
from pipelines.orchestration.instance import dagster_environment, dagster_home
from pipelines.settings import DagsterSettings, Settings, load_settings
from pipelines.terminal import output
from pipelines.terminal.demo import demo_environment, demo_home, is_unconfigured
from pipelines.transform.manifest import read_manifest
from pipelines.warehouse.engine import open_warehouse

# Dagster gives its own processes ten seconds each; what takes longer hangs.
_LONGEST_STOP_SECONDS = 30.0

# `dagster dev` recommends its successor, which takes no workspace of an installed package.
_NO_NOISE = "ignore:Function `dev_command` is superseded"


def run_dev(settings: Settings, *, host: str = "127.0.0.1", port: int = 3000) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP; Dagster's exit status.

    Where nothing is configured, on the demo's sandbox and warehouse. For the main thread, which
    alone receives signals. Raises TestrunsError when the UI is not installed, the port is taken or
    this home is served already, and what opening the warehouse and parsing the dbt project raise.
    """
    if find_spec("dagster_webserver") is None:
        raise TestrunsError("Dagster's UI is not installed: pip install 'testruns[ui]'")
    if not is_unconfigured(settings):
        return _run(settings, host, port, {}, Path.cwd())
    output.note("no API is configured: Dagster runs on the demo's sandbox and warehouse")
    with demo_environment(settings, empty=False) as variables:
        home = demo_home(settings)
        # In the demo's home, where no .env is read.
        return _run(load_settings(variables, home), host, port, variables, home)


def _run(
    settings: Settings, host: str, port: int, variables: Mapping[str, str], folder: Path
) -> int:
    home = dagster_home(settings)
    with _only_one(home):
        _check_port(host, port)
        url = open_warehouse(settings)
        read_manifest(settings.model_copy(update={"testruns_warehouse_url": SecretStr(url)}))
        page = _page(host, port)
        environment = {
            **os.environ,
            **variables,
            "TESTRUNS_HOME": str(settings.testruns_home),
            "TESTRUNS_WAREHOUSE_URL": url,
            "DAGSTER_HOME": str(home),
            **dagster_environment(settings.dagster),
            DagsterSettings.variable("url"): page,
            "PYTHONWARNINGS": ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), _NO_NOISE))),
        }
        command = [
            *(sys.executable, "-m", "dagster", "dev", "--module-name", "pipelines.definitions"),
            *("--host", host, "--port", str(port), "--log-level", "warning"),
        ]
        return _serve(command, environment, folder, page)


def _page(host: str, port: int) -> str:
    """The URL of the UI; one that is served on every address is reached by loopback."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _serve(command: list[str], environment: dict[str, str], folder: Path, page: str) -> int:
    stopped_at: float | None = None

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal stopped_at
        stopped_at = stopped_at or time.monotonic()

    # Before the child: one that is born with SIGINT ignored, as in a shell's background, would
    # ignore SIGTERM as well.
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    # A session of its own: Ctrl-C in the terminal would otherwise reach each of Dagster's
    # processes, beside the one that is to end them in order.
    child = subprocess.Popen(  # noqa: S603 - no shell, and the program is this Python
        command, env=environment, cwd=folder, start_new_session=True
    )
    try:
        is_announced, is_stopping = False, False
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = child.wait(timeout=0.2)
                # However it ended, it was to end.
                return 0 if stopped_at is not None else status
            if stopped_at is not None and not is_stopping:
                is_stopping = True
                child.terminate()
            elif stopped_at is not None and time.monotonic() > stopped_at + _LONGEST_STOP_SECONDS:
                child.kill()
            elif not is_announced and not is_stopping and _answers(page):
                is_announced = True
                output.line(f"Dagster: {page} (Ctrl-C stops it)")
    finally:
        _end_group(child.pid)
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_group(group: int) -> None:
    """End what a child has left behind: its code servers would notice only after a minute."""
    for number, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 1.0)):
        until = time.monotonic() + seconds
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
            while time.monotonic() < until:
                os.killpg(group, 0)
                time.sleep(0.05)


def _answers(page: str) -> bool:
    try:
        with urlopen(f"{page}/server_info", timeout=1):  # noqa: S310 - a page of our own
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Two daemons on one home would start every schedule twice."""
    with (home / "dev.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TestrunsError(f"Dagster is running already on {home}") from None
        yield


def _check_port(host: str, port: int) -> None:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        reason = "ports go from 1 to 65535"
        if isinstance(error, OSError):
            # Python says the address once more.
            reason = str(error.strerror).partition(" (while")[0]
        raise TestrunsError(f"--host, --port: cannot serve on {host}:{port}: {reason}") from None
