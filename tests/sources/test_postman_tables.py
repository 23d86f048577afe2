"""One Postman run in, rows out: every column, what is left over, each complaint's path."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from pipelines.sources.base import FlatRun
from pipelines.sources.columns import names_by_table
from pipelines.sources.fields import BadFieldError
from pipelines.sources.postman.tables import TABLES, Flattener
from pipelines.sources.redaction import Redactor
from tests.support.contract import POSTMAN
from tests.support.odd import assert_left_over, put

Json = dict[str, Any]
Payload = Callable[[str], Json]

COLUMNS = names_by_table(TABLES)
RUNS, EXECUTIONS, ASSERTIONS = COLUMNS
FLATTENER = Flattener(Redactor(["token", "api_key"]))


def flatten(run: Json) -> FlatRun:
    return FLATTENER.flatten(run, b"digest")


def named(flat: FlatRun, table: str) -> list[Json]:
    return [dict(zip(COLUMNS[table], row, strict=True)) for row in flat.rows[table]]


def test_the_columns_are_those_that_were_promised() -> None:
    assert {table: set(columns) for table, columns in COLUMNS.items()} == {
        table: set(columns) for table, columns in POSTMAN.items()
    }


def test_the_documented_run_fills_every_column_and_leaves_nothing_over(payload: Payload) -> None:
    flat = flatten(payload("postman_documented_run"))

    run_id = "0f9a4c1e-77b2-4c9e-9d34-5a1c2f60b7d1"
    assert named(flat, RUNS) == [
        {
            "run_id": run_id,
            "collection_id": "1234-7d0e",
            "environment_id": "1234-staging",
            "status": "finished",
            "source": "collection_runner",
            "created_by": "1234",
            "started_at": datetime(2026, 3, 2, 8, 15, 30, 250_000, UTC),
            "finished_at": datetime(2026, 3, 2, 8, 15, 33, 750_000, UTC),
            "duration_ms": 3500,
            "requests_total": 2,
            "requests_failed": 0,
            "assertions_total": 3,
            "assertions_failed": 1,
            "extra": None,
        }
    ]
    assert named(flat, EXECUTIONS) == [
        {
            "run_id": run_id,
            "execution_index": 0,
            "execution_id": "item-1",
            "item_name": "Get cart",
            "request_method": "GET",
            "request_url": "https://shop.example.com/cart?page=1",
            "response_status_code": 200,
            "response_time_ms": 61,
            "response_size_bytes": 1402,
            "extra": None,
        },
        {
            "run_id": run_id,
            "execution_index": 1,
            "execution_id": "item-2",
            "item_name": "Add to cart",
            "request_method": "POST",
            "request_url": "https://shop.example.com/cart",
            "response_status_code": 201,
            "response_time_ms": 84,
            "response_size_bytes": 310,
            "extra": None,
        },
    ]
    place = {"run_id": run_id, "execution_index": 0}
    assert named(flat, ASSERTIONS) == [
        {
            **place,
            "assertion_index": 0,
            "name": "Status code is 200",
            "passed": True,
            "error": None,
            "extra": None,
        },
        {
            **place,
            "assertion_index": 1,
            "name": "Cart is empty",
            "passed": False,
            "error": "expected 2 to equal 0",
            "extra": None,
        },
        {
            **place,
            "execution_index": 1,
            "assertion_index": 0,
            "name": "Status code is 201",
            "passed": True,
            "error": None,
            "extra": None,
        },
    ]
    assert (flat.run_id, flat.digest) == (run_id, b"digest")
    assert flat.opened_at == datetime(2026, 3, 2, 8, 15, 30, 250_000, UTC)


def test_fields_without_a_column_keep_their_place_in_extra(payload: Payload) -> None:
    flat = flatten(payload("postman_run_with_unknown_fields"))

    [run], [execution], [assertion] = (named(flat, table) for table in COLUMNS)
    assert run["extra"] == {
        "runner": {"host": "ci-7", "tags": ["a", None]},
        "stats": {"requests": {"pending": 2}, "testScripts": {"total": 4, "failed": 0}},
    }
    assert execution["extra"] == {
        "iteration": 0,
        "request": {"body": {"mode": "raw"}},
        "response": {"status": "OK", "headers": []},
    }
    assert assertion["extra"] == {"skipped": False}
    assert (run["requests_total"], run["requests_failed"], run["assertions_total"]) == (1, 0, 1)
    assert run["assertions_failed"] is None


def test_a_run_cut_short_has_neither_totals_nor_executions(payload: Payload) -> None:
    flat = flatten(payload("postman_run_cut_short"))

    [run] = named(flat, RUNS)
    assert {name: value for name, value in run.items() if value is not None} == {
        "run_id": "r-cut-short",
        "collection_id": "1234-7d0e",
        "status": "failed",
        "source": "newman",
        "started_at": datetime(2026, 3, 2, 8, 0, tzinfo=UTC),
        "finished_at": datetime(2026, 3, 2, 8, 0, 1, 500_000, UTC),
    }
    assert (flat.rows[EXECUTIONS], flat.rows[ASSERTIONS]) == ([], [])
    assert not flat.is_open


@pytest.mark.parametrize(
    ("status", "is_open"),
    [("queued", True), ("running", True), ("finished", False), ("failed", False), (None, False)],
)
def test_a_run_is_open_until_it_has_ended(status: str | None, *, is_open: bool) -> None:
    assert flatten({"id": "r", "status": status}).is_open is is_open


def test_a_killed_run_stays_open_and_its_start_is_reported_in_utc(payload: Payload) -> None:
    flat = flatten(payload("postman_run_killed"))

    assert flat.is_open
    assert flat.opened_at == datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
    assert flat.opened_at.tzinfo is UTC
    assert named(flat, RUNS)[0]["finished_at"] is None


def test_a_queued_run_has_no_start_yet(payload: Payload) -> None:
    flat = flatten(payload("postman_run_queued"))

    assert (flat.is_open, flat.opened_at) == (True, None)
    assert named(flat, RUNS)[0]["started_at"] is None


def test_an_execution_without_a_response_keeps_its_assertions(payload: Payload) -> None:
    flat = flatten(payload("postman_execution_without_response"))

    first, null_parts, empty_parts = named(flat, EXECUTIONS)
    assert first["request_url"] == "http://gone.example.com/health"
    assert first["extra"] == {"requestError": {"code": "ENOTFOUND", "syscall": "getaddrinfo"}}
    responses = ("response_status_code", "response_time_ms", "response_size_bytes")
    assert {first[column] for column in responses} == {None}
    for execution in (null_parts, empty_parts):
        rest = set(execution) - {"run_id", "execution_index", "execution_id"}
        assert {execution[column] for column in rest} == {None}
    assert [row["error"] for row in named(flat, ASSERTIONS)] == ["no response"]


def test_an_execution_that_is_repeated_is_identified_by_its_position(payload: Payload) -> None:
    flat = flatten(payload("postman_execution_repeated"))

    executions, assertions = named(flat, EXECUTIONS), named(flat, ASSERTIONS)
    assert [(row["execution_index"], row["execution_id"]) for row in executions] == [
        (0, "item-1"),
        (1, "item-1"),
    ]
    assert [(row["execution_index"], row["assertion_index"]) for row in assertions] == [
        (0, 0),
        (1, 0),
    ]


def test_odd_but_real_values_are_kept_as_they_are(payload: Payload) -> None:
    flat = flatten(payload("postman_odd_assertions"))

    [execution] = named(flat, EXECUTIONS)
    assert (execution["request_method"], execution["request_url"]) == ("PROPFIND", "")
    assert (execution["response_status_code"], execution["response_time_ms"]) == (599, 0)
    shown = ("assertion_index", "name", "passed", "error", "extra")
    assert [tuple(row[column] for column in shown) for row in named(flat, ASSERTIONS)] == [
        (0, "", True, None, None),
        (1, "same", False, "expected\n  {}\nto equal\n  []", None),
        (2, "same", True, None, None),
        (3, "skipped", None, None, {"skipped": True}),
        (4, None, None, None, None),
    ]


def test_secrets_in_urls_are_masked_and_nothing_else_is_touched(payload: Payload) -> None:
    flat = flatten(payload("postman_secret_urls"))

    assert [row["request_url"] for row in named(flat, EXECUTIONS)] == [
        "https://REDACTED:REDACTED@shop.example.com/x?a=1",
        "https://shop.example.com/x?API_KEY=REDACTED&page=2&token=REDACTED#token=REDACTED",
        "{{baseUrl}}/x?token_count=3&%74oken=REDACTED",
        "shop.example.com/{{notset}}/x",
    ]


def test_absent_null_and_empty_say_the_same() -> None:
    absent = flatten({"id": "r"})
    null = flatten({"id": "r", **dict.fromkeys(("stats", "executions", "status", "startedAt"))})
    empty = flatten({"id": "r", "stats": [], "executions": {}})
    deep = flatten({"id": "r", "stats": {"requests": None, "assertions": {}}, "executions": []})

    assert absent.rows == null.rows == empty.rows == deep.rows


def test_flattening_changes_nothing_of_what_was_sent(payload: Payload) -> None:
    sent = payload("postman_run_with_unknown_fields")
    before = copy.deepcopy(sent)
    flatten(sent)

    assert sent == before


@pytest.mark.parametrize("run", [{}, {"id": None}, {"status": "finished"}])
def test_a_run_without_an_id_is_refused(run: Json) -> None:
    with pytest.raises(BadFieldError, match=r"^id: is missing$"):
        flatten(run)


WRONG: dict[str, list[Any]] = {
    "text": [1, 0, 1.5, True, ["a"], [], {}, {"a": 1}],
    "integer": ["1", "", 1.5, True, False, [], {}, 2**31, -(2**31) - 1, 1e300],
    "bigint": ["1", 1.5, True, [], {}, 2**63, -(2**63) - 1, 1e300],
    "boolean": [0, 1, "true", "", 1.0, [], {}],
    "time": [1_772_438_400, 1.5, True, [], {}, "", "yesterday", "2026-03-02", "2026-03-02T08:00:00",
             "10000-01-01T00:00:00Z", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+01:00"],
    "object": [1, "a", True, [1], [{}]],
    "list": [1, "a", True, {"a": 1}],
    "item": [1, "a", True, None, []],
}  # fmt: skip

DOCUMENTED = {
    "id": "text",
    "status": "text",
    "source": "text",
    "startedAt": "time",
    "finishedAt": "time",
    "duration": "bigint",
    "stats": "object",
    "stats.requests": "object",
    "stats.requests.total": "bigint",
    "stats.requests.failed": "bigint",
    "stats.assertions": "object",
    "stats.assertions.total": "bigint",
    "stats.assertions.failed": "bigint",
    "executions": "list",
    "executions[1]": "item",
    "executions[1].id": "text",
    "executions[1].itemName": "text",
    "executions[1].request": "object",
    "executions[1].request.method": "text",
    "executions[1].request.url": "text",
    "executions[1].response": "object",
    "executions[1].response.statusCode": "integer",
    "executions[1].response.responseTime": "bigint",
    "executions[1].response.responseSize": "bigint",
    "executions[1].assertions": "list",
    "executions[1].assertions[0]": "item",
    "executions[1].assertions[0].name": "text",
    "executions[1].assertions[0].passed": "boolean",
    "executions[1].assertions[0].error": "text",
    "collectionId": "text",
    "environmentId": "text",
    "createdBy": "text",
}


# What makes a run meaningless; any other value that does not fit its column is left over.
MEANINGLESS = {"id", *(path for path, kind in DOCUMENTED.items() if kind in ("list", "item"))}


@pytest.mark.parametrize("path", sorted(MEANINGLESS))
def test_what_makes_a_run_meaningless_is_named_by_its_path(payload: Payload, path: str) -> None:
    for value in WRONG[DOCUMENTED[path]]:
        run = payload("postman_documented_run")
        put(run, path, value)
        with pytest.raises(BadFieldError) as refused:
            flatten(run)
        assert refused.value.path == path, json.dumps(value)
        assert str(refused.value).startswith(f"{path}: ")
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", sorted(DOCUMENTED.keys() - MEANINGLESS))
def test_a_value_that_does_not_fit_its_column_goes_to_extra_and_the_run_loads(
    payload: Payload, path: str
) -> None:
    for value in WRONG[DOCUMENTED[path]]:
        odd, null = payload("postman_documented_run"), payload("postman_documented_run")
        put(odd, path, value)
        put(null, path, None)
        if value != [] or DOCUMENTED[path] != "object":
            assert_left_over(flatten(odd), flatten(null), path, value)


def test_several_odd_values_cost_no_more_than_one(payload: Payload) -> None:
    run = payload("postman_documented_run")
    for path, value in (("duration", 1.5), ("stats.requests.total", "2"), ("createdBy", 7)):
        put(run, path, value)
    put(run, "stats.pending", 0)

    [row] = named(flatten(run), RUNS)
    assert (row["duration_ms"], row["requests_total"], row["created_by"]) == (None, None, None)
    assert (row["requests_failed"], row["status"]) == (0, "finished")
    assert row["extra"] == {
        "duration": 1.5,
        "createdBy": 7,
        "stats": {"pending": 0, "requests": {"total": "2"}},
    }


@pytest.mark.parametrize("path", ["collectionId", "status", "executions[0].request.method"])
def test_text_that_no_index_holds_goes_to_extra(payload: Payload, path: str) -> None:
    for value, fits in (("x" * 1000, True), ("x" * 1001, False), ("\U0001f600" * 251, False)):
        run, null = payload("postman_documented_run"), payload("postman_documented_run")
        put(run, path, value)
        put(null, path, None)
        if fits:
            first_rows = [next(iter(rows)) for rows in flatten(run).rows.values()]
            assert value in {cell for row in first_rows for cell in row[:-1]}
        else:
            assert_left_over(flatten(run), flatten(null), path, value)


def test_a_name_may_be_as_long_as_it_is(payload: Payload) -> None:
    run = payload("postman_documented_run")
    put(run, "executions[0].itemName", "x" * 10_000)
    assert named(flatten(run), EXECUTIONS)[0]["item_name"] == "x" * 10_000


def test_no_count_is_beyond_what_can_be_summed(payload: Payload) -> None:
    for value, fits in ((10**15, True), (-1, True), (10**15 + 1, False), (2**63 - 1, False)):
        run = payload("postman_documented_run")
        put(run, "stats.assertions.total", value)
        [row] = named(flatten(run), RUNS)
        assert row["assertions_total"] == (value if fits else None)
        assert (row["extra"] is None) is fits


def test_urls_in_all_texts_are_masked(payload: Payload) -> None:
    run = payload("postman_documented_run")
    secret = "https://ada:hush@shop.example.com/x?token=hush"
    for path in (
        "source",
        "executions[0].itemName",
        "executions[0].note",
        "executions[0].assertions[0].name",
        "executions[0].assertions[1].error",
    ):
        put(run, path, f"see {secret}, please")
    put(run, f"executions[1].{{{secret.replace('.', '')}}}", [{"deep": secret}])

    rows = json.dumps(flatten(run).rows, default=str)
    assert "hush" not in rows
    masked = "https://REDACTED:REDACTED@shop.example.com/x?token=REDACTED"
    assert rows.count(f"see {masked}, please") == 5


def test_a_complaint_says_what_was_expected_and_what_was_sent() -> None:
    assertions = [{"assertions": [{"name": "a"}, None]}]
    with pytest.raises(BadFieldError) as refused:
        flatten({"id": "r", "executions": assertions})

    assert str(refused.value) == "executions[0].assertions[1]: expected an object, got null"


def test_the_widest_numbers_that_a_column_holds_are_taken(payload: Payload) -> None:
    run = payload("postman_documented_run")
    put(run, "duration", 2**63 - 1)
    put(run, "executions[0].response.responseTime", -(2**63))
    put(run, "executions[0].response.statusCode", 2**31 - 1)
    put(run, "executions[1].response.statusCode", -(2**31))
    flat = flatten(run)

    assert named(flat, RUNS)[0]["duration_ms"] == 2**63 - 1
    assert named(flat, EXECUTIONS)[0]["response_time_ms"] == -(2**63)
    codes = [row["response_status_code"] for row in named(flat, EXECUTIONS)]
    assert codes == [2**31 - 1, -(2**31)]


def test_a_whole_number_written_as_a_fraction_is_that_number(payload: Payload) -> None:
    run = payload("postman_documented_run")
    put(run, "duration", 3500.0)
    value = named(flatten(run), RUNS)[0]["duration_ms"]

    assert (value, type(value)) == (3500, int)
