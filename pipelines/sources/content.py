"""What a record says, in bytes: what can be stored of it, its canonical JSON, its digest."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from pipelines.sources.fields import BadFieldError, Json
from pipelines.sources.redaction import Redactor

# Raised when flattening changes, so that a backfill writes the rows of unchanged runs anew.
ROWS_VERSION = 2


def sanitize(record: Json) -> tuple[Json, bytes]:
    """The record with U+FFFD for what Postgres cannot hold, and its canonical JSON.

    Records that hold nothing of the kind, nearly all, are given back as they are. Raises
    BadFieldError for one that is nested some hundred levels deep.
    """
    try:
        try:
            canonical = canonical_json(record)
        except UnicodeEncodeError:  # a lone surrogate
            canonical = b"\\u0000"
        if b"\\u0000" in canonical:
            record = storable(record)
            canonical = canonical_json(record)
    except RecursionError:
        raise BadFieldError("record", "nested too deeply") from None
    return record, canonical


def digest(canonical: bytes, salt: bytes = b"") -> bytes:
    """16 bytes that change when a record's content does, whatever the order of its keys."""
    return hashlib.blake2b(canonical, digest_size=16, key=salt).digest()


def redaction_salt(redactor: Redactor) -> bytes:
    """What rows depend on besides the run itself: which parameters are masked, and how.

    Part of every content digest, so that a backfill after a change of TESTRUNS_REDACT_PARAMS
    writes the rows anew.
    """
    canonical = f"{ROWS_VERSION}:{','.join(sorted(redactor.parameters))}"
    return hashlib.blake2b(canonical.encode(), digest_size=16).digest()


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
    """The same bytes for a record whatever the order of its keys: what digests are taken of."""
    return msgspec.json.encode(record, order="deterministic")
