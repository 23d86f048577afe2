"""Rejected records parsed again, after an upgrade that understands more of them.

A record that is a run goes the way of every run; a summary without its detail is requested by ID,
and so is the run of a test result.
What cannot be parsed now either stays where it is, with the reason of today.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

from pipelines.http.json_decode import decode
from pipelines.ingest.load import run_source
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.ingest.session import ScopeSession, Surroundings, Work, run_scopes
from pipelines.settings import Settings
from pipelines.sources.base import References, Rejected
from pipelines.sources.fields import BadFieldError
from pipelines.sources.spec import SourceName
from pipelines.warehouse.batch import FetchResult
from pipelines.warehouse.reparse_ledger import RejectedRecord, ReparseLedger


@dataclass(frozen=True)
class Reparsed:
    """What became of one record: "loaded", "asked for by ID", or why it is still rejected."""

    source: SourceName
    scope: str
    rejected_id: int
    run_id: str | None
    outcome: str


def reparse_rejected(
    settings: Settings, source: SourceName, url: str, progress: Progress | None = None
) -> tuple[list[ScopeReport], list[Reparsed]]:
    """Parse what was set aside in every scope of a source; a report a scope, a line a record."""
    progress = progress or NullProgress()
    shared = Surroundings(url, progress, settings.testruns_home / "logs")
    reparsed: list[Reparsed] = []

    async def reparse(session: ScopeSession[ReparseLedger]) -> None:
        await session.in_thread(session.ledger.begin_reparse)
        after = 0
        while records := await session.in_thread(session.ledger.rejected_records, after):
            after = records[-1].rejected_id
            outcomes: dict[int, str] = {}
            await session.commit_all(_parsed(session, records, outcomes))
            await session.in_thread(session.ledger.save_reparsed, outcomes)
            reparsed.extend(
                Reparsed(
                    *(source, session.scope, record.rejected_id, record.run_id),
                    outcomes[record.rejected_id],
                )
                for record in records
            )

    api = run_source(settings, source, progress, url)
    reports = run_scopes(api, settings.scopes(source), shared, ReparseLedger, reparse)
    return reports, reparsed


async def _parsed(
    session: ScopeSession[ReparseLedger], records: list[RejectedRecord], outcomes: dict[int, str]
) -> AsyncIterator[Work]:
    requested: set[str] = set()
    for record in records:
        try:
            sent = decode(record.payload.encode())
        except (json.JSONDecodeError, UnicodeError, RecursionError, ValueError) as error:
            outcomes[record.rejected_id] = f"not JSON that can be decoded ({type(error).__name__})"
            continue
        try:
            outcomes[record.rejected_id], work = _again(session, record, sent, requested)
        except BadFieldError as bad:
            outcomes[record.rejected_id] = str(bad)
        else:
            yield work


def _again(
    session: ScopeSession[ReparseLedger], record: RejectedRecord, sent: Any, requested: set[str]
) -> tuple[str, Work]:
    """What becomes of a record, and what there is to do for it; each run is requested once.

    Raises BadFieldError.
    """
    source, fetcher = session.source, session.fetcher
    member = record.endpoint.removeprefix(f"{source.list_endpoint} ")
    if member.startswith("expands"):
        try:
            return "loaded", FetchResult(references=References(source.reference(member, sent)))
        except BadFieldError as bad:
            raise bad.inside(member) from None
    if source.results is not None and record.endpoint == source.results.endpoint:
        source.results.check(sent)
        run_id = record.run_id or ""
        work = FetchResult() if run_id in requested else fetcher.by_id(run_id)
        requested.add(run_id)
        return "asked for by ID", work
    run = fetcher.listed(sent)
    if run.run_id is None:
        return run.error, FetchResult()
    if record.run_id not in {run.run_id, None}:
        return f"id: asked for {record.run_id}, got {run.run_id}", FetchResult()
    if record.endpoint == source.list_endpoint and not source.is_whole(run.record):
        return "asked for by ID", fetcher.by_id(run.run_id)
    result = fetcher.flat(run)
    if isinstance(result.outcome, Rejected):
        return result.outcome.error, FetchResult()
    # What the list says of it is not known here.
    return "loaded", fetcher.with_results(replace(result, listed_digest=None))
