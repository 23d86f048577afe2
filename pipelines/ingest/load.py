"""The nightly read: for each scope walk, fetch, flatten, commit with the watermark."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial

from pipelines.errors import SettingsError
from pipelines.http.client import Client
from pipelines.http.rate_limiter import RateLimiter
from pipelines.http.retry import DEFAULT_RETRY, RetryPolicy
from pipelines.ingest.concurrency import prefetch
from pipelines.ingest.fetch import ListedRun
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.ingest.session import ScopeSession, Surroundings, Work, run_scopes
from pipelines.settings import Settings
from pipelines.sources.base import Page, RunSource, Watermark
from pipelines.sources.redaction import Redactor
from pipelines.sources.registry import REGISTRY
from pipelines.sources.spec import SourceName
from pipelines.warehouse.batch import FetchResult
from pipelines.warehouse.ledger import Ledger
from pipelines.warehouse.rate_limits import WarehouseStore
from pipelines.warehouse.stored_runs import StoredRun


def load_source(
    settings: Settings,
    source: SourceName,
    url: str,
    progress: Progress | None = None,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> list[ScopeReport]:
    """Load what is new in every scope of a source; a report for each, as `run_scopes` gives."""
    progress = progress or NullProgress()
    shared = Surroundings(url, progress, settings.testruns_home / "logs")
    work = partial(load_scope, lookback=timedelta(hours=settings.testruns_lookback_hours))
    api = run_source(settings, source, progress, url, retry)
    return run_scopes(api, settings.scopes(source), shared, Ledger, work)


async def load_scope(session: ScopeSession[Ledger], *, lookback: timedelta) -> None:
    """Load what is new in one scope, and what has changed within the lookback."""
    ledger = session.ledger
    begun = await session.in_thread(ledger.begin, lookback, session.started_at)
    await session.commit_all(_walk(session, begun))
    # A walk that went on with an older one has read again only what is behind both.
    reached = (ledger.watermark if begun.walk else begun).high_water
    await session.commit_all(_open_runs(session, reached and reached - lookback))


def run_source(
    settings: Settings,
    source: SourceName,
    progress: Progress,
    url: str | None,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> RunSource:
    """The API of a source, bound to its settings and to one rate limiter for all its requests.

    `url` is the warehouse's, where processes share what they know of the API's limits; None: this
    one keeps to itself. Raises SettingsError where the key is not set.
    """

    def waits(seconds: float) -> None:
        progress.waits(source, seconds)

    spec, own = REGISTRY[source], settings.sources[source]
    if own.key is None or own.api_url is None:
        raise SettingsError(f"{spec.key_setting}: required to load {source}")
    secret = own.key.get_secret_value()
    client = Client(
        source,
        own.api_url,
        (*spec.key_header, own.key),
        key_setting=own.variable("key"),
        url_setting=own.variable("api_url"),
        rate_limiter=RateLimiter(
            own.requests_per_minute,
            monthly_reserve=own.reserve,
            reserve_setting=own.reserve_setting,
            store=None if url is None else WarehouseStore(url, own.api_url, secret),
            waits=waits,
        ),
        retry=retry,
        max_body_bytes=settings.testruns_max_body_mb * 2**20,
    )
    redactor = Redactor(settings.testruns_redact_params)
    lookback = timedelta(hours=settings.testruns_lookback_hours)
    return spec.connect(client, own, redactor, lookback)


async def _walk(session: ScopeSession[Ledger], watermark: Watermark) -> AsyncIterator[Work]:
    """What there is to do for the runs of each page, then its watermark; for known runs nothing.

    Known ones that were loaded without their test results are loaded again, where there are any.
    Those that an earlier load deferred are left to `_open_runs`: were they requested first, a few
    that always fail would end every load before the runs behind them.
    """
    source, fetcher = session.source, session.fetcher
    async with aclosing(prefetch(_pages(session, watermark))) as pages:
        async for page, listed, stored in pages:
            for run in listed:
                if run.run_id is None:
                    yield fetcher.rejected(run)
                    continue
                known = stored.get(run.run_id)
                is_whole = source.is_whole(run.record)
                if known is not None and known.is_deferred:
                    session.deferred_before[run.run_id] = run.digest
                    continue
                if known is not None and known.is_open:
                    session.seen_open.add(run.run_id)
                if (
                    known is not None
                    and known.listed_digest == run.digest
                    # An open run may go on and its summary stay as it is.
                    and not (known.is_due and not is_whole)
                    and not (known.lacks_results and session.expects_results)
                ):
                    continue
                whole_digest = known and known.whole_digest
                if is_whole:
                    yield fetcher.with_results(fetcher.flat(run), whole_digest)
                else:
                    yield fetcher.detail(run, whole_digest)
            yield FetchResult(references=page.references, watermark=page.watermark)


async def _pages(
    session: ScopeSession[Ledger], watermark: Watermark
) -> AsyncGenerator[tuple[Page, list[ListedRun], dict[str, StoredRun]], None]:
    """Each page of the walk, its runs, and what is held of them."""
    is_sized = False
    async for page in session.source.pages(session.scope, watermark, now=session.started_at):
        listed = [session.fetcher.listed(sent) for sent in page.runs]
        run_ids = [run.run_id for run in listed if run.run_id is not None]
        stored = await session.in_thread(session.ledger.stored_runs, run_ids, session.started_at)
        # A first load, or one that goes on with it: most of this page is not here yet.
        if not is_sized and len(stored) < len(listed) / 2:
            is_sized = _report_size(session, watermark, page, listed)
        yield page, listed, stored


def _report_size(
    session: ScopeSession[Ledger], watermark: Watermark, page: Page, listed: list[ListedRun]
) -> bool:
    """Report what a load has before it, by its first page; False where that does not show it."""
    runs, walk, before = page.remaining, page.watermark.walk, watermark.walk
    if runs is None:
        # The total of a list that goes back beyond the high water is not what there is to load.
        if watermark.high_water is not None or walk is None or walk.announced_total is None:
            return False
        runs = walk.announced_total - ((before and before.runs_listed) or 0)
    # Of each page one request for the list, one for each run that the list shows in part, and
    # those for results that come by requests of their own.
    source, requests = session.source, 1
    for run in listed:
        requests += not source.is_whole(run.record)
        if source.results is not None and session.expects_results and isinstance(run.record, dict):
            requests += source.results.requests(run.record)
    session.report_size(runs, runs * requests / len(listed))
    return True


async def _open_runs(
    session: ScopeSession[Ledger], walked_from: datetime | None
) -> AsyncIterator[Work]:
    """Open runs of any age that the walk has not seen, by ID, and those deferred before.

    `walked_from`: the walk has read the list from here on; None: all of it. A run that was listed
    and never fetched may still be listed before that, so that a 404 proves nothing.
    """
    for run in await session.in_thread(session.ledger.due_open_runs, session.started_at):
        if run.run_id in session.seen_open:
            continue
        is_behind = bool(run.opened_at and walked_from and run.opened_at < walked_from)
        listed_digest = session.deferred_before.get(run.run_id)
        yield session.fetcher.by_id(
            run.run_id,
            listed_digest,
            is_listed=listed_digest is not None or (is_behind and not run.is_loaded),
            opened_at=run.opened_at,
            whole_digest=run.whole_digest,
        )
