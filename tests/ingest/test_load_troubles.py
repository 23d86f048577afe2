"""What goes wrong stays where it is: a scope, a record, a field; each is one line that names it."""

import json
import logging
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from pipelines.http.retry import RetryPolicy
from pipelines.ingest.load import load_source
from pipelines.ingest.progress import ScopeReport
from pipelines.ingest.reparse import reparse_rejected
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from tests.support.contract import POSTMAN, REFERENCES, TESTMO
from tests.support.db import query, tables
from tests.support.factories import BOOKS, COLLECTION, postman_run, testmo_run
from tests.support.oracle import tables_of_postman, tables_of_testmo
from tests.support.tampering import Tampered, listed, replaced, with_members

Json = dict[str, Any]
Load = Callable[..., list[ScopeReport]]

RUNS = "raw_postman.collection_runs"
POSTMAN_KEY = "PMAK-0123456789abcdef-secret"
TESTMO_TOKEN = "testmo_api_eyJpdiI6IlNlY3JldCJ9"


@pytest.fixture
def retry() -> RetryPolicy:
    return RetryPolicy(first_wait_seconds=0)


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def sandbox() -> Iterator[Tampered]:
    data = SandboxData(
        [postman_run(number) for number in range(6)],
        [testmo_run(number) for number in range(1, 6)],
        BOOKS,
    )
    with Tampered(data, postman_api_key=POSTMAN_KEY, testmo_api_token=TESTMO_TOKEN) as sandbox:
        yield sandbox


def rejected(url: str) -> list[tuple[Any, ...]]:
    return query(
        url,
        "select source, endpoint, run_id, payload, error from ingest.rejected_records"
        " order by rejected_id",
    )


def assert_loaded(url: str, postman: list[Json], testmo: list[Json]) -> None:
    assert tables(url, POSTMAN) == tables_of_postman(postman, POSTMAN)
    assert tables(url, TESTMO) == tables_of_testmo(testmo, TESTMO)


ALL_POSTMAN = [postman_run(number) for number in range(6)]
ALL_TESTMO = [testmo_run(number) for number in range(1, 6)]


# Scopes that fail


def test_an_unknown_collection_is_named_and_the_others_are_loaded(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    variables = {**sandbox.settings, "POSTMAN_COLLECTION_IDS": f"nowhere,{COLLECTION}"}
    unknown, known, testmo = load(variables)

    assert (known.error, testmo.error) == (None, None)
    assert unknown.error is not None
    assert "404" in unknown.error
    assert "nowhere" in unknown.error
    assert not unknown.is_transient
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)
    [(outcome, error)] = query(
        warehouse_url, "select outcome, error from ingest.loads where scope = 'nowhere'"
    )
    assert (outcome, error) == ("failed", unknown.error)


def test_a_forbidden_project_is_named_and_the_others_are_loaded(
    load: Load, warehouse_url: str
) -> None:
    runs = [testmo_run(1), testmo_run(2, project_id=6)]
    with Sandbox(SandboxData([], runs, BOOKS), forbidden_projects=frozenset({5})) as sandbox:
        forbidden, allowed = load(sandbox.settings)

    assert allowed.error is None
    assert forbidden.error is not None
    for part in ("403", "projects/5", "TESTMO_API_TOKEN"):
        assert part in forbidden.error
    assert not forbidden.is_transient
    assert_loaded(warehouse_url, [], runs[1:])


@pytest.mark.parametrize(
    ("source", "setting"),
    [("postman", "POSTMAN_API_KEY"), ("testmo", "TESTMO_API_TOKEN")],
)
def test_a_wrong_key_stops_its_source_at_once_and_names_the_setting(
    load: Load, sandbox: Tampered, source: str, setting: str
) -> None:
    variables = {
        **sandbox.settings,
        "POSTMAN_COLLECTION_IDS": f"{COLLECTION},second,third",
        "TESTMO_PROJECT_IDS": "5,6,7",
        setting: "wrong-key-of-ours",
    }
    reports = [report for report in load(variables) if report.source == source]

    assert len(reports) == 3
    assert [report.is_transient for report in reports] == [False] * 3
    for report in reports:
        assert report.error is not None
        assert setting in report.error
        assert "401" in report.error
        assert "wrong-key-of-ours" not in report.error
    assert [bool(report.requests) for report in reports] == [True, False, False]
    assert [request.status for request in sandbox.requests if request.api == source] == [401]


def test_no_server_is_one_line_that_names_the_setting(load: Load) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    variables = {
        "POSTMAN_API_URL": f"http://127.0.0.1:{port}",
        "POSTMAN_API_KEY": POSTMAN_KEY,
        "POSTMAN_COLLECTION_IDS": "a,b",
    }
    first, second = load(variables)

    assert first.error is not None
    assert second.error is not None
    assert "no server" in first.error
    assert f"http://127.0.0.1:{port}" in first.error
    assert "POSTMAN_API_URL" in first.error
    assert "\n" not in first.error
    assert second.error.startswith("not tried: ")
    assert (first.is_transient, second.is_transient) == (True, True)
    assert second.requests == {}


def test_an_answer_that_is_no_history_never_passes_for_an_empty_one(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    for body in (b"", b"<html>maintenance</html>", b'{"runs": [', b"[]", b"{}", b'{"error": "x"}'):
        sandbox.changes["/runs"] = replaced(body)
        postman, testmo = load(sandbox.settings)
        assert postman.error is not None, body
        assert testmo.error is not None, body
        assert postman.is_transient

    assert query(warehouse_url, "select count(*) from ingest.watermarks") == [(0,)]
    sandbox.changes.clear()
    load(sandbox.settings)
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)


def test_a_list_that_is_none_fails_its_scope_in_one_line(load: Load, sandbox: Tampered) -> None:
    for runs in (7, "runs", {"a": 1}, True):
        sandbox.changes["/runs"] = with_members(runs=runs, result=runs)
        errors = [report.error or "" for report in load(sandbox.settings)]
        assert ["expected a list" in error for error in errors] == [True, True], runs


def test_a_page_without_a_next_cursor_is_the_last(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    metas: list[Any] = [None, {}, [], {"nextCursor": None}, {"nextCursor": ""}]
    for meta in metas:
        sandbox.changes["/runs"] = with_members(meta=meta)
        assert [report.error for report in load(sandbox.settings)] == [None, None], meta
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)


def test_an_answer_may_be_a_list_and_nothing_else(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    def bare(body: bytes) -> bytes:
        page = json.loads(body)
        return json.dumps(
            {name: page[name] for name in ("runs", "result") if name in page}
        ).encode()

    sandbox.changes["/runs"] = bare
    assert [report.error for report in load(sandbox.settings)] == [None, None]
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)


def test_an_empty_list_may_be_spelled_as_php_spells_it(load: Load, sandbox: Tampered) -> None:
    empties: list[Any] = [None, {}, []]
    for empty in empties:
        members = {"runs": empty, "result": empty, "next_page": None, "meta": empty}
        sandbox.changes["/runs"] = with_members(**members)
        reports = load(sandbox.settings)
        assert [(report.error, report.rows) for report in reports] == [(None, {}), (None, {})]


def test_no_warehouse_is_one_line_without_the_password(
    sandbox: Tampered, make_settings: Callable[[dict[str, str]], Any]
) -> None:
    url = "postgresql://someone:hunter2secret@127.0.0.1:1/nowhere"
    settings = make_settings(sandbox.settings)
    [report] = load_source(settings, "postman", url)

    assert report.error is not None
    assert "TESTRUNS_WAREHOUSE_URL" in report.error
    assert "hunter2secret" not in report.error
    assert "\n" not in report.error
    assert report.is_transient
    assert not sandbox.requests


# Runs that cannot be had now


def test_a_run_that_cannot_be_fetched_is_deferred_and_loaded_the_next_time(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    sandbox.changes["/runs/run-2"] = 503
    postman, _testmo = load(sandbox.settings)
    assert postman.error is not None
    assert "run-2" in postman.error
    assert "503" in postman.error
    assert postman.is_transient
    assert tables(warehouse_url, POSTMAN) == tables_of_postman(
        [run for run in ALL_POSTMAN if run["id"] != "run-2"], POSTMAN
    )

    sandbox.changes.clear()
    sandbox.requests.clear()
    assert load(sandbox.settings)[0].error is None
    details = [one.path for one in sandbox.requests if not one.path.endswith("/runs")]
    assert details == [f"/collections/{COLLECTION}/runs/run-2"]
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)


def test_a_deferred_run_is_asked_for_by_id_when_the_list_no_longer_shows_it(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    sandbox.changes["/runs/run-2"] = 503
    load(sandbox.settings)
    sandbox.changes.clear()
    sandbox.changes["/runs"] = listed(lambda runs: [run for run in runs if run["id"] != "run-2"])
    load(sandbox.settings)

    assert tables(warehouse_url, POSTMAN) == tables_of_postman(ALL_POSTMAN, POSTMAN)


@pytest.mark.parametrize(("status", "is_transient"), [(500, True), (403, False)])
def test_an_api_that_gives_no_run_is_left_after_three(
    load: Load, sandbox: Tampered, status: int, *, is_transient: bool
) -> None:
    for number in range(6):
        sandbox.changes[f"/runs/run-{number}"] = status
    postman, testmo = load(sandbox.settings)

    assert testmo.error is None
    assert postman.error is not None
    assert str(status) in postman.error
    assert postman.is_transient is is_transient


# Records that cannot be parsed


def test_a_malformed_run_is_set_aside_as_sent_and_its_neighbours_are_loaded(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    bad_postman = postman_run(3)
    bad_postman["executions"][1]["assertions"] = "teapot"
    bad_testmo = testmo_run(4, threads="many")
    sandbox.put_postman_run(bad_postman)
    sandbox.put_testmo_run(bad_testmo)
    reports = load(sandbox.settings)

    assert [(report.error, report.rejected) for report in reports] == [(None, 1), (None, 1)]
    assert_loaded(
        warehouse_url,
        [run for run in ALL_POSTMAN if run["id"] != "run-3"],
        [run for run in ALL_TESTMO if run["id"] != 4],
    )
    [postman, testmo] = rejected(warehouse_url)
    assert postman[:3] == ("postman", "GET collections/{id}/runs/{runId}", "run-3")
    assert json.loads(postman[3]) == bad_postman
    assert postman[4].startswith("executions[1].assertions: ")
    assert testmo[:3] == ("testmo", "GET projects/{id}/automation/runs", "4")
    assert json.loads(testmo[3]) == bad_testmo
    assert testmo[4].startswith("threads: ")


def test_a_rejected_run_is_not_asked_for_again_until_it_changes(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    sandbox.put_postman_run(postman_run(3, executions="fast"))
    load(sandbox.settings)
    sandbox.requests.clear()
    load(sandbox.settings)
    assert not [one for one in sandbox.requests if one.path.endswith("run-3")]
    assert len(rejected(warehouse_url)) == 1

    sandbox.put_postman_run(postman_run(3, status="failed"))
    load(sandbox.settings)
    assert tables(warehouse_url, POSTMAN) == tables_of_postman(
        [*ALL_POSTMAN[:3], postman_run(3, status="failed"), *ALL_POSTMAN[4:]], POSTMAN
    )


def test_a_loaded_run_that_becomes_malformed_stays_as_it_was(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    load(sandbox.settings)
    sandbox.put_postman_run(postman_run(3, status="failed", executions="fast"))
    load(sandbox.settings)

    assert tables(warehouse_url, POSTMAN) == tables_of_postman(ALL_POSTMAN, POSTMAN)
    assert [row[4].split(":")[0] for row in rejected(warehouse_url)] == ["executions"]


def test_an_open_run_that_is_malformed_once_is_still_asked_for(
    load: Load, warehouse_url: str
) -> None:
    history = [postman_run(number) for number in range(200)]
    opened = postman_run(500, hours_ago=2000, status="running", executions=[])
    with Sandbox(SandboxData([*history, opened], [], BOOKS)) as sandbox:
        load(sandbox.settings)
        sandbox.put_postman_run({**opened, "status": "queued", "executions": "soon"})
        load(sandbox.settings)
        assert len(rejected(warehouse_url)) == 1
        ended = postman_run(500, hours_ago=2000)
        sandbox.put_postman_run(ended)
        load(sandbox.settings)

    assert tables(warehouse_url, POSTMAN) == tables_of_postman([*history, ended], POSTMAN)


def test_a_listed_record_without_an_id_is_set_aside_as_sent(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    complaints: list[tuple[Any, str]] = [
        (None, "expected an object"),
        (7, "expected an object"),
        ("a run", "expected an object"),
        ("\ud800", "expected an object"),
        ([], "expected an object"),
        ({"status": "finished"}, "id: is missing"),
        ({"id": None}, "id: is missing"),
        ({"id": True}, "id: expected"),
        ({"id": {"a": 1}}, "id: expected"),
    ]

    def with_items(body: bytes) -> bytes:
        page = json.loads(body)
        for number, (item, _complaint) in enumerate(complaints):
            page["runs" if "runs" in page else "result"].insert(2 * number, item)
        return json.dumps(page).encode()

    sandbox.changes["/runs"] = with_items
    reports = load(sandbox.settings)

    assert [(report.error, report.rejected) for report in reports] == [(None, 9), (None, 9)]
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)
    found = rejected(warehouse_url)
    assert [row[:3] for row in found] == [
        *[("postman", "GET collections/{id}/runs", None)] * 9,
        *[("testmo", "GET projects/{id}/automation/runs", None)] * 9,
    ]
    for row, (item, complaint) in zip(found, [*complaints, *complaints], strict=True):
        assert json.loads(row[3]) == item
        assert row[4].startswith(complaint)
    load(sandbox.settings)
    assert len(rejected(warehouse_url)) == 18


def test_a_detail_of_another_run_is_set_aside(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    sandbox.changes["/runs/run-3"] = with_members(run=postman_run(99))
    load(sandbox.settings)

    [row] = rejected(warehouse_url)
    assert row[2] == "run-3"
    assert row[4] == "id: asked for run-3, got run-99"
    assert query(warehouse_url, f"select count(*) from {RUNS}") == [(5,)]


def test_a_detail_that_is_no_object_is_set_aside(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    details: list[Any] = [None, [], "x", 1]
    for number, detail in enumerate(details):
        sandbox.changes[f"/runs/run-{number}"] = with_members(run=detail)
    assert load(sandbox.settings)[0].error is None

    found = rejected(warehouse_url)
    assert [row[2] for row in found] == [f"run-{number}" for number in range(4)]
    assert [json.loads(row[3]) for row in found] == details
    assert query(warehouse_url, f"select count(*) from {RUNS}") == [(2,)]


def test_a_body_that_no_decoder_holds_is_set_aside_as_sent(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    too_deep = b'{"run": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    too_long = b'{"run": {"id": "run-4", "duration": ' + b"9" * 5000 + b"}}"
    sandbox.changes["/runs/run-3"] = replaced(too_deep)
    sandbox.changes["/runs/run-4"] = replaced(too_long)
    assert load(sandbox.settings)[0].error is None

    deep, long = rejected(warehouse_url)
    assert (deep[2], deep[3].encode()) == ("run-3", too_deep)
    assert (long[2], long[3].encode()) == ("run-4", too_long)
    assert query(warehouse_url, f"select count(*) from {RUNS}") == [(4,)]


def test_deep_nesting_is_kept_or_set_aside_and_harms_nobody(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    depths = [100, 450, 700, *range(930, 1000, 2)]
    leaves = ['"a"', '"\\u0000"', '"\\ud800"']
    nested = ["[" * depth + leaf + "]" * depth for depth in depths for leaf in leaves]
    for number, deep in enumerate(nested):
        sandbox.put_postman_run(postman_run(number))
        # Every second one is malformed besides.
        run = postman_run(number, d="DEEP")
        if number % 2:
            run["executions"] = "x"
        body = json.dumps({"run": run})
        sandbox.changes[f"/runs/run-{number}"] = replaced(body.replace('"DEEP"', deep).encode())
    assert load(sandbox.settings)[0].error is None

    ids = {run_id for (run_id,) in query(warehouse_url, f"select run_id from {RUNS}")}
    set_aside = {row[2] for row in rejected(warehouse_url)}
    everyone = {f"run-{number}" for number in range(len(nested))}
    assert ids | set_aside == everyone
    assert not ids & set_aside
    assert {"run-0", "run-4"} <= ids
    assert {f"run-{number}" for number in range(1, len(nested), 2)} <= set_aside


def test_what_postgres_cannot_hold_is_replaced_and_everything_else_kept(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    run = postman_run(3, note={"a\0b": "c\0d", "pair": "\ud83d\ude00", "half": "\ud800x"})
    run["executions"][0]["itemName"] = "nul\0 half \udc00 end"
    run["executions"][0]["assertions"][0]["error"] = "\0"
    sandbox.put_postman_run(run)
    assert load(sandbox.settings)[0].error is None

    [(name, extra)] = query(
        warehouse_url,
        f"select item_name, runs.extra from raw_postman.executions join {RUNS} runs using (run_id)"
        " where run_id = 'run-3' and execution_index = 0",
    )
    assert name == "nul\ufffd half \ufffd end"
    assert extra == {
        "note": {"a\ufffdb": "c\ufffdd", "pair": "\N{GRINNING FACE}", "half": "\ufffdx"}
    }


def test_a_rejected_record_keeps_what_postgres_cannot_hold_as_it_was_spelled(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    run = postman_run(3, executions="a\0b \ud800")
    sandbox.put_postman_run(run)
    load(sandbox.settings)

    [row] = rejected(warehouse_url)
    assert json.loads(row[3]) == run


def test_an_id_that_postgres_cannot_hold_is_set_aside(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    odd = {"id": "nul\0", "status": "finished"}
    sandbox.changes["/runs"] = listed(lambda runs: [odd, *runs])
    variables = {k: v for k, v in sandbox.settings.items() if k.startswith("POSTMAN")}
    [report] = load(variables)

    assert (report.error, report.rejected) == (None, 1)
    [row] = rejected(warehouse_url)
    assert json.loads(row[3]) == odd
    assert row[4].startswith("id: ")


def test_references_that_postgres_cannot_hold_are_kept_as_runs_are(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    def changed(body: bytes) -> bytes:
        page = json.loads(body)
        if "expands" in page:
            page["expands"]["users"] = [
                {"id": 2, "name": "A\0da \ud800", "more\0": ["\0"]},
                {"id": 3, "name": "Bo", "score": 10**30},
            ]
        return json.dumps(page).encode()

    sandbox.changes["/runs"] = changed
    assert [report.error for report in load(sandbox.settings)] == [None, None]
    users = query(warehouse_url, "select id, name, extra from raw_testmo.users order by id")
    assert users == [
        (2, "A\ufffdda \ufffd", {"more\ufffd": ["\ufffd"]}),
        (3, "Bo", {"score": 10**30}),
    ]


def random_text(length: int) -> str:
    """Text that does not compress, as keys and signatures do not."""
    return random.Random(length).randbytes(length // 2).hex()  # noqa: S311 - no secret


def test_huge_texts_and_numbers_are_kept(load: Load, warehouse_url: str, sandbox: Tampered) -> None:
    run = postman_run(3, note=random_text(1_000_000), count=10**40, ratio=1.5)
    run["executions"][0]["itemName"] = random_text(1_000_000)
    run["executions"][0]["assertions"][0]["name"] = random_text(100_000)
    thread = {**testmo_run(3)["threads"][0], "name": random_text(50_000)}
    held = testmo_run(3, name=random_text(200_000), threads=[thread])
    sandbox.put_postman_run(run)
    sandbox.put_testmo_run(held)
    assert [report.error for report in load(sandbox.settings)] == [None, None]

    assert_loaded(
        warehouse_url,
        [run if one["id"] == "run-3" else one for one in ALL_POSTMAN],
        [held if one["id"] == 3 else one for one in ALL_TESTMO],
    )


def test_a_run_with_an_id_that_no_index_holds_is_set_aside_and_no_other_text_is(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    endless = {"id": random_text(5000), "status": "finished"}
    sandbox.changes["/runs"] = lambda body: (
        listed(lambda runs: [endless, *runs])(body) if b'"runs"' in body else body
    )
    long_tag = testmo_run(3, tags=["main", random_text(5000)])
    sandbox.put_testmo_run(long_tag)
    reports = load(sandbox.settings)

    assert [(report.error, report.rejected) for report in reports] == [(None, 1), (None, 0)]
    assert_loaded(
        warehouse_url,
        ALL_POSTMAN,
        [long_tag if run["id"] == 3 else run for run in ALL_TESTMO],
    )
    assert [row[4].split(":")[0] for row in rejected(warehouse_url)] == ["id"]


def test_a_run_of_twenty_thousand_executions_is_loaded_whole(
    load: Load, warehouse_url: str
) -> None:
    step = {"id": "item", "assertions": [{"name": "ok", "passed": True}]}
    run = postman_run(1, executions=[step] * 20_000)
    with Sandbox(SandboxData([run], [], BOOKS)) as sandbox:
        [report, _] = load(sandbox.settings)

    assert report.rows == {
        RUNS: 1,
        "raw_postman.executions": 20_000,
        "raw_postman.assertions": 20_000,
    }
    last = "select max(execution_index), count(*) from raw_postman.executions"
    assert query(warehouse_url, last) == [(19_999, 20_000)]


def test_a_run_listed_twice_is_loaded_once(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    def twice(body: bytes) -> bytes:
        page = json.loads(body)
        for member in ("runs", "result"):
            if member in page:
                page[member] = [run for run in page[member] for _ in range(2)]
        return json.dumps(page).encode()

    sandbox.changes["/runs"] = twice
    assert [report.error for report in load(sandbox.settings)] == [None, None]
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_absurd_but_well_formed_times_are_stored(
    load: Load, warehouse_url: str, sandbox: Tampered, when: str
) -> None:
    sandbox.put_postman_run(postman_run(3, startedAt=when, finishedAt=when))
    sandbox.put_testmo_run(testmo_run(3, created_at=when, status=4, is_completed=False))
    for _load in range(2):
        assert [report.error for report in load(sandbox.settings)] == [None, None]

    year = int(when[:4])
    started = f"select extract(year from started_at)::int from {RUNS} where run_id = 'run-3'"
    created = "select extract(year from created_at)::int from raw_testmo.automation_runs"
    assert query(warehouse_url, started) == [(year,)]
    assert query(warehouse_url, f"{created} where run_id = 3") == [(year,)]


def test_a_byte_order_mark_is_no_part_of_the_answer(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    sandbox.changes["/runs"] = lambda body: b"\xef\xbb\xbf" + body
    sandbox.changes["/runs/run-3"] = lambda body: b"\xef\xbb\xbf" + body
    assert [report.error for report in load(sandbox.settings)] == [None, None]
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)


# What is told of it


def test_unknown_fields_are_listed_once_with_the_load_that_saw_them_first(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    run = postman_run(3, runner="ci-7")
    run["executions"][0]["response"]["status"] = "OK"
    run["executions"][1]["response"]["status"] = "Created"
    run["stats"]["requests"]["pending"] = 0
    sandbox.put_postman_run(run)
    sandbox.put_testmo_run(testmo_run(3, links=[{"name": "a", "icon": "b"}]))
    postman, testmo = load(sandbox.settings)
    sandbox.put_postman_run(postman_run(4, runner="ci-8", status="failed", agent="x"))
    later, _ = load(sandbox.settings)

    found = query(
        warehouse_url,
        "select source, table_name, field, first_load_id from ingest.unknown_fields order by 2, 3",
    )
    assert found == [
        ("postman", RUNS, "agent", later.load_id),
        ("postman", RUNS, "runner", postman.load_id),
        ("postman", RUNS, "stats.requests", postman.load_id),
        ("postman", "raw_postman.executions", "response.status", postman.load_id),
        ("testmo", "raw_testmo.automation_run_links", "icon", testmo.load_id),
    ]


def test_a_field_with_an_endless_name_is_listed_by_its_beginning(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    name = random_text(5000)
    sandbox.put_postman_run(postman_run(3, **{name: 1}))
    assert load(sandbox.settings)[0].error is None

    [(field,)] = query(warehouse_url, "select field from ingest.unknown_fields")
    assert name.startswith(field[:100])
    [(extra,)] = query(warehouse_url, f"select extra from {RUNS} where run_id = 'run-3'")
    assert extra == {name: 1}


def test_no_key_stands_in_any_table_log_or_error(
    load: Load,
    warehouse_url: str,
    sandbox: Tampered,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    # An API that echoes our own keys in what it sends.
    sandbox.put_postman_run(postman_run(3, duration=f"key {POSTMAN_KEY}"))
    sandbox.put_testmo_run(testmo_run(3, elapsed=f"Bearer {TESTMO_TOKEN}"))
    sandbox.changes["/runs/run-4"] = 500
    sandbox.changes["/runs/run-5"] = lambda _body: (
        b'{"run": ' + b"[" * 5000 + f'"{POSTMAN_KEY}"'.encode() + b"]" * 5000 + b"}"
    )
    sandbox.changes["/runs"] = lambda body: (
        listed(lambda runs: [*runs, {"id": [POSTMAN_KEY]}])(body) if b'"runs"' in body else body
    )
    reports = load(sandbox.settings)

    assert [report.rejected for report in reports] == [2, 0]
    told = [caplog.text, *capfd.readouterr(), repr(reports)]
    for (table,) in query(
        warehouse_url,
        "select oid::regclass::text from pg_class where relkind = 'r'"
        " and relnamespace::regnamespace::text in"
        " ('ingest', 'raw_postman', 'raw_testmo', 'raw_reports')",
    ):
        told += [row for (row,) in query(warehouse_url, f"select t::text from {table} t")]
    assert len(told) > 60
    for text in told:
        assert POSTMAN_KEY not in text
        assert TESTMO_TOKEN not in text
    assert sum("REDACTED" in text for text in told) >= 4


def test_the_summary_of_a_failed_load_says_that_the_rest_is_loaded(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    sandbox.changes["/runs/run-2"] = 503
    load(sandbox.settings)

    [(outcome, error, written)] = query(
        warehouse_url,
        "select outcome, error, rows_written from ingest.loads where source = 'postman'",
    )
    assert outcome == "failed"
    assert error.startswith("1 run(s) deferred to the next load, as run-2: ")
    assert written[RUNS] == 5


def test_references_are_all_there_in_spite_of_a_rejected_run(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    sandbox.put_testmo_run(testmo_run(3, elapsed="long"))
    load(sandbox.settings)

    counts = [query(warehouse_url, f"select count(*) from {table}")[0][0] for table in REFERENCES]
    assert counts == [1] * 5


def test_a_listed_record_that_no_decoder_holds_costs_no_other_record(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    too_deep = b'{"id": "deep", "note": ' + b"[" * 3000 + b"]" * 3000 + b"}"
    too_long = b'{"id": "long", "a\\"],[": ' + b"9" * 5000 + b"}"

    def with_items(body: bytes) -> bytes:
        member, items = body.split(b"[", 1)
        return member + b"[" + too_deep + b" , " + too_long + b"," + items

    sandbox.changes["/runs"] = with_items
    reports = load(sandbox.settings)

    assert [(report.error, report.rejected) for report in reports] == [(None, 2), (None, 2)]
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)
    assert [(row[3].strip().encode(), row[4]) for row in rejected(warehouse_url)] == [
        (too_deep, "nested too deeply"),
        (too_long, "a number too long"),
    ] * 2


def test_a_reference_that_cannot_be_parsed_is_set_aside_and_parsed_again(
    load: Load,
    make_settings: Callable[[dict[str, str]], Settings],
    warehouse_url: str,
    sandbox: Tampered,
) -> None:
    def changed(body: bytes) -> bytes:
        page = json.loads(body)
        if "expands" in page:
            page["expands"]["users"] = [{"id": "5", "name": "Ada"}, {"id": 3, "name": "Bo"}]
        return json.dumps(page).encode()

    sandbox.changes["/runs"] = changed
    assert [report.rejected for report in load(sandbox.settings)] == [0, 1]
    assert query(warehouse_url, "select name from raw_testmo.users") == [("Bo",)]
    [row] = rejected(warehouse_url)
    assert row == (
        "testmo",
        "GET projects/{id}/automation/runs expands.users",
        None,
        '{"id": "5", "name": "Ada"}',
        "expands.users[0].id: expected a whole number, got text",
    )

    settings = make_settings(sandbox.settings)
    _, [reparsed] = reparse_rejected(settings, "testmo", warehouse_url)
    assert reparsed.outcome == "expands.users.id: expected a whole number, got text"
    # As if a later version took what this one refuses.
    query(
        warehouse_url,
        "update ingest.rejected_records set payload = replace(payload, '\"5\"', '2') returning 1",
    )
    _, [reparsed] = reparse_rejected(settings, "testmo", warehouse_url)
    assert reparsed.outcome == "loaded"
    assert query(warehouse_url, "select name from raw_testmo.users order by id") == [
        ("Ada",),
        ("Bo",),
    ]


def test_secrets_in_urls_are_masked_wherever_a_field_without_a_column_holds_one(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    run = postman_run(3, origin="https://u:p@ci.test/a?token=s3cret", note="a token=visible text")
    run["executions"][0]["request"]["proxied"] = {"via": ["http://p.test/?sig=s3cret&b=1"]}
    sandbox.put_postman_run(run)
    load(sandbox.settings)

    assert query(warehouse_url, f"select extra from {RUNS} where run_id = 'run-3'") == [
        ({"origin": "https://REDACTED:REDACTED@ci.test/a?token=REDACTED",
          "note": "a token=visible text"},)
    ]  # fmt: skip
    [(extra,)] = query(
        warehouse_url, "select extra from raw_postman.executions where extra is not null"
    )
    assert extra == {"request": {"proxied": {"via": ["http://p.test/?sig=REDACTED&b=1"]}}}


def test_a_run_that_was_gone_and_is_listed_again_as_it_was_is_no_longer_gone(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    running = testmo_run(9, is_completed=False, completed_at=None)
    sandbox.put_testmo_run(running)
    load(sandbox.settings)
    sandbox.remove_testmo_run(9)
    load(sandbox.settings)
    gone = "select gone_at is not null from ingest.run_states where run_id = '9'"
    assert query(warehouse_url, gone) == [(True,)]

    sandbox.put_testmo_run(running)
    load(sandbox.settings)
    assert query(warehouse_url, gone) == [(False,)]


def test_a_run_that_the_warehouse_refuses_is_deferred_and_costs_no_other_run(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        # As if a check of ours had a hole.
        connection.execute(
            "create function refuse() returns trigger language plpgsql as"
            " $$ begin raise exception 'no room' using errcode = '22003'; end $$"
        )
        connection.execute(
            "create trigger refusing before insert on raw_postman.collection_runs for each row"
            " when (new.run_id = 'run-3') execute function refuse()"
        )
    try:
        first, second = load(sandbox.settings)
        assert second.error is None
        assert first.error is not None
        assert first.error.endswith("as run-3: the warehouse refuses the run: no room")
        assert_loaded(warehouse_url, ALL_POSTMAN[:3] + ALL_POSTMAN[4:], ALL_TESTMO)
    finally:
        with psycopg.connect(warehouse_url, autocommit=True) as connection:
            connection.execute("drop function refuse cascade")
    assert [report.error for report in load(sandbox.settings)] == [None, None]
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)
