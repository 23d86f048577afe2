"""What a scope is called and whose it is, as the marts say; for people who are alerted."""

from collections.abc import Mapping

from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import TestrunsError
from pipelines.settings import Settings
from pipelines.warehouse.engine import engine, warehouse_url
from pipelines.warehouse.queries import queries


def read_owners(settings: Settings) -> Mapping[str, str]:
    """What stands behind a scope (`postman c1`) in a message: ` · Payments · team pay · #pay`.

    Empty where the marts cannot be read: an alert needs no warehouse.
    """
    try:
        with engine(warehouse_url(settings), role="testruns dagster").connect() as connection:
            # An alert waits for no build.
            connection.exec_driver_sql("set local statement_timeout = '5s'")
            rows = connection.exec_driver_sql(queries("assets")["owners"].decode()).all()
    except (TestrunsError, SQLAlchemyError):
        return {}
    return {str(place): "".join(f" · {part}" for part in parts if part) for place, *parts in rows}
