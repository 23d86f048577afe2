"""What a source gives to a load: pages of listed runs, watermarks between them, runs as rows."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pipelines.sources.fields import Json
from pipelines.sources.redaction import Redactor

if TYPE_CHECKING:  # an import of files needs no HTTP
    from pipelines.http.client import Client

ListOrder = Literal["unknown", "newest_first", "oldest_first", "neither"]
Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class WalkState:
    """What an unfinished walk has learned so far (table `ingest.walks`).

    `page_earliest` and `page_latest` are the starts of the last page that had any. `runs_listed`
    counts the runs listed, None for a walk that has not begun at the top; `longest_page` is in
    runs; `announced_total` is the first total that the list has announced, None if none.
    """

    started_at: datetime
    newest_seen: datetime | None = None
    page_earliest: datetime | None = None
    page_latest: datetime | None = None
    list_order: ListOrder = "unknown"
    runs_listed: int | None = None
    longest_page: int | None = None
    announced_total: int | None = None


@dataclass(frozen=True)
class Watermark:
    """How far a history is read, committed with the batch before it (`watermarks` and `walks`).

    Every run up to `high_water` is loaded; `cursor` is where the list goes on; `walk` is None
    when none is under way; `known_order` is what the last walk over the whole list found.
    """

    high_water: datetime | None = None
    cursor: str | None = None
    walk: WalkState | None = None
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

    def merged(self, other: "References") -> "References":
        """These and those of `other`; of an ID that stands twice the later row counts."""
        tables = {**self.rows, **other.rows}
        rows = {table: [*self.rows.get(table, ()), *other.rows.get(table, ())] for table in tables}
        return References(rows, [*self.bad, *other.bad])


NO_REFERENCES = References()


@dataclass(frozen=True)
class Page:
    """Runs as listed, the watermark that holds once they are loaded, and what they refer to.

    `remaining` are the runs of the list from this page on, None where the API does not say.
    """

    runs: list[Any]
    watermark: Watermark
    references: References = NO_REFERENCES
    remaining: int | None = None


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
    the totals that it announces and its rows, None: as they were when it was loaded. Where test
    results come by requests of their own, `results_digest` is of them; None: they were not read,
    `rows` lacks their table, and those that are loaded stay.
    """

    run_id: str
    is_open: bool
    opened_at: datetime | None
    digest: bytes
    rows: Mapping[str, Collection[tuple[Any, ...]]]
    differences: Sequence[Difference] | None = ()
    results_digest: bytes | None = None


@dataclass(frozen=True)
class RunResults:
    """The test results of one run, as rows of `table`, which may lie on disk.

    `digest` is of all that was sent, `size` its bytes; `bad` are results that could not be parsed,
    `differences` those between the run's counts and its results.
    """

    table: str
    rows: Collection[tuple[Any, ...]]
    digest: bytes
    size: int
    bad: Sequence[BadReference] = ()
    differences: Sequence[Difference] = ()
    references: References = NO_REFERENCES


@dataclass(frozen=True)
class Rejected:
    """A record that could not be parsed; `error` names the field.

    `payload` is the record as sent but for secrets in URLs; `is_run` is False for an object that
    runs only refer to.
    """

    endpoint: str
    run_id: str | None
    payload: str
    error: str
    is_run: bool = True


class ResultsSource(Protocol):
    """An endpoint that gives the test results of a run; the variable `setting` turns it on."""

    endpoint: str
    setting: str

    async def read(self, run: FlatRun) -> RunResults:
        """All results of a run, a page after the other. Raises ApiError."""
        ...

    async def probe(self, run_id: str) -> None:
        """Ask for results of a run, and leave them. Raises ApiError."""
        ...

    def requests(self, listed: Json) -> int:
        """How many requests the results of a listed run take, by its counts."""
        ...

    def check(self, result: Json) -> None:
        """Raise BadFieldError where no row can be made of a result."""
        ...


class RunSource(Protocol):
    """One API as a load sees it: what the `source.py` of a source's folder connects."""

    client: "Client"
    redactor: Redactor

    @property
    def results(self) -> ResultsSource | None:
        """Where the test results of runs are read; None: runs hold them, or they are not loaded."""
        ...

    @property
    def name(self) -> str:
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
        """The filters in force, always in the same form; a watermark holds under its own only."""
        ...

    def pages(self, scope: str, watermark: Watermark, *, now: datetime) -> AsyncIterator[Page]:
        """Pages of runs from where `watermark` stands, the lookback included."""
        ...

    def window(
        self, scope: str, watermark: Watermark, *, since: datetime, until: datetime, now: datetime
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
        """Whether the list already holds all of the run, so that no detail is fetched."""
        ...

    async def fetch(self, scope: str, run_id: str) -> tuple[Any, References, bool]:
        """One run's detail as sent, what it refers to, and whether it is damaged (Answer)."""
        ...

    def reference(self, member: str, record: Any) -> Rows:
        """The row of an object that `member` held. Raises BadFieldError."""
        ...

    def flatten(self, run: Json, canonical: bytes) -> FlatRun:
        """The run as rows; `canonical` is its JSON as `sanitize` gives it. Raises BadFieldError."""
        ...
