"""What both sources give to a load: pages of listed runs, marks between them, runs as rows."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from pipelines.client import Client
from pipelines.fields import BadFieldError, Json, canonical, storable
from pipelines.settings import Settings, Source

ListOrder = Literal["unknown", "newest_first", "oldest_first", "neither"]
Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Walk:
    """What an unfinished walk has learned so far (table `ingest.walks`).

    `page_earliest` and `page_latest` are the starts of the last page that had any.
    """

    started_at: datetime
    newest_seen: datetime | None = None
    page_earliest: datetime | None = None
    page_latest: datetime | None = None
    list_order: ListOrder = "unknown"


@dataclass(frozen=True)
class Mark:
    """How far a history is read, committed with the batch before it (`watermarks` and `walks`).

    Every run up to `high_water` is loaded; `cursor` is where the list is asked next; `walk` is
    None when none is under way; `known_order` is what the last walk over the whole list found.
    """

    high_water: datetime | None = None
    cursor: str | None = None
    walk: Walk | None = None
    known_order: ListOrder = "unknown"


@dataclass(frozen=True)
class BadReference:
    """An object that could not be parsed: `member` that held it, as sent, `error` naming it."""

    member: str
    sent: Any
    error: str


@dataclass(frozen=True)
class References:
    """What runs refer to: `rows` maps a table to its rows by ID, `bad` are objects set aside."""

    rows: Rows = field(default_factory=dict)
    bad: Sequence[BadReference] = ()


NO_REFERENCES = References()


@dataclass(frozen=True)
class Page:
    """Runs as listed, the mark that holds once they are loaded, and what they refer to."""

    runs: list[Any]
    mark: Mark
    references: References = NO_REFERENCES


@dataclass(frozen=True)
class Difference:
    """A total that a run announces, and what its rows come to; `total` is the column's name."""

    total: str
    announced: int
    loaded: int


@dataclass(frozen=True)
class FlatRun:
    """One run as rows: `rows` maps each table of the source to its tuples, in column order.

    `digest` is of all its content; an open run has not ended yet; `differences` are those between
    the totals that it announces and its rows.
    """

    run_id: str
    is_open: bool
    opened_at: datetime | None
    digest: bytes
    rows: Rows
    differences: Sequence[Difference] = ()


@dataclass(frozen=True)
class Rejected:
    """A record that could not be parsed: `payload` as sent, `error` naming the field.

    `is_run` is False for an object that runs only refer to.
    """

    endpoint: str
    run_id: str | None
    payload: str
    error: str
    is_run: bool = True


@dataclass(frozen=True)
class Owed:
    """A run that could not be fetched; the next load asks for it by ID.

    `is_transient`: it may well get it then.
    """

    run_id: str
    error: str
    is_transient: bool = True


@dataclass(frozen=True)
class Gone:
    """A run that the API no longer knows: asked for by ID, answered 404."""

    run_id: str


Outcome = FlatRun | Rejected | Owed | Gone


# A kill costs the batch that is being committed, the one that is being filled and what is under
# way (16): with 40 that is less than a page of details to ask for again, and a commit is cheap.
_FULL_DETAILS = 40
_FULL_BYTES = 2_000_000


@dataclass
class Batch:
    """What is committed at once: outcomes with the digest of the run as listed, and the mark after.

    `size` is in bytes of JSON; `details` are runs that were asked for one by one. `mark` is None
    where the page goes on.
    """

    outcomes: list[tuple[Outcome, bytes | None]] = field(default_factory=list)
    references: Rows = field(default_factory=dict)
    mark: Mark | None = None
    size: int = 0
    details: int = 0

    def add(
        self,
        outcome: Outcome | None,
        listed_digest: bytes | None,
        size: int,
        references: Rows,
        mark: Mark | None,
        *,
        is_detail: bool = False,
    ) -> None:
        """Add what came of one run, or a page's end."""
        if outcome is not None:
            self.outcomes.append((outcome, listed_digest))
        self.size += size
        self.details += is_detail
        self.mark = mark
        for table, rows in references.items():
            self.references.setdefault(table, []).extend(rows)

    @property
    def is_full(self) -> bool:
        """Whether it is to be committed before more is added."""
        return self.size >= _FULL_BYTES or self.details >= _FULL_DETAILS

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self.outcomes and not self.references and self.mark is None


class RunSource(Protocol):
    """One API seen by a load (pipelines.postman, pipelines.testmo)."""

    client: Client

    @property
    def name(self) -> Source:
        """The source's name."""
        ...

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns by table, the runs' own table first; the order of every row's values."""
        ...

    @property
    def reference_columns(self) -> dict[str, tuple[str, ...]]:
        """Columns by table of the objects that runs refer to, `id` first."""
        ...

    @property
    def nested(self) -> frozenset[str]:
        """Objects whose own leftovers stand under their name in extra."""
        ...

    @property
    def list_endpoint(self) -> str:
        """The list's path template."""
        ...

    @property
    def run_endpoint(self) -> str:
        """One run's path template."""
        ...

    @property
    def filters(self) -> str:
        """The filters in force, one spelling for each; a watermark holds under its own only."""
        ...

    def walk(self, scope: str, mark: Mark, *, now: datetime) -> AsyncIterator[Page]:
        """Pages of runs from where `mark` stands, the lookback included."""
        ...

    def window(
        self, scope: str, mark: Mark, *, since: datetime, until: datetime, now: datetime
    ) -> AsyncIterator[Page]:
        """Pages that hold every listed run opened in [since, until), and others beside them."""
        ...

    def run_id(self, listed: Json) -> str:
        """The listed run's ID. Raises BadFieldError."""
        ...

    def opened_at(self, listed: Json) -> datetime | None:
        """When the listed run was created or started; None: not yet. Raises BadFieldError."""
        ...

    def is_whole(self, listed: Json) -> bool:
        """Whether the list already tells all there is, so that no detail is asked for."""
        ...

    async def fetch(self, scope: str, run_id: str) -> tuple[Any, References, int]:
        """One run's detail as sent, what it refers to, the bytes of the answer."""
        ...

    def reference(self, member: str, sent: Any) -> Rows:
        """The row of an object that `member` held. Raises BadFieldError."""
        ...

    def flatten(self, run: Json, spelled: bytes) -> FlatRun:
        """The run as rows; `spelled` is its one spelling. Raises BadFieldError."""
        ...


def dated(moment: datetime | None) -> datetime | None:
    """The time, or None where it is absurd: a walk adds a lookback to it, or takes one away.

    Year 1 and year 9999 are what programs send that have no time to tell.
    """
    return moment if moment is not None and 1970 <= moment.year < 9000 else None


def as_stored(record: Json) -> tuple[Json, bytes]:
    """The record with U+FFFD for what Postgres cannot hold, and its one spelling as JSON.

    Records that hold nothing of the kind, nearly all, are given back as they are. Raises
    BadFieldError for one that is nested some hundred levels deep.
    """
    try:
        try:
            spelled = canonical(record)
        except UnicodeEncodeError:  # a lone surrogate
            spelled = b"\\u0000"
        if b"\\u0000" in spelled:
            record = storable(record)
            spelled = canonical(record)
    except RecursionError:
        raise BadFieldError("record", "nested too deeply") from None
    return record, spelled


def digest(spelled: bytes, salt: bytes = b"") -> bytes:
    """16 bytes that change when a record's content does, whatever the order of its keys."""
    return hashlib.blake2b(spelled, digest_size=16, key=salt).digest()


# Raised when flattening changes, so that a backfill writes the rows of unchanged runs anew.
_ROWS_VERSION = 1


def redaction_salt(settings: Settings) -> bytes:
    """What rows depend on besides the run itself: which parameters are masked, and how.

    Part of every content digest, so that a backfill after a change of TESTRUNS_REDACT_PARAMS
    writes the rows anew.
    """
    spelled = f"{_ROWS_VERSION}:{','.join(settings.testruns_redact_params)}"
    return hashlib.blake2b(spelled.encode(), digest_size=16).digest()
