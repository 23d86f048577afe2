"""One Postman run in, rows out: no I/O, no clock.

Columns are named in the order of the tuples; a test holds them equal to the tables. Children are
keyed by position, since an execution's ID is its item's and repeats in every iteration.
"""

from pipelines.sources.base import Difference, FlatRun, Rows
from pipelines.sources.fields import (
    Json,
    bigint,
    boolean,
    each,
    indexable,
    instant,
    integer,
    leftovers,
    obj,
    required,
    text,
    with_nested,
)
from pipelines.sources.redaction import Redactor

RUNS = "raw_postman.collection_runs"
EXECUTIONS = "raw_postman.executions"
ASSERTIONS = "raw_postman.assertions"

COLUMNS: dict[str, tuple[str, ...]] = {
    RUNS: (
        "run_id", "collection_id", "environment_id", "status", "source", "created_by",
        "started_at", "finished_at", "duration_ms", "requests_total", "requests_failed",
        "assertions_total", "assertions_failed", "extra",
    ),
    EXECUTIONS: (
        "run_id", "execution_index", "execution_id", "item_name", "request_method", "request_url",
        "response_status_code", "response_time_ms", "response_size_bytes", "extra",
    ),
    ASSERTIONS: (
        "run_id", "execution_index", "assertion_index", "name", "passed", "error", "extra",
    ),
}  # fmt: skip

REFERENCE_COLUMNS: dict[str, tuple[str, ...]] = {}

_RUN = frozenset({
    "id", "collectionId", "environmentId", "status", "source", "createdBy", "startedAt",
    "finishedAt", "duration", "stats", "executions",
})  # fmt: skip
_STATS = frozenset({"requests", "assertions"})
_TOTALS = frozenset({"total", "failed"})
_EXECUTION = frozenset({"id", "itemName", "request", "response", "assertions"})
_REQUEST = frozenset({"method", "url"})
_RESPONSE = frozenset({"statusCode", "responseTime", "responseSize"})
_ASSERTION = frozenset({"name", "passed", "error"})

# Objects whose own leftovers stand under their name in extra.
NESTED = frozenset({"stats", "request", "response"})

_PASSED = COLUMNS[ASSERTIONS].index("passed")

OPEN_STATUSES = frozenset({"queued", "running"})


def run_id(run: Json) -> str:
    """The ID of a run or of its summary. Raises BadFieldError where no table can be keyed by it."""
    return indexable(required(text(run, "id") or None, "id"), "id")


def flatten(run: Json, redactor: Redactor, digest: bytes) -> FlatRun:
    """The rows of a `CollectionRun`: one run, its executions, their assertions.

    `digest` is of all that was sent. Raises BadFieldError naming the field that no column holds.
    """
    key = run_id(run)
    assertions: list[tuple[object, ...]] = []

    def execution(index: int, sent: Json) -> tuple[object, ...]:
        def assertion(position: int, checked: Json) -> tuple[object, ...]:
            rest = leftovers(checked, _ASSERTION)
            return (
                key, index, position,
                text(checked, "name"),
                boolean(checked, "passed"),
                text(checked, "error"),
                rest and redactor.within(rest),
            )  # fmt: skip

        assertions.extend(each(sent, "assertions", assertion))
        method, url, request_rest = obj(sent, "request", _request)
        status_code, time_ms, size_bytes, response_rest = obj(sent, "response", _response)
        return (
            key, index,
            text(sent, "id"),
            text(sent, "itemName"),
            method, redactor.url(url) if url else url,
            status_code, time_ms, size_bytes,
            redactor.within(
                with_nested(
                    leftovers(sent, _EXECUTION), request=request_rest, response=response_rest
                )
            ),
        )  # fmt: skip

    executions = each(run, "executions", execution)
    started_at = instant(run, "startedAt")
    status = text(run, "status")
    requests, asserted, stats_rest = obj(run, "stats", _stats)
    row = (
        key,
        text(run, "collectionId"),
        text(run, "environmentId"),
        status,
        text(run, "source"),
        text(run, "createdBy"),
        started_at,
        instant(run, "finishedAt"),
        bigint(run, "duration"),
        *requests, *asserted,
        redactor.within(with_nested(leftovers(run, _RUN), stats=stats_rest)),
    )  # fmt: skip
    rows: Rows = {RUNS: [row], EXECUTIONS: executions, ASSERTIONS: assertions}
    differences = _differences(rows, requests[0], *asserted)
    return FlatRun(key, status in OPEN_STATUSES, started_at, digest, rows, differences)


def _differences(
    rows: Rows, requests: int | None, assertions: int | None, failed: int | None
) -> list[Difference]:
    """Where the run's own totals are not what its rows come to.

    `stats.requests.failed` is left out: it counts requests that got no answer in one client of
    Postman's and HTTP errors in another.
    """
    counts = (
        ("requests_total", requests, len(rows[EXECUTIONS])),
        ("assertions_total", assertions, len(rows[ASSERTIONS])),
        ("assertions_failed", failed, sum(row[_PASSED] is False for row in rows[ASSERTIONS])),
    )
    return [
        Difference(total, announced, loaded)
        for total, announced, loaded in counts
        if announced is not None and announced != loaded
    ]


def _request(request: Json) -> tuple[str | None, str | None, Json | None]:
    return text(request, "method"), text(request, "url"), leftovers(request, _REQUEST)


def _response(response: Json) -> tuple[int | None, int | None, int | None, Json | None]:
    return (
        integer(response, "statusCode"),
        bigint(response, "responseTime"),
        bigint(response, "responseSize"),
        leftovers(response, _RESPONSE),
    )


Totals = tuple[int | None, int | None]


def _stats(stats: Json) -> tuple[Totals, Totals, Json | None]:
    requests, requests_rest = obj(stats, "requests", _totals)
    assertions, assertions_rest = obj(stats, "assertions", _totals)
    rest = with_nested(leftovers(stats, _STATS), requests=requests_rest, assertions=assertions_rest)
    return requests, assertions, rest


def _totals(totals: Json) -> tuple[Totals, Json | None]:
    return (bigint(totals, "total"), bigint(totals, "failed")), leftovers(totals, _TOTALS)
