"""What `testruns status` reads: how far each history is read, and what needs a look."""

from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class Status:
    """The `ingest` schema at a glance; rows as the queries of sql/queries/status.sql name them.

    `warehouse` is the URL without its password, which is in `password_in`; `reader` is the role
    that reads everything and writes nothing. Times are UTC.
    """

    warehouse: str
    password_in: str
    reader: str
    tables: list[Row]
    watermarks: list[Row]
    last_loads: list[Row]
    open_runs: list[Row]
    rejected_records: list[Row]
    unknown_fields: list[Row]
    reconciliations: list[Row]

    def as_json(self) -> dict[str, Any]:
        """Everything, for `json.dumps`."""
        return asdict(self)


def read_status(settings: Settings, url: str) -> Status:
    """Read it in one session. Raises WarehouseError when the warehouse does not answer."""
    rows = read_queries(url, "status")
    return Status(
        warehouse=str(WarehouseUrl.parse(url)),
        password_in=password_place(settings),
        reader=READER,
        tables=rows["tables"],
        watermarks=rows["watermarks"],
        last_loads=rows["last_loads"],
        open_runs=rows["open_runs"],
        rejected_records=rows["rejected"],
        unknown_fields=rows["unknown_fields"],
        reconciliations=rows["reconciliations"],
    )


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
