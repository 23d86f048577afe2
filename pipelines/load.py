"""The nightly read, in order: for each scope walk, fetch, flatten, commit with the mark."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from hashlib import blake2b
from pathlib import Path

from pipelines.in_order import one_ahead
from pipelines.pace import Pacer
from pipelines.postman.source import PostmanRuns
from pipelines.progress import Progress, ScopeReport, Silence
from pipelines.scope import Listed, ScopeSession, Step, Todo, run_scopes
from pipelines.settings import Settings, Source
from pipelines.source import Mark, Page, RunSource
from pipelines.testmo.source import TestmoRuns
from pipelines.warehouse.ledger import Held, Ledger


def load_source(
    settings: Settings, source: Source, url: str, progress: Progress | None = None
) -> list[ScopeReport]:
    """Load what is new in every scope of a source; a report for each, as `run_scopes` gives."""
    told = progress or Silence()
    lookback = timedelta(hours=settings.testruns_lookback_hours)

    async def load(session: ScopeSession[Ledger]) -> None:
        mark = await session.in_thread(session.ledger.begin, lookback, session.started_at)
        await session.commit_all(_walk(session, mark))
        await session.commit_all(_open_runs(session))

    api = run_source(settings, source, told)
    return run_scopes(api, settings.scopes(source), url, told, Ledger, load)


def run_source(settings: Settings, source: Source, progress: Progress) -> RunSource:
    """The API of a source, bound to its settings and to one pacer for all of its requests.

    Raises SettingsError where TESTRUNS_HOME cannot be written.
    """

    def waits(seconds: float) -> None:
        progress.waits(source, seconds)

    shared = _gauges(settings, source)
    if source == "postman":
        per_minute, reserve = settings.postman_requests_per_minute, settings.postman_monthly_reserve
        pacer = Pacer(per_minute, monthly_reserve=reserve, shared=shared, waits=waits)
        return PostmanRuns(settings, pacer)
    per_minute = settings.testmo_requests_per_minute
    return TestmoRuns(settings, Pacer(per_minute, shared=shared, waits=waits))


def _gauges(settings: Settings, source: Source) -> Path:
    """The file through which all processes of this machine keep one pace for an API and key."""
    root, key = (
        (settings.postman_api_url, settings.postman_api_key)
        if source == "postman"
        else (settings.testmo_api_url, settings.testmo_api_token)
    )
    asked = f"{root} {key.get_secret_value() if key else ''}"
    name = blake2b(asked.encode(), digest_size=8).hexdigest()
    return settings.testruns_home / "pace" / f"{source}-{name}"


async def _walk(session: ScopeSession[Ledger], mark: Mark) -> AsyncIterator[Todo]:
    """What there is to do for the runs of each page, then its mark; for known runs nothing."""
    api = session.api
    async with aclosing(one_ahead(_pages(session, mark))) as pages:
        async for page, listed, held in pages:
            for one in listed:
                if one.run_id is None:
                    yield session.rejected(one)
                    continue
                known = held.get(one.run_id)
                is_whole = api.is_whole(one.record)
                if known is not None and known.is_open:
                    session.met_open.add(one.run_id)
                if known is not None and known.listed_digest == one.digest:
                    # An open run may go on without its summary telling.
                    if known.is_due and not is_whole:
                        yield session.fetch(one.run_id, one.digest)
                elif is_whole:
                    yield session.flat(one)
                else:
                    yield session.fetch(one.run_id, one.digest)
            yield Step(references=page.references, mark=page.mark)


async def _pages(
    session: ScopeSession[Ledger], mark: Mark
) -> AsyncGenerator[tuple[Page, list[Listed], dict[str, Held]], None]:
    """Each page of the walk, its runs, and what is held of them."""
    async for page in session.api.walk(session.scope, mark, now=session.started_at):
        listed = [session.listed(sent) for sent in page.runs]
        run_ids = [one.run_id for one in listed if one.run_id is not None]
        held = await session.in_thread(session.ledger.held, run_ids, session.started_at)
        yield page, listed, held


async def _open_runs(session: ScopeSession[Ledger]) -> AsyncIterator[Todo]:
    """Open runs of any age that the walk has not met, by ID."""
    for run_id in await session.in_thread(session.ledger.due_open_runs, session.started_at):
        if run_id not in session.met_open:
            yield session.fetch(run_id, None)
