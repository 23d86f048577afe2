"""Rows of the marts for a report, read in one snapshot, each query cut to what a page shows."""

from psycopg import IsolationLevel
from psycopg.errors import InvalidSchemaName, UndefinedColumn, UndefinedTable
from psycopg.rows import DictRow, dict_row

from pipelines.errors import WarehouseError
from pipelines.report.period import Period
from pipelines.report.thresholds import Thresholds
from pipelines.warehouse.connect import connect
from pipelines.warehouse.queries import queries

Row = DictRow
Rows = dict[str, list[Row]]


def read_rows(url: str, period: Period, thresholds: Thresholds) -> Rows:
    """The rows of every query of sql/queries/report.sql, by its name; times are UTC.

    Raises WarehouseError when the warehouse does not answer, holds nothing, or has no marts, or
    those of another version.
    """
    asked = {
        "since": period.since,
        "as_of": period.as_of,
        "first_day": period.first_day,
        "last_day": period.last_day,
        "recent_days": thresholds["latency_recent_days"],
        "strip": thresholds["flakiness_long_window"],
    }
    found: Rows = {}
    with connect(url, role="testruns report") as connection:
        # What dbt builds meanwhile must not let one part of the page contradict another.
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        cursor = connection.cursor(row_factory=dict_row)
        try:
            with connection.transaction():
                for name, query in queries("report").items():
                    asked["request_keys"] = [row["request_key"] for row in found.get("latency", [])]
                    found[name] = cursor.execute(query, asked).fetchall()
        except (UndefinedTable, UndefinedColumn, InvalidSchemaName):
            if found.get("is_anything_loaded") == [{"is_loaded": False}]:
                message = "the warehouse is empty: run `testruns nightly`, or `testruns demo`"
            else:
                message = "the marts are not built, or by another version: run `testruns transform`"
            raise WarehouseError(message) from None
    return found
