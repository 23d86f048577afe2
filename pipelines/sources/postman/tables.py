"""The tables of Postman's runs; one run in, rows out. No I/O, no clock.

Children are keyed by position: an execution's ID is its item's and repeats in every iteration.
"""

from pipelines.sources.base import Difference, FlatRun, Rows
from pipelines.sources.columns import (
    BIGINT,
    BOOLEAN,
    COUNT,
    INTEGER,
    SHORT_TEXT,
    TEXT,
    TIMESTAMP,
    URL,
    Column,
    Table,
)
from pipelines.sources.fields import (
    BadFieldError,
    Json,
    indexable,
    items,
    required,
    text,
)
from pipelines.sources.redaction import Redactor
from pipelines.sources.rows import Row, RowMaker

RUNS = Table(
    "raw_postman.collection_runs",
    [Column("run_id", SHORT_TEXT, "id")],
    [
        Column("collection_id", SHORT_TEXT, "collectionId"),
        Column("environment_id", SHORT_TEXT, "environmentId"),
        Column("status", SHORT_TEXT),
        Column("source", SHORT_TEXT),
        Column("created_by", SHORT_TEXT, "createdBy"),
        Column("started_at", TIMESTAMP, "startedAt"),
        Column("finished_at", TIMESTAMP, "finishedAt"),
        Column("duration_ms", BIGINT, "duration", unit="milliseconds"),
        Column("requests_total", COUNT, "stats.requests.total"),
        Column("requests_failed", COUNT, "stats.requests.failed"),
        Column("assertions_total", COUNT, "stats.assertions.total"),
        Column("assertions_failed", COUNT, "stats.assertions.failed"),
    ],
    lists=["executions"],
)
EXECUTIONS = Table(
    "raw_postman.executions",
    [Column("run_id", SHORT_TEXT), Column("execution_index", INTEGER)],
    [
        Column("execution_id", SHORT_TEXT, "id"),
        Column("item_name", TEXT, "itemName"),
        Column("request_method", SHORT_TEXT, "request.method"),
        Column("request_url", URL, "request.url"),
        Column("response_status_code", INTEGER, "response.statusCode"),
        Column("response_time_ms", BIGINT, "response.responseTime", unit="milliseconds"),
        Column("response_size_bytes", BIGINT, "response.responseSize", unit="bytes"),
    ],
    lists=["assertions"],
)
ASSERTIONS = Table(
    "raw_postman.assertions",
    [
        Column("run_id", SHORT_TEXT),
        Column("execution_index", INTEGER),
        Column("assertion_index", INTEGER),
    ],
    [Column("name", TEXT), Column("passed", BOOLEAN), Column("error", TEXT)],
)

TABLES = (RUNS, EXECUTIONS, ASSERTIONS)
REFERENCES: tuple[Table, ...] = ()

OPEN_STATUSES = frozenset({"queued", "running"})

_STATUS, _STARTED_AT = RUNS.index("status"), RUNS.index("started_at")
_PASSED = ASSERTIONS.index("passed")
_TOTALS = [
    (total, RUNS.index(total))
    for total in ("requests_total", "assertions_total", "assertions_failed")
]


def run_id(run: Json) -> str:
    """The ID of a run or of its summary. Raises BadFieldError where no table can be keyed by it."""
    return indexable(required(text(run, "id") or None, "id"), "id")


class Flattener:
    """Makes rows of runs; URLs in them are masked by `redactor`."""

    def __init__(self, redactor: Redactor) -> None:
        self._run = RowMaker(RUNS, redactor).row
        self._executions = RowMaker(EXECUTIONS, redactor).rows
        self._assertions = RowMaker(ASSERTIONS, redactor).rows

    def flatten(self, run: Json, digest: bytes) -> FlatRun:
        """The rows of a `CollectionRun`: one run, its executions, their assertions.

        `digest` is of all that was sent. Raises BadFieldError where the run means nothing: without
        an ID, or with children that are no objects.
        """
        key = run_id(run)
        executions = self._executions(run, "executions", key)
        assertions = []
        index = 0
        try:
            for index, execution in enumerate(items(run, "executions")):
                assertions += self._assertions(execution, "assertions", key, index)
        except BadFieldError as bad:
            raise bad.inside(f"executions[{index}]") from None
        row = self._run(run, key)
        rows: Rows = {RUNS.name: [row], EXECUTIONS.name: executions, ASSERTIONS.name: assertions}
        is_open = row[_STATUS] in OPEN_STATUSES
        return FlatRun(key, is_open, row[_STARTED_AT], digest, rows, _differences(row, rows))


def _differences(row: Row, rows: Rows) -> list[Difference]:
    """Where the run's own totals are not what its rows come to.

    `stats.requests.failed` is left out: it counts requests that got no answer in one client of
    Postman's and HTTP errors in another.
    """
    executions, assertions = rows[EXECUTIONS.name], rows[ASSERTIONS.name]
    loaded = {
        "requests_total": len(executions),
        "assertions_total": len(assertions),
        "assertions_failed": sum(assertion[_PASSED] is False for assertion in assertions),
    }
    return [
        Difference(total, announced, loaded[total])
        for total, at in _TOTALS
        if (announced := row[at]) is not None and announced != loaded[total]
    ]
