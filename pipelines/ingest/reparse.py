"""Rejected records parsed again, after an upgrade that understands more of them.

A record that is a run goes the way of every run; a summary without its detail is asked for by ID,
and so is the run of a test result.
What cannot be parsed now either stays where it is, with the reason of today.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from pipelines.http.json_decode import decode
from pipelines.ingest.load import run_source
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.ingest.session import ScopeSession, Surroundings, Work, run_scopes
from pipelines.settings import Settings, Source
from pipelines.sources.base import FlatRun, References, Rejected
from pipelines.sources.fields import BadFieldError
from pipelines.warehouse.batch import FetchResult
from pipelines.warehouse.reparse_ledger import RejectedRecord, ReparseLedger


@dataclass(frozen=True)
class Reparsed:
    """What became of one record: "loaded", "asked for by ID", or why it is still rejected."""

    source: Source
    scope: str
    rejected_id: int
    run_id: str | None
    outcome: str


def reparse_rejected(
    settings: Settings, source: Source, url: str, progress: Progress | None = None
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
    source, fetcher = session.source, session.fetcher
    run_ids: set[str | None] = set()
    for record in records:
        try:
            sent = decode(record.payload.encode())
        except (json.JSONDecodeError, UnicodeError, RecursionError, ValueError) as error:
            outcomes[record.rejected_id] = f"not JSON that can be decoded ({type(error).__name__})"
            continue
        member = record.endpoint.removeprefix(f"{source.list_endpoint} ")
        if member.startswith("expands"):
            try:
                yield FetchResult(references=References(source.reference(member, sent)))
                outcomes[record.rejected_id] = "loaded"
            except BadFieldError as bad:
                outcomes[record.rejected_id] = str(bad.inside(member))
            continue
        if source.results is not None and record.endpoint == source.results.endpoint:
            try:
                source.results.check(sent)
            except BadFieldError as bad:
                outcomes[record.rejected_id] = str(bad)
                continue
            outcomes[record.rejected_id] = "asked for by ID"
            if record.run_id not in run_ids:
                run_ids.add(record.run_id)
                yield fetcher.by_id(record.run_id or "")
            continue
        run = fetcher.listed(sent)
        if run.run_id is None:
            outcomes[record.rejected_id] = run.error
        elif record.endpoint == source.list_endpoint and not source.is_whole(run.record):
            outcomes[record.rejected_id] = "asked for by ID"
            yield fetcher.by_id(run.run_id)
        else:
            result = fetcher.flat(run)
            match result.outcome:
                case FlatRun():
                    outcomes[record.rejected_id] = "loaded"
                    # What the list says of it is not known here.
                    yield fetcher.with_results(replace(result, listed_digest=None))
                case Rejected(error=message):
                    outcomes[record.rejected_id] = message
                case _:
                    pass
