"""One Testmo run in, rows out; and the objects that runs refer to. No I/O, no clock.

Columns are named in the order of the tuples; a test holds them equal to the tables. What hangs on
a run or thread is keyed by position, since the same artifact, field or link may stand twice.
"""

from collections.abc import Callable
from typing import Any

from pipelines.sources.base import BadReference, Difference, FlatRun, References, Rows, sanitize
from pipelines.sources.fields import (
    BadFieldError,
    Json,
    bigint,
    boolean,
    each,
    indexable,
    instant,
    integer,
    items,
    leftovers,
    required,
    text,
)
from pipelines.sources.redaction import Redactor

RUNS = "raw_testmo.automation_runs"
THREADS = "raw_testmo.automation_run_threads"
TAGS = "raw_testmo.automation_run_tags"
ARTIFACTS = "raw_testmo.automation_run_artifacts"
FIELDS = "raw_testmo.automation_run_fields"
LINKS = "raw_testmo.automation_run_links"

_COUNTS = (
    "untested_count",
    *(f"status{number}_count" for number in range(1, 25)),
    "success_count", "failure_count", "completed_count", "total_count",
)  # fmt: skip
_HANGS_ON = ("run_id", "thread_id", "position")

COLUMNS: dict[str, tuple[str, ...]] = {
    RUNS: (
        "run_id", "project_id", "source_id", "name", "status", "config_id", "milestone_id",
        "elapsed", "is_completed", *_COUNTS,
        "thread_count", "thread_active_count", "thread_completed_count",
        "created_at", "created_by", "updated_at", "updated_by", "completed_at", "completed_by",
        "extra",
    ),
    THREADS: (
        "run_id", "thread_id", "thread_index", "name", "status", "elapsed", "is_completed",
        *_COUNTS, "created_at", "created_by", "completed_at", "completed_by", "extra",
    ),
    TAGS: ("run_id", "tag"),
    ARTIFACTS: (*_HANGS_ON, "name", "note", "url", "mime_type", "size_bytes", "extra"),
    FIELDS: (*_HANGS_ON, "type", "name", "value", "meta", "extra"),
    LINKS: (*_HANGS_ON, "name", "note", "url", "extra"),
}  # fmt: skip

REFERENCE_COLUMNS: dict[str, tuple[str, ...]] = {
    "raw_testmo.automation_sources": ("id", "name", "extra"),
    "raw_testmo.configs": ("id", "name", "extra"),
    "raw_testmo.milestones": ("id", "name", "extra"),
    "raw_testmo.statuses": (
        "id", "name", "system_name", "color", "is_final", "is_untested", "is_passed", "is_failed",
        "aliases", "extra",
    ),
    "raw_testmo.users": ("id", "name", "extra"),
}  # fmt: skip

_EXPANDS = [table.removeprefix("raw_testmo.") for table in REFERENCE_COLUMNS]

LISTS = frozenset({"threads", "tags", "fields", "links", "artifacts"})
_THREAD_LISTS = frozenset({"fields", "links", "artifacts"})
_RUN = frozenset({*COLUMNS[RUNS], *LISTS, "id"}) - {"run_id", "extra"}
_THREAD = frozenset({*COLUMNS[THREADS], *_THREAD_LISTS, "id", "index"}) - {
    "run_id", "thread_id", "thread_index", "extra",
}  # fmt: skip
_ARTIFACT = frozenset({"name", "note", "url", "mime_type", "size"})
_FIELD = frozenset({"type", "name", "value", "meta"})
_LINK = frozenset({"name", "note", "url"})

_SUMMED = ("untested_count", "success_count", "failure_count", "completed_count", "total_count")
_MOST = 2**63 - 1  # of a bigint
_IS_COMPLETED = COLUMNS[THREADS].index("is_completed")

_URL_FIELD = 5


def flatten(run: Json, redactor: Redactor, digest: bytes) -> FlatRun:
    """The rows of an automation run with its threads, tags, fields, links and artifacts.

    `digest` is of all that was sent. Raises BadFieldError naming the field that no column holds.
    """
    run_id = required(bigint(run, "id"), "id")
    hanging = _Hanging(run_id, redactor)
    hanging.collect(run, None)
    seen: set[int] = set()

    def thread(_position: int, sent: Json) -> tuple[Any, ...]:
        thread_id = required(bigint(sent, "id"), "id")
        if thread_id in seen:
            raise BadFieldError("id", f"a second thread {thread_id} in the run")
        seen.add(thread_id)
        hanging.collect(sent, thread_id)
        return (
            run_id, thread_id,
            integer(sent, "index"),
            text(sent, "name"),
            integer(sent, "status"),
            bigint(sent, "elapsed"),
            boolean(sent, "is_completed"),
            *(bigint(sent, count) for count in _COUNTS),
            instant(sent, "created_at"),
            bigint(sent, "created_by"),
            instant(sent, "completed_at"),
            bigint(sent, "completed_by"),
            redactor.within(leftovers(sent, _THREAD)),
        )  # fmt: skip

    threads = each(run, "threads", thread)
    created_at = instant(run, "created_at")
    is_completed = boolean(run, "is_completed")
    row = (
        run_id,
        bigint(run, "project_id"),
        bigint(run, "source_id"),
        text(run, "name"),
        integer(run, "status"),
        bigint(run, "config_id"),
        bigint(run, "milestone_id"),
        bigint(run, "elapsed"),
        is_completed,
        *(bigint(run, count) for count in _COUNTS),
        bigint(run, "thread_count"),
        bigint(run, "thread_active_count"),
        bigint(run, "thread_completed_count"),
        created_at,
        bigint(run, "created_by"),
        instant(run, "updated_at"),
        bigint(run, "updated_by"),
        instant(run, "completed_at"),
        bigint(run, "completed_by"),
        redactor.within(leftovers(run, _RUN)),
    )
    rows: Rows = {RUNS: [row], THREADS: threads, TAGS: _tags(run_id, run), **hanging.rows}
    differences = _differences(rows) if "threads" in run else []
    return FlatRun(str(run_id), is_completed is not True, created_at, digest, rows, differences)


def _differences(rows: Rows) -> list[Difference]:
    """Where the run's own totals are not what its threads come to; null counts as untold."""
    (row,), threads = rows[RUNS], rows[THREADS]
    loaded = {"thread_count": len(threads)}
    if threads:
        loaded["thread_completed_count"] = sum(one[_IS_COMPLETED] is True for one in threads)
        for total in _SUMMED:
            column = COLUMNS[THREADS].index(total)
            loaded[total] = min(sum(one[column] or 0 for one in threads), _MOST)
    return [
        Difference(total, announced, count)
        for total, count in loaded.items()
        if (announced := row[COLUMNS[RUNS].index(total)]) is not None and announced != count
    ]


def _tags(run_id: int, run: Json) -> list[tuple[Any, ...]]:
    """Each different tag once: the API's clients may send the same one twice."""
    tags: dict[str, None] = {}
    for position, tag in enumerate(items(run, "tags")):
        if type(tag) is not str:
            raise BadFieldError(f"tags[{position}]", "expected text")
        tags[indexable(tag, f"tags[{position}]")] = None
    return [(run_id, tag) for tag in tags]


class _Hanging:
    """Artifacts, fields and links of a run and of its threads."""

    def __init__(self, run_id: int, redactor: Redactor) -> None:
        self._run_id, self._redactor = run_id, redactor
        self.rows: Rows = {ARTIFACTS: [], FIELDS: [], LINKS: []}

    def collect(self, owner: Json, thread_id: int | None) -> None:
        """Take what hangs on `owner`: the run (`thread_id` None) or one of its threads."""
        kinds: tuple[tuple[str, str, Callable[[Json], tuple[Any, ...]]], ...] = (
            (ARTIFACTS, "artifacts", self._artifact),
            (FIELDS, "fields", self._field),
            (LINKS, "links", self._link),
        )
        for table, key, make in kinds:
            self.rows[table] += [
                (self._run_id, thread_id, position, *values)
                for position, values in enumerate(each(owner, key, lambda _, sent: make(sent)))  # noqa: B023
            ]

    def _url(self, sent: Json, key: str) -> str | None:
        url = text(sent, key)
        return self._redactor.url(url) if url else url

    def _artifact(self, sent: Json) -> tuple[Any, ...]:
        return (
            text(sent, "name"),
            text(sent, "note"),
            self._url(sent, "url"),
            text(sent, "mime_type"),
            bigint(sent, "size"),
            self._redactor.within(leftovers(sent, _ARTIFACT)),
        )

    def _field(self, sent: Json) -> tuple[Any, ...]:
        kind = integer(sent, "type")
        value = self._url(sent, "value") if kind == _URL_FIELD else text(sent, "value")
        extra = self._redactor.within(leftovers(sent, _FIELD))
        return (kind, text(sent, "name"), value, sent.get("meta"), extra)

    def _link(self, sent: Json) -> tuple[Any, ...]:
        return (
            text(sent, "name"),
            text(sent, "note"),
            self._url(sent, "url"),
            self._redactor.within(leftovers(sent, _LINK)),
        )


def references(expands: object) -> References:
    """What `expands` holds: the objects that a page's runs refer to, by table.

    It is a list where it is empty. An object that cannot be parsed is set aside; the run that
    refers to it keeps the ID.
    """
    rows: dict[str, dict[Any, tuple[Any, ...]]] = {}
    bad: list[BadReference] = []
    if not isinstance(expands, dict):
        if expands:
            bad.append(BadReference("expands", expands, "expands: expected an object"))
        return References({}, bad)
    for member in _EXPANDS:
        listed = expands.get(member) or []
        path = f"expands.{member}"
        if not isinstance(listed, list):
            bad.append(BadReference(path, listed, f"{path}: expected a list"))
            continue
        for position, sent in enumerate(listed):
            try:
                for table, (row,) in reference(member, sent).items():
                    rows.setdefault(table, {})[row[0]] = row
            except BadFieldError as error:
                told = str(error.inside(f"{path}[{position}]"))
                bad.append(BadReference(path, sent, told))
    return References({table: [*by_id.values()] for table, by_id in rows.items()}, bad)


def reference(member: str, sent: Any) -> Rows:
    """The row of one object of `expands.{member}`, by its table. Raises BadFieldError."""
    table = f"raw_testmo.{member}"
    if not isinstance(sent, dict) or table not in REFERENCE_COLUMNS:
        raise BadFieldError("", "expected an object")
    record, _ = sanitize(sent)
    columns = REFERENCE_COLUMNS[table]
    reference_id = required(bigint(record, "id"), "id")
    values = [_reference_value(record, column) for column in columns[1:-1]]
    return {table: [(reference_id, *values, leftovers(record, frozenset(columns)))]}


def _reference_value(sent: Json, column: str) -> Any:
    if column.startswith("is_"):
        return boolean(sent, column)
    return sent.get(column) if column == "aliases" else text(sent, column)
