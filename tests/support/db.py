"""What stands in a warehouse, read for comparing."""

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from tests.support.contract import PARENTS, POSTMAN, REFERENCES, STAMPS, TESTMO
from tests.support.oracle import Tables, in_one_order


def url_of_role(url: str, role: str, database: str) -> str:
    """The URL of another role, whose password is "plain", and database on the same server."""
    server = url.rpartition("@")[2].partition("/")[0]
    return f"postgresql://{role}:plain@{server}/{database}"


def query(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement."""
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection:
        return connection.execute(statement.encode(), values or None).fetchall()


def end_sessions(url: str, of: str | None = None) -> None:
    """End every session of ours in this database or another, as an administrator does."""
    query(
        url,
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
        " where application_name like 'testruns %%' and datname = coalesce(%s, current_database())",
        of,
    )


def tables(url: str, columns: Mapping[str, Iterable[str]]) -> Tables:
    """The rows of tables in one order, their columns in that of `columns`."""
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection:
        return {
            table: in_one_order(
                connection.execute(f"select {', '.join(names)} from {table}".encode()).fetchall()
            )
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


def empty(url: str) -> str:
    """The same warehouse without a row."""
    [(tables,)] = query(
        url,
        "select array_agg(oid::regclass::text) from pg_class where relkind = 'r'"
        " and relnamespace::regnamespace::text in"
        " ('ingest', 'raw_postman', 'raw_testmo', 'raw_reports')"
        " and relname <> 'schema_versions'",
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("; ".join(f"delete from {table}" for table in tables).encode())
    return url
