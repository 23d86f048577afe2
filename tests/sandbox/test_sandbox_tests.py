"""Testmo's endpoint of test results, as a plain client sees it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.history import seeded_history
from pipelines.sandbox.server import Sandbox
from tests.support.factories import BOOKS, NOW, testmo_run

Json = dict[str, Any]


def results(number: int) -> list[Json]:
    return [
        {"automation_test_id": place, "name": f"test {number - place}", "status": 2 + place % 2,
         "thread_id": place % 3, "elapsed": None}
        for place in range(1, number + 1)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    tests = {1: results(250)}
    data = SandboxData(
        [], [testmo_run(1), testmo_run(2)], BOOKS, lambda run: tests.get(run["id"], [])
    )
    with Sandbox(data) as sandbox:
        key = {"Authorization": f"Bearer {sandbox.testmo_api_token}"}
        with httpx.Client(base_url=sandbox.testmo_url, headers=key) as client:
            yield client


def ids(client: httpx.Client, **params: Any) -> list[int]:
    page = client.get("automation/runs/1/tests", params=params).json()
    return [test["automation_test_id"] for test in page["result"]]


def test_results_come_in_pages_the_newest_first(client: httpx.Client) -> None:
    page = client.get("automation/runs/1/tests", params={"page": 3}).json()
    assert [test["automation_test_id"] for test in page.pop("result")] == list(range(50, 0, -1))
    assert page == {
        "page": 3, "prev_page": 2, "next_page": None, "last_page": 3, "per_page": 100, "total": 250,
    }  # fmt: skip


def test_results_are_sorted_and_filtered_as_requested(client: httpx.Client) -> None:
    assert ids(client, per_page=1000, order="asc") == list(range(1, 251))
    by_name = ids(client, per_page=1000, sort="automation_run_tests:name", order="asc")
    assert by_name[:3] == [250, 249, 240]
    assert ids(client, thread_id=0, status_id="3", order="asc")[:3] == [3, 9, 15]


def test_a_run_without_results_has_a_page_without_a_number(client: httpx.Client) -> None:
    page = client.get("automation/runs/2/tests").json()
    assert (page["result"], page["page"], page["last_page"]) == ([], None, None)


@pytest.mark.parametrize(
    "params", [{"per_page": 99}, {"per_page": 1001}, {"sort": "id"}, {"status_id": 5}]
)
def test_parameters_that_are_not_known_are_refused_by_name(
    client: httpx.Client, params: dict[str, Any]
) -> None:
    answer = client.get("automation/runs/1/tests", params=params)
    assert answer.status_code == 422
    assert list(answer.json()["errors"]) == list(params)


def test_an_instance_without_the_endpoint_knows_no_results_of_a_run_that_it_has() -> None:
    with Sandbox(SandboxData([], [testmo_run(1)], BOOKS)) as sandbox:
        key = {"Authorization": f"Bearer {sandbox.testmo_api_token}"}
        with httpx.Client(base_url=sandbox.testmo_url, headers=key) as client:
            assert client.get("automation/runs/1").status_code == 200
            assert client.get("automation/runs/1/tests").status_code == 404


def test_the_seeded_results_are_those_that_each_thread_counts() -> None:
    data = seeded_history(NOW, days=20)
    assert data.testmo_tests is not None
    failures: Counter[str] = Counter()
    for run in data.testmo_runs:
        tests = data.testmo_tests(run)
        assert tests == data.testmo_tests(run)
        failures.update(test["name"] for test in tests if test["status"] == 3)
        assert len({test["automation_case_id"] for test in tests}) == len(tests)
        for thread in run["threads"]:
            statuses = Counter(
                test["status"] for test in tests if test["thread_id"] == thread["id"]
            )
            assert statuses[3] == thread["failure_count"]
            assert statuses[2] == thread["success_count"]
            assert statuses.total() == thread["total_count"] - thread["untested_count"]
    assert max(failures.values()) > 3
