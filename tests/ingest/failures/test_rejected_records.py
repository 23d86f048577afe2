"""A record that cannot be parsed is set aside as it was sent; its neighbours are loaded."""

import json
from collections.abc import Callable
from typing import Any

from pipelines.ingest.reparse import reparse_rejected
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from tests.support.contract import POSTMAN, REFERENCES
from tests.support.db import query, tables
from tests.support.factories import BOOKS, postman_run, testmo_run
from tests.support.oracle import tables_of_postman
from tests.support.small_history import (
    ALL_POSTMAN,
    ALL_TESTMO,
    RUNS,
    Load,
    assert_loaded,
    rejected,
)
from tests.support.tampering import Tampered, replaced, with_members


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


def test_a_rejected_run_is_not_requested_again_until_it_changes(
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


def test_an_open_run_that_is_malformed_once_is_still_requested(
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
