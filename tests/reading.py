"""What stands in a warehouse, read for comparing."""

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from contract import PARENTS, POSTMAN, REFERENCES, STAMPS, TESTMO
from expected import Tables, in_one_order


def query(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set time zone 'UTC'")
        return connection.execute(statement.encode(), values or None).fetchall()


def tables(url: str, columns: Mapping[str, Iterable[str]]) -> Tables:
    """The rows of tables in one order, their columns in that of `columns`."""
    return {
        table: in_one_order(query(url, f"select {', '.join(names)} from {table}"))
        for table, names in columns.items()
    }


def everything(url: str) -> Tables:
    """All rows of all raw tables, with the time and load of each."""
    stamped = {
        table: [
            *columns,
            *(STAMPS if table in PARENTS or table in REFERENCES else ()),
            *(["deleted_at"] if table in PARENTS else []),
        ]
        for table, columns in {**POSTMAN, **TESTMO, **REFERENCES}.items()
    }
    return tables(url, stamped)
