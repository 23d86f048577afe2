"""Records to rows: the values of a table's columns, and in `extra` what has no column.

A value that does not fit its column goes to `extra` under its own key, and the column is null: one
odd value costs no record. What makes a record meaningless is for the tables of a source to say.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pipelines.sources.columns import (
    COUNT,
    JSON,
    SHORT_TEXT,
    TEXT,
    URL,
    Column,
    ColumnType,
    RecordShape,
    Table,
)
from pipelines.sources.fields import (
    BadFieldError,
    Json,
    items,
    kind,
    required,
    short_text,
    text,
)
from pipelines.sources.redaction import Redactor

Row = tuple[Any, ...]
# The values of an object's columns, and what else it holds; None: nothing.
RecordReader = Callable[[Json], tuple[Row, Json | None]]
ValueReader = Callable[[Json], Any]


class RowMaker:
    """Makes rows of the records of one table; URLs in them are masked by `redactor`."""

    def __init__(self, table: Table, redactor: Redactor) -> None:
        self._read, self._mask = _record_reader(table.shape, redactor), redactor.json

    def row(self, record: Json, *place: Any) -> Row:
        """The row of one record."""
        values, rest = self._read(record)
        return (*place, *values, rest and self._mask(rest))

    def rows(self, owner: Json, key: str, *place: Any) -> list[Row]:
        """A row for each record of the list `key`; its position, from 0, ends its place.

        Raises BadFieldError for what is no list, and for a record that is no object.
        """
        read, mask = self._read, self._mask
        records = owner.get(key)
        if type(records) is not list:
            records = items(owner, key)
        rows = []
        for position, record in enumerate(records):
            if type(record) is not dict:
                path = f"{key}[{position}]"
                raise BadFieldError(path, f"expected an object, got {kind(record)}")
            values, rest = read(record)
            rows.append((*place, position, *values, rest and mask(rest)))
        return rows


def _record_reader(shape: RecordShape, redactor: Redactor) -> RecordReader:
    """What reads an object of a record, and the objects in it."""
    read_own = _own_reader(shape, redactor)
    inner = [
        (name, _record_reader(child, redactor), (None,) * len(child.all_columns()))
        for name, child in shape.objects.items()
    ]

    def read(record: Json) -> tuple[Row, Json | None]:
        values, rest = read_own(record)
        for name, read_inner, nulls in inner:
            value = record.get(name)
            if type(value) is dict:
                more, inner_rest = read_inner(value)
                values += more
            else:
                # The empty list is what PHP makes of an empty object.
                values, inner_rest = values + nulls, None if value == [] else value
            if inner_rest is not None:
                rest = {**(rest or {}), name: inner_rest}
        return values, rest

    return read if inner else read_own


def _own_reader(shape: RecordShape, redactor: Redactor) -> RecordReader:
    """What reads the columns that an object holds itself."""
    known = frozenset(shape.known)
    readers = [(key, _value_reader(column.type, key, redactor)) for key, column in shape.columns]
    read_all = _values_reader(shape.columns, [read_value for _, read_value in readers])

    def read_one_by_one(record: Json) -> tuple[Row, Json]:
        values: list[Any] = []
        odd = {}
        for key, read_value in readers:
            try:
                values.append(read_value(record))
            except BadFieldError:
                values.append(None)
                odd[key] = record[key]
        return tuple(values), odd

    def read(record: Json) -> tuple[Row, Json | None]:
        rest = None
        if not known.issuperset(record):
            rest = {key: value for key, value in record.items() if key not in known}
        try:
            return read_all(record), rest
        except BadFieldError:
            values, odd = read_one_by_one(record)
            return values, {**(rest or {}), **odd} or None

    return read


def _value_reader(type_: ColumnType, key: str, redactor: Redactor) -> ValueReader:
    """What reads one value, its secrets masked; raises BadFieldError where it does not fit."""
    if type_ is TEXT:
        return _text_reader(key, redactor)
    if type_ is SHORT_TEXT:
        return _short_text_reader(key, redactor)
    if type_ is URL:
        return _url_reader(key, redactor)
    if type_ is JSON:
        return lambda record: redactor.json(record.get(key))
    if type_.most:
        return _number_reader(key, type_)
    return lambda record: type_.read(record, key)


def _text_reader(key: str, redactor: Redactor) -> ValueReader:
    def read(record: Json) -> str | None:
        value = record.get(key)
        if value is None or (type(value) is str and "://" not in value):
            return value
        return redactor.text(required(text(record, key), key))

    return read


def _short_text_reader(key: str, redactor: Redactor) -> ValueReader:
    most = SHORT_TEXT.most

    def read(record: Json) -> str | None:
        value = record.get(key)
        if value is None or (type(value) is str and len(value) <= most and "://" not in value):
            return value
        return redactor.text(required(short_text(record, key), key))

    return read


def _url_reader(key: str, redactor: Redactor) -> ValueReader:
    mask = redactor.url

    def read(record: Json) -> str | None:
        value = record.get(key)
        return mask(value) if type(value) is str else text(record, key)

    return read


def _number_reader(key: str, type_: ColumnType) -> ValueReader:
    most, read_closely = type_.most, type_.read

    def read(record: Json) -> Any:
        value = record.get(key)
        if value is None or (type(value) is int and -most <= value <= most):
            return value
        return read_closely(record, key)

    return read


def _values_reader(
    columns: Sequence[tuple[str, Column]], readers: Sequence[ValueReader]
) -> Callable[[Json], Row]:
    """What reads the values of all columns.

    A loop over the columns would cost more than the values do, so that the readers are called side
    by side.
    """
    match readers:
        case []:
            return lambda _: ()
        case [a]:
            return lambda record: (a(record),)
        case [a, b]:
            return lambda record: (a(record), b(record))
        case [a, b, c]:
            return lambda record: (a(record), b(record), c(record))
        case [a, b, c, d]:
            return lambda record: (a(record), b(record), c(record), d(record))
    if all(column.type is COUNT for _, column in columns):
        return _counts_reader([key for key, _ in columns])
    half = len(readers) // 2
    head = _values_reader(columns[:half], readers[:half])
    tail = _values_reader(columns[half:], readers[half:])
    return lambda record: head(record) + tail(record)


def _counts_reader(keys: Sequence[str]) -> Callable[[Json], Row]:
    most = COUNT.most

    def read_counts(record: Json) -> Row:
        counts = (*map(record.get, keys),)
        for value in counts:
            if value is not None and not (type(value) is int and -most <= value <= most):
                # Which one, and whether it can be read all the same, is found one by one.
                raise BadFieldError("", "not all are plain counts")
        return counts

    return read_counts
