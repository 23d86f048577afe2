"""What a load commits at once: what came of each run, and the watermark that holds after it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipelines.sources.base import (
    NO_REFERENCES,
    FlatRun,
    References,
    Rejected,
    Watermark,
)

# A kill costs the batch that is being committed, the one that is being filled and what is under
# way (16): with 40 that is less than a page of details to fetch again, and a commit is cheap.
_FULL_DETAILS = 40
_FULL_BYTES = 2_000_000
# Rows take more than the JSON that they were made of: some 10 MB.
_FULL_ROWS = 40_000
# Where the API allows a request a second, a batch does not wait for the fortieth.
_FULL_SECONDS = 5.0


@dataclass(frozen=True)
class Deferred:
    """A run that could not be fetched; later loads ask for it by ID.

    `is_transient`: they may well get it. `is_unknown`: the list shows the run, and the API answers
    404 for it. `opened_at` is what the list says, None if nothing. `was_requested`: this load has
    tried; where it has not, the next one tries before those that it has.
    """

    run_id: str
    error: str
    is_transient: bool = True
    is_unknown: bool = False
    opened_at: datetime | None = None
    was_requested: bool = True


@dataclass(frozen=True)
class NotFound:
    """A run that no list shows and for which the API answers 404."""

    run_id: str


Outcome = FlatRun | Rejected | Deferred | NotFound


@dataclass(frozen=True)
class FetchResult:
    """What came of one run, or the watermark at a page's end.

    `listed_digest` is of the run as the list shows it; `canonical` is the run as JSON, kept until
    it is written; `is_detail`: the run was fetched by itself. `set_aside` are parts of a run that
    could not be parsed; `results_size` are the bytes of its test results.
    """

    outcome: Outcome | None = None
    listed_digest: bytes | None = None
    canonical: bytes = b""
    references: References = NO_REFERENCES
    watermark: Watermark | None = None
    is_detail: bool = False
    set_aside: Sequence[Rejected] = ()
    results_size: int | None = None


@dataclass
class Batch:
    """Results in the order of the list; `watermark` is None where the page goes on.

    `references` are rows by table and ID.
    """

    results: list[FetchResult] = field(default_factory=list)
    references: dict[str, dict[Any, tuple[Any, ...]]] = field(default_factory=dict)
    watermark: Watermark | None = None
    _bytes: int = 0
    _rows: int = 0
    _details: int = 0
    _began: float = field(default_factory=time.monotonic)

    def add(self, result: FetchResult) -> None:
        """Add what came of one run, or a page's end."""
        if result.outcome is not None:
            self.results.append(result)
        self.results += map(FetchResult, result.set_aside)
        for table, rows in result.references.rows.items():
            self.references.setdefault(table, {}).update((row[0], row) for row in rows)
        self.watermark = result.watermark
        self._bytes += len(result.canonical) + (result.results_size or 0)
        self._bytes += sum(len(rejected.payload) for rejected in result.set_aside)
        self._details += result.is_detail or result.results_size is not None
        match result.outcome:
            case FlatRun() as run:
                self._rows += sum(map(len, run.rows.values()))
            case Rejected(payload=payload):
                self._bytes += len(payload)

    @property
    def latest(self) -> list[FetchResult]:
        """The results, each run's last: a list that shifts may show a run twice."""
        by_run: dict[object, FetchResult] = {}
        for result in self.results:
            match result.outcome:
                case Rejected(run_id=run_id, payload=payload):
                    by_run[run_id, payload] = result
                case FlatRun() | Deferred() | NotFound() as outcome:
                    by_run[outcome.run_id, None] = result
                case None:
                    pass
        return list(by_run.values())

    @property
    def is_full(self) -> bool:
        """Whether it is to be committed before more is added."""
        return (
            self.watermark is not None
            or self.is_large
            or self._details >= _FULL_DETAILS
            or time.monotonic() - self._began >= _FULL_SECONDS
        )

    @property
    def is_large(self) -> bool:
        """Whether it takes so much memory that the next is filled only once it is written."""
        return self._bytes >= _FULL_BYTES or self._rows >= _FULL_ROWS

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self.results and not self.references and self.watermark is None
