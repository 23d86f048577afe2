"""A report file as part of a run, new or already held; several parts make one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

from pipelines.sources.fields import Json
from pipelines.sources.reports.report import SYSTEMS, Report
from pipelines.sources.reports.spool import SpooledTable
from pipelines.sources.reports.values import milliseconds_between, moment

_TIMES = ("started_at", "finished_at")
_MOST_REFS = 256
# Of a text that an index of Postgres holds.
_MOST_CHARACTERS = 500


@dataclass(frozen=True)
class Part:
    """One file's share of a run, as `ingest.report_parts` holds it; `tables` are its rows.

    `results` and `details` count its rows in the two child tables.
    """

    system: str
    kind: str
    name: str
    content_digest: bytes
    lookalike: str
    follows_job: bool
    newest: datetime | None
    refs: Sequence[bytes]
    results: int
    details: int
    run: Json
    totals: Sequence[tuple[str, int | None, int]]
    collection_name: str | None
    postman_id: str | None
    first_index: int = 0
    tables: Mapping[str, SpooledTable] = field(default_factory=dict)

    @classmethod
    def of(
        cls, report: Report, *, run: Json, name: str, digest: bytes, follows_job: bool,
        written_at: datetime,
    ) -> Self:  # fmt: skip
        """The part that a report is; `run` has the columns as they are to be stored."""
        _, results, details = SYSTEMS[report.system]
        return cls(
            system=report.system,
            kind=report.kind,
            name=report.identity.part or name,
            content_digest=digest,
            lookalike=report.identity.lookalike,
            follows_job=follows_job,
            newest=report.identity.newest or written_at,
            refs=sorted(report.identity.refs)[:_MOST_REFS],
            results=report.count(results),
            details=report.count(details),
            run=run,
            totals=[(t.total, t.announced, t.loaded) for t in report.totals],
            collection_name=_indexable(report.collection_name),
            postman_id=_indexable(report.postman_id),
            tables=report.tables,
        )

    @classmethod
    def from_record(cls, record: Json) -> Self:
        """A part out of `ingest.report_parts`."""
        run = {
            name: moment(value) if name in _TIMES and value else value
            for name, value in record["run"].items()
        }
        return cls(**{**record, "run": run})

    def as_record(self) -> Json:
        """The columns of `ingest.report_parts`, but `run` and `totals`, which are JSON there."""
        names = (
            "system", "kind", "name", "content_digest", "lookalike", "follows_job", "newest",
            "first_index", "results", "details", "collection_name", "postman_id",
        )  # fmt: skip
        record = {name: getattr(self, name) for name in names}
        return {**record, "refs": list(self.refs)}

    def with_tables(self, tables: Mapping[str, SpooledTable]) -> Self:
        """The same part with its rows."""
        return replace(self, tables=tables)

    def placed_at(self, first_index: int) -> Self:
        """The same part, beginning there in the run."""
        return replace(self, first_index=first_index)

    @property
    def size(self) -> tuple[int, int]:
        """How rich it is: its results, and what belongs to them."""
        return self.results, self.details


def _indexable(text: str | None) -> str | None:
    return text and text[:_MOST_CHARACTERS]


def merged_run(runs: Sequence[Json]) -> Json:
    """The columns of a run from those of its parts.

    Counts are added up; it lasts from the first start to the last end.
    """
    if len(runs) == 1:
        return dict(runs[0])
    first = runs[0]
    started = min((run["started_at"] for run in runs if run["started_at"]), default=None)
    finished = max((run["finished_at"] for run in runs if run["finished_at"]), default=None)
    extra: Json = {}
    for run in runs:
        extra = {**(run["extra"] or {}), **extra}
    names = {run["name"] for run in runs}
    return {
        **first,
        "name": first["name"] if len(names) == 1 else None,
        "started_at": started,
        "finished_at": finished,
        "duration_ms": milliseconds_between(started, finished),
        **{
            total: _sum([run[total] for run in runs])
            for total in ("tests_total", "tests_failed", "tests_skipped")
        },
        "environment": next((run["environment"] for run in runs if run["environment"]), None),
        "extra": {**extra, "parts": len(runs)},
    }


def _sum(counts: Sequence[int | None]) -> int | None:
    return None if None in counts else sum(count or 0 for count in counts)


def settle_time(run: Json, written_at: datetime) -> Json:
    """Where a report names no time, it ended when its file was written: `timeGuessed` says so."""
    if run["started_at"] is not None:
        return run
    duration = timedelta(milliseconds=min(run["duration_ms"] or 0, 1e11))
    extra = {**(run["extra"] or {}), "timeGuessed": True}
    return {**run, "started_at": written_at - duration, "finished_at": written_at, "extra": extra}
