"""Values out of reports, taken as they come: what does not fit its column is left out.

Unlike an API's record, a report with one odd value is still a report.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.sources.fields import Json

_INT4, _INT8 = 2**31, 2**63
# Epochs below are seconds, above milliseconds (year 1973, or 5138).
_MILLISECONDS_FROM = 1e11


def member(value: Any, *path: str) -> Any:
    """What stands under the keys, one in the other; None where one of them is missing."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def as_object(value: Any) -> Json:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The list, or an empty one."""
    return value if isinstance(value, list) else []


def objects(value: Any) -> list[Json]:
    """The objects of a list; none where it is no list."""
    return [item for item in as_list(value) if isinstance(item, dict)]


def as_text(value: Any) -> str | None:
    """The text; of a number its digits; None for all else."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def whole(value: Any, limit: int = _INT8) -> int | None:
    """A whole number of 64 bits (or of `limit`), rounded; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) >= limit:
        return None
    return round(value) if value == value else None  # noqa: PLR0124 - not a number


def small(value: Any) -> int | None:
    """A whole number of 32 bits; None for all else."""
    return whole(value, _INT4)


def number(value: Any) -> float | None:
    """A finite number, at least 0; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return max(float(value), 0.0) if abs(value) < _INT8 else None


def epoch(value: Any) -> datetime | None:
    """A time from milliseconds (or seconds) since 1970, or from ISO 8601; UTC.

    A time without a zone is UTC. None for 0 and what is no time.
    """
    if isinstance(value, str):
        return moment(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e14:
        return None
    milliseconds = value if value >= _MILLISECONDS_FROM else value * 1000
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)


def moment(value: str | None) -> datetime | None:
    """A time in ISO 8601, UTC where it names no zone; None for what is no time."""
    try:
        time = datetime.fromisoformat((value or "").strip())
        return time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def milliseconds_between(start: datetime | None, end: datetime | None) -> int | None:
    """Milliseconds from one time to the other, at least 0; None where one is not known."""
    if start is None or end is None:
        return None
    return max(round((end - start) / timedelta(milliseconds=1)), 0)


def known(**values: Any) -> Json:
    """The members that are not None."""
    return {name: value for name, value in values.items() if value is not None}
