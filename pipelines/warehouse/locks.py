"""Advisory locks: one load at a time in a scope, one build in a warehouse."""

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg.rows import scalar_row

from pipelines.errors import WarehouseError
from pipelines.warehouse.engine import connect
from pipelines.warehouse.queries import queries

Result = TypeVar("Result")

# Shorter waits are nobody's business.
_QUIET_SECONDS = 5


def take_lock(
    connection: psycopg.Connection,
    name: str,
    *,
    busy: str,
    waits: Callable[[str], None],
    seconds: float = 60,
) -> None:
    """Hold the lock until the session ends, waiting `seconds` for the session that holds it.

    After five seconds `waits` is called with that session's name (host and process). Raises
    WarehouseError, which begins with `busy`, as "postman 12-ab is being loaded".
    """
    sql, lock = queries("ledger"), {"lock_name": name}
    scalar = connection.cursor(row_factory=scalar_row)
    if scalar.execute(sql["take_lock"], lock).fetchone():
        return

    def holder() -> str:
        return str(scalar.execute(sql["lock_holder"], lock).fetchone() or "another session")

    quiet = min(_QUIET_SECONDS, seconds)
    if _wait(connection, lock, quiet):
        return
    waits(holder())
    if not _wait(connection, lock, seconds - quiet):
        raise WarehouseError(f"{busy} by {holder()}; waited {seconds:g} s for it")


def _wait(connection: psycopg.Connection, lock: dict[str, str], seconds: float) -> bool:
    """Whether the lock has come free, and is now ours."""
    timeout = max(1, round(seconds * 1000))  # ms; 0 would be for ever
    try:
        with connection.transaction():
            connection.execute(f"set local lock_timeout = {timeout}".encode())
            connection.execute(queries("ledger")["wait_for_lock"], lock)
    except psycopg.errors.LockNotAvailable:
        return False
    return True


class LockedSession:
    """A session that holds a lock; where it is lost, one more takes the lock again.

    `resume` is called in a session that follows a lost one, before anything else: what was true
    under the lock may have changed in between.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        busy: str,
        waits: Callable[[str], None],
        resume: Callable[[], None],
    ) -> None:
        self._url, self._name, self._busy, self._waits = url, name, busy, waits
        self._resume = resume
        self._backend = 0
        self.connection: psycopg.Connection

    def open(self) -> None:
        """Connect and take the lock. Raises WarehouseError."""
        self.connection = connect(self._url)
        try:
            if self._backend:
                self._end_backend()
            self._backend = self.connection.info.backend_pid
            take_lock(self.connection, self._name, busy=self._busy, waits=self._waits)
        except BaseException:
            self.connection.close()
            raise

    def close(self) -> None:
        """End the session, and the lock with it."""
        self.connection.close()

    def call(self, work: Callable[..., Result], *args: Any) -> Result:
        """`work(*args)`, once more if the session is lost meanwhile: it is to be repeatable.

        Raises WarehouseError where no session or no lock is to be had, and what `work` raises.
        """
        try:
            return work(*args)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            if not self.connection.closed:
                raise
        self.connection.close()
        self.open()
        self._resume()
        return work(*args)

    def _end_backend(self) -> None:
        """End the lost session's backend: until it notices that we are gone, it holds the lock."""
        name = self.connection.info.parameter_status("application_name")
        self.connection.execute(
            queries("ledger")["end_backend"], {"backend": self._backend, "name": name}
        )
