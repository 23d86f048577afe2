"""The nightly read, in order: for each scope walk, fetch, flatten, commit with the mark."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path

from pipelines.errors import SettingsError
from pipelines.http.client import Client
from pipelines.http.rate_limiter import RateLimiter
from pipelines.http.retry import DEFAULT_RETRY, RetryPolicy
from pipelines.ingest.concurrency import prefetch
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.ingest.session import FetchResult, ListedRun, ScopeSession, Work, run_scopes
from pipelines.settings import Settings, Source
from pipelines.sources.base import Page, RunSource, Watermark
from pipelines.sources.redaction import Redactor
from pipelines.sources.registry import REGISTRY
from pipelines.warehouse.ledger import Ledger, StoredRun


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

    api = run_source(settings, source, told, retry)
    return run_scopes(api, settings.scopes(source), url, told, Ledger, load)


def run_source(
    settings: Settings, source: Source, progress: Progress, retry: RetryPolicy = DEFAULT_RETRY
) -> RunSource:
    """The API of a source, bound to its settings and to one pacer for all of its requests.

    Raises SettingsError where its key is not set or TESTRUNS_HOME cannot be written.
    """

    def waits(seconds: float) -> None:
        progress.waits(source, seconds)

    spec, own = REGISTRY[source], settings.sources[source]
    if own.key is None or own.api_url is None:
        raise SettingsError(f"{spec.key_setting}: required to load {source}")
    client = Client(
        source,
        own.api_url,
        (*spec.key_header, own.key),
        key_setting=own.variable("key"),
        url_setting=own.variable("api_url"),
        rate_limiter=RateLimiter(
            own.requests_per_minute,
            monthly_reserve=own.reserve,
            shared=_gauges(settings, source, own.api_url, own.key.get_secret_value()),
            waits=waits,
        ),
        retry=retry,
    )
    redactor = Redactor(settings.testruns_redact_params)
    lookback = timedelta(hours=settings.testruns_lookback_hours)
    return spec.connect(client, own, redactor, lookback)


def _gauges(settings: Settings, source: Source, root: str, key: str) -> Path:
    """The file through which all processes of this machine keep one pace for an API and key."""
    name = blake2b(f"{root} {key}".encode(), digest_size=8).hexdigest()
    return settings.testruns_home / "pace" / f"{source}-{name}"


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
    async for page in session.api.pages(session.scope, watermark, now=session.started_at):
        listed = [session.listed(sent) for sent in page.runs]
        run_ids = [one.run_id for one in listed if one.run_id is not None]
        held = await session.in_thread(session.ledger.held, run_ids, session.started_at)
        yield page, listed, held


async def _open_runs(session: ScopeSession[Ledger]) -> AsyncIterator[Work]:
    """Open runs of any age that the walk has not met, by ID."""
    for run_id in await session.in_thread(session.ledger.due_open_runs, session.started_at):
        if run_id not in session.seen_open:
            yield session.fetch(run_id, None)
