"""One scope at work: ask for runs, flatten them, commit them in batches with the mark after each.

Load and backfill share this, so that they cannot disagree; they differ in which runs they ask for.
One loop fetches, up to 16 requests at a time, in the order of the list; one thread beside it
commits. A batch is a page of the list, or less where its runs are large: memory is bounded by it
and not by the history.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import psycopg
import uvloop

from pipelines.errors import (
    ApiError,
    NotFoundError,
    PermanentError,
    QuotaSpentError,
    TestrunsError,
    TransientError,
    UnauthorizedError,
    UnparsableError,
    UnreachableError,
    WarehouseError,
)
from pipelines.http.json_decode import UndecodableRecord, to_text
from pipelines.http.transport import MOST_IN_FLIGHT
from pipelines.ingest.concurrency import map_ordered
from pipelines.ingest.progress import Progress, ScopeReport
from pipelines.sources.base import (
    NO_REFERENCES,
    Batch,
    Deferred,
    FlatRun,
    NotFound,
    Outcome,
    References,
    Rejected,
    RunSource,
    Watermark,
)
from pipelines.sources.content import digest, sanitize
from pipelines.sources.fields import BadFieldError, Json
from pipelines.warehouse.engine import connect, reason
from pipelines.warehouse.ledger import Ledger

Result = TypeVar("Result")
AnyLedger = TypeVar("AnyLedger", bound=Ledger)

# Failures that the next scope of the same source would meet as well.
_STOPS_THE_SOURCE = (UnauthorizedError, UnreachableError, QuotaSpentError)

# A run that cannot be fetched is owed to the next load; so many in a row, and the API is ill.
_MOST_FAILURES_IN_A_ROW = 3


def is_transient(failure: TestrunsError | None) -> bool:
    """Whether trying again later can help."""
    return isinstance(failure, TransientError | WarehouseError)


@dataclass(frozen=True)
class FetchResult:
    """What came of one run, or the mark at a page's end. `size` is in bytes of JSON.

    `is_detail`: the run was asked for by itself.
    """

    outcome: Outcome | None = None
    listed_digest: bytes | None = None
    size: int = 0
    references: References = NO_REFERENCES
    watermark: Watermark | None = None
    is_detail: bool = False


@dataclass(frozen=True)
class ListedRun:
    """A run as sent, what can be stored of it, and its one spelling; no ID: `error` says why."""

    sent: Any
    record: dict[str, Any]
    canonical: bytes
    run_id: str | None
    error: str = ""

    @property
    def digest(self) -> bytes:
        """Changes when the run does."""
        return digest(self.canonical)


Work = FetchResult | Coroutine[Any, Any, FetchResult]


class ScopeSession(Generic[AnyLedger]):
    """One scope of one source, from its lock to the end of its load's row."""

    def __init__(
        self, api: RunSource, scope: str, progress: Progress, ledger: type[AnyLedger]
    ) -> None:
        self.api, self.scope, self._progress = api, scope, progress
        self._make_ledger = ledger
        self.started_at = datetime.now(UTC)
        # Open runs that have been met need not be asked for by ID as well.
        self.seen_open: set[str] = set()
        self.ledger: AnyLedger
        self._failures_in_a_row = 0
        # A session of psycopg's is used by one thread at a time: this one.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="warehouse")
        self._committing: asyncio.Future[None] | None = None

    async def run(
        self, url: str, work: "Callable[[ScopeSession[AnyLedger]], Coroutine[Any, Any, None]]"
    ) -> tuple[ScopeReport, TestrunsError | None]:
        """Do `work` under the scope's lock. The report, and what made it fail as a whole."""
        self.api.client.count_anew()
        try:
            connection = await self.in_thread(connect, url)
        except WarehouseError as error:
            self._thread.shutdown()
            report = ScopeReport(self.api.name, self.scope, error=str(error), is_transient=True)
            return report, error
        failure = None
        try:
            self.ledger = await self.in_thread(self._make_ledger, connection, self.api, self.scope)
            try:
                await self.in_thread(self.ledger.take_lock)
                await work(self)
            except TestrunsError as error:
                failure = error
            if self.ledger.load_id:
                failure = await self._end(failure)
        finally:
            await self.in_thread(connection.close)
            self._thread.shutdown()
        return self._report(self._message(failure), failure), failure

    async def _end(self, failure: TestrunsError | None) -> TestrunsError | None:
        """Write how the load ended; where that cannot be written, the next load finds it killed."""
        try:
            await self.in_thread(self.ledger.end, self.api.client, self._message(failure))
        except WarehouseError as error:
            return failure or error
        return failure

    async def in_thread(self, call: Callable[..., Result], *args: Any) -> Result:
        """`call(*args)` in the thread that owns the session with the warehouse.

        Raises WarehouseError when Postgres fails.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)
        except psycopg.Error as error:
            raise WarehouseError(f"the warehouse failed: {reason(error)}") from error

    def listed(self, sent: Any) -> ListedRun:
        """A run of a list, or a detail, with its ID if it has one."""
        if isinstance(sent, UndecodableRecord):
            return ListedRun(sent, {}, b"", None, sent.reason)
        if not isinstance(sent, dict):
            return ListedRun(sent, {}, b"", None, "expected an object")
        record: Json = {}
        canonical = b""
        try:
            record, canonical = sanitize(sent)
            run_id = self.api.run_id(record)
            if record is not sent and self.api.run_id(sent) != run_id:
                raise BadFieldError("id", "holds NUL or half a character")
        except BadFieldError as bad:
            return ListedRun(sent, record, canonical, None, str(bad))
        return ListedRun(sent, record, canonical, run_id)

    def rejected(self, one: ListedRun) -> FetchResult:
        """A listed run without an ID: nothing more can be asked about it."""
        payload = str(one.sent) if isinstance(one.sent, UndecodableRecord) else json.dumps(one.sent)
        return FetchResult(self._rejected(self.api.list_endpoint, None, payload, one.error))

    def flat(self, one: ListedRun) -> FetchResult:
        """A listed run that is whole, as rows."""
        outcome = self._flat(self.api.list_endpoint, one.run_id or "", one)
        return FetchResult(outcome, one.digest, len(one.canonical))

    async def fetch(self, run_id: str, listed_digest: bytes | None) -> FetchResult:
        """Ask for one run. A run that cannot be had now is owed; one that is unknown is gone."""
        endpoint = self.api.run_endpoint
        try:
            sent, references, size = await self.api.fetch(self.scope, run_id)
        except _STOPS_THE_SOURCE:
            raise
        except NotFoundError:
            return FetchResult(NotFound(run_id), is_detail=True)
        except UnparsableError as error:
            rejected = self._rejected(endpoint, run_id, to_text(error.body), str(error))
            return FetchResult(rejected, listed_digest, is_detail=True)
        except ApiError as error:
            owed = Deferred(run_id, str(error), isinstance(error, TransientError))
            return FetchResult(owed, is_detail=True)
        outcome = self._flat(endpoint, run_id, self.listed(sent))
        return FetchResult(outcome, listed_digest, size, references, is_detail=True)

    def _flat(self, endpoint: str, run_id: str, one: ListedRun) -> FlatRun | Rejected:
        if one.run_id != run_id:
            error = one.error or f"id: asked for {run_id}, got {one.run_id}"
            return self._rejected(endpoint, run_id, json.dumps(one.sent), error)
        try:
            return self.api.flatten(one.record, one.canonical)
        except BadFieldError as bad:
            return self._rejected(endpoint, run_id, json.dumps(one.sent), str(bad))

    def _rejected(self, endpoint: str, run_id: str | None, payload: str, error: str) -> Rejected:
        masked = self.api.client.masked
        return Rejected(endpoint, run_id, masked(payload), masked(error))

    async def commit_all(self, todo: AsyncIterator[Work]) -> None:
        """Commit the steps in batches, each page's last one with its mark."""
        batch = Batch()
        try:
            async with aclosing(map_ordered(todo, MOST_IN_FLIGHT)) as steps:
                async for step in steps:
                    self._add(step, batch)
                    if batch.watermark is not None or batch.is_full:
                        await self._commit(batch)
                        batch = Batch()
        except ApiError:
            # What was fetched before the failure is kept; only its page's mark is not reached.
            await self._commit(batch)
            await self._committed()
            raise
        await self._commit(batch)
        await self._committed()

    def _add(self, step: FetchResult, batch: Batch) -> None:
        for bad in step.references.bad:
            rejected = self._rejected(
                f"{self.api.list_endpoint} {bad.member}", None, json.dumps(bad.sent), bad.error
            )
            batch.add(replace(rejected, is_run=False), None, 0, {}, None)
        batch.add(
            step.outcome, step.listed_digest, step.size, step.references.rows, step.watermark,
            is_detail=step.is_detail,
        )  # fmt: skip
        match step.outcome:
            case Deferred(run_id=run_id, error=error, is_transient=is_transient_error):
                self.seen_open.add(run_id)
                self._failures_in_a_row += 1
                if self._failures_in_a_row >= _MOST_FAILURES_IN_A_ROW:
                    raise (TransientError if is_transient_error else PermanentError)(error)
            case FlatRun(run_id=run_id, is_open=is_open):
                self._failures_in_a_row = 0
                if is_open:
                    self.seen_open.add(run_id)
            case _:
                pass

    async def _commit(self, batch: Batch) -> None:
        """Begin to commit a batch, once the one before it is in."""
        await self._committed()
        if batch.is_empty:
            return
        self._progress.runs_fetched(self.api.name, self.scope, len(batch.outcomes))
        self._committing = asyncio.ensure_future(
            self.in_thread(self.ledger.commit, batch, self.api.client)
        )

    async def _committed(self) -> None:
        if self._committing is not None:
            committing, self._committing = self._committing, None
            await committing

    def _message(self, failure: TestrunsError | None) -> str | None:
        if failure is not None:
            return self.api.client.masked(str(failure))
        owed = self.ledger.stats.owed
        if not owed:
            return None
        run_id, reason = next(iter(owed.items()))
        return f"{len(owed)} run(s) owed to the next load, as {run_id}: {reason}"

    def _report(self, message: str | None, failure: TestrunsError | None) -> ScopeReport:
        ledger, client = self.ledger, self.api.client
        return ScopeReport(
            source=self.api.name,
            scope=self.scope,
            load_id=ledger.load_id or None,
            error=message,
            is_transient=message is not None and (failure is None or is_transient(failure)),
            is_quota_spent=isinstance(failure, QuotaSpentError),
            rows=dict(ledger.stats.rows),
            rejected=ledger.stats.rejected,
            deleted=ledger.stats.deleted,
            requests=dict(client.traffic.requests),
            bytes_received=client.traffic.bytes_received,
            waited_seconds=client.traffic.waited_seconds,
            quota=client.rate_limiter.quota.as_json(),
            high_water_before=ledger.watermark_before.high_water,
            high_water_after=ledger.watermark.high_water,
        )


def run_scopes(
    api: RunSource,
    scopes: Sequence[str],
    url: str,
    progress: Progress,
    ledger: type[AnyLedger],
    work: Callable[[ScopeSession[AnyLedger]], Coroutine[Any, Any, None]],
) -> list[ScopeReport]:
    """Do `work` in one scope after the other; a report for each.

    `url` is the warehouse's, its schema in place. A scope that fails does not stop the next; a
    wrong key (401), a server that is not there and a spent quota stop all, and each says so.
    """
    return uvloop.run(_run_scopes(api, scopes, url, progress, ledger, work))


async def _run_scopes(
    api: RunSource,
    scopes: Sequence[str],
    url: str,
    progress: Progress,
    ledger: type[AnyLedger],
    work: Callable[[ScopeSession[AnyLedger]], Coroutine[Any, Any, None]],
) -> list[ScopeReport]:
    reports = []
    stopped: TestrunsError | None = None
    async with api.client:
        for scope in scopes:
            if stopped is not None:
                report = ScopeReport(
                    api.name,
                    scope,
                    error=api.client.masked(f"not tried: {stopped}"),
                    is_transient=is_transient(stopped),
                    is_quota_spent=isinstance(stopped, QuotaSpentError),
                )
            else:
                progress.scope_begins(api.name, scope)
                report, failure = await ScopeSession(api, scope, progress, ledger).run(url, work)
                stopped = failure if isinstance(failure, _STOPS_THE_SOURCE) else None
            progress.scope_ends(report)
            reports.append(report)
    return reports
