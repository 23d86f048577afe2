"""The warehouse reached: psycopg for whoever writes, an engine of SQLAlchemy's for whoever reads.

Whatever the role, the database or the environment have as their defaults, a session of ours works
under its own: the text and the numbers that come back are the same on every Postgres.
"""

import os
import socket
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

from pipelines.errors import WarehouseError
from pipelines.settings import Settings
from pipelines.warehouse.embedded.server import EmbeddedPostgres
from pipelines.warehouse.migrations import migrate
from pipelines.warehouse.url import WarehouseUrl

if TYPE_CHECKING:
    from sqlalchemy import Engine

# Where the URL does not say otherwise: a server that is gone is noticed within a minute.
_CONNECTION = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
# A load may wait for its API for minutes, and a build for a lock; a transaction never waits.
_SESSION = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "default_transaction_isolation": "read committed",
    "extra_float_digits": "1",
    "idle_in_transaction_session_timeout": "15min",
    "idle_session_timeout": "0",
    "lock_timeout": "0",
    "search_path": "pg_catalog",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    # A machine that dies with a lock holds it for a minute, and not for two hours.
    "tcp_keepalives_count": "3",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
}
# Only in a session of our own: what is set in one that a pooler shares would meet its other users.
_PIN = b"""
select set_config(name, setting, false)
from unnest(%s::text[], %s::text[]) as session (name, setting)
where pg_backend_pid() = %s
"""


def warehouse_url(settings: Settings) -> str:
    """The libpq URL, password included; starts the embedded Postgres where none is set.

    Raises WarehouseError when that one cannot be started.
    """
    if settings.testruns_warehouse_url is not None:
        return settings.testruns_warehouse_url.get_secret_value()
    return EmbeddedPostgres(settings.testruns_home).start()


def connect(url: str, *, role: str = "testruns", autocommit: bool = True) -> psycopg.Connection:
    """A session named `role host:pid`, which is how others see who holds a lock.

    Raises WarehouseError with libpq's reason, which never holds the password, for a database that
    is not in UTF-8, and behind a pooler that gives each transaction another session.
    """
    connection = _connected(url, role)
    try:
        _refuse_other_encodings(connection)
        # A pooler's key for cancelling, of which the process ID is a part, is its own.
        if not _pin(connection, connection.info.backend_pid):
            backend = _refuse_transaction_pooling(connection, url, role)
            _pin(connection, backend)
        connection.autocommit = autocommit
    except psycopg.Error as error:
        connection.close()
        raise _no_answer(error) from None
    except BaseException:
        connection.close()
        raise
    return connection


def engine(url: str, *, role: str = "testruns") -> "Engine":
    """Connections of SQLAlchemy's for a command that reads.

    Its sessions are those of `connect`; each ends with its block. Queries of `sql/queries` go
    through `exec_driver_sql`, with parameters as psycopg takes them.
    """
    # 0.15 s, which a load does not pay.
    from sqlalchemy import NullPool, create_engine  # noqa: PLC0415

    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(url, role=role, autocommit=False),
        poolclass=NullPool,
        use_native_hstore=False,
    )


def open_warehouse(settings: Settings) -> str:
    """The warehouse's URL, its schema brought up to date. Raises WarehouseError."""
    url = warehouse_url(settings)
    with connect(url) as connection:
        try:
            migrate(connection)
        except psycopg.Error as error:
            raise WarehouseError(
                f"the warehouse's schema cannot be applied: {reason(error)}"
            ) from None
    return url


def reason(error: psycopg.Error) -> str:
    """What Postgres says, in one line."""
    message = error.diag.message_primary or str(error) or type(error).__name__
    return message.strip().splitlines()[0]


def _connected(url: str, role: str) -> psycopg.Connection:
    try:
        parameters = WarehouseUrl.parse(url).parameters
    except ValueError as error:
        raise WarehouseError(f"TESTRUNS_WAREHOUSE_URL: {error}") from None
    name = f"{role} {socket.gethostname()}:{os.getpid()}"[:63]
    ours = {"application_name": name, "client_encoding": "UTF8"}
    try:
        conninfo = make_conninfo(**{**_CONNECTION, **parameters, **ours})
        return psycopg.connect(conninfo, autocommit=True)
    except psycopg.Error as error:
        raise _no_answer(error) from None


def _no_answer(error: psycopg.Error) -> WarehouseError:
    message = "; ".join(filter(None, map(str.strip, str(error).splitlines())))
    return WarehouseError(f"TESTRUNS_WAREHOUSE_URL: the warehouse does not answer: {message}")


def _pin(connection: psycopg.Connection, backend: int) -> bool:
    """Set what the session works under, if it is that of this backend; whether it is."""
    session = dict(_SESSION)
    if connection.info.server_version >= 170_000:
        session["transaction_timeout"] = "0"
    values = list(session), list(session.values()), backend
    return connection.execute(_PIN, values).rowcount > 0


def _refuse_other_encodings(connection: psycopg.Connection) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise WarehouseError(
            f"TESTRUNS_WAREHOUSE_URL: the encoding of database {connection.info.dbname} is "
            f"{encoding}, which cannot hold every text; create one with encoding UTF8"
        )


def _backend(connection: psycopg.Connection) -> int:
    row = connection.execute("select pg_backend_pid()").fetchone()
    return row[0] if row else 0


def _refuse_transaction_pooling(connection: psycopg.Connection, url: str, role: str) -> int:
    """Raise WarehouseError where a session does not keep its backend; the backend's process ID.

    A pooler of sessions gives a second one another backend. One of transactions gives it that of
    the first, which is idle, or takes turns, so that the first comes to another.
    """
    with _connected(url, role) as second:
        backend = _backend(connection)
        with second.transaction():
            if _backend(second) != backend and _backend(connection) == backend:
                return backend
    raise WarehouseError(
        "TESTRUNS_WAREHOUSE_URL: a pooler gives each transaction another session, so that no lock "
        "would last (as pgbouncer's pool_mode = transaction): use its session mode, or the "
        "server's own port"
    )
