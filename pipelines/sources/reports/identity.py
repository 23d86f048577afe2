"""IDs of runs that come in files: a prefix and a UUIDv5 of what the run itself says.

Never of a file's path, name or time: the same run in another file has the same ID.
"""

import hashlib
from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid5

import msgspec

# Any constant; it may never change, or every run of the past would get another ID.
_NAMESPACE = UUID("6f0f4a0e-3c43-5bd5-9d0b-4f5a0a4f1c7e")


def run_id(prefix: str, *parts: Any) -> str:
    """`prefix-UUID`, equal for equal parts (JSON values)."""
    return f"{prefix}-{uuid5(_NAMESPACE, text(prefix, *parts))}"


def newman_lookalike(collection: Any, timings: Any, requests: Any, assertions: Any) -> str:
    """The ID of a newman run by its totals alone, whether its executions are listed or not."""
    times = [timings.get("started"), timings.get("completed")]
    totals = [[total.get("total"), total.get("failed")] for total in (requests, assertions)]
    return run_id("newman", collection, *times, totals)


def collection_id(name: str | None) -> str:
    """The ID of a collection of which only its name is known."""
    return str(uuid5(_NAMESPACE, text("collection", name)))


def text(*parts: Any) -> str:
    """One spelling of the parts."""
    return msgspec.json.encode(parts, order="deterministic").decode()


def short_digest(*parts: Any) -> bytes:
    """16 bytes, equal for equal parts."""
    return hashlib.blake2b(text(*parts).encode(), digest_size=16).digest()


class RunningDigest:
    """A digest of parts that come one after the other."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, *parts: Any) -> None:
        """Take the next part."""
        self._digest.update(text(*parts).encode())

    def hexdigest(self) -> str:
        """Hexadecimal digest of all parts so far, in their order."""
        return self._digest.hexdigest()


def cases_of(tests: Iterable[list[Any]]) -> frozenset[bytes]:
    """Digests of what rows of `raw_reports.tests` (without run_id) tested."""
    return frozenset(short_digest(*row[1:4]) for row in tests)


def set_digest(members: Iterable[bytes]) -> str:
    """Hexadecimal digest of a set, whatever the order in which its members came."""
    digest = hashlib.blake2b(digest_size=16)
    for member in sorted(set(members)):
        digest.update(member)
    return digest.hexdigest()
