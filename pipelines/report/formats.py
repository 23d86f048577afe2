"""How values read on the page: times in the business zone, durations, shares, names.

Names and messages come from tests and are hostile input. The template escapes them; here they are
made to be what they look like: characters that cannot be seen, or that turn the text around them
(Unicode's bidirectional controls), are written as their code point.
"""

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

# Joiners (U+200C, U+200D) are left out: Persian and many an emoji need them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb]"
)
_LONGEST_NAME = 200


def seen(text: object, longest: int = _LONGEST_NAME) -> str:
    """The text with nothing hidden in it, at most so many characters; longer ones end in `…`."""
    plain = _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", str(text).replace("\r\n", "\n"))
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def named_test(row: dict[str, Any]) -> str:
    """`request: assertion` or `folder: test`, and which of that name it is, from the second."""
    named = seen(row["test_name"] or "(without a name)")
    parent = f"{seen(row['parent_name'], 100)}: " if row["parent_name"] else ""
    occurrence = row["occurrence"] or 1
    return f"{parent}{named}" + (f" (no. {occurrence})" if occurrence > 1 else "")


def short_id(identifier: str) -> str:
    """An ID such that it can still be told from its neighbours, in 21 characters."""
    plain = seen(identifier)
    return plain if len(plain) <= 21 else f"{plain[:13]}…{plain[-7:]}"


def clock(moment: datetime | None, zone: str) -> str:
    """`2026-11-22 06:15` in the zone."""
    return "unknown" if moment is None else f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def lasted(seconds: float) -> str:
    """The two largest units: `3 d 4 h`, `2 h 5 min`, `40 s`."""
    if seconds < 60:
        return f"{max(seconds, 0):.0f}\u00a0s"
    hours, minutes = divmod(round(seconds / 60), 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (0 if days else minutes, "min")]
    return " ".join(f"{number:,}\u00a0{unit}" for number, unit in parts if number)


def share(value: float | None) -> str:
    """`98.3 %`; only what is whole is called 100 %. None: `-`."""
    if value is None:
        return "-"
    percent = f"{value:.1%}"
    if percent == "100.0%" and value < 1:
        percent = "99.9%"
    return percent.replace("%", "\u00a0%").replace(".0\u00a0%", "\u00a0%")


def milliseconds(value: float | None) -> str:
    """`1,234 ms`; None: `-`."""
    return "-" if value is None else f"{value:,.0f}\u00a0ms"


def counted(number: float, one: str, many: str | None = None) -> str:
    """`1 run`, `2 runs`."""
    return f"{number:,.0f} {one if number == 1 else many or one + 's'}"
