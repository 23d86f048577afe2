"""Postman CLI's own JSON report."""

from pathlib import Path
from typing import Any

from tests.support.reports import STARTED, read


def report(*executions: dict[str, Any], **summary: Any) -> dict[str, Any]:
    return {
        "run": {
            "meta": {
                "collectionId": "42-11111111-2222-4333-8444-555555555555",
                "collectionName": "Orders", "started": STARTED, "completed": STARTED + 900,
                "duration": 900,
            },
            "summary": {
                "iterations": {"executed": 2, "errors": 0},
                "executedRequests": {"executed": len(executions), "errors": 0},
                "tests": {"executed": 3, "failed": 1, "passed": 1, "skipped": 1},
                "timeStats": {"responseAverage": 5.5},
                **summary,
            },
            "executions": list(executions),
        }
    }  # fmt: skip


def executed(number: int, iteration: int, **members: Any) -> dict[str, Any]:
    return {
        "iterationCount": iteration,
        "requestExecuted": {
            "id": "item-1", "name": "Login", "method": "GET",
            "url": {"protocol": "https", "host": ["h"], "path": ["login"]},
            "headers": [{"key": "Authorization", "value": "header-secret"}],
        },
        "response": {
            "id": f"response-{number}", "code": 200, "status": "OK", "responseTime": 5,
            "responseSize": 20, "downloadedBytes": 11,
        },
        "tests": [],
        "errors": [],
        **members,
    }  # fmt: skip


def test_a_run_goes_into_the_postman_tables(tmp_path: Path) -> None:
    tests = [
        {"name": "ok", "status": "passed", "error": {}},
        {"name": "bad", "status": "failed", "error": {"name": "AssertionError", "message": "no"}},
        {"name": "later", "status": "skipped"},
    ]

    done = read(tmp_path, report(executed(0, 1, tests=tests), executed(1, 2)))

    assert done.report.kind == "postman-cli"
    assert done.run["collection_id"] == "42-11111111-2222-4333-8444-555555555555"
    assert done.run["duration_ms"] == 900
    assert [row["passed"] for row in done.rows["assertions"]] == [True, False, None]
    # iterationCount is the number of this iteration, from 1 on here.
    assert [row["extra"]["iteration"] for row in done.rows["executions"]] == [0, 1]
    assert done.rows["executions"][0]["extra"]["downloadedBytes"] == 11
    assert done.differences() == {}


def test_skipped_tests_may_or_may_not_count_as_executed(tmp_path: Path) -> None:
    tests = [{"name": "ok", "status": "passed"}, {"name": "later", "status": "skipped"}]
    for announced in (1, 2):
        summary = {"tests": {"executed": announced, "failed": 0, "passed": 1, "skipped": 1}}

        done = read(tmp_path, report(executed(0, 0, tests=tests), **summary))

        assert done.differences() == {}


def test_errors_are_the_request_s_or_the_scripts(tmp_path: Path) -> None:
    refused = executed(0, 0, response=None, errors=[{"code": "ECONNREFUSED", "message": "no"}])
    threw = executed(1, 0, errors=[{"error": {"name": "TypeError", "message": "x"}}])

    first, second = read(tmp_path, report(refused, threw)).rows["executions"]

    assert first["extra"]["requestError"] == {"code": "ECONNREFUSED", "message": "no"}
    assert second["extra"]["scriptErrors"] == [
        {"listen": "testScript", "message": "TypeError: x"}
    ]  # fmt: skip


def test_omitted_parts_make_no_difference_to_what_it_is(tmp_path: Path) -> None:
    whole = read(tmp_path, report(executed(0, 0)))
    bare = executed(0, 0)
    del bare["requestExecuted"]["headers"]

    assert read(tmp_path, report(bare)).report.identity == whole.report.identity


def test_a_run_error_is_a_failed_run(tmp_path: Path) -> None:
    sent = report(executed(0, 0))
    sent["run"]["runError"] = {"name": "Error", "message": "bail"}

    run = read(tmp_path, sent).run

    assert run["status"] == "failed"
    assert run["extra"]["runError"] == "Error: bail"
