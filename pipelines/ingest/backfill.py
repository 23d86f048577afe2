"""A window read again and reconciled with the source; it never moves a watermark.

Every run that the source lists in the window is fetched and compared: missing ones are added,
changed ones replaced, returned ones no longer marked as deleted. A run that is held here and was
not listed is asked for by ID, and only a 404 marks it as deleted: a list that shifts while it is
read deletes nothing. A window that was not read to its end, or under a filter that hides runs,
concludes nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

from pipelines.errors import SettingsError, TestrunsError
from pipelines.ingest.concurrency import prefetch
from pipelines.ingest.load import run_source
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.ingest.session import FetchResult, ListedRun, ScopeSession, Work, run_scopes
from pipelines.settings import Settings, Source
from pipelines.sources.base import Page, RunSource, Watermark
from pipelines.sources.fields import BadFieldError, Json
from pipelines.warehouse.backfill_ledger import BackfillLedger


@dataclass(frozen=True)
class Window:
    """Runs opened in [since, until), UTC; `until` None: up to now."""

    since: datetime
    until: datetime | None = None

    def __post_init__(self) -> None:
        """Raise SettingsError for a window without a moment in it."""
        if self.until is not None and self.until <= self.since:
            raise SettingsError("--until: must be later than --since")

    def holds(self, moment: datetime | None) -> bool:
        """Whether a run opened then belongs to the window."""
        if moment is None:
            return False
        return self.since <= moment and (self.until is None or moment < self.until)


def moment(option: str, given: str, zone: str) -> datetime:
    """A date or ISO 8601 time as UTC; without a zone of its own it is in `zone`.

    Raises SettingsError naming the option.
    """
    try:
        read = datetime.fromisoformat(given)
        return (read if read.tzinfo else read.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (ValueError, OverflowError):
        raise SettingsError(
            f"{option}: {given!r} is no date or time, as 2026-11-01 or 2026-11-01T06:00:00Z"
        ) from None


def chosen_scopes(
    settings: Settings,
    source: Source | None,
    collections: tuple[str, ...],
    projects: tuple[str, ...],
) -> dict[Source, tuple[str, ...]]:
    """The scopes to re-read, by source: those named, or all of the sources that are configured.

    Raises SettingsError for one that the settings do not name.
    """
    named: dict[Source, tuple[str, ...]] = {"postman": collections, "testmo": projects}
    options = {"postman": "--collection", "testmo": "--project"}
    chosen: dict[Source, tuple[str, ...]] = {}
    for one in settings.require_source(source):
        configured = settings.scopes(one)
        for scope in named[one]:
            if scope not in configured:
                raise SettingsError(
                    f"{options[one]}: {scope} is not among those of the settings "
                    f"({', '.join(configured)})"
                )
        if named[one] or not any(named.values()):
            chosen[one] = named[one] or configured
    if not chosen:
        raise SettingsError("--collection, --project: name nothing of the source to re-read")
    return chosen


@dataclass(frozen=True)
class Estimate:
    """What a backfill of a scope would take: requests, those for the list already counted in.

    `minutes` is at the rate that is allowed now.
    """

    source: Source
    scope: str
    runs: int
    requests: int
    minutes: float
    error: str | None = None


def backfill_source(
    settings: Settings,
    source: Source,
    scopes: tuple[str, ...],
    window: Window,
    url: str,
    progress: Progress | None = None,
) -> list[ScopeReport]:
    """Re-read the window in each of the scopes; a report for each, as `run_scopes` gives."""
    told = progress or NullProgress()

    async def reread(session: ScopeSession[BackfillLedger]) -> None:
        ledger = session.ledger
        watermark = await session.in_thread(ledger.begin_backfill, window.since, window.until)
        until = window.until or session.started_at
        await session.commit_all(_listed(session, watermark, window, until))
        # Under a filter the list does not show all that is held; a run without an ID may be any.
        if not session.api.filters and not ledger.stats.without_id:
            await session.commit_all(_unlisted(session, window.since, until))

    api = run_source(settings, source, told, url)
    return run_scopes(api, scopes, url, told, BackfillLedger, reread)


async def _listed(
    session: ScopeSession[BackfillLedger], watermark: Watermark, window: Window, until: datetime
) -> AsyncIterator[Work]:
    """Every listed run of the window that this backfill has not met yet."""
    api = session.api
    async with aclosing(prefetch(_pages(session, watermark, window, until))) as pages:
        async for page, listed, met in pages:
            for one in listed:
                if one.run_id is None:
                    yield session.rejected(one)
                elif one.run_id in met or not _belongs(api, one.record, window):
                    continue
                elif api.is_whole(one.record):
                    yield session.flat(one)
                else:
                    yield session.fetch(one.run_id, one.digest)
            yield FetchResult(references=page.references, watermark=watermark)


async def _pages(
    session: ScopeSession[BackfillLedger], watermark: Watermark, window: Window, until: datetime
) -> AsyncGenerator[tuple[Page, list[ListedRun], set[str]], None]:
    """Each page that may hold runs of the window, its runs, and which of them were met."""
    since, now = window.since, session.started_at
    async for page in session.api.window(
        session.scope, watermark, since=since, until=until, now=now
    ):
        listed = [session.listed(sent) for sent in page.runs]
        run_ids = [one.run_id for one in listed if one.run_id is not None]
        yield page, listed, await session.in_thread(session.ledger.met, run_ids)


def _belongs(api: RunSource, record: Json, window: Window) -> bool:
    try:
        return window.holds(api.opened_at(record))
    except BadFieldError:
        # Its time cannot be read: whatever is wrong with it is told when it is parsed.
        return True


async def _unlisted(
    session: ScopeSession[BackfillLedger], since: datetime, until: datetime
) -> AsyncIterator[Work]:
    """Runs that are held here and were not listed."""
    unseen = partial(session.ledger.unseen, reaches_now=until >= session.started_at)
    for run_id in await session.in_thread(unseen, since, until):
        yield session.fetch(run_id, None)


def estimate_source(
    settings: Settings, source: Source, scopes: tuple[str, ...], window: Window
) -> list[Estimate]:
    """What a backfill would take; reads the list, and neither details nor the warehouse."""
    return asyncio.run(_estimate_source(settings, source, scopes, window))


async def _estimate_source(
    settings: Settings, source: Source, scopes: tuple[str, ...], window: Window
) -> list[Estimate]:
    estimates = []
    api = run_source(settings, source, NullProgress(), None)
    per_minute = (
        settings.postman_requests_per_minute
        if source == "postman"
        else settings.testmo_requests_per_minute
    )
    async with api.client:
        for scope in scopes:
            api.client.count_anew()
            runs = details = 0
            error = None
            now = datetime.now(UTC)
            until = window.until or now
            try:
                pages = api.window(scope, Watermark(), since=window.since, until=until, now=now)
                async for page in pages:
                    for sent in page.runs:
                        if isinstance(sent, dict) and _belongs(api, sent, window):
                            runs += 1
                            details += not api.is_whole(sent)
            except TestrunsError as failure:
                error = str(failure)
            requests = details + api.client.traffic.requests.total()
            rate = api.client.rate_limiter.quota.limit or per_minute
            estimates.append(Estimate(source, scope, runs, requests, requests / rate, error))
    return estimates
