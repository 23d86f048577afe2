"""A column declared once: its name, its type, where its value stands in the JSON, its unit.

From the columns of a table follow the order of COPY, the keys that are known (all others go to
`extra`) and the function that makes a row of a record (`rows.py`).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipelines.sources.fields import (
    MOST_COUNTED,
    SURELY_SHORT,
    Json,
    bigint,
    boolean,
    count,
    instant,
    integer,
    short_text,
    text,
)


@dataclass(frozen=True)
class ColumnType:
    """How a value is stored: Postgres' name of the type, and what reads the value.

    `read(record, key)` gives None where there is no value, and raises BadFieldError for one that
    does not fit. Whole numbers up to `most`, and texts of so many characters, fit for certain.
    """

    sql: str
    read: Callable[[Json, str], Any]
    most: int = 0


TEXT = ColumnType("text", text)
# Of at most 1,000 bytes, so that an index can hold it: IDs, and words of the API.
SHORT_TEXT = ColumnType("text", short_text, SURELY_SHORT)
URL = ColumnType("text", text)
INTEGER = ColumnType("int4", integer, 2**31 - 1)
BIGINT = ColumnType("int8", bigint, 2**63 - 1)
COUNT = ColumnType("int8", count, MOST_COUNTED)
BOOLEAN = ColumnType("bool", boolean)
TIMESTAMP = ColumnType("timestamptz", instant)
JSON = ColumnType("jsonb", dict.get)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `path` leads to its value in the record, as `stats.requests.total`; empty: it is the column's
    name. `unit` is that of a number, as the comment of the column in the warehouse gives it.
    """

    name: str
    type: ColumnType
    path: str = ""
    unit: str = ""


@dataclass
class RecordShape:
    """What is known of an object: all its keys, columns by key, and the objects with columns."""

    known: set[str] = field(default_factory=set)
    columns: list[tuple[str, Column]] = field(default_factory=list)
    objects: dict[str, "RecordShape"] = field(default_factory=dict)

    def all_columns(self) -> list[Column]:
        """Its own columns, then those of the objects in it."""
        inner = [column for shape in self.objects.values() for column in shape.all_columns()]
        return [*(column for _, column in self.columns), *inner]


@dataclass(frozen=True)
class Table:
    """A table whose rows are made of records.

    `place` are the columns that say where a row belongs, their values given by whoever makes the
    row; a `path` there is the key from which they were read. `lists` are keys whose records are
    rows of other tables.
    """

    name: str
    place: Sequence[Column]
    columns: Sequence[Column]
    lists: Sequence[str] = ()
    has_extra: bool = True

    @cached_property
    def shape(self) -> RecordShape:
        """Its columns as a record holds them."""
        shape = RecordShape({*self.lists, *(column.path for column in self.place if column.path)})
        for column in self.columns:
            *outer, key = (column.path or column.name).split(".")
            holder = shape
            for name in outer:
                holder.known.add(name)
                holder = holder.objects.setdefault(name, RecordShape())
            holder.known.add(key)
            holder.columns.append((key, column))
        return shape

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns in the order of a row's values."""
        columns = [*self.place, *self.shape.all_columns()]
        return (*(column.name for column in columns), *(["extra"] if self.has_extra else []))

    def index(self, column: str) -> int:
        """The position of a column in a row."""
        return self.names.index(column)


def names_by_table(tables: Iterable[Table]) -> dict[str, tuple[str, ...]]:
    """The columns of each table, in the order of a row's values."""
    return {table.name: table.names for table in tables}


def objects_of(tables: Iterable[Table]) -> frozenset[str]:
    """Objects in records that have columns: `extra` holds what else is in them by their names."""
    return frozenset(name for table in tables for name in table.shape.objects)
