"""The nightly read, told in order: for each scope walk, fetch, flatten, and commit with the mark.

One loop fetches, up to 16 requests at a time, in the order of the list; one thread beside it
commits. A batch is a page of the list, or less where its runs are large: memory is bounded by it
and not by the history.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pipelines.client import MOST_IN_FLIGHT
from pipelines.errors import (
    ApiError,
    NotFoundError,
    QuotaSpentError,
    TestrunsError,
    TransientError,
    UnauthorizedError,
    UnparsableError,
    UnreachableError,
    WarehouseError,
)
from pipelines.fields import BadFieldError
from pipelines.in_order import in_order
from pipelines.pace import Pacer
from pipelines.postman.source import PostmanRuns
from pipelines.report import Progress, ScopeReport, Silence
from pipelines.settings import Settings, Source
from pipelines.source import (
    Batch,
    FlatRun,
    Gone,
    Mark,
    Outcome,
    Owed,
    Rejected,
    Rows,
    RunSource,
    as_stored,
    digest,
)
from pipelines.testmo.source import TestmoRuns
from pipelines.warehouse.connect import connect
from pipelines.warehouse.ledger import Ledger

Result = TypeVar("Result")

# A run that cannot be fetched is owed to the next load; so many in a row, and the API is ill.
_MOST_FAILURES_IN_A_ROW = 3

_STOPS_THE_SOURCE = (UnauthorizedError, UnreachableError, QuotaSpentError)


def load_source(
    settings: Settings, source: Source, url: str, progress: Progress | None = None
) -> list[ScopeReport]:
    """Load what is new in every scope of a source, one after the other; a report for each.

    `url` is the warehouse's, its schema in place. A scope that fails does not stop the next; a
    wrong key (401), a server that is not there and a spent quota stop all, and each says so.
    """
    return asyncio.run(_load_source(settings, source, url, progress or Silence()))


async def _load_source(
    settings: Settings, source: Source, url: str, progress: Progress
) -> list[ScopeReport]:
    reports = []
    stopped: TestrunsError | None = None
    lookback = timedelta(hours=settings.testruns_lookback_hours)
    api = _run_source(settings, source, progress)
    async with api.client:
        for scope in settings.scopes(source):
            if stopped is not None:
                error = f"not tried: {stopped}"
                report = ScopeReport(
                    source, scope, error=error, is_transient=_is_transient(stopped)
                )
            else:
                progress.scope_begins(source, scope)
                report, failure = await _ScopeLoad(api, scope, progress).run(url, lookback)
                stopped = failure if isinstance(failure, _STOPS_THE_SOURCE) else None
            progress.scope_ends(report)
            reports.append(report)
    return reports


def _run_source(settings: Settings, source: Source, progress: Progress) -> RunSource:
    def waits(seconds: float) -> None:
        progress.waits(source, seconds)

    if source == "postman":
        per_minute, reserve = settings.postman_requests_per_minute, settings.postman_monthly_reserve
        return PostmanRuns(settings, Pacer(per_minute, monthly_reserve=reserve, waits=waits))
    return TestmoRuns(settings, Pacer(settings.testmo_requests_per_minute, waits=waits))


def _is_transient(failure: TestrunsError | None) -> bool:
    return isinstance(failure, TransientError | WarehouseError)


@dataclass(frozen=True)
class _Step:
    """What came of one run, or the mark at a page's end."""

    outcome: Outcome | None = None
    listed_digest: bytes | None = None
    size: int = 0
    references: Rows = field(default_factory=dict)
    mark: Mark | None = None


@dataclass(frozen=True)
class _Listed:
    """A run as listed: what was sent, what can be stored of it, its spelling and digest."""

    sent: Any
    record: dict[str, Any]
    spelled: bytes
    run_id: str | None
    error: str = ""

    @property
    def digest(self) -> bytes:
        return digest(self.spelled)


_Todo = _Step | Coroutine[Any, Any, _Step]


class _ScopeLoad:
    """One load of one scope."""

    def __init__(self, api: RunSource, scope: str, progress: Progress) -> None:
        self._api, self._scope, self._progress = api, scope, progress
        self._started_at = datetime.now(UTC)
        self._failures_in_a_row = 0
        # Open runs that this load has met need not be asked for by ID as well.
        self._met_open: set[str] = set()
        # A session of psycopg's is used by one thread at a time: this one.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="warehouse")
        self._committing: asyncio.Future[None] | None = None
        self._ledger: Ledger

    async def run(self, url: str, lookback: timedelta) -> tuple[ScopeReport, TestrunsError | None]:
        """Load the scope. The report, and what made it fail as a whole."""
        self._api.client.count_anew()
        try:
            connection = await self._in_thread(connect, url)
        except WarehouseError as error:
            self._thread.shutdown()
            return self._unopened(error), error
        before, failure = Mark(), None
        try:
            self._ledger = await self._in_thread(Ledger, connection, self._api, self._scope)
            try:
                await self._in_thread(self._ledger.take_lock)
                before = await self._in_thread(self._ledger.begin, lookback, self._started_at)
                await self._commit_all(self._walk(before))
                due = await self._in_thread(self._ledger.due_open_runs, self._started_at)
                await self._commit_all(self._by_id(due))
            except TestrunsError as error:
                failure = error
            message = self._message(failure)
            if self._ledger.load_id:
                await self._in_thread(self._ledger.end, self._api.client, message)
        finally:
            await self._in_thread(connection.close)
            self._thread.shutdown()
        return self._report(before, message, failure), failure

    async def _walk(self, mark: Mark) -> AsyncIterator[_Todo]:
        """What there is to do for the runs of each page, then its mark; for known runs nothing."""
        async for page in self._api.walk(self._scope, mark, now=self._started_at):
            listed = [self._listed(sent) for sent in page.runs]
            run_ids = [one.run_id for one in listed if one.run_id is not None]
            held = await self._in_thread(self._ledger.held, run_ids, self._started_at)
            for one in listed:
                if one.run_id is None:
                    yield _Step(self._rejected(self._api.list_endpoint, None, one.sent, one.error))
                    continue
                known = held.get(one.run_id)
                is_unchanged = known is not None and known.listed_digest == one.digest
                is_whole = self._api.is_whole(one.record)
                if known is not None and known.is_open:
                    self._met_open.add(one.run_id)
                if is_unchanged and (is_whole or not (known and known.is_due)):
                    continue
                if is_whole:
                    outcome = self._flat(self._api.list_endpoint, one.run_id, one)
                    yield _Step(outcome, one.digest, len(one.spelled))
                else:
                    yield self._fetch(one.run_id, one.digest)
            yield _Step(references=page.references, mark=page.mark)

    async def _by_id(self, run_ids: Iterable[str]) -> AsyncIterator[_Todo]:
        """Open runs of any age that the walk has not met."""
        for run_id in run_ids:
            if run_id not in self._met_open:
                yield self._fetch(run_id, None)

    async def _fetch(self, run_id: str, listed_digest: bytes | None) -> _Step:
        """Ask for one run. A run that cannot be had now is owed; one that is unknown is gone."""
        endpoint = self._api.run_endpoint
        try:
            sent, references, size = await self._api.fetch(self._scope, run_id)
        except _STOPS_THE_SOURCE:
            raise
        except NotFoundError:
            return _Step(Gone(run_id))
        except UnparsableError as error:
            body = error.body.decode("utf-8", "backslashreplace")
            return _Step(self._rejected(endpoint, run_id, body, str(error)), listed_digest)
        except ApiError as error:
            return _Step(Owed(run_id, str(error)))
        outcome = self._flat(endpoint, run_id, self._listed(sent))
        return _Step(outcome, listed_digest, size, references)

    def _listed(self, sent: Any) -> _Listed:
        if not isinstance(sent, dict):
            return _Listed(sent, {}, b"", None, "expected an object")
        record, spelled = as_stored(sent)
        try:
            return _Listed(sent, record, spelled, self._api.run_id(record))
        except BadFieldError as bad:
            return _Listed(sent, record, spelled, None, str(bad))

    def _flat(self, endpoint: str, run_id: str, one: _Listed) -> FlatRun | Rejected:
        if one.run_id != run_id:
            error = one.error or f"id: asked for {run_id}, got {one.run_id}"
            return self._rejected(endpoint, run_id, one.sent, error)
        try:
            return self._api.flatten(one.record, one.spelled)
        except BadFieldError as bad:
            return self._rejected(endpoint, run_id, one.sent, str(bad))

    def _rejected(self, endpoint: str, run_id: str | None, sent: Any, error: str) -> Rejected:
        payload = sent if isinstance(sent, str) else json.dumps(sent)
        masked = self._api.client.masked
        return Rejected(endpoint, run_id, masked(payload.replace("\0", "\\u0000")), masked(error))

    async def _commit_all(self, todo: AsyncIterator[_Todo]) -> None:
        """Commit the steps in batches, each page's last one with its mark."""
        batch = Batch()
        try:
            async with aclosing(in_order(todo, MOST_IN_FLIGHT)) as steps:
                async for step in steps:
                    self._add(step, batch)
                    if batch.mark is not None or batch.is_full:
                        await self._commit(batch)
                        batch = Batch()
        except ApiError:
            # What was fetched before the failure is kept; only its page's mark is not reached.
            await self._commit(batch)
            await self._committed()
            raise
        await self._commit(batch)
        await self._committed()

    def _add(self, step: _Step, batch: Batch) -> None:
        batch.add(step.outcome, step.listed_digest, step.size, step.references, step.mark)
        match step.outcome:
            case Owed(run_id=run_id, error=error):
                self._met_open.add(run_id)
                self._failures_in_a_row += 1
                if self._failures_in_a_row >= _MOST_FAILURES_IN_A_ROW:
                    raise TransientError(error)
            case FlatRun(run_id=run_id, is_open=is_open):
                self._failures_in_a_row = 0
                if is_open:
                    self._met_open.add(run_id)
            case _:
                pass

    async def _commit(self, batch: Batch) -> None:
        """Begin to commit a batch, once the one before it is in."""
        await self._committed()
        if batch.is_empty:
            return
        self._progress.runs_fetched(self._api.name, self._scope, len(batch.outcomes))
        self._committing = asyncio.ensure_future(
            self._in_thread(self._ledger.commit, batch, self._api.client)
        )

    async def _committed(self) -> None:
        if self._committing is not None:
            committing, self._committing = self._committing, None
            await committing

    async def _in_thread(self, call: Callable[..., Result], *args: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def _message(self, failure: TestrunsError | None) -> str | None:
        if failure is not None:
            return self._api.client.masked(str(failure))
        owed = self._ledger.tally.owed
        if not owed:
            return None
        run_id, reason = next(iter(owed.items()))
        return f"{len(owed)} run(s) owed to the next load, as {run_id}: {reason}"

    def _unopened(self, error: WarehouseError) -> ScopeReport:
        return ScopeReport(self._api.name, self._scope, error=str(error), is_transient=True)

    def _report(
        self, before: Mark, message: str | None, failure: TestrunsError | None
    ) -> ScopeReport:
        ledger, client = self._ledger, self._api.client
        return ScopeReport(
            source=self._api.name,
            scope=self._scope,
            load_id=ledger.load_id or None,
            error=message,
            is_transient=message is not None and (failure is None or _is_transient(failure)),
            rows=dict(ledger.tally.rows),
            rejected=ledger.tally.rejected,
            requests=dict(client.traffic.requests),
            bytes_received=client.traffic.bytes_received,
            waited_seconds=client.traffic.waited_seconds,
            quota=client.pacer.quota.as_json(),
            high_water_before=before.high_water,
            high_water_after=ledger.mark.high_water,
        )
