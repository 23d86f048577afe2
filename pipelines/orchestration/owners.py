"""What a scope is called and whose it is, as the marts say; for people who are alerted."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import TestrunsError
from pipelines.settings import Settings
from pipelines.warehouse.engine import engine, warehouse_url
from pipelines.warehouse.queries import queries


@dataclass(frozen=True)
class Owners:
    """Name, team and channel by scope (`postman c1`), as far as they are known."""

    by_place: Mapping[str, str] = field(default_factory=dict)

    def suffix(self, place: str) -> str:
        """What stands behind a scope in a message: ` · Payments · team pay · #pay`."""
        return self.by_place.get(place, "")


def read_owners(settings: Settings) -> Owners:
    """All that the marts know; nothing where they cannot be read: an alert needs no warehouse."""
    try:
        with engine(warehouse_url(settings), role="testruns dagster").connect() as connection:
            # An alert waits for no build.
            connection.exec_driver_sql("set local statement_timeout = '5s'")
            rows = connection.exec_driver_sql(queries("assets")["owners"].decode()).all()
    except (TestrunsError, SQLAlchemyError):
        return Owners()
    named = ((str(place), parts) for place, *parts in rows)
    return Owners(
        {place: "".join(f" · {part}" for part in parts if part) for place, parts in named}
    )
