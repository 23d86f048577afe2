"""The tables of Testmo's runs and of what they refer to; one run in, rows out. No I/O, no clock.

What hangs on a run or thread is keyed by position: the same artifact or link may stand twice.
"""

from typing import Any

from pipelines.sources.base import Difference, FlatRun, Rows
from pipelines.sources.columns import (
    BIGINT,
    BOOLEAN,
    COUNT,
    INTEGER,
    JSON,
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
    bigint,
    items,
    kind,
    required,
    short_text,
)
from pipelines.sources.redaction import Redactor
from pipelines.sources.rows import Row, RowMaker

_RUN_ID = Column("run_id", BIGINT)
_COUNTS = [
    Column(name, COUNT)
    for name in (
        "untested_count",
        *(f"status{number}_count" for number in range(1, 25)),
        *("success_count", "failure_count", "completed_count", "total_count"),
    )
]
_HANGS_ON = [_RUN_ID, Column("thread_id", BIGINT), Column("position", INTEGER)]

RUNS = Table(
    "raw_testmo.automation_runs",
    [Column("run_id", BIGINT, "id")],
    [
        Column("project_id", BIGINT),
        Column("source_id", BIGINT),
        Column("name", TEXT),
        Column("status", INTEGER),
        Column("config_id", BIGINT),
        Column("milestone_id", BIGINT),
        Column("elapsed", BIGINT, unit="microseconds"),
        Column("is_completed", BOOLEAN),
        *_COUNTS,
        Column("thread_count", COUNT),
        Column("thread_active_count", COUNT),
        Column("thread_completed_count", COUNT),
        Column("created_at", TIMESTAMP),
        Column("created_by", BIGINT),
        Column("updated_at", TIMESTAMP),
        Column("updated_by", BIGINT),
        Column("completed_at", TIMESTAMP),
        Column("completed_by", BIGINT),
    ],
    lists=["threads", "tags", "fields", "links", "artifacts"],
)
THREADS = Table(
    "raw_testmo.automation_run_threads",
    [_RUN_ID, Column("thread_id", BIGINT, "id")],
    [
        Column("thread_index", INTEGER, "index"),
        Column("name", TEXT),
        Column("status", INTEGER),
        Column("elapsed", BIGINT, unit="microseconds"),
        Column("is_completed", BOOLEAN),
        *_COUNTS,
        Column("created_at", TIMESTAMP),
        Column("created_by", BIGINT),
        Column("completed_at", TIMESTAMP),
        Column("completed_by", BIGINT),
    ],
    lists=["fields", "links", "artifacts"],
)
TAGS = Table(
    "raw_testmo.automation_run_tags", [_RUN_ID, Column("tag", SHORT_TEXT)], [], has_extra=False
)
ARTIFACTS = Table(
    "raw_testmo.automation_run_artifacts",
    _HANGS_ON,
    [
        Column("name", TEXT),
        Column("note", TEXT),
        Column("url", URL),
        Column("mime_type", SHORT_TEXT),
        Column("size_bytes", BIGINT, "size", unit="bytes"),
    ],
)
FIELDS = Table(
    "raw_testmo.automation_run_fields",
    _HANGS_ON,
    [
        Column("type", INTEGER),
        Column("name", TEXT),
        Column("value", TEXT),
        Column("meta", JSON),
    ],
)
LINKS = Table(
    "raw_testmo.automation_run_links",
    _HANGS_ON,
    [Column("name", TEXT), Column("note", TEXT), Column("url", URL)],
)
TESTS = Table(
    "raw_testmo.automation_run_tests",
    [_RUN_ID, Column("automation_test_id", BIGINT, "automation_test_id")],
    [
        Column("automation_case_id", BIGINT),
        Column("repository_case_id", BIGINT),
        Column("key", TEXT),
        Column("name", TEXT),
        Column("folder", TEXT),
        Column("status", INTEGER),
        Column("elapsed", BIGINT, unit="microseconds"),
        Column("thread_id", BIGINT),
        Column("created_at", TIMESTAMP),
    ],
)
TABLES = (RUNS, THREADS, TAGS, ARTIFACTS, FIELDS, LINKS, TESTS)

_ID = Column("id", BIGINT, "id")
_NAME = Column("name", TEXT)
STATUSES = Table(
    "raw_testmo.statuses",
    [_ID],
    [
        _NAME,
        Column("system_name", SHORT_TEXT),
        Column("color", SHORT_TEXT),
        Column("is_final", BOOLEAN),
        Column("is_untested", BOOLEAN),
        Column("is_passed", BOOLEAN),
        Column("is_failed", BOOLEAN),
        Column("aliases", JSON),
    ],
)
REFERENCES = (
    Table("raw_testmo.automation_sources", [_ID], [_NAME]),
    Table("raw_testmo.configs", [_ID], [_NAME]),
    Table("raw_testmo.milestones", [_ID], [_NAME]),
    STATUSES,
    Table("raw_testmo.users", [_ID], [_NAME]),
)

# Keys of a run that the list may leave out.
LISTS = frozenset(RUNS.lists)

_IS_COMPLETED, _CREATED_AT = RUNS.index("is_completed"), RUNS.index("created_at")
_THREAD_IS_COMPLETED = THREADS.index("is_completed")
_SUMMED = [
    (total, THREADS.index(total))
    for total in (
        "untested_count", "success_count", "failure_count", "completed_count", "total_count",
    )
]  # fmt: skip
_TOTALS = {
    total: RUNS.index(total)
    for total in ("thread_count", "thread_completed_count", *(total for total, _ in _SUMMED))
}
_MOST = 2**63 - 1  # of a bigint

_TYPE, _VALUE = FIELDS.index("type"), FIELDS.index("value")
_URL_TYPE = 5


def id_of(record: Json) -> int:
    """The ID of a run, a thread or an object that runs refer to. Raises BadFieldError."""
    return required(bigint(record, "id"), "id")


class Flattener:
    """Makes rows of runs; URLs in them are masked by `redactor`."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._run = RowMaker(RUNS, redactor).row
        self._thread = RowMaker(THREADS, redactor).row
        self._fields = RowMaker(FIELDS, redactor).rows
        self._hanging = (
            (ARTIFACTS.name, "artifacts", RowMaker(ARTIFACTS, redactor).rows),
            (FIELDS.name, "fields", self._field_rows),
            (LINKS.name, "links", RowMaker(LINKS, redactor).rows),
        )

    def flatten(self, run: Json, digest: bytes) -> FlatRun:
        """The rows of an automation run with its threads, tags, fields, links and artifacts.

        `digest` is of all that was sent. Raises BadFieldError where the run means nothing: without
        an ID, with children that are no objects, with a thread that has no ID of its own.
        """
        key = id_of(run)
        row = self._run(run, key)
        tags, odd_tags = self._tags(run)
        if odd_tags:
            row = (*row[:-1], {**(row[-1] or {}), "tags": odd_tags})
        rows: Rows = {
            RUNS.name: [row],
            THREADS.name: [],
            TAGS.name: [(key, tag) for tag in tags],
            **{
                table: make_rows(run, list_, key, None) for table, list_, make_rows in self._hanging
            },
        }
        self._add_threads(run, key, rows)
        differences = _differences(rows) if "threads" in run else []
        is_open = row[_IS_COMPLETED] is not True
        return FlatRun(str(key), is_open, row[_CREATED_AT], digest, rows, differences)

    def _add_threads(self, run: Json, key: int, rows: Rows) -> None:
        """The threads of a run, and what hangs on each."""
        seen = set()
        for position, thread in enumerate(items(run, "threads")):
            try:
                if type(thread) is not dict:
                    raise BadFieldError("", f"expected an object, got {kind(thread)}")
                thread_id = id_of(thread)
                if thread_id in seen:
                    raise BadFieldError("id", f"a second thread {thread_id} in the run")
                seen.add(thread_id)
                rows[THREADS.name].append(self._thread(thread, key, thread_id))
                for table, list_, make_rows in self._hanging:
                    rows[table] += make_rows(thread, list_, key, thread_id)
            except BadFieldError as bad:
                raise bad.inside(f"threads[{position}]") from None

    def _field_rows(self, owner: Json, list_: str, *place: Any) -> list[Row]:
        """The fields of a run or thread; one of a type of its own holds a URL, however written."""
        rows = self._fields(owner, list_, *place)
        for position, row in enumerate(rows):
            if row[_TYPE] == _URL_TYPE and row[_VALUE]:
                url = self._redactor.url(row[_VALUE])
                rows[position] = (*row[:_VALUE], url, *row[_VALUE + 1 :])
        return rows

    def _tags(self, run: Json) -> tuple[list[str], Any]:
        """Each different tag once (clients may send one twice), and what is no tag, for `extra`."""
        try:
            listed = items(run, "tags")
        except BadFieldError:
            return [], self._redactor.json(run["tags"])
        tags: dict[str, None] = {}
        odd = []
        for tag in listed:
            try:
                tags[self._redactor.text(required(short_text({"tag": tag}, "tag"), "tag"))] = None
            except BadFieldError:
                odd.append(self._redactor.json(tag))
        return list(tags), odd


def _differences(rows: Rows) -> list[Difference]:
    """Where the run's own totals are not what its threads come to; null announces nothing."""
    (run,), threads = rows[RUNS.name], rows[THREADS.name]
    loaded = {"thread_count": len(threads)}
    if threads:
        completed = sum(thread[_THREAD_IS_COMPLETED] is True for thread in threads)
        loaded["thread_completed_count"] = completed
        for total, index in _SUMMED:
            loaded[total] = min(sum(thread[index] or 0 for thread in threads), _MOST)
    return [
        Difference(total, announced, count)
        for total, count in loaded.items()
        if (announced := run[_TOTALS[total]]) is not None and announced != count
    ]
