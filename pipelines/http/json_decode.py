"""A page that no decoder takes, record by record, so that one record does not cost its neighbours.

JSON may be well formed and yet nested deeper than any decoder follows, or hold numbers longer than
Python reads. Then the page is cut at the commas of its list, which takes no more than counting
brackets, and each record is decoded by itself.
"""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from pipelines.sources.fields import Json

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},:]', re.DOTALL)


class UndecodableRecord(str):
    """A record that no decoder takes, as it was sent; `reason` says why."""

    __slots__ = ("reason",)
    reason: str


def to_text(body: bytes) -> str:
    """A body as text that Postgres can hold; what is no UTF-8 and NUL stand there as escapes."""
    return body.decode("utf-8", "backslashreplace").replace("\0", "\\u0000")


def reason(error: Exception) -> str:
    """Why a decoder gave up."""
    return "nested too deeply" if isinstance(error, RecursionError) else "a number too long"


def salvage_page(body: bytes, member: str, decode: Callable[[bytes], Any]) -> Json | None:
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
    page[member] = [_decoded(piece, decode) for piece in pieces if piece.strip()]
    return dict(page)


def _decoded(piece: bytes, decode: Callable[[bytes], Any]) -> Any:
    try:
        return decode(piece)
    except (RecursionError, ValueError) as error:
        one = UndecodableRecord(to_text(piece))
        one.reason = reason(error)
        return one


def _cuts(body: bytes, member: bytes) -> list[int] | None:
    """Where the records of the page's list begin, and behind its last bracket."""
    depth = 0
    text = key = b""
    cuts: list[int] = []
    for found in _TOKEN.finditer(body):
        token = found[0]
        if token in b"[{":
            depth += 1
            if token == b"[" and depth == 2 and key == member:
                cuts = [found.end()]
        elif token in b"]}":
            depth -= 1
            if cuts and depth == 1:
                return [*cuts, found.end()]
        elif token == b"," and depth == 2 and cuts:
            cuts.append(found.end())
        elif token == b":" and depth == 1:
            key = text
        else:
            text = token
    return None
