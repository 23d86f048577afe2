"""Rejected records parsed again, after an upgrade that understands more of them.

A record that is a run goes the way of every run; a summary without its detail is asked for by ID.
What cannot be parsed now either stays where it is, with the reason of today.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from pipelines.http.json_decode import decode
from pipelines.ingest.load import run_source
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.ingest.session import FetchResult, ScopeSession, Work, run_scopes
from pipelines.settings import Settings, Source
from pipelines.sources.base import FlatRun, References, Rejected
from pipelines.sources.fields import BadFieldError
from pipelines.warehouse.reparse_ledger import RejectedRecord, RetryLedger


@dataclass(frozen=True)
class Retried:
    """What became of one record: "loaded", "asked for by ID", or why it is still rejected."""

    source: Source
    scope: str
    rejected_id: int
    run_id: str | None
    outcome: str


def retry_rejected(
    settings: Settings, source: Source, url: str, progress: Progress | None = None
) -> tuple[list[ScopeReport], list[Retried]]:
    """Parse what was set aside in every scope of a source; a report a scope, a line a record."""
    told = progress or NullProgress()
    retried: list[Retried] = []

    async def again(session: ScopeSession[RetryLedger]) -> None:
        await session.in_thread(session.ledger.begin_retry)
        after = 0
        while records := await session.in_thread(session.ledger.rejected_records, after):
            after = records[-1].rejected_id
            outcomes: dict[int, str] = {}
            await session.commit_all(_parsed(session, records, outcomes))
            await session.in_thread(session.ledger.save_retried, outcomes)
            retried.extend(
                Retried(
                    source, session.scope, one.rejected_id, one.run_id, outcomes[one.rejected_id]
                )
                for one in records
            )

    api = run_source(settings, source, told, url)
    reports = run_scopes(api, settings.scopes(source), url, told, RetryLedger, again)
    return reports, retried


async def _parsed(
    session: ScopeSession[RetryLedger], records: list[RejectedRecord], outcomes: dict[int, str]
) -> AsyncIterator[Work]:
    for record in records:
        try:
            sent = decode(record.payload.encode())
        except (json.JSONDecodeError, UnicodeError, RecursionError, ValueError) as error:
            outcomes[record.rejected_id] = f"not JSON that can be decoded ({type(error).__name__})"
            continue
        member = record.endpoint.removeprefix(f"{session.api.list_endpoint} ")
        if member.startswith("expands"):
            try:
                yield FetchResult(references=References(session.api.reference(member, sent)))
                outcomes[record.rejected_id] = "loaded"
            except BadFieldError as bad:
                outcomes[record.rejected_id] = str(bad.inside(member))
            continue
        one = session.listed(sent)
        if one.run_id is None:
            outcomes[record.rejected_id] = one.error
        elif record.endpoint == session.api.list_endpoint and not session.api.is_whole(one.record):
            outcomes[record.rejected_id] = "asked for by ID"
            yield session.fetch(one.run_id, None)
        else:
            step = session.flat(one)
            match step.outcome:
                case FlatRun():
                    outcomes[record.rejected_id] = "loaded"
                    # What the list says of it is not known here.
                    yield FetchResult(step.outcome, None, step.size)
                case Rejected(error=reason):
                    outcomes[record.rejected_id] = reason
                case _:
                    pass
