"""newman's JSON report: every trap that its own source and its users' files hold."""

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.reports import STARTED, execution, failed, newman, passed, read


def test_a_run_has_the_columns_of_an_api_run(tmp_path: Path) -> None:
    done = read(tmp_path, newman([execution(0, assertions=[passed("ok"), failed("bad")])]))

    run = done.run
    assert run["status"] == "finished"
    assert run["source"] == "newman"
    assert run["started_at"] == datetime.fromtimestamp(STARTED / 1000, UTC)
    assert run["duration_ms"] == 2500
    assert (run["requests_total"], run["requests_failed"]) == (1, 0)
    assert (run["assertions_total"], run["assertions_failed"]) == (2, 1)
    assert run["extra"]["collectionName"] == "Orders"
    [row] = done.rows["executions"]
    assert row == {
        "execution_index": 0,
        "execution_id": "item-0",
        "item_name": "Request 0",
        "request_method": "GET",
        "request_url": "https://api.example.test/orders/0",
        "response_status_code": 200,
        "response_time_ms": 12,
        "response_size_bytes": 34,
        "extra": {
            "iteration": 0, "position": 0, "httpRequestId": "http-0",
            "response": {"status": "OK"},
        },
    }  # fmt: skip
    assert done.differences() == {}


def test_skipped_failed_and_passed_are_distinguished(tmp_path: Path) -> None:
    assertions = [
        passed("ok"),
        {"assertion": "later", "skipped": True},
        failed("", "expected\n1"),
        {"assertion": "no message", "skipped": False, "error": {"name": "TypeError"}},
    ]

    rows = read(tmp_path, newman([execution(0, assertions=assertions)])).rows["assertions"]

    assert [row["passed"] for row in rows] == [True, None, False, False]
    assert [row["name"] for row in rows] == ["ok", "later", "", "no message"]
    assert [row["error"] for row in rows] == [None, None, "expected\n1", "TypeError"]
    assert rows[1]["extra"] == {"skipped": True}


def test_script_errors_and_missing_answers_stand_in_extra(tmp_path: Path) -> None:
    broken = {"error": {"type": "Error", "name": "ReferenceError", "message": "x is not defined"}}
    error = {
        "code": "ECONNREFUSED", "errno": -111, "address": "127.0.0.1", "port": 1,
        "rawPacket": {"type": "Buffer", "data": [72, 84]},
    }  # fmt: skip

    done = read(
        tmp_path,
        newman([
            execution(0, testScript=[broken], prerequestScript=[{}]),
            execution(1, response=None, requestError=error),
        ]),
    )  # fmt: skip

    first, second = done.rows["executions"]
    assert first["extra"]["scriptErrors"] == [
        {"listen": "testScript", "message": "ReferenceError: x is not defined"}
    ]
    assert second["response_status_code"] is None
    assert second["extra"]["requestError"] == {
        "code": "ECONNREFUSED", "errno": -111, "address": "127.0.0.1", "port": 1,
    }  # fmt: skip
    assert done.run["requests_failed"] == 1


def test_a_repeated_execution_is_kept(tmp_path: Path) -> None:
    # A script that calls pm.sendRequest makes newman write its execution again.
    sent = execution(0, assertions=[passed("ok")])
    report = newman([sent, copy.deepcopy(sent), execution(1)])
    report["run"]["stats"]["assertions"]["total"] = 1

    done = read(tmp_path, report)

    assert [row["execution_index"] for row in done.rows["executions"]] == [0, 1, 2]
    assert done.differences() == {"assertions_total": (1, 2)}


def test_a_script_s_request_keeps_the_items_own_id_beside_the_random_one(tmp_path: Path) -> None:
    [row] = read(tmp_path, newman([execution(0, id="random")])).rows["executions"]

    assert row["execution_id"] == "random"
    assert row["extra"]["itemId"] == "item-0"


def test_an_environment_without_a_name_is_none(tmp_path: Path) -> None:
    assert read(tmp_path, newman([execution(0)])).run["environment_id"] is None
    named = newman([execution(0)], environment={"id": "e-1", "name": "staging", "values": []})
    assert read(tmp_path, named).run["environment_id"] == "e-1"


def test_a_run_that_was_stopped_on_its_way_has_failed(tmp_path: Path) -> None:
    report = newman([execution(0)])
    report["run"]["stats"]["requests"]["pending"] = 1

    assert read(tmp_path, report).run["status"] == "failed"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("{{base}}/x", "{{base}}/x"),
        ({"host": ["{{base}}"], "path": ["a", "b"]}, "{{base}}/a/b"),
        ({"protocol": "http", "host": ["h"], "port": "8080", "path": [""]}, "http://h:8080/"),
        (
            {"protocol": "https", "host": ["h"], "path": ["x"],
             "query": [{"key": "a", "value": None}, {"key": "b", "value": ""},
                       {"key": "c", "value": "1"}, {"key": "d", "value": "2", "disabled": True}],
             "hash": "top"},
            "https://h/x?a&b=&c=1#top",
        ),
        (
            {"protocol": "https", "host": ["h"], "path": ["users", ":id"],
             "variable": [{"key": "id", "value": "7"}]},
            "https://h/users/7",
        ),
        (
            {"protocol": "http", "host": ["h"], "path": ["x"],
             "auth": {"user": "me", "password": "secret"},
             "query": [{"key": "api_key", "value": "secret"}]},
            "http://REDACTED:REDACTED@h/x?api_key=REDACTED",
        ),
        ({"raw": "http://h/raw"}, "http://h/raw"),
        (None, None),
    ],
)  # fmt: skip
def test_urls_are_put_together_and_masked(tmp_path: Path, url: Any, text: str | None) -> None:
    sent = execution(0, request={"method": "GET", "url": url})

    assert read(tmp_path, newman([sent])).rows["executions"][0]["request_url"] == text


def test_what_the_report_itself_calls_secret_is_masked_wherever_it_stands(tmp_path: Path) -> None:
    secrets = ["environment-secret", "global-secret", "collection-secret", "bearer-secret"]
    sent = execution(
        0,
        request={
            "method": "POST",
            "url": "https://h/environment-secret/x",
            "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "bearer-secret"}]},
            "header": [{"key": "Authorization", "value": "header-secret"}],
            "body": {"mode": "raw", "raw": "body-secret"},
        },
        assertions=[failed("is it", f"expected {' '.join(secrets)} at https://u:pw@h/")],
    )
    report = newman(
        [sent],
        environment={"id": "e", "name": "staging", "values": [
            {"key": "apiToken", "value": "environment-secret", "type": "any"}]},
        globals={"id": "g", "values": [
            {"key": "x", "value": "global-secret", "type": "secret"}]},
    )  # fmt: skip
    report["collection"]["variable"] = [{"key": "password", "value": "collection-secret"}]

    done = read(tmp_path, report)

    stored = json.dumps([done.run, done.rows], default=str)
    for secret in [*secrets, "header-secret", "body-secret", "u:pw"]:
        assert secret not in stored
    assert done.rows["assertions"][0]["error"].count("REDACTED") == 6


def test_the_same_tests_have_one_digest_whoever_exported_them(tmp_path: Path) -> None:
    def digest(**changes: Any) -> str | None:
        item = {"id": "1", "name": "A", "request": {"method": "GET", "url": {"path": [":id"]}},
                "event": [{"listen": "test", "script": {"exec": ["pm.test('x')"]}}]}  # fmt: skip
        collection = {
            "info": {"_postman_id": "one", "name": "Orders"},
            "item": [{"id": "f", "name": "Folder", "item": [{**item, **changes}]}],
            "variable": [{"key": "a", "value": "1"}],
        }
        return read(tmp_path, newman([], collection=collection)).report.code.code_digest

    assert digest() == digest(id="2", description="new", response=[{"body": "saved"}])
    script = [{"listen": "test", "script": {"exec": ["pm.test('y')"]}}]
    assert len({digest(), digest(name="B"), digest(event=script)}) == 3


def test_folders_are_named(tmp_path: Path) -> None:
    report = newman([execution(0)])
    report["collection"]["item"] = [
        {"name": "Users", "item": [{"name": "Login", "item": [{"id": "item-0", "name": "x"}]}]}
    ]

    [row] = read(tmp_path, report).rows["executions"]

    assert row["extra"]["folder"] == ["Users", "Login"]


def test_two_runs_never_meet_and_one_run_always_does(tmp_path: Path) -> None:
    report = newman([execution(0), execution(1)])
    one = read(tmp_path, report).report
    compact = read(tmp_path, json.dumps(report, sort_keys=True)).report
    without_bodies = copy.deepcopy(report)
    for sent in without_bodies["run"]["executions"]:
        del sent["response"]["stream"]
    other = copy.deepcopy(report)
    for sent in other["run"]["executions"]:
        sent["cursor"]["ref"] += "-again"

    assert one.identity.run_id == compact.identity.run_id
    assert one.digest == compact.digest == read(tmp_path, without_bodies).report.digest
    assert read(tmp_path, other).report.identity.run_id != one.identity.run_id


def test_odd_values_are_left_out_and_the_run_loads(tmp_path: Path) -> None:
    odd = execution(
        0,
        cursor=None,
        item=None,
        request={"method": 7, "url": ["x"]},
        response={"code": "200", "responseTime": 1.6, "responseSize": 2**70},
        assertions=[{"assertion": 5, "error": []}],
        testScript="x",
    )
    report = newman([execution(0)])
    executions: list[Any] = [odd, "nothing", None]
    report["run"]["executions"] = executions

    done = read(tmp_path, report)

    [row] = done.rows["executions"]
    assert row["response_status_code"] is None
    assert row["response_time_ms"] == 2
    assert row["response_size_bytes"] is None
    assert row["request_method"] == "7"
    assert [row["name"] for row in done.rows["assertions"]] == ["5"]


def test_summaries_have_a_run_and_no_executions(tmp_path: Path) -> None:
    full = newman([execution(0, assertions=[failed("bad")])])
    run, info = full["run"], full["collection"]["info"]
    summary = {
        "Collection": {"Info": {"Name": info["name"], "Id": info["_postman_id"]}},
        "Run": {
            "Stats": {
                "Requests": run["stats"]["requests"], "Assertions": run["stats"]["assertions"],
            },
            "Failures": [
                {"Parent": {"Name": "F"}, "Source": {"Name": "Request 0"},
                 "Error": {"Test": "bad", "Message": "expected 1"}}
            ],
            "Timings": run["timings"],
        },
    }  # fmt: skip

    done = read(tmp_path, summary)

    assert done.report.kind == "newman-summary"
    assert done.report.identity.lookalike == read(tmp_path, full).report.identity.lookalike
    assert done.run["assertions_failed"] == 1
    assert done.run["extra"]["summaryOnly"] is True
    assert done.run["extra"]["failures"] == [
        {"source": "Request 0", "test": "bad", "message": "expected 1"}
    ]
    assert done.rows["executions"] == []


def test_an_export_of_the_postman_app_is_a_summary(tmp_path: Path) -> None:
    export = {
        "id": "run-1", "name": "Orders", "timestamp": "2026-11-01T10:00:00.000Z",
        "collection_id": "c-1", "totalPass": 3, "totalFail": 1, "totalTime": 120, "count": 1,
        "results": [{"name": "Login", "url": "https://h", "tests": {"ok": True, "bad": False}}],
    }  # fmt: skip

    done = read(tmp_path, export)

    assert done.report.kind == "postman-export"
    assert (done.run["assertions_total"], done.run["assertions_failed"]) == (4, 1)
    assert done.run["extra"]["failures"] == [{"source": "Login", "test": "bad"}]
