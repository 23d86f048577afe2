"""How values read on the page: times in the business zone, durations, percentages, names.

Names and messages come from tests and are hostile input. The templates escape them; here they are
made to be what they look like, and cut to a length.
"""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pipelines.sources import redaction

_LONGEST_NAME = 200
_LONGEST_ADDRESS = 2000


def visible(text: object, longest: int = _LONGEST_NAME) -> str:
    """The text with nothing hidden in it, at most so many characters; longer ones end in `…`."""
    lines = str(text).replace("\r\n", "\n").split("\n")
    plain = "\n".join(redaction.visible(line) for line in lines)
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def full_name(row: dict[str, Any]) -> str:
    """`request: assertion` or `folder: test`, and which of that name it is, from the second."""
    parent = f"{visible(row['parent_name'], 100)}: " if row["parent_name"] else ""
    name = visible(row["test_name"] or "(without a name)")
    return f"{parent}{name}{format_occurrence(row['occurrence'])}"


def run_id(test_run_key: str) -> str:
    """The run's ID in its system, out of `system:ID`."""
    return visible(test_run_key.partition(":")[2])


def is_web_address(url: str) -> bool:
    """Whether a browser may be sent there: HTTP or HTTPS, a host, nothing hidden."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    is_plain = len(url) <= _LONGEST_ADDRESS and " " not in url and redaction.visible(url) == url
    return is_plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def outage_cause(row: dict[str, Any]) -> str:
    """`host pay.example.com, HTTP 503`: what an outage (fct_outages) hit, and how it answered."""
    kind = "host" if row["system"] == "postman" else "folder"
    where = f"{kind} {visible(row['component'], 100)}" if row["component"] else f"several {kind}s"
    if (row["unanswered_share"] or 0) > 0.5:
        return f"{where}, no answer"
    status = row["response_status_code"]
    return where if status is None else f"{where}, HTTP {status:.0f}"


def format_occurrence(number: float | None) -> str:
    """` (no. 2)` for the second of a name; nothing for the first."""
    return f" (no. {number:.0f})" if number and number > 1 else ""


def short_id(identifier: str) -> str:
    """An ID such that it still differs from its neighbours, in 21 characters."""
    plain = visible(identifier)
    return plain if len(plain) <= 21 else f"{plain[:13]}…{plain[-7:]}"


def format_time(time: datetime | None, zone: str) -> str:
    """`2026-11-22 06:15` in the zone."""
    return "unknown" if time is None else f"{time.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def format_duration(seconds: float) -> str:
    """The two largest units: `3 d 4 h`, `2 h 5 min`, `40 s`."""
    if seconds < 60:
        return f"{max(seconds, 0):.0f}\u00a0s"
    hours, minutes = divmod(round(seconds / 60), 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (0 if days else minutes, "min")]
    return " ".join(f"{number:,}\u00a0{unit}" for number, unit in parts if number)


def format_percent(value: float | None) -> str:
    """`98.3 %`; only what is whole is called 100 %. None: `-`."""
    if value is None:
        return "-"
    percent = f"{value:.1%}"
    if percent == "100.0%" and value < 1:
        percent = "99.9%"
    return percent.replace("%", "\u00a0%").replace(".0\u00a0%", "\u00a0%")


def format_number(value: float) -> str:
    """`1,234`."""
    return f"{value:,.0f}"


def format_milliseconds(value: float | None) -> str:
    """`1,234 ms`; None: `-`."""
    return "-" if value is None else f"{value:,.0f}\u00a0ms"


def pluralize(number: float, singular: str, plural: str | None = None) -> str:
    """`1 run`, `2 runs`."""
    return f"{number:,.0f} {singular if number == 1 else plural or singular + 's'}"
