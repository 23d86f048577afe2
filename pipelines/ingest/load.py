"""The nightly read, in order: for each scope walk, fetch, flatten, commit with the mark."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta

from pipelines.http.rate_limiter import RateLimiter
from pipelines.http.retry import DEFAULT_RETRY, RetryPolicy
from pipelines.ingest.concurrency import prefetch
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.ingest.session import FetchResult, ListedRun, ScopeSession, Work, run_scopes
from pipelines.settings import Settings, Source
from pipelines.sources.base import Page, RunSource, Watermark
from pipelines.sources.postman.source import PostmanRuns
from pipelines.sources.testmo.source import TestmoRuns
from pipelines.warehouse.ledger import Ledger, StoredRun
from pipelines.warehouse.rate_limits import WarehouseStore


def load_source(
    settings: Settings,
    source: Source,
    url: str,
    progress: Progress | None = None,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> list[ScopeReport]:
    """Load what is new in every scope of a source; a report for each, as `run_scopes` gives."""
    told = progress or NullProgress()
    lookback = timedelta(hours=settings.testruns_lookback_hours)

    async def load(session: ScopeSession[Ledger]) -> None:
        watermark = await session.in_thread(session.ledger.begin, lookback, session.started_at)
        await session.commit_all(_walk(session, watermark))
        await session.commit_all(_open_runs(session))

    api = run_source(settings, source, told, url, retry)
    return run_scopes(api, settings.scopes(source), url, told, Ledger, load)


def run_source(
    settings: Settings,
    source: Source,
    progress: Progress,
    url: str | None,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> RunSource:
    """The API of a source, bound to its settings and to one rate limiter for all its requests.

    `url` is the warehouse's, where processes share what they know of the API's limits; None: this
    one keeps to itself.
    """

    def waits(seconds: float) -> None:
        progress.waits(source, seconds)

    if source == "postman":
        per_minute, reserve = settings.postman_requests_per_minute, settings.postman_monthly_reserve
        root, key = settings.postman_api_url, settings.postman_api_key
    else:
        per_minute, reserve = settings.testmo_requests_per_minute, None
        root, key = settings.testmo_api_url or "", settings.testmo_api_token
    secret = key.get_secret_value() if key else ""
    store = None if url is None else WarehouseStore(url, root, secret)
    limiter = RateLimiter(per_minute, monthly_reserve=reserve, store=store, waits=waits)
    make = PostmanRuns if source == "postman" else TestmoRuns
    return make(settings, limiter, retry)


async def _walk(session: ScopeSession[Ledger], watermark: Watermark) -> AsyncIterator[Work]:
    """What there is to do for the runs of each page, then its mark; for known runs nothing."""
    api = session.api
    async with aclosing(prefetch(_pages(session, watermark))) as pages:
        async for page, listed, held in pages:
            for one in listed:
                if one.run_id is None:
                    yield session.rejected(one)
                    continue
                known = held.get(one.run_id)
                is_whole = api.is_whole(one.record)
                if known is not None and known.is_open:
                    session.seen_open.add(one.run_id)
                if known is not None and known.listed_digest == one.digest:
                    # An open run may go on without its summary telling.
                    if known.is_due and not is_whole:
                        yield session.fetch(one.run_id, one.digest)
                elif is_whole:
                    yield session.flat(one)
                else:
                    yield session.fetch(one.run_id, one.digest)
            yield FetchResult(references=page.references, watermark=page.watermark)


async def _pages(
    session: ScopeSession[Ledger], watermark: Watermark
) -> AsyncGenerator[tuple[Page, list[ListedRun], dict[str, StoredRun]], None]:
    """Each page of the walk, its runs, and what is held of them."""
    async for page in session.api.walk(session.scope, watermark, now=session.started_at):
        listed = [session.listed(sent) for sent in page.runs]
        run_ids = [one.run_id for one in listed if one.run_id is not None]
        held = await session.in_thread(session.ledger.held, run_ids, session.started_at)
        yield page, listed, held


async def _open_runs(session: ScopeSession[Ledger]) -> AsyncIterator[Work]:
    """Open runs of any age that the walk has not met, by ID."""
    for run_id in await session.in_thread(session.ledger.due_open_runs, session.started_at):
        if run_id not in session.seen_open:
            yield session.fetch(run_id, None)
