"""What both fakes put on the wire and read off it: answers, JSON bytes, times."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

Json = dict[str, Any]


class Answer(NamedTuple):
    """One HTTP answer, before it is sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})


class ListOrder(Enum):
    """An order of a list of runs by their beginning; NONE is no order, but always the same."""

    NEWEST_FIRST = "newest first"
    OLDEST_FIRST = "oldest first"
    NONE = "none"


def scattered(run_id: object) -> bytes:
    """Give the place of a run in a list without order."""
    return blake2b(str(run_id).encode("utf-8", "surrogatepass"), digest_size=8).digest()


class RequestError(Exception):
    """A request that the API refuses, and the answer it gives instead."""

    def __init__(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
        """Keep the refusal ready to be sent."""
        super().__init__(status)
        self.answer = Answer(status, encode(body), headers or {})


def encode(value: Any) -> bytes:
    """Give JSON bytes; what msgspec refuses (lone surrogates) is escaped by json.

    Real answers hold such text and numbers, so the fakes must be able to send them.
    """
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value).encode()


def decode(body: bytes) -> Any:
    """Read JSON of our own, whole numbers of any size and lone surrogates included."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(body)


def moment(value: Any) -> datetime | None:
    """Read an ISO 8601 time, UTC where it names no zone; None for anything else.

    A run with a damaged time is still served, as the loader must meet it; it only sorts as
    undated.
    """
    try:
        read = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read


def whole_number(text: str) -> int | None:
    """Read digits, no more than 64 bits surely hold; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
