"""Whatever a run holds: the same rows as worked out by path, nothing lost, nothing but a complaint.

Runs are made up here from the documented fields, any of them absent or null, with unknown fields
at every level; `expected.py` works their rows out a second time. And whatever happens between
loads: the same tables at the end.
"""

import copy
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.base import FlatRun
from pipelines.sources.columns import names_by_table
from pipelines.sources.content import digest, sanitize
from pipelines.sources.fields import BadFieldError
from pipelines.sources.postman import tables as postman
from pipelines.sources.redaction import Redactor
from pipelines.sources.rows import RowMaker
from pipelines.sources.testmo import tables as testmo
from pipelines.sources.testmo.expands import ExpandsFlattener
from tests.support.contract import POSTMAN, TESTMO
from tests.support.oracle import in_one_order, masked, tables_of_postman, tables_of_testmo

Json = dict[str, Any]

MASKED = Redactor(["access_token", "api_key", "token"])
POSTMAN_COLUMNS, TESTMO_COLUMNS = names_by_table(postman.TABLES), names_by_table(testmo.TABLES)
REFERENCE_COLUMNS = names_by_table(testmo.REFERENCES)

texts = st.text(max_size=12)
int4s = st.integers(-(2**31), 2**31 - 1)
int8s = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(-(10**15), 10**15)
times = st.builds(
    lambda at, zone: at.isoformat() + zone,
    st.datetimes(datetime(1970, 1, 3), datetime(9000, 1, 1)),  # noqa: DTZ001 - the zone is added
    st.sampled_from(["Z", "+00:00", "+05:30", "-11:00"]),
)
urls = st.one_of(
    texts.filter(lambda url: not {"@", "=", ";"} & set(url)),
    st.builds(
        "https://{}shop.example.com/x?a={}&{}={}".format,
        st.sampled_from(["", "ada:hunter2@"]),
        st.integers(0, 9),
        st.sampled_from(["token", "API_KEY", "access_token", "page", "token_count"]),
        st.integers(0, 999),
    ),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
# No documented field begins so; `other_` stands for all that nobody has thought of.
unknown = st.dictionaries(texts.map(lambda name: f"other_{name}"), anything, max_size=2)


def record(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """An object that may lack any of its fields, hold null for it, and hold more besides."""
    known = st.fixed_dictionaries(
        {}, optional={name: st.one_of(st.none(), value) for name, value in fields.items()}
    )
    return st.builds(lambda documented, more: {**more, **documented}, known, unknown)


def listed(item: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A list; one that is empty may come as an empty object."""
    return st.one_of(st.just({}), st.lists(item, max_size=3))


def nested(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """An object; one that is empty may come as an empty list."""
    return st.one_of(st.just([]), record(**fields))


totals = nested(total=counts, failed=counts)
postman_runs = st.builds(
    lambda run, run_id: {**run, "id": run_id},
    record(
        status=texts,
        source=texts,
        startedAt=times,
        finishedAt=times,
        duration=int8s,
        collectionId=texts,
        environmentId=texts,
        createdBy=texts,
        stats=nested(requests=totals, assertions=totals),
        executions=listed(
            record(
                id=texts,
                itemName=texts,
                request=nested(method=texts, url=urls),
                response=nested(statusCode=int4s, responseTime=int8s, responseSize=int8s),
                assertions=listed(record(name=texts, passed=st.booleans(), error=texts)),
            )
        ),
    ),
    st.text(min_size=1, max_size=12),
)

on_run_and_thread = {
    "name": texts,
    "status": int4s,
    "elapsed": int8s,
    "is_completed": st.booleans(),
    "created_at": times,
    "created_by": int8s,
    "completed_at": times,
    "completed_by": int8s,
    "artifacts": listed(record(name=texts, note=texts, url=urls, mime_type=texts, size=int8s)),
    "fields": listed(record(type=st.integers(0, 6), name=texts, value=urls, meta=anything)),
    "links": listed(record(name=texts, note=texts, url=urls)),
    # A few stand for all of the counts, which are read in one line.
    **dict.fromkeys(("untested_count", "status1_count", "status24_count", "total_count"), counts),
}
threads = st.lists(
    st.builds(
        lambda thread, thread_id: {**thread, "id": thread_id},
        record(index=int4s, **on_run_and_thread),
        int8s,
    ),
    max_size=2,
    unique_by=lambda thread: thread["id"],
)
testmo_runs = st.builds(
    lambda run, run_id: {**run, "id": run_id},
    record(
        project_id=int8s,
        source_id=int8s,
        config_id=int8s,
        milestone_id=int8s,
        thread_count=counts,
        thread_active_count=counts,
        thread_completed_count=counts,
        updated_at=times,
        updated_by=int8s,
        tags=st.lists(texts, max_size=3),
        threads=threads,
        **on_run_and_thread,
    ),
    int8s,
)


FLAT_POSTMAN, FLAT_TESTMO = postman.Flattener(MASKED), testmo.Flattener(MASKED)
EXPANDS = ExpandsFlattener(MASKED)


def flat_postman(run: Json) -> FlatRun:
    return FLAT_POSTMAN.flatten(run, b"")


def flat_testmo(run: Json) -> FlatRun:
    flat = FLAT_TESTMO.flatten(run, b"")
    # Its test results come by requests of their own.
    return replace(flat, rows={**flat.rows, testmo.TESTS.name: []})


@given(postman_runs)
def test_a_postman_run_becomes_the_rows_that_are_worked_out_by_path(run: Json) -> None:
    flat = flat_postman(run)

    assert {table: in_one_order(rows) for table, rows in flat.rows.items()} == tables_of_postman(
        [run], POSTMAN_COLUMNS
    )
    assert flat.run_id == run["id"]
    assert flat.is_open == (run.get("status") in ("queued", "running"))


@given(testmo_runs)
def test_a_testmo_run_becomes_the_rows_that_are_worked_out_by_path(run: Json) -> None:
    flat = flat_testmo(run)

    assert {table: in_one_order(rows) for table, rows in flat.rows.items()} == tables_of_testmo(
        [run], TESTMO_COLUMNS
    )
    assert flat.run_id == str(run["id"])
    assert flat.is_open == (run.get("is_completed") is not True)


test_results = st.fixed_dictionaries(
    {"automation_test_id": int8s},
    optional={
        **dict.fromkeys(("automation_case_id", "repository_case_id"), st.one_of(int8s, scalars)),
        **dict.fromkeys(("key", "name", "folder"), st.one_of(texts, urls, anything)),
        "status": st.one_of(int4s, anything),
        "elapsed": st.one_of(int8s, anything),
        "thread_id": st.one_of(int8s, anything),
        "created_at": st.one_of(times, anything),
        "repository_case_ids": anything,
    },
)
test_results.__test__ = False  # type: ignore[attr-defined]  # by its name pytest takes it for a test
RESULT_ROW = RowMaker(testmo.TESTS, MASKED).row


@given(test_results)
def test_a_test_result_becomes_the_row_that_is_worked_out_by_path(result: Json) -> None:
    before = copy.deepcopy(result)
    row = RESULT_ROW(result, 7, result["automation_test_id"])
    expected = tables_of_testmo([{"id": 7}], TESTMO_COLUMNS, lambda _: [result])
    assert [row] == expected[testmo.TESTS.name]
    assert result == before


@given(postman_runs)
def test_nothing_of_a_postman_run_is_lost(run: Json) -> None:
    assert sorted(leaves(run), key=repr) == sorted(held(flat_postman(run), POSTMAN), key=repr)


@given(testmo_runs)
def test_nothing_of_a_testmo_run_is_lost(run: Json) -> None:
    # Equal tags are one.
    run["tags"] = sorted(set(run.get("tags") or []))
    assert sorted(leaves(run), key=repr) == sorted(held(flat_testmo(run), TESTMO), key=repr)


def leaves(value: Any) -> Iterator[Any]:
    """Everything that a record says: times as instants, secrets masked, null and {} not at all."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)
    elif isinstance(value, str):
        yield _comparable(value)
    elif value is not None:
        yield value


def _comparable(text: str) -> Any:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return masked(text)
    return at.astimezone(UTC) if at.tzinfo else text


# What a row says only so that it can be found: its own parents and positions.
PLACES = {
    "raw_postman.executions": {"run_id", "execution_index"},
    "raw_postman.assertions": {"run_id", "execution_index", "assertion_index"},
    "raw_testmo.automation_run_threads": {"run_id"},
    "raw_testmo.automation_run_tags": {"run_id"},
    "raw_testmo.automation_run_artifacts": {"run_id", "thread_id", "position"},
    "raw_testmo.automation_run_fields": {"run_id", "thread_id", "position"},
    "raw_testmo.automation_run_links": {"run_id", "thread_id", "position"},
}


def held(flat: FlatRun, tables: dict[str, dict[str, str]]) -> Iterator[Any]:
    """Everything that the rows of a run say."""
    columns = {**POSTMAN_COLUMNS, **TESTMO_COLUMNS}
    assert set(flat.rows) == set(tables)
    for table, rows in flat.rows.items():
        for row in rows:
            for column, value in zip(columns[table], row, strict=True):
                if column not in PLACES.get(table, set()):
                    yield from leaves(value) if not isinstance(value, datetime) else [value]


# Any JSON under documented names, so that the complaints are met and not only `extra`.
names = st.sampled_from(
    [
        *("id", "status", "startedAt", "duration", "stats", "requests", "assertions", "total"),
        *("executions", "request", "response", "url", "statusCode", "name", "passed", "error"),
        *("threads", "tags", "artifacts", "fields", "links", "meta", "type", "value", "size"),
        *("created_at", "is_completed", "total_count", "elapsed", "index"),
    ]
)
documents = st.dictionaries(
    names,
    st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)
        ),
        max_leaves=20,
    ),
    max_size=8,
)


@given(documents)
@settings(max_examples=200)
def test_any_json_becomes_rows_or_one_complaint_that_names_a_field(run: Json) -> None:
    before = copy.deepcopy(run)
    for flatten, columns in ((flat_postman, POSTMAN_COLUMNS), (flat_testmo, TESTMO_COLUMNS)):
        complaint = None
        try:
            flat = flatten(run)
        except BadFieldError as bad:
            complaint = bad
        if complaint is not None:
            assert str(complaint) == f"{complaint.path}: {complaint.problem}"
            assert complaint.path.split(".")[0].split("[")[0] in {*run, "id"}
            continue
        assert set(flat.rows) == set(columns)
        for table, rows in flat.rows.items():
            assert {len(row) for row in rows} <= {len(columns[table])}
    assert run == before


@given(st.one_of(anything, documents))
def test_any_expands_become_rows_and_never_a_complaint(expands: Any) -> None:
    named = {"users": expands, "statuses": expands} if isinstance(expands, list) else expands
    for table, rows in EXPANDS.flatten(named).rows.items():
        assert {len(row) for row in rows} <= {len(REFERENCE_COLUMNS[table])}
        ids = [row[0] for row in rows]
        assert len(ids) == len(set(ids))


# What JSON can say and Postgres cannot hold, in keys as well as in values.
wild = st.text(st.characters(exclude_categories=()), max_size=8)
wild_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        wild,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(wild, inner, max_size=3)),
    max_leaves=10,
)


@given(st.dictionaries(wild, wild_json, max_size=4))
def test_what_is_stored_holds_nothing_that_postgres_refuses(sent: Json) -> None:
    stored, canonical = sanitize(sent)

    text = json.dumps(stored, ensure_ascii=False)
    assert "\0" not in text
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode()
    assert json.loads(canonical) == json.loads(json.dumps(stored))


@given(st.dictionaries(texts, anything, min_size=2, max_size=5))
def test_a_digest_is_of_the_content_and_not_of_the_order_of_its_keys(sent: Json) -> None:
    turned = dict(reversed(sent.items()))
    changed = {**sent, "one more": 1}

    assert digest(sanitize(sent)[1]) == digest(sanitize(turned)[1])
    assert digest(sanitize(sent)[1]) != digest(sanitize(changed)[1])
    assert digest(sanitize(sent)[1], b"salt") != digest(sanitize(sent)[1])
