"""What is declared of the tables is what stands in the warehouse."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from pipelines.sources.columns import BIGINT, TEXT, Column, Table
from pipelines.sources.registry import REGISTRY

TABLES = [table for spec in REGISTRY.values() for table in (*spec.tables, *spec.references)]
# What loads write beside the columns that are declared.
STAMPS = {"first_loaded_at", "loaded_at", "load_id", "deleted_at"}


@pytest.fixture(scope="module")
def connection(unwritten_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(unwritten_url) as connection:
        yield connection


def columns_of(connection: psycopg.Connection, table: str) -> dict[str, tuple[Any, ...]]:
    """Type and comment of each column, in the order of the table."""
    rows = connection.execute(
        "select attname, typname, col_description(attrelid, attnum) from pg_attribute"
        " join pg_type on pg_type.oid = atttypid"
        " where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum",
        (table,),
    )
    return {name: (kind, comment) for name, kind, comment in rows}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_names_types_and_order_are_those_of_the_table(
    connection: psycopg.Connection, table: Table
) -> None:
    stored = columns_of(connection, table.name)
    types = {column.name: column.type.sql for column in (*table.place, *table.columns)}
    if table.has_extra:
        types["extra"] = "jsonb"
    assert {name: kind for name, (kind, _) in stored.items() if name not in STAMPS} == types
    # A column that a later file adds stands behind all others.
    first = list(stored)[: list(stored).index("extra") + 1] if table.has_extra else list(stored)
    assert [name for name in table.names if name in first] == first


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_column_has_its_unit_in_its_comment(connection: psycopg.Connection, table: Table) -> None:
    stored = columns_of(connection, table.name)
    for column in (*table.place, *table.columns):
        comment = stored[column.name][1]
        assert column.unit in comment.lower(), column.name
        assert ("UTC" in comment) is (column.type.sql == "timestamptz"), column.name


def test_the_order_of_a_row_is_that_of_the_objects_in_a_record() -> None:
    table = Table(
        "t",
        [Column("run_id", TEXT, "id"), Column("position", BIGINT)],
        [
            Column("inner_a", TEXT, "inner.a"),
            Column("deep_b", TEXT, "inner.deep.b"),
            Column("own", TEXT),
        ],
        lists=["children"],
    )
    assert table.names == ("run_id", "position", "own", "inner_a", "deep_b", "extra")
    assert table.shape.known == {"id", "children", "inner", "own"}
    assert table.index("deep_b") == 4
