"""What the tables must hold for given runs: worked out by path, apart from the loader's own code.

Each column is the value at a path of the record; `extra` is the record with all of those paths cut
out, but for values that do not fit their columns. Nothing of the loader is used, so that the two
cannot agree on the same mistake.
"""

import copy
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from pipelines.sandbox.server import Sandbox
from tests.support.contract import COUNTS, POSTMAN, TESTMO

Json = dict[str, Any]
Tables = dict[str, list[tuple[Any, ...]]]

_SECRETS = (
    "access_token|api_key|apikey|auth|client_secret|password|refresh_token|secret|sig|signature"
    "|token"
)

_POSTMAN_RUN = {
    "run_id": "id",
    "collection_id": "collectionId",
    "environment_id": "environmentId",
    "status": "status",
    "source": "source",
    "created_by": "createdBy",
    "started_at": "startedAt",
    "finished_at": "finishedAt",
    "duration_ms": "duration",
    "requests_total": "stats.requests.total",
    "requests_failed": "stats.requests.failed",
    "assertions_total": "stats.assertions.total",
    "assertions_failed": "stats.assertions.failed",
}
_EXECUTION = {
    "execution_id": "id",
    "item_name": "itemName",
    "request_method": "request.method",
    "request_url": "request.url",
    "response_status_code": "response.statusCode",
    "response_time_ms": "response.responseTime",
    "response_size_bytes": "response.responseSize",
}
_SAME_NAME = ("name", "status", "elapsed", "is_completed", *COUNTS)
_TESTMO_RUN = {
    "run_id": "id",
    **{
        name: name
        for name in (
            *("project_id", "source_id", "config_id", "milestone_id", *_SAME_NAME),
            *("thread_count", "thread_active_count", "thread_completed_count"),
            *("created_at", "created_by", "updated_at", "updated_by"),
            *("completed_at", "completed_by"),
        )
    },
}
_THREAD = {
    "thread_id": "id",
    "thread_index": "index",
    **{
        name: name
        for name in (*_SAME_NAME, "created_at", "created_by", "completed_at", "completed_by")
    },
}
_HANGING: dict[str, dict[str, str]] = {
    "artifacts": {
        "name": "name",
        "note": "note",
        "url": "url",
        "mime_type": "mime_type",
        "size_bytes": "size",
    },
    "fields": {"type": "type", "name": "name", "value": "value", "meta": "meta"},
    "links": {"name": "name", "note": "note", "url": "url"},
}
_TEST = {
    name: name
    for name in (
        *("automation_test_id", "automation_case_id", "repository_case_id", "key", "name"),
        *("folder", "status", "elapsed", "thread_id", "created_at"),
    )
}
# Text that indexes must hold, up to 1,000 bytes; and what counts things, up to 10^15.
_SHORT = {
    *("collection_id", "environment_id", "source", "created_by", "execution_id", "request_method"),
    *("status", "mime_type", "tag"),
}
_COUNTED = {
    *COUNTS,
    *("requests_total", "requests_failed", "assertions_total", "assertions_failed"),
    *("thread_count", "thread_active_count", "thread_completed_count"),
}
_HOLDS_UP_TO = {"int4": 2**31 - 1, "int8": 2**63 - 1}


def tables_of_postman(runs: Iterable[Json], columns: Mapping[str, Iterable[str]]) -> Tables:
    """The rows of Postman runs, sorted, each in the order of `columns`."""
    run_rows, execution_rows, assertion_rows = [], [], []
    for sent in runs:
        run = _masked_texts(sent)
        run_rows.append(_row(run, _POSTMAN_RUN, {"executions"}, _types("collection_runs")))
        for index, execution in enumerate(run.get("executions") or []):
            place = {"run_id": run["id"], "execution_index": index}
            row = _row(execution, _EXECUTION, {"assertions"}, _types("executions"))
            execution_rows.append({**place, **row})
            for position, assertion in enumerate(execution.get("assertions") or []):
                paths = {name: name for name in ("name", "passed", "error")}
                place_in = {**place, "assertion_index": position}
                row = _row(assertion, paths, set(), _types("assertions"))
                assertion_rows.append({**place_in, **row})
    return _in_order(
        {
            "raw_postman.collection_runs": run_rows,
            "raw_postman.executions": execution_rows,
            "raw_postman.assertions": assertion_rows,
        },
        columns,
    )


def tables_of_testmo(
    runs: Iterable[Json],
    columns: Mapping[str, Iterable[str]],
    results: Callable[[Json], Iterable[Json]] | None = None,
) -> Tables:
    """The rows of Testmo runs, sorted, each in the order of `columns`; without references.

    `results` gives the test results of a run; None: the instance has none.
    """
    tables: dict[str, list[Json]] = {name: [] for name in columns}
    for sent in runs:
        run = _masked_texts(sent)
        run_id = {"run_id": run["id"]}
        lists = {"threads", "tags", *_HANGING}
        row = _row(run, _TESTMO_RUN, lists, _types("automation_runs"))
        tags, no_tags = _tags(run.get("tags"))
        if no_tags:
            row["extra"] = {**(row["extra"] or {}), "tags": no_tags}
        tables["raw_testmo.automation_runs"].append(row)
        tables["raw_testmo.automation_run_tags"] += [{**run_id, "tag": tag} for tag in tags]
        tables["raw_testmo.automation_run_tests"] += [
            {**run_id, **_row(_masked_texts(result), _TEST, set(), _types("automation_run_tests"))}
            for result in (results(sent) if results else ())
        ]
        owners: list[tuple[int | None, Json]] = [(None, run)]
        for thread in run.get("threads") or []:
            owners.append((thread["id"], thread))
            tables["raw_testmo.automation_run_threads"].append(
                {
                    **run_id,
                    **_row(thread, _THREAD, set(_HANGING), _types("automation_run_threads")),
                }
            )
        for thread_id, owner in owners:
            for kind in _HANGING:
                tables[f"raw_testmo.automation_run_{kind}"] += [
                    {**run_id, "thread_id": thread_id, "position": position, **_hung(hung, kind)}
                    for position, hung in enumerate(owner.get(kind) or [])
                ]
    return _in_order(tables, columns)


def references(runs: Iterable[Json], books: Json, columns: Mapping[str, Iterable[str]]) -> Tables:
    """The objects that runs and their threads refer to, by table, as the sandbox shows them."""
    parts = [part for run in runs for part in (run, *(run.get("threads") or []))]

    def referred(*fields: str) -> set[Any]:
        return {part.get(field) for part in parts for field in fields} - {None}

    def named(book: str, *fields: str) -> list[Json]:
        return [
            {"id": int(key), "name": name}
            for key, name in books[book].items()
            if int(key) in referred(*fields)
        ]

    counted = {name for part in parts for name in COUNTS if part.get(name)}
    tables = {
        "raw_testmo.automation_sources": [
            {"id": source["id"], "name": source["name"]}
            for source in books["automation_sources"]
            if source["id"] in referred("source_id")
        ],
        "raw_testmo.configs": named("configs", "config_id"),
        "raw_testmo.milestones": named("milestones", "milestone_id"),
        "raw_testmo.users": named("users", "created_by", "updated_by", "completed_by"),
        "raw_testmo.statuses": [
            status for status in books["statuses"] if f"{status['system_name']}_count" in counted
        ],
    }
    rows = {
        table: [{**dict.fromkeys(columns[table]), **sent} for sent in objects]
        for table, objects in tables.items()
    }
    return _in_order(rows, columns)


def living(url: str, columns: Mapping[str, Mapping[str, str]]) -> Tables:
    """The rows of a source's runs that are not marked as deleted."""
    parent = next(iter(columns))
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection:
        return {
            table: in_one_order(
                connection.execute(
                    f"select {', '.join(names)} from {table} where run_id not in"
                    f" (select run_id from {parent} where deleted_at is not null)".encode()
                ).fetchall()
            )
            for table, names in columns.items()
        }


def assert_warehouse_is(url: str, sandbox: Sandbox) -> None:
    """All tables of both sources, run by run; a run is marked as deleted if the source has none."""
    _assert_equal(living(url, POSTMAN), tables_of_postman(sandbox.postman_runs, POSTMAN))
    expected = tables_of_testmo(sandbox.testmo_runs, TESTMO, sandbox.data.testmo_tests)
    _assert_equal(living(url, TESTMO), expected)


def _assert_equal(stored: Tables, expected: Tables) -> None:
    for table, rows in expected.items():
        if stored[table] == rows:
            continue
        present, wanted = Counter(map(repr, stored[table])), Counter(map(repr, rows))
        lacks, surplus = list((wanted - present).elements()), list((present - wanted).elements())
        pytest.fail(
            f"{table} lacks {len(lacks)} rows, as {lacks[:2]};"
            f" it holds {len(surplus)} too many, as {surplus[:2]}"
        )


def masked(url: str) -> str:
    """A URL of the invented runs as it may be stored: without passwords and secret parameters."""
    url = re.sub(r"^(\w+://)[^/@]*:[^/@]*@", r"\1REDACTED:REDACTED@", url)
    return re.sub(rf"(?i)([?&#](?:{_SECRETS})=)[^&#]*", r"\1REDACTED", url)


def _masked_texts(value: Any) -> Any:
    """The same JSON with every URL in its texts as it may be stored."""
    if isinstance(value, str):
        if "://" not in value:
            return value
        return re.sub(r"\w+://\S+", lambda url: masked(url[0]), value)
    if isinstance(value, list):
        return [_masked_texts(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _masked_texts(inner) for key, inner in value.items()}
    return value


def in_one_order(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows sorted whatever they hold, so that two tables can be compared."""
    return sorted(rows, key=repr)


def _in_order(tables: Mapping[str, list[Json]], columns: Mapping[str, Iterable[str]]) -> Tables:
    return {
        table: in_one_order(tuple(row[column] for column in columns[table]) for row in rows)
        for table, rows in tables.items()
    }


def _types(table: str) -> dict[str, str]:
    """The types of the columns of a table of either schema."""
    return {**POSTMAN, **TESTMO}[f"raw_{'testmo' if 'automation' in table else 'postman'}.{table}"]


def _row(record: Json, paths: Mapping[str, str], lists: set[str], types: dict[str, str]) -> Json:
    """Columns by path, then `extra`: what is left of the record without them and its lists."""
    rest = copy.deepcopy({key: value for key, value in record.items() if key not in lists})
    row: Json = {}
    for column, path in paths.items():
        value = _at(rest, path.split("."))
        row[column] = None
        if value is not None and not _fits(value, column, types[column]):
            continue
        _cut(rest, path.split("."))
        if value is not None and types[column] == "timestamptz":
            value = datetime.fromisoformat(value).astimezone(UTC)
        if value is not None and column in ("url", "request_url"):
            value = masked(value)
        row[column] = value
    # An object that had columns stands in extra only for what else it held, innermost first.
    for outer in sorted(_objects(paths.values()), key=len, reverse=True):
        _drop_empty(rest, outer.split("."))
    row["extra"] = rest or None
    return row


def _fits(value: Any, column: str, kind: str) -> bool:
    """Whether a column of this name and type can hold the value."""
    if kind in _HOLDS_UP_TO:
        most = 10**15 if column in _COUNTED else _HOLDS_UP_TO[kind]
        least = -most if column in _COUNTED else -most - 1
        is_whole = isinstance(value, int) or (
            isinstance(value, float) and value.is_integer() and abs(value) < 2**53
        )
        return is_whole and not isinstance(value, bool) and least <= value <= most
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "timestamptz":
        return isinstance(value, str) and _is_time(value)
    if kind == "text":
        return isinstance(value, str) and (column not in _SHORT or len(value.encode()) <= 1000)
    return True


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).astimezone(UTC) is not None and (
            datetime.fromisoformat(text).tzinfo is not None
        )
    except (ValueError, OverflowError):
        return False


def _tags(sent: Any) -> tuple[set[str], Any]:
    """Tags, and what is no tag: both as they may be stored."""
    if sent in (None, {}):
        return set(), []
    if not isinstance(sent, list):
        return set(), sent
    tags = [tag for tag in sent if isinstance(tag, str) and _fits(tag, "tag", "text")]
    return set(tags), [tag for tag in sent if tag not in tags]


def _objects(paths: Iterable[str]) -> set[str]:
    """Every object that a path leads through: `stats` and `stats.requests`."""
    found: set[str] = set()
    for path in paths:
        while "." in path:
            path = path.rpartition(".")[0]  # noqa: PLW2901 - climbing up
            found.add(path)
    return found


def _hung(sent: Json, kind: str) -> Json:
    row = _row(sent, _HANGING[kind], set(), _types(f"automation_run_{kind}"))
    if row.get("type") == 5 and row["value"] is not None:
        row["value"] = masked(row["value"])
    return row


def _at(record: Any, path: list[str]) -> Any:
    """The value at a path of the record; None where the path leads nowhere."""
    for key in path:
        record = record.get(key) if isinstance(record, dict) else None
    return record


def _cut(record: Any, path: list[str]) -> None:
    """Take the value at a path out of the record."""
    *outer, last = path
    for key in outer:
        record = record.get(key) if isinstance(record, dict) else None
    if isinstance(record, dict):
        record.pop(last, None)


def _drop_empty(record: Json, path: list[str]) -> None:
    *outer, last = path
    for key in outer:
        inner = record.get(key)
        if not isinstance(inner, dict):
            return
        record = inner
    if last in record and record[last] in (None, [], {}):
        del record[last]
