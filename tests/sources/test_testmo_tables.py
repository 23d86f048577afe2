"""One Testmo run in, rows out: every column, what is left over, each complaint's path."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from pipelines.sources.base import FlatRun, References
from pipelines.sources.columns import names_by_table
from pipelines.sources.fields import BadFieldError
from pipelines.sources.redaction import Redactor
from pipelines.sources.testmo import tables
from pipelines.sources.testmo.expands import ExpandsFlattener
from tests.support.contract import COUNTS, REFERENCES, TESTMO
from tests.support.odd import assert_left_over, put
from tests.support.oracle import in_one_order

Json = dict[str, Any]
Payload = Callable[[str], Json]

SECRETS = Redactor(["token", "sig"])
FLATTENER = tables.Flattener(SECRETS)
COLUMNS = names_by_table(tables.TABLES)
REFERENCE_COLUMNS = names_by_table(tables.REFERENCES)
RUNS, THREADS, TAGS, ARTIFACTS, FIELDS, LINKS, _TESTS = COLUMNS
RUN_ID = 2**40

references = ExpandsFlattener(SECRETS).flatten


def flatten(run: Json) -> FlatRun:
    return FLATTENER.flatten(run, b"digest")


def named(flat: FlatRun, table: str) -> list[Json]:
    return [dict(zip(COLUMNS[table], row, strict=True)) for row in flat.rows[table]]


def counts_from(first: int) -> Json:
    return {name: first + number for number, name in enumerate(COUNTS)}


def test_the_columns_are_those_that_were_promised() -> None:
    assert {table: set(columns) for table, columns in COLUMNS.items()} == {
        table: set(columns) for table, columns in TESTMO.items()
    }
    assert {table: set(columns) for table, columns in REFERENCE_COLUMNS.items()} == {
        table: set(columns) for table, columns in REFERENCES.items()
    }


def test_the_documented_run_leaves_nothing_over(payload: Payload) -> None:
    sent = payload("testmo_documented_run")
    flat = flatten(sent)

    [run] = named(flat, RUNS)
    assert run["extra"] is None
    same = set(sent) - {"id", "created_at"}
    assert {name: run[name] for name in same} == {name: sent[name] for name in same}
    assert run["run_id"] == 1
    assert run["created_at"] == datetime(2026, 3, 2, 8, 15, 30, tzinfo=UTC)
    unsent = set(run) - set(sent) - {"run_id", "extra"}
    assert unsent == {"source_id", "config_id", "milestone_id", "elapsed"}
    assert {run[name] for name in unsent} == {None}
    assert [flat.rows[table] for table in (THREADS, TAGS, ARTIFACTS, FIELDS, LINKS)] == [[]] * 5
    assert (flat.run_id, flat.digest, flat.is_open) == ("1", b"digest", True)


def test_a_whole_run_fills_every_column_of_the_run(payload: Payload) -> None:
    flat = flatten(payload("testmo_whole_run"))

    assert named(flat, RUNS) == [
        {
            "run_id": RUN_ID,
            "project_id": 3,
            "source_id": 4,
            "name": "Nightly: «späť» 🌙",
            "status": 3,
            "config_id": 8,
            "milestone_id": 9,
            "elapsed": 291_600_011_423,
            "is_completed": True,
            **counts_from(1000),
            "thread_count": 2,
            "thread_active_count": 0,
            "thread_completed_count": 2,
            "created_at": datetime(2026, 3, 2, 8, 0, tzinfo=UTC),
            "created_by": 5,
            "updated_at": datetime(2026, 3, 5, 17, 0, 0, 123_456, UTC),
            "updated_by": 6,
            "completed_at": datetime(2026, 3, 5, 17, 0, tzinfo=UTC),
            "completed_by": 7,
            "extra": None,
        }
    ]
    assert not flat.is_open
    assert flat.opened_at == datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def test_a_whole_run_fills_every_column_of_its_threads(payload: Payload) -> None:
    flat = flatten(payload("testmo_whole_run"))

    assert named(flat, THREADS) == [
        {
            "run_id": RUN_ID,
            "thread_id": 70 + index,
            "thread_index": index,
            "name": f"Thread {index}",
            "status": 2,
            "elapsed": 2**34 + index,
            "is_completed": True,
            **counts_from(200 * index),
            "created_at": datetime(2026, 3, 2, 8, 0, 1, 500_000, UTC),
            "created_by": 6,
            "completed_at": datetime(2026, 3, 2, 8, 3, tzinfo=UTC),
            "completed_by": 7,
            "extra": None,
        }
        for index in (1, 2)
    ]


def test_tags_differ_by_case_and_stand_once_each(payload: Payload) -> None:
    run = payload("testmo_whole_run")
    assert flatten(run).rows[TAGS] == [(RUN_ID, "nightly"), (RUN_ID, "Nightly"), (RUN_ID, "main")]

    run["tags"] = ["b", "a", "b", "B", "a"]
    assert in_one_order(flatten(run).rows[TAGS]) == [(RUN_ID, "B"), (RUN_ID, "a"), (RUN_ID, "b")]


def test_what_hangs_on_a_run_or_thread_is_keyed_by_its_position(payload: Payload) -> None:
    flat = flatten(payload("testmo_whole_run"))

    def artifact(number: int, thread_id: int | None, position: int) -> Json:
        return {
            "run_id": RUN_ID,
            "thread_id": thread_id,
            "position": position,
            "name": f"report-{number}.xml",
            "note": "JUnit",
            "url": f"https://files.example.com/{number}?sig=REDACTED",
            "mime_type": "application/xml",
            "size_bytes": 2**33 + number,
            "extra": None,
        }

    assert named(flat, ARTIFACTS) == [
        artifact(1, None, 0),
        artifact(1, None, 1),
        artifact(10, 71, 0),
        artifact(20, 72, 0),
    ]
    on_run = {"run_id": RUN_ID, "thread_id": None, "extra": None}
    build = "https://ci.example.com/7?token=REDACTED"
    output = {
        "run_id": RUN_ID,
        "position": 0,
        "type": 4,
        "name": "Output",
        "value": "\x1b[31m1 failed\x1b[0m\n",
        "meta": {"exit_code": "1"},
        "extra": None,
    }
    assert named(flat, FIELDS) == [
        {**on_run, "position": 0, "type": 1, "name": "Version", "value": "2.3.1", "meta": None},
        {**on_run, "position": 1, "type": 5, "name": "Build", "value": build, "meta": None},
        {**output, "thread_id": 71},
        {**output, "thread_id": 72},
    ]
    first, second = named(flat, LINKS)
    commit = "https://git.example.com/c/1"
    assert first == {**on_run, "position": 0, "name": "Commit", "note": "main", "url": commit}
    assert (second["position"], second["note"]) == (1, None)
    assert second["url"] == "https://REDACTED:REDACTED@git.example.com/c/1"


def test_a_url_field_is_masked_even_where_it_has_no_scheme(payload: Payload) -> None:
    run = payload("testmo_whole_run")
    value = "ci.example.com/7?token=abc"
    run["fields"] = [{"type": kind, "value": value} for kind in (1, 2, 3, 4, 5, None)]
    values = [row["value"] for row in named(flatten(run), FIELDS) if row["thread_id"] is None]

    assert values == [value] * 4 + [value.replace("abc", "REDACTED"), value]


def test_null_stays_null_and_never_becomes_zero(payload: Payload) -> None:
    flat = flatten(payload("testmo_nulls"))

    [run], [thread], [artifact] = (named(flat, table) for table in (RUNS, THREADS, ARTIFACTS))
    filled = {name for name, value in run.items() if value is not None}
    assert filled == {
        *("run_id", "project_id", "source_id", "name", "status", "is_completed"),
        *("total_count", "created_at", "created_by"),
    }
    assert run["total_count"] == 0
    assert (thread["elapsed"], thread["completed_at"], thread["total_count"]) == (None, None, None)
    assert (artifact["thread_id"], artifact["position"]) == (120, 0)
    assert [artifact[name] for name in ("note", "mime_type", "size_bytes")] == [None] * 3
    assert (flat.rows[TAGS], flat.rows[FIELDS], flat.rows[LINKS]) == ([], [], [])
    assert flat.is_open


@pytest.mark.parametrize(("is_completed", "is_open"), [(True, False), (False, True), (None, True)])
def test_a_run_is_open_until_it_is_completed(*, is_completed: bool | None, is_open: bool) -> None:
    assert flatten({"id": 1, "is_completed": is_completed}).is_open is is_open


def test_a_neutral_status_is_a_status_like_any_other() -> None:
    flat = flatten({"id": 1, "status": 1, "threads": [{"id": 2, "status": 77}]})
    assert (named(flat, RUNS)[0]["status"], named(flat, THREADS)[0]["status"]) == (1, 77)


def test_fields_without_a_column_keep_their_place_in_extra(payload: Payload) -> None:
    flat = flatten(payload("testmo_unknown_fields"))

    assert named(flat, RUNS)[0]["extra"] == {"is_archived": False, "estimate": None}
    assert named(flat, ARTIFACTS)[0]["extra"] == {"sha256": "ab"}
    assert named(flat, FIELDS)[0]["extra"] == {"is_highlight": True}
    assert [row["extra"] for row in named(flat, LINKS)] == [{"kind": {"icon": "ci"}}, None]
    assert [row["thread_id"] for row in named(flat, LINKS)] == [None, 130]
    assert named(flat, THREADS)[0]["extra"] == {"elapsed_observed": 77}


def test_meta_may_be_any_json(payload: Payload) -> None:
    run = payload("testmo_whole_run")
    metas: list[Any] = [{}, [], "text", 7, 1.5, False, {"a": [None]}]
    run["fields"] = [{"name": "x", "meta": meta} for meta in metas]
    stored = [row["meta"] for row in named(flatten(run), FIELDS) if row["thread_id"] is None]

    assert stored == metas


def test_flattening_changes_nothing_of_what_was_sent(payload: Payload) -> None:
    sent = payload("testmo_whole_run")
    before = copy.deepcopy(sent)
    flatten(sent)

    assert sent == before


@pytest.mark.parametrize("run", [{}, {"id": None}, {"name": "Run"}])
def test_a_run_without_an_id_is_refused(run: Json) -> None:
    with pytest.raises(BadFieldError, match=r"^id: is missing$"):
        flatten(run)


def test_a_thread_without_an_id_is_refused() -> None:
    with pytest.raises(BadFieldError, match=r"^threads\[1\]\.id: is missing$"):
        flatten({"id": 1, "threads": [{"id": 1}, {"index": 2}]})


def test_two_threads_of_one_id_are_refused_since_one_would_be_lost() -> None:
    with pytest.raises(BadFieldError, match=r"^threads\[1\]\.id: a second thread 5 in the run$"):
        flatten({"id": 1, "threads": [{"id": 5}, {"id": 5}]})


WRONG: dict[str, list[Any]] = {
    "text": [1, 0, 1.5, True, ["a"], [], {}],
    "integer": ["1", "", 1.5, True, False, [], {}, 2**31, -(2**31) - 1, 1e300],
    "bigint": ["1", 1.5, True, [], {}, 2**63, -(2**63) - 1, 1e300],
    "boolean": [0, 1, "true", 1.0, [], {}],
    "time": [1_772_438_400, 1.5, True, [], {}, "", "yesterday", "2026-03-02T08:00:00",
             "10000-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00"],
    "list": [1, "a", True, {"a": 1}],
    "item": [1, "a", True, None, []],
    "tag": [1, None, True, [], {}],
}  # fmt: skip

_IDS = ("project_id", "source_id", "config_id", "milestone_id", "updated_by")
_SHARED = {
    "id": "bigint",
    "name": "text",
    "status": "integer",
    "elapsed": "bigint",
    "is_completed": "boolean",
    **dict.fromkeys(COUNTS, "bigint"),
    "created_at": "time",
    "created_by": "bigint",
    "completed_at": "time",
    "completed_by": "bigint",
    "artifacts": "list",
    "artifacts[0]": "item",
    "artifacts[0].name": "text",
    "artifacts[0].note": "text",
    "artifacts[0].url": "text",
    "artifacts[0].mime_type": "text",
    "artifacts[0].size": "bigint",
    "fields": "list",
    "fields[0]": "item",
    "fields[0].type": "integer",
    "fields[0].name": "text",
    "fields[0].value": "text",
}
DOCUMENTED = {
    **_SHARED,
    **dict.fromkeys(_IDS, "bigint"),
    "fields[1].value": "text",
    "thread_count": "bigint",
    "thread_active_count": "bigint",
    "thread_completed_count": "bigint",
    "updated_at": "time",
    "links": "list",
    "links[1]": "item",
    "links[1].name": "text",
    "links[1].note": "text",
    "links[1].url": "text",
    "tags": "list",
    "tags[1]": "tag",
    "threads": "list",
    "threads[1]": "item",
    "threads[1].index": "integer",
    **{f"threads[1].{path}": kind for path, kind in _SHARED.items()},
}


# What makes a run meaningless; any other value that does not fit its column is left over.
MEANINGLESS = {
    *("id", "threads[1].id"),
    *(path for path, kind in DOCUMENTED.items() if kind in ("list", "item")),
} - {"tags"}


def test_what_makes_a_run_meaningless_is_named_by_its_path(payload: Payload) -> None:
    whole = payload("testmo_whole_run")
    for path in MEANINGLESS:
        for value in WRONG[DOCUMENTED[path]]:
            run = copy.deepcopy(whole)
            put(run, path, value)
            with pytest.raises(BadFieldError) as refused:
                flatten(run)
            assert refused.value.path == path, json.dumps(value)
            assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", sorted(DOCUMENTED.keys() - MEANINGLESS - {"tags", "tags[1]"}))
def test_a_value_that_does_not_fit_its_column_goes_to_extra_and_the_run_loads(
    payload: Payload, path: str
) -> None:
    for value in WRONG[DOCUMENTED[path]]:
        odd, null = payload("testmo_whole_run"), payload("testmo_whole_run")
        put(odd, path, value)
        put(null, path, None)
        assert_left_over(flatten(odd), flatten(null), path, value)


def test_counts_written_as_fractions_are_counts_and_leave_nothing_over(payload: Payload) -> None:
    whole = payload("testmo_whole_run")
    run = {**whole, **{name: float(whole[name]) for name in COUNTS}}
    assert flatten(run).rows == flatten(whole).rows


def test_what_is_no_tag_goes_to_the_extra_of_the_run(payload: Payload) -> None:
    run = payload("testmo_whole_run")
    run["tags"] = ["a", 7, None, "b", ["c"], "x" * 1001, "a"]
    flat = flatten(run)

    assert flat.rows[TAGS] == [(RUN_ID, "a"), (RUN_ID, "b")]
    assert named(flat, RUNS)[0]["extra"] == {"tags": [7, None, ["c"], "x" * 1001]}


def test_tags_that_are_no_list_go_to_extra(payload: Payload) -> None:
    run = {**payload("testmo_whole_run"), "tags": "nightly"}
    assert flatten(run).rows[TAGS] == []
    assert named(flatten(run), RUNS)[0]["extra"] == {"tags": "nightly"}


def test_urls_in_all_texts_are_masked(payload: Payload) -> None:
    run = payload("testmo_whole_run")
    secret = "https://ada:hush@ci.example.com/x?token=hush"
    for path in (
        *("name", "note", "threads[0].name", "links[0].note", "artifacts[0].mime_type"),
        *("fields[0].value", "fields[0].meta", "tags[0]"),
    ):
        put(run, path, f"see {secret}!")

    rows = json.dumps(flatten(run).rows, default=str)
    assert "hush" not in rows
    assert rows.count("see https://REDACTED:REDACTED@ci.example.com/x?token=REDACTED") == 8


def test_every_kind_of_reference_becomes_rows(payload: Payload) -> None:
    found = references(payload("testmo_expands"))

    assert not found.bad
    assert found.rows == {
        "raw_testmo.automation_sources": [(1, "unit", None), (2, "Unit", {"is_retired": True})],
        "raw_testmo.configs": [(7, "Firefox, Ubuntu 24.04", None)],
        "raw_testmo.users": [(2, "Old CI (deactivated)", None)],
        "raw_testmo.statuses": [
            (3, "Failed", "status2", "#e53935", True, False, False, True, ["failed", "fail"], None)
        ],
    }


@pytest.mark.parametrize(
    "expands", [None, [], {}, {"users": None}, {"users": []}, {"users": {}}, {"nobody": [1]}]
)
def test_expands_that_hold_nothing_give_no_rows(expands: Any) -> None:
    assert references(expands) == References({}, [])


@pytest.mark.parametrize(
    ("expands", "error"),
    [
        ("x", "expands: expected an object"),
        (7, "expands: expected an object"),
        ([{"id": 1}], "expands: expected an object"),
        ({"users": {"id": 1}}, "expands.users: expected a list"),
        ({"users": "x"}, "expands.users: expected a list"),
    ],
)
def test_expands_of_another_shape_are_set_aside(expands: Any, error: str) -> None:
    found = references(expands)
    assert not found.rows
    assert [bad.error for bad in found.bad] == [error]


def test_an_unusable_reference_is_set_aside_and_its_neighbours_stay() -> None:
    users = [
        {"id": 1, "name": "Ada"},
        {"id": "2", "name": "Bo"},
        {"name": "Cy"},
        "Di",
        None,
        {"id": 2**63, "name": "Ed"},
        {"id": 6, "name": ["Flo"]},
        {"id": 7, "name": None},
    ]
    found = references({"users": users})
    odd = (6, None, {"name": ["Flo"]})
    assert found.rows == {"raw_testmo.users": [(1, "Ada", None), odd, (7, None, None)]}
    assert [bad.sent for bad in found.bad] == users[1:6]
    assert [bad.error for bad in found.bad] == [
        "expands.users[1].id: expected a whole number, got text",
        "expands.users[2].id: is missing",
        "expands.users[3]: expected an object",
        "expands.users[4]: expected an object",
        "expands.users[5].id: a whole number beyond 64 bits",
    ]


def test_a_reference_sent_twice_counts_as_sent_last() -> None:
    users = [{"id": 1, "name": "old"}, {"id": 1, "name": "new"}]
    assert references({"users": users}).rows["raw_testmo.users"] == [(1, "new", None)]
