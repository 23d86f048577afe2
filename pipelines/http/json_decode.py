"""JSON as Python values; a page that no decoder takes, record by record.

JSON may be well formed and yet nested deeper than any decoder follows, or hold numbers longer than
Python reads. Then the page is cut at the commas of its list, which takes no more than counting
brackets, and each record is decoded by itself: one record does not cost its neighbours.
"""

import json
import math
import re
from itertools import pairwise
from typing import Any

import msgspec

Json = dict[str, Any]

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},:]', re.DOTALL)


class UndecodableRecord(str):
    """A record that no decoder takes, as it was sent; `reason` says why."""

    __slots__ = ("reason",)
    reason: str


def decode(body: bytes) -> Any:
    """JSON as Python values, whole numbers of any size included.

    The fast decoder refuses what the standard one takes (a byte order mark, lone surrogates);
    numbers beyond a double and NaN, which neither can keep, stay the text that was sent.
    Raises json.JSONDecodeError or UnicodeDecodeError for what is no JSON, RecursionError for
    nesting beyond a thousand levels, ValueError for a whole number of over 4,300 digits.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return json.loads(
            body.decode("utf-8-sig"),
            parse_float=lambda digits: number if math.isfinite(number := float(digits)) else digits,
            parse_constant=str,
        )


def why_undecodable(error: Exception) -> str:
    """Why `decode` gave up on what is JSON by its grammar."""
    return "nested too deeply" if isinstance(error, RecursionError) else "a number too long"


def to_text(body: bytes) -> str:
    """A body as text that Postgres can hold; what is no UTF-8 and NUL stand there as escapes."""
    return body.decode("utf-8", "backslashreplace").replace("\0", "\\u0000")


def salvage_page(body: bytes, member: str) -> Json | None:
    """The page, an UndecodableRecord in each place of its list `member` that cannot be decoded.

    None where `member` is no list, or something beside it is what cannot be decoded.
    """
    cuts = _cuts(body, b'"%b"' % member.encode())
    if cuts is None:
        return None
    try:
        page = decode(body[: cuts[0]] + body[cuts[-1] - 1 :])
    except (RecursionError, ValueError):
        return None
    pieces = (body[begin : end - 1] for begin, end in pairwise(cuts))
    page[member] = [_record(piece) for piece in pieces if piece.strip()]
    return dict(page)


def _record(piece: bytes) -> Any:
    try:
        return decode(piece)
    except (RecursionError, ValueError) as error:
        record = UndecodableRecord(to_text(piece))
        record.reason = why_undecodable(error)
        return record


def _cuts(body: bytes, member: bytes) -> list[int] | None:
    """Where the records of the page's list begin, and behind its last bracket."""
    depth = 0
    text = key = b""
    cuts: list[int] = []
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token in b"[{":
            depth += 1
            if token == b"[" and depth == 2 and key == member:
                cuts = [match.end()]
        elif token in b"]}":
            depth -= 1
            if cuts and depth == 1:
                return [*cuts, match.end()]
        elif token == b"," and depth == 2 and cuts:
            cuts.append(match.end())
        elif token == b":" and depth == 1:
            key = text
        else:
            text = token
    return None
