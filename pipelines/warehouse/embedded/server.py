"""The warehouse for those who have none: a Postgres server of our own under TESTRUNS_HOME.

It outlives the command that started it, so that psql and BI tools can connect at any time; only
`stop` ends it. It listens on 127.0.0.1 alone, every role has a generated password, and one libpq
password file keeps port and passwords, so that this works as it stands:

    PGPASSFILE=.testruns/postgres/pgpass psql -h 127.0.0.1 -p PORT -U testruns_reader testruns
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql

from pipelines.errors import WarehouseError
from pipelines.home import private_folder
from pipelines.warehouse.embedded.credentials import (
    DATABASE,
    READER,
    SUPERUSER,
    Access,
    free_port,
    is_free,
)
from pipelines.warehouse.embedded.programs import (
    INITDB,
    MAJOR,
    complaints,
    execute,
    failed,
    run_program,
    tail,
)

_READY_SECONDS = 60.0  # what pg_ctl would grant a start, crash recovery included
_POLL_SECONDS = 0.01  # a start takes 20 ms; pg_ctl would look every 100
_LINGER_SECONDS = 10.0  # backends of a killed server end when their current query lets them
_DYING_SECONDS = 0.2  # a killed server refuses logins a little before its process is gone
_UNFINISHED = "unfinished-"

_THROWAWAY = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"

_IN_USE = (
    "the data is in use by a server that cannot be reached from here, perhaps in another container,"
    " or by processes that a killed server left"
)
_DELETED = (
    "the data directory was deleted under its server, which ends itself within a minute; a start "
    "after that makes an empty warehouse"
)


@dataclass(frozen=True)
class EmbeddedPostgres:
    """The server whose files all lie in `home`/postgres."""

    home: Path

    def start(self, *, durable: bool = True) -> str:
        """Start the server unless it runs; gives the superuser's libpq URL, password included.

        The first start makes the database. Where the server runs, this is one login, some 6 ms, and
        `durable` has no effect; False is for tests: a crash of the machine may then cost the data.
        Raises WarehouseError, which says what Postgres said.
        """
        access = self._answering()
        if access is None:
            with self._locked():
                access = self._answering() or self._start(durable=durable)
        return access.url

    def stop(self) -> bool:
        """End the server, and every session with it; True if one was running."""
        if not self.exists():
            return False
        with self._locked():
            if not self.is_running():
                return False
            self._shut_down()
            return True

    def is_running(self) -> bool:
        """Whether the process named in postmaster.pid is this directory's server.

        After a crash or a reboot that number may belong to a stranger, or to a dead process that
        nobody has waited for.
        """
        import psutil  # noqa: PLC0415 - 10 ms that a command on a running server need not spend

        try:
            pid = int(self._pid_file.read_text().partition("\n")[0])
            process: Any = psutil.Process(pid)
            return process.name() == "postgres" and self._data.samefile(process.cwd())
        except (OSError, ValueError, psutil.Error):
            return False

    def exists(self) -> bool:
        """Whether a complete data directory is there, running or not."""
        return os.path.isfile(self._data / "PG_VERSION")  # noqa: PTH113 - False if unreadable, too

    @property
    def pgpass(self) -> Path:
        """The libpq password file, a line for each role.

        Where it is missing, the next start sets new passwords, and restarts the server for that.
        """
        return self._dir / "pgpass"

    @property
    def _dir(self) -> Path:
        return self.home / "postgres"

    @property
    def _data(self) -> Path:
        return self._dir / "data"

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    @property
    def _log(self) -> Path:
        return self._dir / "server.log"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time start or stop; what the system refuses is a WarehouseError."""
        try:
            private_folder(self._dir)
            with (self._dir / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise self._failed(f"{error.strerror}: {error.filename or self._dir}") from error

    def _answering(self) -> Access | None:
        """How to log in, or None unless our server takes it; SCRAM proves both sides."""
        access = Access.read(self.pgpass)
        if access is None or not self._pid_file.exists():
            return None
        try:
            is_ours = self._data.samefile(access.log_in())
        except (psycopg.OperationalError, OSError):
            return None
        return access if is_ours else None

    def _start(self, *, durable: bool) -> "Access":
        access = Access.read(self.pgpass)
        if self.is_running():
            if access is None:
                self._shut_down()
            elif self._becomes_ready(access):
                return access
        with (self._dir / "in-use").open("w") as guard:
            self._hold(guard)
            for leftover in self._dir.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(leftover)
            if not self.exists():
                access = self._create(access, guard, durable=durable)
            self._check_version()
            logged = self._log.stat().st_size if self._log.exists() else 0
            access = self._launch(access, guard, durable=durable)
        if not self._becomes_ready(access):
            raise self._failed("the server ended at once", *complaints(tail(self._log, logged)))
        return access

    def _hold(self, guard: IO[str]) -> None:
        """Make sure that no process of an earlier start is still at work here.

        Whatever we run inherits this lock, so that it lasts until the last such process has ended:
        an initdb whose parent was killed, backends that outlive their server, a server in another
        container or of a deleted directory. None of these can be told from a stranger by its pid.
        """
        deadline = time.monotonic() + _LINGER_SECONDS
        while True:
            try:
                return fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise self._failed(_IN_USE if self.exists() else _DELETED) from None
                time.sleep(_POLL_SECONDS)

    def _is_held(self) -> bool:
        """Whether anything that we ran here is alive, ready or not."""
        with (self._dir / "in-use").open("w") as guard:
            try:
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _create(self, access: Access | None, guard: IO[str], *, durable: bool) -> "Access":
        """Make the data directory beside its place and move it there when it is complete."""
        if self._data.exists() and any(self._data.iterdir()):
            raise self._failed(f"{self._data} holds other files than Postgres's: move it away")
        access = access or Access.generate()
        access.write(self.pgpass)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=self._dir) as unfinished:
            data = f"{Path(unfinished).name}/data"
            options = [*INITDB, "-D", data] + ([] if durable else ["--no-sync"])
            run_program(self._dir, "initdb", *options, stdin=access.superuser, guard=guard)
            execute(
                self._dir,
                f"create role {READER} login password {sql.quote(access.reader)}",
                f"create database {DATABASE}",
                # Else every role may make temporary tables in it.
                f"revoke temporary on database {DATABASE} from public",
                data=data,
                guard=guard,
            )
            (self._dir / data).rename(self._data)
        return access

    def _check_version(self) -> None:
        version = (self._data / "PG_VERSION").read_text().strip()
        if version != MAJOR:
            raise self._failed(
                f"{self._data} was made by Postgres {version} and this is Postgres {MAJOR}: dump "
                "it with the older version, move it away and restore into a new one, or serve it "
                "yourself and set TESTRUNS_WAREHOUSE_URL"
            )

    def _launch(self, access: Access | None, guard: IO[str], *, durable: bool) -> "Access":
        """Start the server on its old port, or on another if that is taken by now."""
        self._pid_file.unlink(missing_ok=True)
        if access is None:
            access = Access.generate()
            execute(
                self._dir,
                f"alter role {SUPERUSER} password {sql.quote(access.superuser)}",
                f"alter role {READER} password {sql.quote(access.reader)}",
                data="data",
                guard=guard,
            )
            access.write(self.pgpass)
        if not is_free(access.port):
            access = replace(access, port=free_port())
            access.write(self.pgpass)
        options = f"-p {access.port}" + ("" if durable else f" {_THROWAWAY}")
        run_program(
            self._dir,
            *("pg_ctl", "start", "--no-wait", "-D", "data", "-l", self._log.name, "-o", options),
            guard=guard,
        )
        return access

    def _becomes_ready(self, access: "Access") -> bool:
        """Wait until the server takes our login, whoever started it; False if it ends instead."""
        deadline = time.monotonic() + _READY_SECONDS
        while self._is_held() or self.is_running():
            if self._says_ready():
                return self._admits(access)
            if time.monotonic() > deadline:
                reason = f"the server is not ready after {_READY_SECONDS:.0f} s"
                raise self._failed(reason, *complaints(tail(self._log)))
            time.sleep(_POLL_SECONDS)
        return False

    def _admits(self, access: "Access") -> bool:
        try:
            access.log_in()
        except psycopg.OperationalError as error:
            time.sleep(_DYING_SECONDS)
            if not self.is_running():
                return False
            reason = " ".join(str(error).split())
            raise self._failed(
                f"cannot log in ({reason}); if the password is refused, delete {self.pgpass} and "
                "start again: new ones are set"
            ) from None
        return True

    def _says_ready(self) -> bool:
        """Read it in postmaster.pid; each connection that comes too early would be logged."""
        try:
            return self._pid_file.read_text().rstrip().endswith("\nready")
        except FileNotFoundError:
            return False

    def _shut_down(self) -> None:
        run_program(self._dir, "pg_ctl", "stop", "--wait", "--mode=fast", "-D", "data")

    def _failed(self, reason: str, *complaints: str) -> WarehouseError:
        return failed(self._dir, reason, *complaints)
