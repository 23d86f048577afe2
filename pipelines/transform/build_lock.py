"""One build at a time in a warehouse: two would replace each other's tables half-way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from psycopg import Connection
from psycopg.errors import LockNotAvailable
from psycopg.rows import scalar_row

from pipelines.errors import TransformError, WarehouseError
from pipelines.warehouse.engine import connect
from pipelines.warehouse.queries import queries

_SILENT_SECONDS = 5.0
_WAIT_SECONDS = 600.0
_LOCK = {"lock_name": "testruns dbt build"}


@contextmanager
def build_lock(url: str, on_wait: Callable[[str], None] = lambda _: None) -> Iterator[Connection]:
    """The warehouse for one build; gives the session that holds the lock.

    Waits ten minutes for another build; after five seconds `on_wait` gets a line that names it.
    Raises TransformError, also naming it, when that was too short or the warehouse does not answer.
    """
    try:
        session = connect(url, role="testruns build")
    except WarehouseError as error:
        raise TransformError(str(error)) from None
    with session:
        if not _is_taken(session, 0) and not _is_taken(session, _SILENT_SECONDS):
            on_wait(f"waiting for the models, which are being built by {_holder(session)}")
            if not _is_taken(session, _WAIT_SECONDS - _SILENT_SECONDS):
                raise TransformError(
                    f"the models are being built by {_holder(session)}; "
                    f"waited {_WAIT_SECONDS:.0f} s for it"
                )
        yield session


def _is_taken(session: Connection, wait_seconds: float) -> bool:
    sql, scalar = queries("ledger"), session.cursor(row_factory=scalar_row)
    if not wait_seconds:
        return bool(scalar.execute(sql["take_lock"], _LOCK).fetchone())
    session.execute(f"set lock_timeout = '{wait_seconds}s'".encode())
    try:
        session.execute(sql["wait_for_lock"], _LOCK)
    except LockNotAvailable:
        return False
    session.execute("set lock_timeout = 0")
    return True


def _holder(session: Connection) -> str:
    scalar = session.cursor(row_factory=scalar_row)
    return scalar.execute(queries("ledger")["lock_holder"], _LOCK).fetchone() or "another build"
