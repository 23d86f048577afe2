"""A connection to the warehouse, its schema in place: the one named by the settings, or our own."""

import os
import socket

import psycopg

from pipelines.errors import WarehouseError
from pipelines.settings import Settings
from pipelines.warehouse.embedded.server import EmbeddedPostgres
from pipelines.warehouse.migrations import migrate


def warehouse_url(settings: Settings) -> str:
    """The libpq URL, password included; starts the embedded Postgres where none is set.

    Raises WarehouseError when that one cannot be started.
    """
    if settings.testruns_warehouse_url is not None:
        return settings.testruns_warehouse_url.get_secret_value()
    return EmbeddedPostgres(settings.testruns_home).start()


def connect(url: str, *, role: str = "testruns") -> psycopg.Connection:
    """An autocommit session named `role host:pid`, which is how others see who holds a lock.

    Raises WarehouseError with libpq's reason, which never holds the password.
    """
    try:
        connection = psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=10,
            application_name=f"{role} {socket.gethostname()}:{os.getpid()}"[:63],
        )
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise WarehouseError(
            f"TESTRUNS_WAREHOUSE_URL: the warehouse does not answer: {reason}"
        ) from None
    # Times are compared and shown in UTC whatever the server's zone.
    connection.execute("set time zone 'UTC'")
    return connection


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
    told = error.diag.message_primary or str(error) or type(error).__name__
    return told.strip().splitlines()[0]
