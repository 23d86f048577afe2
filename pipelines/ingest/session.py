"""One scope at work: its lock, its session with the warehouse, its load's begin and end.

Load, backfill and reparse share this, so that they cannot disagree; they differ in which runs they
fetch. One loop fetches, up to 16 requests at a time, in the order of the list; one thread beside it
commits. A batch is a page of the list, or less where its runs are large: memory is bounded by it
and not by the history.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

import uvloop

from pipelines.errors import (
    PermanentError,
    QuotaSpentError,
    TestrunsError,
    TransientError,
    WarehouseError,
)
from pipelines.http.transport import MOST_IN_FLIGHT
from pipelines.ingest.concurrency import map_ordered
from pipelines.ingest.fetch import STOPS_THE_SOURCE, Fetcher
from pipelines.ingest.progress import Progress, ScopeReport
from pipelines.ingest.results_endpoint import ResultsEndpoint
from pipelines.ingest.traceback_log import TracebackLog
from pipelines.sources.base import FlatRun, RunSource
from pipelines.warehouse.batch import Batch, Deferred, FetchResult
from pipelines.warehouse.ledger import Ledger

Result = TypeVar("Result")
AnyLedger = TypeVar("AnyLedger", bound=Ledger)
Work = FetchResult | Coroutine[Any, Any, FetchResult]

# A run that cannot be fetched is deferred to the next load. So many times the longest that a
# request may last (2 minutes) spent on failures, and the API is ill.
_MOST_FAILED_LIVES = 10


@dataclass(frozen=True)
class Surroundings:
    """What all scopes of a load share: the warehouse's URL, its schema in place; who hears of it.

    Tracebacks go to files in `logs`; `endpoint` is what is known of the test results' endpoint.
    """

    url: str
    progress: Progress
    logs: Path
    endpoint: ResultsEndpoint = field(default_factory=ResultsEndpoint)


def is_transient(failure: TestrunsError | None) -> bool:
    """Whether trying again later can help."""
    return isinstance(failure, TransientError | WarehouseError)


class ScopeSession(Generic[AnyLedger]):
    """One scope of one source, from its lock to the end of its load's row."""

    def __init__(
        self, source: RunSource, scope: str, shared: Surroundings, ledger: type[AnyLedger]
    ) -> None:
        self.source, self.scope, self._progress = source, scope, shared.progress
        self._log = TracebackLog(shared.logs, source.client.masked)
        self.started_at = datetime.now(UTC)
        self.endpoint = shared.endpoint
        self.fetcher = Fetcher(source, scope, self._log, shared.endpoint)
        self._notice: str | None = None
        # Open runs that have been seen need not be fetched by ID as well.
        self.seen_open: set[str] = set()
        # Runs that an earlier load deferred and the list shows: their digests as listed.
        self.deferred_before: dict[str, bytes] = {}
        # Whether a run was deferred for what another attempt may mend.
        self._may_be_mended = False
        # A session of psycopg's is used by one thread at a time: this one.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="warehouse")
        loop = asyncio.get_running_loop()

        def waits(holder: str) -> None:
            loop.call_soon_threadsafe(self._progress.waits_for_lock, source.name, scope, holder)

        self.ledger = ledger(shared.url, source, scope, waits)

    async def run(
        self, work: "Callable[[ScopeSession[AnyLedger]], Awaitable[None]]"
    ) -> tuple[ScopeReport, TestrunsError | None]:
        """Do `work` under the scope's lock. The report, and what made it fail as a whole."""
        self.source.client.count_anew()
        try:
            failure = await self._caught(self._under_lock(work))
        finally:
            self._thread.shutdown()
        return self._report(failure), failure

    async def _under_lock(
        self, work: "Callable[[ScopeSession[AnyLedger]], Awaitable[None]]"
    ) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self.ledger.open)
        try:
            failure = await self._caught(self._work(work))
            if self.ledger.load_id:
                # Where this cannot be written, the next load finds this one interrupted.
                unwritten = await self._caught(self._end(failure))
                failure = failure or unwritten
        finally:
            await loop.run_in_executor(self._thread, self.ledger.close)
        if failure is not None:
            raise failure

    async def _work(self, work: "Callable[[ScopeSession[AnyLedger]], Awaitable[None]]") -> None:
        """Do `work`, with what earlier loads found of the endpoint of test results."""
        if self.source.results is not None and self.endpoint.is_there is None:
            self.endpoint.was_missing = await self.in_thread(
                self.ledger.is_missing, self.source.results.endpoint
            )
        await work(self)

    async def _end(self, failure: TestrunsError | None) -> None:
        """Write how the load ended, and what it found of the endpoint of test results."""
        results, endpoint = self.source.results, self.endpoint
        if results is not None and endpoint.has_news:
            error = endpoint.error and self.source.client.masked(endpoint.error)
            await self.in_thread(self.ledger.save_endpoint, results.endpoint, error)
            self._notice = endpoint.take_notice(results)
        await self.in_thread(self.ledger.end, self._message(failure))

    async def _caught(self, work: Awaitable[None]) -> TestrunsError | None:
        """What made it fail; what nobody expected is one line that names a log file."""
        try:
            await work
        except TestrunsError as failure:
            return failure
        except Exception as error:  # noqa: BLE001 - it fails this scope, and no other
            return self._log.add(error, f"{self.source.name} {self.scope}")
        return None

    async def in_thread(self, call: Callable[..., Result], *args: Any) -> Result:
        """`call(*args)` in the thread that owns the session with the warehouse.

        Raises WarehouseError when Postgres fails.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.ledger.call, call, *args)

    async def commit_all(self, work: AsyncIterator[Work]) -> None:
        """Commit the results in batches, each page's last one with its watermark.

        A batch that cannot be committed ends the work at once, requests under way included.
        """
        try:
            async with asyncio.TaskGroup() as commits:
                await self._commit_batches(work, commits)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _commit_batches(self, work: AsyncIterator[Work], commits: asyncio.TaskGroup) -> None:
        batch = Batch()
        committing: asyncio.Task[None] | None = None

        async def commit() -> None:
            """Begin to commit the batch, once the one before it is in."""
            nonlocal batch, committing
            if committing is not None:
                await committing
            if not batch.is_empty:
                self._progress.runs_fetched(self.source.name, self.scope, len(batch.results))
                committing = commits.create_task(self.in_thread(self.ledger.commit, batch))
            is_large, batch = batch.is_large, Batch()
            if is_large and committing is not None:
                await committing

        try:
            async with aclosing(map_ordered(work, MOST_IN_FLIGHT)) as results:
                async for result in results:
                    self._add(batch, result)
                    # or it would be held until the next one is here
                    del result
                    if batch.is_full:
                        await commit()
        except WarehouseError:
            raise
        except Exception:
            # What was fetched before the failure is kept; its page's watermark is not reached.
            await commit()
            if committing is not None:
                await committing
            raise
        await commit()

    def _add(self, batch: Batch, result: FetchResult) -> None:
        """Add a result to the batch, and remember open runs.

        Raises ApiError when the API gives no run any more.
        """
        for bad in result.references.bad:
            batch.add(self.fetcher.bad_reference(bad))
        batch.add(result)
        failures = self.fetcher.failures
        failures.came(result)
        match result.outcome:
            case Deferred(run_id=run_id) as deferred:
                self.seen_open.add(run_id)
                self._may_be_mended |= deferred.was_requested and deferred.is_transient
                lives = self.source.client.failed_lives
                if failures.are_hopeless or lives >= _MOST_FAILED_LIVES:
                    kind = TransientError if deferred.is_transient else PermanentError
                    left = f"the runs behind {run_id} are left to later loads"
                    raise kind(f"{deferred.error}; {left}")
            case FlatRun(run_id=run_id, is_open=True):
                self.seen_open.add(run_id)

    @property
    def expects_results(self) -> bool:
        """Whether test results come by requests of their own, as far as is known."""
        return self.source.results is not None and not self.endpoint.is_missing

    def report_size(self, runs: int, details: float) -> None:
        """Report how many runs there are to load, by so many requests."""
        minutes = details / self.source.client.rate_limiter.per_minute
        self._progress.scope_sized(self.source.name, self.scope, runs, minutes)

    def _message(self, failure: TestrunsError | None) -> str | None:
        if failure is not None:
            return self.source.client.masked(str(failure))
        deferred = self.ledger.stats.deferred
        if not deferred:
            return None
        run_id, error = next(iter(deferred.items()))
        return f"{len(deferred)} run(s) deferred to the next load, as {run_id}: {error}"

    def _report(self, failure: TestrunsError | None) -> ScopeReport:
        ledger, client = self.ledger, self.source.client
        message = self._message(failure)
        return ScopeReport(
            source=self.source.name,
            scope=self.scope,
            load_id=ledger.load_id or None,
            error=message,
            is_transient=is_transient(failure) or (failure is None and self._may_be_mended),
            is_quota_spent=isinstance(failure, QuotaSpentError),
            rows=dict(ledger.stats.rows),
            rejected=ledger.stats.rejected,
            deleted=ledger.stats.deleted,
            notice=self._notice,
            requests=dict(client.traffic.requests),
            bytes_received=client.traffic.bytes_received,
            waited_seconds=client.traffic.waited_seconds,
            quota=client.rate_limiter.quota.as_json(),
            high_water_before=ledger.watermark_before.high_water,
            high_water_after=ledger.watermark.high_water,
        )


def run_scopes(
    source: RunSource,
    scopes: Sequence[str],
    shared: Surroundings,
    ledger: type[AnyLedger],
    work: Callable[[ScopeSession[AnyLedger]], Awaitable[None]],
) -> list[ScopeReport]:
    """Do `work` in one scope after the other; a report for each.

    A scope that fails, however, does not stop the next; a wrong key (401), a server that is not
    there and a spent quota stop all, and each says so.
    """

    async def run() -> list[ScopeReport]:
        reports = []
        stopped: TestrunsError | None = None
        async with source.client:
            for scope in scopes:
                if stopped is not None:
                    report = ScopeReport(
                        source.name,
                        scope,
                        error=source.client.masked(f"not tried: {stopped}"),
                        is_transient=is_transient(stopped),
                        is_quota_spent=isinstance(stopped, QuotaSpentError),
                    )
                else:
                    shared.progress.scope_begins(source.name, scope)
                    report, failure = await ScopeSession(source, scope, shared, ledger).run(work)
                    stopped = failure if isinstance(failure, STOPS_THE_SOURCE) else None
                shared.progress.scope_ends(report)
                reports.append(report)
        return reports

    return uvloop.run(run())
