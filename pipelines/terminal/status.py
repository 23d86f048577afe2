"""Queries of `sql/queries/` as plain rows, for what the terminal shows."""

from typing import Any

from psycopg import Error as PsycopgError
from sqlalchemy.exc import DBAPIError

from pipelines.errors import WarehouseError
from pipelines.settings import Settings
from pipelines.terminal.places import password_place
from pipelines.warehouse.embedded.credentials import READER
from pipelines.warehouse.engine import engine, reason
from pipelines.warehouse.queries import queries
from pipelines.warehouse.url import WarehouseUrl

Row = dict[str, Any]


def read_status(settings: Settings, url: str) -> dict[str, Any]:
    """The rows of each query of status.sql by its name, and how to open the warehouse.

    `warehouse` is the URL without its password, which is in `password_in`; `reader` is the role
    that reads everything and writes nothing. Times are UTC. Raises WarehouseError.
    """
    return {
        "warehouse": str(WarehouseUrl.parse(url)),
        "password_in": password_place(settings),
        "reader": READER,
        **read_queries(url, "status"),
    }


def read_queries(url: str, subject: str) -> dict[str, list[Row]]:
    """The rows of every query of `sql/queries/{subject}.sql`, by its name.

    Raises WarehouseError when the warehouse does not answer.
    """
    try:
        with engine(url, role=f"testruns {subject}").connect() as connection:
            return {
                name: [dict(row) for row in connection.exec_driver_sql(query.decode()).mappings()]
                for name, query in queries(subject).items()
            }
    except DBAPIError as error:
        why = reason(error.orig) if isinstance(error.orig, PsycopgError) else "it does not answer"
        raise WarehouseError(f"the warehouse cannot be read: {why}") from None
