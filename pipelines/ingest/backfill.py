"""A window read again and reconciled with the source; it never moves a watermark.

Every run that the source lists in the window is fetched and compared: missing ones are added,
changed ones replaced, returned ones no longer marked as deleted. A run that is held here and was
not listed is fetched by ID, and only a 404 marks it as deleted: a list that shifts while it is
read deletes nothing. A window that was not read to its end, or under a filter that hides runs,
concludes nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from pipelines.errors import SettingsError, TestrunsError
from pipelines.ingest.concurrency import prefetch
from pipelines.ingest.fetch import ListedRun
from pipelines.ingest.load import run_source
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.ingest.session import ScopeSession, Surroundings, Work, run_scopes
from pipelines.settings import Settings
from pipelines.sources.base import Page, RunSource, Watermark
from pipelines.sources.fields import BadFieldError, Json
from pipelines.sources.registry import REGISTRY
from pipelines.sources.spec import SourceName
from pipelines.warehouse.backfill_ledger import BackfillLedger
from pipelines.warehouse.batch import FetchResult


@dataclass(frozen=True)
class Window:
    """Runs opened in [since, until), UTC; `until` None: up to now."""

    since: datetime
    until: datetime | None = None

    def __post_init__(self) -> None:
        """Raise SettingsError for a window without a moment in it."""
        if self.until is not None and self.until <= self.since:
            raise SettingsError("--until: must be later than --since")

    def contains(self, moment: datetime | None) -> bool:
        """Whether a run opened then belongs to the window."""
        if moment is None:
            return False
        return self.since <= moment and (self.until is None or moment < self.until)


def moment(option: str, text: str, zone: str) -> datetime:
    """A date or ISO 8601 time as UTC; without a zone of its own it is in `zone`.

    Raises SettingsError naming the option.
    """
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"{option}: {text!r} is no date or time, as 2026-11-01 or 2026-11-01T06:00:00Z"
        ) from None


def chosen_scopes(
    settings: Settings, source: SourceName | None, named: Mapping[SourceName, tuple[str, ...]]
) -> dict[SourceName, tuple[str, ...]]:
    """The scopes to re-read, by source: those named, or all of the sources that are configured.

    Raises SettingsError for one that the settings do not name.
    """
    chosen: dict[SourceName, tuple[str, ...]] = {}
    for name in settings.require_source(source):
        configured, scopes = settings.scopes(name), named.get(name, ())
        for scope in scopes:
            if scope not in configured:
                raise SettingsError(
                    f"{REGISTRY[name].scope_option}: {scope} is not among those of the settings "
                    f"({', '.join(configured)})"
                )
        if scopes or not any(named.values()):
            chosen[name] = scopes or configured
    if not chosen:
        options = ", ".join(spec.scope_option for spec in REGISTRY.values())
        raise SettingsError(f"{options}: name nothing of the source to re-read")
    return chosen


@dataclass(frozen=True)
class Estimate:
    """What a backfill of a scope would take: requests, those for the list already counted in.

    Test results are counted in by what each run says of them.

    `minutes` is at the rate that is allowed now.
    """

    source: SourceName
    scope: str
    runs: int
    requests: int
    minutes: float
    error: str | None = None


def backfill_source(
    settings: Settings,
    source: SourceName,
    scopes: tuple[str, ...],
    window: Window,
    url: str,
    progress: Progress | None = None,
) -> list[ScopeReport]:
    """Re-read the window in each of the scopes; a report for each, as `run_scopes` gives."""
    progress = progress or NullProgress()
    shared = Surroundings(url, progress, settings.testruns_home / "logs")

    async def reread(session: ScopeSession[BackfillLedger]) -> None:
        ledger = session.ledger
        watermark = await session.in_thread(ledger.begin_backfill, window.since, window.until)
        until = window.until or session.started_at
        await session.commit_all(_listed(session, watermark, window, until))
        # Under a filter the list does not show all that is held; a run without an ID may be any.
        if not session.source.filters and not ledger.stats.without_id:
            await session.commit_all(_unlisted(session, window.since, until))

    api = run_source(settings, source, progress, url)
    return run_scopes(api, scopes, shared, BackfillLedger, reread)


async def _listed(
    session: ScopeSession[BackfillLedger], watermark: Watermark, window: Window, until: datetime
) -> AsyncIterator[Work]:
    """Every listed run of the window that this backfill has not seen yet."""
    source, fetcher = session.source, session.fetcher
    async with aclosing(prefetch(_pages(session, watermark, window, until))) as pages:
        async for page, listed, seen in pages:
            for run in listed:
                if run.run_id is None:
                    yield fetcher.rejected(run)
                elif run.run_id in seen or not _belongs(source, run.record, window):
                    continue
                elif source.is_whole(run.record):
                    yield fetcher.with_results(fetcher.flat(run))
                else:
                    yield fetcher.detail(run)
            yield FetchResult(references=page.references, watermark=watermark)


async def _pages(
    session: ScopeSession[BackfillLedger], watermark: Watermark, window: Window, until: datetime
) -> AsyncGenerator[tuple[Page, list[ListedRun], set[str]], None]:
    """Each page that may hold runs of the window, its runs, and which of them were seen before."""
    since, now = window.since, session.started_at
    async for page in session.source.window(
        session.scope, watermark, since=since, until=until, now=now
    ):
        listed = [session.fetcher.listed(sent) for sent in page.runs]
        run_ids = [run.run_id for run in listed if run.run_id is not None]
        yield page, listed, await session.in_thread(session.ledger.seen, run_ids)


async def _unlisted(
    session: ScopeSession[BackfillLedger], since: datetime, until: datetime
) -> AsyncIterator[Work]:
    """Runs that are held here and were not listed."""
    reaches_now = until >= session.started_at
    for run_id in await session.in_thread(session.ledger.unseen, since, until, reaches_now):
        yield session.fetcher.by_id(run_id)


def _belongs(source: RunSource, record: Json, window: Window) -> bool:
    try:
        return window.contains(source.opened_at(record))
    except BadFieldError:
        # Its time cannot be read: what is wrong with it shows when it is parsed.
        return True


def estimate_source(
    settings: Settings, source: SourceName, scopes: tuple[str, ...], window: Window
) -> list[Estimate]:
    """What a backfill would take; reads the list, and neither details nor the warehouse."""
    return asyncio.run(_estimate_source(settings, source, scopes, window))


async def _estimate_source(
    settings: Settings, source: SourceName, scopes: tuple[str, ...], window: Window
) -> list[Estimate]:
    estimates = []
    api = run_source(settings, source, NullProgress(), None)
    async with api.client:
        for scope in scopes:
            api.client.count_anew()
            runs = to_fetch = 0
            error = None
            now = datetime.now(UTC)
            until = window.until or now
            try:
                pages = api.window(scope, Watermark(), since=window.since, until=until, now=now)
                async for page in pages:
                    for sent in page.runs:
                        if isinstance(sent, dict) and _belongs(api, sent, window):
                            runs += 1
                            to_fetch += not api.is_whole(sent)
                            to_fetch += api.results.requests(sent) if api.results else 0
            except TestrunsError as failure:
                error = str(failure)
            requests = to_fetch + api.client.traffic.requests.total()
            minutes = requests / api.client.rate_limiter.per_minute
            estimates.append(Estimate(source, scope, runs, requests, minutes, error))
    return estimates
