"""One run: as the list shows it or as the API gives it by ID, to rows or to why there are none."""

import json
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pipelines.errors import (
    ApiError,
    NotFoundError,
    QuotaSpentError,
    TransientError,
    UnauthorizedError,
    UnparsableError,
    UnreachableError,
)
from pipelines.http.json_decode import UndecodableRecord, to_text
from pipelines.ingest.failures_in_a_row import FailuresInARow
from pipelines.ingest.results_endpoint import NO_RESULTS, ResultsEndpoint
from pipelines.ingest.traceback_log import TracebackLog
from pipelines.sources.base import BadReference, FlatRun, Rejected, ResultsSource, RunSource
from pipelines.sources.content import digest, sanitize
from pipelines.sources.fields import BadFieldError, Json
from pipelines.warehouse.batch import Deferred, FetchResult, NotFound

# Failures that the next scope of the same source would meet as well.
STOPS_THE_SOURCE = (UnauthorizedError, UnreachableError, QuotaSpentError)

# Behind so many runs in a row that the list shows and that answer 404, only one in 25 is requested,
# and all again once the API gives one.
_MOST_UNKNOWN_IN_A_ROW = 10
_PROBE_EVERY = 25


@dataclass(frozen=True)
class ListedRun:
    """A run as sent, what can be stored of it, and its canonical JSON; no ID: `error` says why."""

    sent: Any
    record: dict[str, Any]
    canonical: bytes
    run_id: str | None
    error: str = ""

    @property
    def digest(self) -> bytes:
        """Changes when the run does."""
        return digest(self.canonical)


class Fetcher:
    """The runs of one scope; whatever one of them holds, it costs no other run."""

    def __init__(
        self, source: RunSource, scope: str, log: TracebackLog, endpoint: ResultsEndpoint
    ) -> None:
        self._source, self._scope, self._log = source, scope, log
        self._endpoint = endpoint
        self.failures = FailuresInARow()
        self._unknown_in_a_row = self._passed_over = 0
        self._last_seen: deque[str] = deque(maxlen=2)

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
            run_id = self._source.run_id(record)
            if record is not sent and self._source.run_id(sent) != run_id:
                raise BadFieldError("id", "holds NUL or half a character")
        except BadFieldError as bad:
            return ListedRun(sent, record, canonical, None, str(bad))
        except Exception as error:  # noqa: BLE001 - of this record alone
            return ListedRun(sent, record, canonical, None, self._unexpected(error, "a listed run"))
        self._last_seen.append(run_id)
        return ListedRun(sent, record, canonical, run_id)

    def rejected(self, run: ListedRun) -> FetchResult:
        """A listed run without an ID: nothing more can be asked about it."""
        return FetchResult(
            self._rejected(self._source.list_endpoint, None, self._payload(run.sent), run.error)
        )

    def bad_reference(self, bad: BadReference) -> FetchResult:
        """An object that runs refer to and that could not be parsed."""
        endpoint = f"{self._source.list_endpoint} {bad.member}"
        rejected = self._rejected(endpoint, None, self._payload(bad.sent), bad.error, is_run=False)
        return FetchResult(rejected)

    def flat(self, run: ListedRun) -> FetchResult:
        """A listed run that is whole, as rows; its test results apart (`with_results`)."""
        outcome = self._flat(self._source.list_endpoint, run.run_id or "", run)
        canonical = b"" if isinstance(outcome, Rejected) else run.canonical
        return FetchResult(outcome, run.digest, canonical)

    async def detail(self, run: ListedRun, whole_digest: bytes | None = None) -> FetchResult:
        """A run that the list shows, fetched by ID with its test results."""
        return await self.by_id(
            run.run_id or "",
            run.digest,
            is_listed=True,
            opened_at=self._opened_at(run),
            whole_digest=whole_digest,
        )

    def with_results(
        self, result: FetchResult, whole_digest: bytes | None = None
    ) -> FetchResult | Coroutine[Any, Any, FetchResult]:
        """The run of `result` with its test results, where they come by requests of their own.

        `whole_digest` is that of the run as it is loaded with its results: while it is the same,
        they are not read again. None: they are read in any case.
        """
        run, results = result.outcome, self._source.results
        if results is None or not isinstance(run, FlatRun):
            return result
        if run.digest == whole_digest:
            return replace(result, outcome=replace(run, differences=None))
        return self._read_results(result, run, results)

    async def _read_results(
        self, result: FetchResult, run: FlatRun, results: ResultsSource
    ) -> FetchResult:
        """The run with its results; without them it is deferred, unless there is no endpoint."""
        run_id, opened_at = run.run_id, run.opened_at
        if not result.is_detail and (why := await self._why_passed_over(is_listed=True)):
            return self._not_asked_for(run_id, why, opened_at)
        other_run = next((seen for seen in self._last_seen if seen != run_id), None)
        try:
            found = await self._endpoint.read(results, run, other_run)
        except STOPS_THE_SOURCE:
            raise
        except NO_RESULTS as error:
            self._unknown_in_a_row += 1
            message = f"the API gives test results of other runs, but {error}"
            deferred = Deferred(run_id, message, is_unknown=True, opened_at=opened_at)
            return FetchResult(deferred, is_detail=True)
        except Exception as error:  # noqa: BLE001 - of this run alone
            return self._failed(run_id, error, opened_at)
        self._unknown_in_a_row = 0
        if found is None:
            return result
        whole = replace(
            run,
            rows={**run.rows, found.table: found.rows},
            differences=[*(run.differences or ()), *found.differences],
            results_digest=found.digest,
        )
        set_aside = [
            self._rejected(
                results.endpoint, run_id, self._payload(bad.sent), bad.error, is_run=False
            )
            for bad in found.bad
        ]
        return replace(
            result,
            outcome=whole,
            references=result.references.merged(found.references),
            set_aside=set_aside,
            results_size=found.size,
        )

    async def by_id(
        self,
        run_id: str,
        listed_digest: bytes | None = None,
        *,
        is_listed: bool = False,
        opened_at: datetime | None = None,
        whole_digest: bytes | None = None,
    ) -> FetchResult:
        """Fetch a run with its test results; one that cannot be had now is deferred.

        `is_listed`: the list shows it, or did so and has not been read again since: a 404 defers
        it as well, since an API that lists a run and does not know it contradicts itself.
        `whole_digest` as for `with_results`.
        """
        if why := await self._why_passed_over(is_listed=is_listed):
            return self._not_asked_for(run_id, why, opened_at)
        endpoint = self._source.run_endpoint
        try:
            sent, references, is_damaged = await self._source.fetch(self._scope, run_id)
        except STOPS_THE_SOURCE:
            raise
        except NotFoundError as error:
            if not is_listed:
                return FetchResult(NotFound(run_id), is_detail=True)
            self._unknown_in_a_row += 1
            message = f"the list shows it, but {error}"
            deferred = Deferred(run_id, message, is_unknown=True, opened_at=opened_at)
            return FetchResult(deferred, is_detail=True)
        except UnparsableError as error:
            rejected = self._rejected(
                endpoint, run_id, self._source.redactor.text(to_text(error.body)), str(error)
            )
            return FetchResult(rejected, listed_digest, is_detail=True)
        except Exception as error:  # noqa: BLE001 - of this run alone
            return self._failed(run_id, error, opened_at)
        run = self.listed(sent)
        if run.run_id not in {run_id, None}:
            # It says nothing of the run, which is fetched again; what was sent is kept anyway.
            problem = f"asked for {run_id}, got {run.run_id}"
            mixed_up = TransientError(f"{self._source.name} {endpoint}: {problem}")
            payload = self._payload(run.sent)
            kept = self._rejected(endpoint, run_id, payload, f"id: {problem}", is_run=False)
            return replace(self._failed(run_id, mixed_up, opened_at), set_aside=[kept])
        outcome = self._flat(endpoint, run_id, run)
        if is_damaged:
            listed_digest = None  # so that it is fetched once more when it is listed again
        canonical = b"" if isinstance(outcome, Rejected) else run.canonical
        result = self.with_results(
            FetchResult(outcome, listed_digest, canonical, references=references, is_detail=True),
            whole_digest,
        )
        if isinstance(result, FetchResult):
            self._unknown_in_a_row = 0
            return result
        return await result

    def _failed(self, run_id: str, error: Exception, opened_at: datetime | None) -> FetchResult:
        """A run that is deferred for what went wrong."""
        if isinstance(error, ApiError):
            message, is_transient = str(error), isinstance(error, TransientError)
        else:
            message, is_transient = self._unexpected(error, f"run {run_id}"), False
        return FetchResult(
            Deferred(run_id, message, is_transient, opened_at=opened_at), is_detail=True
        )

    def _not_asked_for(self, run_id: str, why: str, opened_at: datetime | None) -> FetchResult:
        deferred = Deferred(
            run_id, f"not asked for: {why}", opened_at=opened_at, was_requested=False
        )
        return FetchResult(deferred)

    async def _why_passed_over(self, *, is_listed: bool) -> str:
        """Why the next run is not to be requested; empty: it is."""
        if await self.failures.pass_over():
            return "the API gave none of the runs before it"
        if not is_listed or self._unknown_in_a_row < _MOST_UNKNOWN_IN_A_ROW:
            return ""
        self._passed_over += 1
        if self._passed_over % _PROBE_EVERY == 0:
            return ""
        return f"the API knew none of {_MOST_UNKNOWN_IN_A_ROW} runs it lists"

    def _opened_at(self, run: ListedRun) -> datetime | None:
        try:
            return self._source.opened_at(run.record)
        except BadFieldError:
            return None

    def _flat(self, endpoint: str, run_id: str, run: ListedRun) -> FlatRun | Rejected:
        if run.run_id != run_id:
            error = run.error or f"id: asked for {run_id}, got {run.run_id}"
            return self._rejected(endpoint, run_id, self._payload(run.sent), error)
        try:
            return self._source.flatten(run.record, run.canonical)
        except BadFieldError as bad:
            return self._rejected(endpoint, run_id, self._payload(run.sent), str(bad))
        except Exception as error:  # noqa: BLE001 - of this run alone
            message = self._unexpected(error, f"run {run_id}")
            return self._rejected(endpoint, run_id, self._payload(run.sent), message)

    def _rejected(
        self, endpoint: str, run_id: str | None, payload: str, error: str, *, is_run: bool = True
    ) -> Rejected:
        masked = self._source.client.masked
        error = self._source.redactor.text(error)
        return Rejected(endpoint, run_id, masked(payload), masked(error), is_run=is_run)

    def _unexpected(self, error: Exception, what: str) -> str:
        return str(self._log.add(error, f"{self._source.name} {self._scope} {what}"))

    def _payload(self, sent: Any) -> str:
        """A record as JSON text, however deep it is nested, the secrets of its URLs masked."""
        if isinstance(sent, UndecodableRecord):
            return self._source.redactor.text(str(sent))
        try:
            return self._as_json(sent)
        except RecursionError:
            # It was decoded on a stack like that of a new thread, which is as good as empty.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(self._as_json, sent).result()

    def _as_json(self, sent: Any) -> str:
        return json.dumps(self._source.redactor.json(sent))
