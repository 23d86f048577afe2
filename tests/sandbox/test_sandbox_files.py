"""Runs and books from files: what is read is what is served; what is not a run is named."""

import gzip
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.files import read_files
from pipelines.sandbox.server import Sandbox

POSTMAN_RUNS: list[dict[str, Any]] = [
    {"id": "a", "collectionId": "1-c", "startedAt": "2026-05-04T10:00:00Z", "note": "é \u2028"},
    {"id": "b", "collectionId": "1-c", "size": 2**70, "error": "half a pair \ud83d"},
]
TESTMO_RUNS: list[dict[str, Any]] = [
    {
        "id": 1,
        "project_id": 5,
        "source_id": 3,
        "config_id": None,
        "created_by": 8,
        "status1_count": 4,
        "status2_count": 1,
        "threads": [{"created_by": 9, "untested_count": 2}],
    },
    {"id": 2, "project_id": 6, "milestone_id": 4, "status7_count": 1},
]
BOOKS = {
    "automation_sources": [{"id": 3, "project_id": 5, "name": "unit"}],
    "configs": {},
    "milestones": {"4": "v3"},
    "users": {"8": "Ada"},
    "projects": {"5": "Shop"},
    "statuses": [{"id": 2, "name": "Passed", "system_name": "status1", "is_passed": True}],
}


def lines_of(runs: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(run) + "\n" for run in runs)


@pytest.mark.parametrize("suffix", ["ndjson", "ndjson.gz"])
def test_what_is_in_the_files_is_what_is_served(tmp_path: Path, suffix: str) -> None:
    postman, testmo = tmp_path / f"postman.{suffix}", tmp_path / f"testmo.{suffix}"
    for path, runs in ((postman, POSTMAN_RUNS), (testmo, TESTMO_RUNS)):
        text = lines_of(runs).encode()
        path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    books = tmp_path / "books.json"
    books.write_text(json.dumps(BOOKS))
    data = read_files(postman, testmo, books)
    assert data == SandboxData(POSTMAN_RUNS, TESTMO_RUNS, BOOKS)
    with Sandbox(data) as sandbox:
        key = {"x-api-key": sandbox.postman_api_key}
        for run in POSTMAN_RUNS:
            url = f"{sandbox.postman_url}/collections/1-c/runs/{run['id']}"
            assert httpx.get(url, headers=key).json() == {"run": run}
        token = {"Authorization": f"Bearer {sandbox.testmo_api_token}"}
        url = f"{sandbox.testmo_url}/projects/5/automation/runs?expands=users,statuses"
        page = httpx.get(url, headers=token).json()
    assert page["result"] == TESTMO_RUNS[:1]
    assert page["expands"] == {
        "users": [{"id": 8, "name": "Ada"}],
        "statuses": BOOKS["statuses"],
    }


def test_no_files_are_no_runs() -> None:
    assert read_files(None, None, None).postman_runs == []
    with Sandbox(read_files(None, None, None)) as sandbox:
        assert sandbox.settings == {}


def test_without_a_books_file_every_id_gets_a_name(tmp_path: Path) -> None:
    path = tmp_path / "runs.ndjson"
    path.write_text(lines_of(TESTMO_RUNS))
    books = read_files(None, path, None).testmo_books
    statuses = books.pop("statuses")
    assert books == {
        "automation_sources": [{"id": 3, "project_id": 5, "name": "source 3"}],
        "configs": {},
        "milestones": {"4": "milestone 4"},
        "users": {"8": "user 8", "9": "user 9"},
        "projects": {"5": "project 5", "6": "project 6"},
    }
    flags = {
        status["system_name"]: [flag for flag, is_so in status.items() if is_so is True]
        for status in statuses
    }
    assert flags == {
        "untested": ["is_untested"],
        "status1": ["is_final", "is_passed"],
        "status2": ["is_final", "is_failed"],
        "status7": ["is_final"],
    }
    assert len({status["id"] for status in statuses}) == 4


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "runs.ndjson"
    path.write_text("\ufeff\n" + lines_of(TESTMO_RUNS) + "\n\n")
    assert read_files(None, path, None).testmo_runs == TESTMO_RUNS


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"id": "b"', "not JSON"),
        ("[]", "a run is a JSON object"),
        ('{"collectionId": "c"}', "a run needs id"),
        ('{"id": 7, "collectionId": "c"}', "a run needs id"),
        ('{"id": "b", "collectionId": null}', "a run needs collectionId"),
    ],
)
def test_a_line_that_is_no_run_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "runs.ndjson"
    path.write_text(lines_of(POSTMAN_RUNS) + "\n" + line)
    with pytest.raises(ValueError, match=complaint) as caught:
        read_files(path, None, None)
    assert str(caught.value).startswith(f"{path}, line 4: ")
    assert "\n" not in str(caught.value)


def test_a_testmo_run_needs_whole_numbers(tmp_path: Path) -> None:
    path = tmp_path / "runs.ndjson"
    path.write_text('{"id": true, "project_id": 5}')
    with pytest.raises(ValueError, match=r"line 1: a run needs id \(a whole number\)"):
        read_files(None, path, None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.gz", gzip.compress(lines_of(POSTMAN_RUNS).encode(), mtime=0)[:-9]),
        ("damaged.gz", gzip.compress(b'{"id": "a"}', mtime=0)[:12] + b"\xff" * 40),
        ("plain.gz", b'{"id": "a"}'),
        ("latin.ndjson", b'{"id": "\xe9"}'),
        ("missing.ndjson", None),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r".") as caught:
        read_files(path, None, None)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("books", "complaint"),
    [
        ("{", "truncated"),
        ("[]", "Expected `object`"),
        ('{"users": {"x": "Ada"}}', r"\$\.users"),
        ('{"users": ["Ada"]}', r"\$\.users"),
        ('{"statuses": [{"id": 1, "name": "Passed"}]}', "system_name"),
    ],
)
def test_books_of_another_shape_are_refused_with_the_place(
    tmp_path: Path, books: str, complaint: str
) -> None:
    path = tmp_path / "books.json"
    path.write_text(books)
    with pytest.raises(ValueError, match=complaint) as caught:
        read_files(None, None, path)
    assert str(caught.value).startswith(f"{path}: ")
