"""A Postgres of the bench's own: databases from a template, and the CPU that all of it has used."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psycopg

from pipelines.warehouse.embedded.server import EmbeddedPostgres
from pipelines.warehouse.migrations import migrate

_TICKS = os.sysconf("SC_CLK_TCK")
EMPTY = "empty_testruns"


class Warehouse:
    """The embedded server of the product, durable as a user's, for as long as a `with` block lasts.

    Autovacuum is off, so that what one case leaves behind is not paid for by the next.
    """

    def __init__(self, home: Path) -> None:
        self._server = EmbeddedPostgres(home)
        self._pid_file = home / "postgres" / "data" / "postmaster.pid"

    def __enter__(self) -> Self:
        self._url = self._server.start()
        with self.session() as session:
            session.execute("alter system set autovacuum = off")
            session.execute("select pg_reload_conf()")
            (self.version,) = session.execute("show server_version").fetchone() or ("?",)
        self.create(EMPTY, template="template0")
        with self.session(EMPTY) as session:
            migrate(session)
        self.pid = int(self._pid_file.read_text().splitlines()[0])
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def url(self, database: str) -> str:
        return f"{self._url.rsplit('/', 1)[0]}/{database}"

    def session(self, database: str = "testruns") -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url(database), autocommit=True)

    def create(self, name: str, *, template: str = EMPTY) -> str:
        """Make a database, by default with the product's schema; gives its URL."""
        with self.session() as session:
            session.execute(f'drop database if exists "{name}" with (force)'.encode())
            session.execute(
                f'create database "{name}" template "{template}" strategy file_copy'.encode()
            )
        return self.url(name)

    @contextmanager
    def database(self, name: str, *, template: str = EMPTY) -> Iterator[str]:
        """A database that is gone afterwards."""
        yield self.create(name, template=template)
        with self.session() as session:
            session.execute(f'drop database "{name}" with (force)'.encode())

    def settled_cpu(self) -> float:
        """CPU seconds of the server so far, what was written before written to disk."""
        with self.session() as session:
            session.execute("checkpoint")
        return self.cpu_after_last()

    def cpu_after_last(self) -> float:
        """CPU seconds of the server so far, once no client is left."""
        deadline = time.monotonic() + 10
        while len(_children(self.pid)) > self._own_processes() and time.monotonic() < deadline:
            time.sleep(0.01)
        return cpu(self.pid)

    def _own_processes(self) -> int:
        """Children that serve no client: checkpointer, writers, workers of I/O."""
        with self.session() as session:
            (count,) = session.execute(
                "select count(*) from pg_stat_activity where backend_type <> 'client backend'"
            ).fetchone() or (0,)
        return int(count)


def cpu(postmaster: int) -> float:
    """CPU seconds of a server: its own and its children's, those that have ended included."""
    spent = sum(_ticks(postmaster, slice(11, 15)))
    for child in _children(postmaster):
        try:
            spent += sum(_ticks(child, slice(11, 13)))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return spent / _TICKS


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _ticks(pid: int, columns: slice) -> list[int]:
    """utime, stime, cutime, cstime of /proc/PID/stat, behind the name in brackets."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return [int(value) for value in stat.rpartition(")")[2].split()[columns]]
