"""CTRF, as its reporters write it and have written it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.reports import STARTED, read


def ctrf(*tests: dict[str, Any], **members: Any) -> dict[str, Any]:
    counts = [test.get("status") for test in tests]
    summary = {
        "tests": len(tests), "passed": counts.count("passed"), "failed": counts.count("failed"),
        "skipped": counts.count("skipped"), "pending": counts.count("pending"),
        "other": counts.count("other"), "start": STARTED, "stop": STARTED + 1500,
    }  # fmt: skip
    results = {"tool": {"name": "playwright"}, "summary": summary, "tests": list(tests)}
    return {
        "reportFormat": "CTRF", "specVersion": "0.0.0", "results": {**results, **members},
    }  # fmt: skip


def test_each_test_is_a_row(tmp_path: Path) -> None:
    done = read(
        tmp_path,
        ctrf(
            {"name": "a", "status": "passed", "duration": 3, "suite": "x.js > outer > inner"},
            {"name": "b", "status": "failed", "duration": 4.5, "suite": ["one", "a > b"],
             "message": "no", "trace": "t", "filePath": "/r/x.js", "line": 7,
             "screenshot": "c2VjcmV0", "stdout": ["secret"],
             "attachments": [{"name": "n", "path": "shot.png", "contentType": "image/png"}]},
            {"name": "c", "status": "pending", "duration": 0},
            {"name": "d", "status": "other", "rawStatus": "timedOut", "duration": 9},
        ),
    )  # fmt: skip

    rows = done.rows["tests"]
    assert [row["status"] for row in rows] == ["passed", "failed", "skipped", "other"]
    assert [row["suite_path"] for row in rows[:2]] == [["x.js", "outer", "inner"], ["one", "a > b"]]
    assert rows[1]["duration_ms"] == 4.5
    assert rows[1]["message"] == "no"
    assert rows[1]["file"] == "/r/x.js"
    assert rows[1]["extra"] == {
        "line": 7, "attachments": [{"path": "shot.png", "contentType": "image/png"}],
    }  # fmt: skip
    assert rows[3]["extra"]["rawStatus"] == "timedOut"
    assert "secret" not in str(rows)
    assert "c2VjcmV0" not in str(rows)
    assert done.run["source"] == "playwright"
    assert (done.run["tests_total"], done.run["tests_skipped"]) == (4, 1)
    assert done.run["duration_ms"] == 1500
    assert done.differences() == {}


@pytest.mark.parametrize(
    ("members", "status", "attempts"),
    [
        ({"retries": 2, "flaky": True}, "passed", ["failed", "failed", "passed"]),
        ({"retries": 1}, "failed", ["failed", "failed"]),
        ({"retries": 0}, "passed", []),
        (
            {"retries": 1, "retryAttempts": [{"attempt": 1, "status": "failed"}]},
            "passed",
            ["failed", "passed"],
        ),
        (
            {"retries": 1, "retryAttempts": [
                {"attempt": 2, "status": "passed"}, {"attempt": 1, "status": "failed"}]},
            "passed",
            ["failed", "passed"],
        ),
    ],
)  # fmt: skip
def test_attempts_are_rows_the_deciding_one_last(
    tmp_path: Path, members: dict[str, Any], status: str, attempts: list[str]
) -> None:
    done = read(tmp_path, ctrf({"name": "a", "status": status, "duration": 1, **members}))

    assert [row["status"] for row in done.rows["attempts"]] == attempts
    assert [row["attempt"] for row in done.rows["attempts"]] == [*range(1, len(attempts) + 1)]
    is_flaky = (done.rows["tests"][0]["extra"] or {}).get("flaky", False)
    assert is_flaky is (status == "passed" and bool(attempts))


def test_seconds_are_distinguished_from_milliseconds(tmp_path: Path) -> None:
    report = ctrf({"name": "a", "status": "passed", "duration": 1})
    report["results"]["summary"] |= {"start": STARTED / 1000, "stop": STARTED / 1000 + 2}

    run = read(tmp_path, report).run

    assert run["started_at"] == datetime.fromtimestamp(STARTED / 1000, UTC)
    assert run["duration_ms"] == 2000


def test_older_reports_name_no_format(tmp_path: Path) -> None:
    report = ctrf({"name": "a", "status": "passed"})
    del report["reportFormat"]

    assert read(tmp_path, report).report.kind == "ctrf"


def test_the_environment_says_which_code_it_was(tmp_path: Path) -> None:
    environment = {
        "commit": "ABCDEF1", "branchName": "origin/main", "buildNumber": 17,
        "buildUrl": "https://u:p@ci.example.test/17", "testEnvironment": "staging",
        "appVersion": "1.2.3", "extra": {"token": "secret"},
    }  # fmt: skip

    done = read(tmp_path, ctrf({"name": "a", "status": "passed"}, environment=environment))

    code = done.report.code
    assert (code.commit_sha, code.branch, code.pipeline_id) == ("abcdef1", "main", "17")
    assert code.build_url == "https://ci.example.test/17"
    assert done.run["environment"] == "staging"
    assert done.run["extra"]["appVersion"] == "1.2.3"
    assert "secret" not in str(done)


def test_identity_is_the_run_s_then_the_document_s_then_the_content_s(tmp_path: Path) -> None:
    def run_id(**members: Any) -> str:
        report = {**ctrf({"name": "a", "status": "passed", "duration": 1}), **members}
        return read(tmp_path, report).report.identity.run_id

    assert run_id(runId="r", reportId="one") == run_id(runId="r", reportId="two")
    assert run_id(reportId="one") != run_id(reportId="two")
    assert run_id() == run_id()
    assert len({run_id(runId="r"), run_id(reportId="r"), run_id()}) == 3


def test_announced_totals_are_compared_with_the_tests(tmp_path: Path) -> None:
    report = ctrf({"name": "a", "status": "failed"})
    report["results"]["summary"] |= {"tests": 9, "failed": 0}

    assert read(tmp_path, report).differences() == {"tests_total": (9, 1), "tests_failed": (0, 1)}


def test_odd_members_are_left_out(tmp_path: Path) -> None:
    odd = {"name": None, "status": 5, "duration": "x", "suite": [1, None], "tags": {"a": 1},
           "retryAttempts": "none", "retries": -4, "attachments": ["x"], "start": "z"}  # fmt: skip

    [row] = read(tmp_path, ctrf(odd)).rows["tests"]

    assert (row["name"], row["status"], row["duration_ms"]) == (None, "other", None)
