"""One value at a time: what the APIs sent, checked against the column that it goes to.

Binary COPY is strict about types and silent about 32-bit overflow, so every value is checked here
before a row is made of it; a value that does not fit sets its record aside, never the batch.
Absent and null are the same: None. Nothing is converted, so nothing can be lost in converting.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

Json = dict[str, Any]
Row = TypeVar("Row")
Value = TypeVar("Value")

_INT4 = range(-(2**31), 2**31)
_INT8 = range(-(2**63), 2**63)
_MOST_QUOTED = 40
# From here on a double may be the neighbour of the whole number that was sent.
_EXACT = 2**53
_LONGEST_KEY_BYTES = 1_000


class BadFieldError(Exception):
    """A value that cannot be stored; the message names it, as `executions[3].itemName: …`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem

    def inside(self, outer: str) -> "BadFieldError":
        """The same complaint, seen from the record around it."""
        joint = "" if self.path.startswith("[") or not self.path else "."
        return BadFieldError(f"{outer}{joint}{self.path}", self.problem)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a fraction", str: "text"}
    return names.get(type(value)) or ("a list" if isinstance(value, list) else "an object")


def text(record: Json, key: str) -> str | None:
    """A string, as sent. Raises BadFieldError for any other type."""
    value = record.get(key)
    if value is None or type(value) is str:
        return value
    raise BadFieldError(key, f"expected text, got {_kind(value)}")


def integer(record: Json, key: str) -> int | None:
    """A whole number that fits `integer` (32 bits). Raises BadFieldError."""
    value = record.get(key)
    if value is None or (type(value) is int and value in _INT4):
        return value
    return _unlikely_integer(key, value, _INT4)


def bigint(record: Json, key: str) -> int | None:
    """A whole number that fits `bigint` (64 bits). Raises BadFieldError."""
    value = record.get(key)
    if value is None or (type(value) is int and value in _INT8):
        return value
    return _unlikely_integer(key, value, _INT8)


def _unlikely_integer(key: str, value: object, fits: range) -> int:
    # 3.0 is the whole number 3 to JSON, whose numbers know no types.
    if type(value) is float and abs(value) < _EXACT and (whole := int(value)) == value:
        if whole in fits:
            return whole
        value = whole
    if type(value) is int:
        raise BadFieldError(key, f"a whole number beyond {32 if fits is _INT4 else 64} bits")
    raise BadFieldError(key, f"expected a whole number, got {_kind(value)}")


def boolean(record: Json, key: str) -> bool | None:
    """True or false; 0, 1 and words are neither. Raises BadFieldError."""
    value = record.get(key)
    if value is None or type(value) is bool:
        return value
    raise BadFieldError(key, f"expected true or false, got {_kind(value)}")


def instant(record: Json, key: str) -> datetime | None:
    """An ISO 8601 time with its zone, as aware UTC to the microsecond.

    Raises BadFieldError for a number, a time without a zone (which hour would it be?), and years
    that no calendar here can hold.
    """
    value = record.get(key)
    if value is None:
        return None
    if type(value) is not str:
        raise BadFieldError(key, f"expected a time, got {_kind(value)}")
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise BadFieldError(key, f"a time without a zone: {_quoted(value)}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadFieldError(key, f"not an ISO 8601 time: {_quoted(value)}") from None


def _quoted(value: str) -> str:
    # Whole or not at all: a part of our own key, sent back to us, would pass every mask.
    return repr(value) if len(value) <= _MOST_QUOTED else f"{len(value)} characters of text"


def obj(record: Json, key: str, make: Callable[[Json], Row]) -> Row:
    """`make(object)`; absent, null and the empty list that PHP makes of an empty object are {}.

    Raises BadFieldError naming the object and the field in it.
    """
    value = record.get(key)
    if type(value) is not dict:
        if value is not None and value != []:
            raise BadFieldError(key, f"expected an object, got {_kind(value)}")
        value = {}
    try:
        return make(value)
    except BadFieldError as bad:
        raise bad.inside(key) from None


def items(record: Json, key: str) -> list[Any]:
    """A list; absent, null and an empty object are []."""
    value = record.get(key)
    if type(value) is list:
        return value
    if value is None or value == {}:
        return []
    raise BadFieldError(key, f"expected a list, got {_kind(value)}")


def each(record: Json, key: str, make: Callable[[int, Json], Row]) -> list[Row]:
    """`make(position, object)` over the objects of a list.

    Raises BadFieldError naming the position.
    """
    rows = []
    for position, item in enumerate(items(record, key)):
        if type(item) is not dict:
            raise BadFieldError(f"{key}[{position}]", f"expected an object, got {_kind(item)}")
        try:
            rows.append(make(position, item))
        except BadFieldError as bad:
            raise bad.inside(f"{key}[{position}]") from None
    return rows


def required(value: Value | None, key: str) -> Value:
    """The value itself. Raises BadFieldError when it is absent or null."""
    if value is None:
        raise BadFieldError(key, "is missing")
    return value


def indexable(value: str, key: str) -> str:
    """The text itself, which is part of a table's key. Raises BadFieldError above 1,000 bytes.

    An index of Postgres takes 2,704 bytes a row.
    """
    # Half a character counts as what it is replaced by: three bytes as well.
    if (
        len(value) > _LONGEST_KEY_BYTES
        or len(value.encode(errors="surrogatepass")) > _LONGEST_KEY_BYTES
    ):
        raise BadFieldError(key, f"longer than the {_LONGEST_KEY_BYTES:,} bytes of a key")
    return value


def leftovers(record: Json, known: frozenset[str]) -> Json | None:
    """What has no column, for `extra`: keys that nobody knows. None when nothing is left."""
    if known.issuperset(record):
        return None
    return {key: value for key, value in record.items() if key not in known}


def with_nested(rest: Json | None, **nested: Json | None) -> Json | None:
    """`leftovers` of a record and, under their own names, those of the objects in it."""
    if not any(nested.values()):
        return rest
    return {**(rest or {}), **{key: inner for key, inner in nested.items() if inner}}


def storable(value: Any) -> Any:
    """The same JSON with U+FFFD for what Postgres cannot hold: NUL and lone surrogates.

    Goes through objects and lists as deep as they can be decoded, keys included.
    """
    if type(value) is str:
        if "\0" in value:
            value = value.replace("\0", "\ufffd")
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if type(value) is list:
        return [*map(storable, value)]  # a comprehension would take twice the stack
    if type(value) is dict:
        return dict(zip(map(storable, value), map(storable, value.values()), strict=True))
    return value


def canonical_json(record: Mapping[str, Any]) -> bytes:
    """One spelling of a record whatever the order of its keys: what digests are taken of."""
    return msgspec.json.encode(record, order="deterministic")
