"""One value at a time: what the APIs sent, checked against the column that it goes to.

Binary COPY is strict about types and silent about 32-bit overflow: every value is checked before a
row is made of it. Absent and null are the same: None. Nothing is converted, so nothing can be
lost in converting.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar

Json = dict[str, Any]
Value = TypeVar("Value")

_INT4 = range(-(2**31), 2**31)
_INT8 = range(-(2**63), 2**63)
_MOST_QUOTED = 40
# From here on a double may be the neighbour of the whole number that was sent.
_EXACT = 2**53
# No count of things comes to this, and sums of such counts stay exact.
MOST_COUNTED = 10**15
_LONGEST_KEY_BYTES = 1_000
# Characters of a text that has no more bytes than that, whatever they are.
SURELY_SHORT = _LONGEST_KEY_BYTES // 4


class BadFieldError(Exception):
    """A value that cannot be stored; the message names it, as `executions[3].itemName: …`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem

    def inside(self, outer: str) -> "BadFieldError":
        """The same complaint, seen from the record around it."""
        joint = "" if self.path.startswith("[") or not self.path else "."
        return BadFieldError(f"{outer}{joint}{self.path}", self.problem)


def kind(value: object) -> str:
    """What JSON calls such a value, for messages."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a fraction", str: "text"}
    return names.get(type(value)) or ("a list" if isinstance(value, list) else "an object")


def text(record: Json, key: str) -> str | None:
    """A string, as sent. Raises BadFieldError for any other type."""
    value = record.get(key)
    if value is None or type(value) is str:
        return value
    raise BadFieldError(key, f"expected text, got {kind(value)}")


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


def count(record: Json, key: str) -> int | None:
    """A number of things: a whole number up to 10^15. Raises BadFieldError."""
    value = bigint(record, key)
    if value is not None and abs(value) > MOST_COUNTED:
        raise BadFieldError(key, "a count beyond 10^15")
    return value


def short_text(record: Json, key: str) -> str | None:
    """A string of at most 1,000 bytes, which any index can hold. Raises BadFieldError."""
    value = text(record, key)
    return value if value is None else indexable(value, key)


def _unlikely_integer(key: str, value: object, fits: range) -> int:
    # 3.0 is the whole number 3 to JSON, whose numbers know no types.
    if type(value) is float and abs(value) < _EXACT and (whole := int(value)) == value:
        if whole in fits:
            return whole
        value = whole
    if type(value) is int:
        raise BadFieldError(key, f"a whole number beyond {32 if fits is _INT4 else 64} bits")
    raise BadFieldError(key, f"expected a whole number, got {kind(value)}")


def boolean(record: Json, key: str) -> bool | None:
    """True or false; 0, 1 and words are neither. Raises BadFieldError."""
    value = record.get(key)
    if value is None or type(value) is bool:
        return value
    raise BadFieldError(key, f"expected true or false, got {kind(value)}")


def instant(record: Json, key: str) -> datetime | None:
    """An ISO 8601 time with its zone, as aware UTC to the microsecond.

    Raises BadFieldError for a number, a time without a zone (which hour would it be?), and years
    that no calendar here can hold.
    """
    value = record.get(key)
    if value is None:
        return None
    if type(value) is not str:
        raise BadFieldError(key, f"expected a time, got {kind(value)}")
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise BadFieldError(key, f"a time without a zone: {_quoted(value)}")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadFieldError(key, f"not an ISO 8601 time: {_quoted(value)}") from None


def plausible_time(moment: datetime | None) -> datetime | None:
    """The time, or None where it is absurd: a walk adds a lookback to it, or takes one away.

    Year 1 and year 9999 are what programs send that know no time.
    """
    return moment if moment is not None and 1970 <= moment.year < 9000 else None


def _quoted(value: str) -> str:
    # Whole or not at all: a part of our own key, sent back to us, would pass every mask.
    return repr(value) if len(value) <= _MOST_QUOTED else f"{len(value)} characters of text"


def items(record: Json, key: str) -> list[Any]:
    """A list; absent, null and an empty object are []."""
    value = record.get(key)
    if type(value) is list:
        return value
    if value is None or value == {}:
        return []
    raise BadFieldError(key, f"expected a list, got {kind(value)}")


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
