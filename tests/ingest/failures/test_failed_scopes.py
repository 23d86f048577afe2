"""A scope that fails is one line that names it; the others are loaded."""

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.ingest.load import load_source
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.db import query
from tests.support.factories import BOOKS, COLLECTION, testmo_run
from tests.support.small_history import (
    ALL_POSTMAN,
    ALL_TESTMO,
    POSTMAN_KEY,
    RUNS,
    Load,
    assert_loaded,
)
from tests.support.tampering import Tampered, replaced, with_members


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


def test_an_empty_list_may_be_written_as_php_writes_it(load: Load, sandbox: Tampered) -> None:
    empties: list[Any] = [None, {}, []]
    for empty in empties:
        sandbox.changes["/runs"] = with_members(
            runs=empty, result=empty, next_page=None, total=0, meta=empty
        )
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
