"""The audit: lists of a scope read from end to end, and compared with the warehouse.

Only lists are read, a request a hundred runs, so that a whole history can be compared within any
budget. What a server's lie has cost (a page that was empty once, a run that it did not know for a
night) shows here, whatever the lie was: the run is listed and is not held. Runs without an ID are
left out: a load sets them aside.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from pipelines.errors import TestrunsError
from pipelines.ingest.concurrency import prefetch
from pipelines.ingest.fetch import ListedRun
from pipelines.ingest.load import run_source
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.ingest.session import ScopeSession, Surroundings, Work, run_scopes
from pipelines.settings import Settings
from pipelines.sources.base import Page, Watermark
from pipelines.sources.fields import BadFieldError
from pipelines.sources.spec import SourceName
from pipelines.warehouse.audit_ledger import AuditLedger, Comparison
from pipelines.warehouse.engine import connect
from pipelines.warehouse.queries import queries

_MOST_NAMED = 20


@dataclass(frozen=True)
class AuditReport:
    """What an audit found in one scope (a row of `ingest.audits`).

    `found` are the counts after what was fetched; None: the list was not read to its end, and
    `load` says why. `fixed` are the runs that were fetched, `missing_runs` the first IDs of those
    that are missing still.
    """

    load: ScopeReport
    found: Comparison | None = None
    fixed: int = 0
    missing_runs: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """The list was read to its end and every run of it is here."""
        return self.found is not None and self.found.missing == 0 and self.load.error is None


def audit_source(
    settings: Settings,
    source: SourceName,
    scopes: tuple[str, ...],
    url: str,
    progress: Progress | None = None,
    *,
    since: datetime | None = None,
    fix: bool = False,
) -> list[AuditReport]:
    """Compare each scope's list with what is held; with `fix`, fetch what is missing or changed.

    `since` (UTC) leaves out runs opened before it. A report a scope, as `run_scopes` gives.
    """
    progress = progress or NullProgress()
    shared = Surroundings(url, progress, settings.testruns_home / "logs")
    found: dict[str, tuple[Comparison, int, tuple[str, ...]]] = {}

    async def audit(session: ScopeSession[AuditLedger]) -> None:
        ledger = session.ledger
        await session.in_thread(ledger.begin_audit, since, session.started_at)
        try:
            await _note_listed(session, since)
            before = after = await session.in_thread(ledger.compare)
            if fix:
                await session.commit_all(_missing(session))
                after = await session.in_thread(ledger.compare)
        except TestrunsError as failure:
            message = session.source.client.masked(str(failure))
            await session.in_thread(ledger.save_audit, Comparison(), 0, message)
            raise
        fixed = before.missing + before.changed - after.missing - after.changed
        rest = await session.in_thread(ledger.to_fix, "")
        missing = tuple(run_id for run_id, _, is_missing in rest if is_missing)[:_MOST_NAMED]
        found[session.scope] = after, fixed, missing
        await session.in_thread(ledger.save_audit, after, fixed, None)

    api = run_source(settings, source, progress, url)
    reports = run_scopes(api, scopes, shared, AuditLedger, audit)
    return [AuditReport(report, *found.get(report.scope, ())) for report in reports]


def due_scopes(settings: Settings, source: SourceName, url: str) -> tuple[str, ...]:
    """Scopes to audit now: each is proven once in four weeks, at a small share of the budget.

    Raises WarehouseError.
    """
    with connect(url, role="testruns audit") as connection:
        rows = connection.execute(
            queries("audit")["due_scopes"],
            {"source": source, "scopes": list(settings.scopes(source))},
        )
        return tuple(scope for (scope,) in rows)


async def _note_listed(session: ScopeSession[AuditLedger], since: datetime | None) -> None:
    """Read the list to its end, a page at a time."""
    source, now = session.source, session.started_at
    pages = (
        source.pages(session.scope, Watermark(), now=now)
        if since is None
        else source.window(session.scope, Watermark(), since=since, until=now, now=now)
    )
    async with aclosing(prefetch(_listed(session, pages))) as listed_pages:
        async for listed in listed_pages:
            runs = [
                (run.run_id, run.digest)
                for run in listed
                if run.run_id is not None and _belongs(session, run, since)
            ]
            await session.in_thread(session.ledger.save_listed, runs)


async def _listed(
    session: ScopeSession[AuditLedger], pages: AsyncIterator[Page]
) -> AsyncGenerator[list[ListedRun], None]:
    async for page in pages:
        yield [session.fetcher.listed(sent) for sent in page.runs]


def _belongs(session: ScopeSession[AuditLedger], run: ListedRun, since: datetime | None) -> bool:
    if since is None:
        return True
    try:
        opened_at = session.source.opened_at(run.record)
    except BadFieldError:
        return True
    return opened_at is not None and opened_at >= since


async def _missing(session: ScopeSession[AuditLedger]) -> AsyncIterator[Work]:
    """Runs that are listed and are not held as they are listed, by ID."""
    after = ""
    while runs := await session.in_thread(session.ledger.to_fix, after):
        for run_id, listed_digest, _ in runs:
            yield session.fetcher.by_id(run_id, listed_digest, is_listed=True)
        after = runs[-1][0]
