"""What a run announces of itself against the rows that were loaded of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipelines.ingest.progress import ScopeReport
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.db import query
from tests.support.factories import BOOKS, postman_run, testmo_run

Load = Callable[..., list[ScopeReport]]
Json = dict[str, Any]


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxData([postman_run(2)], [testmo_run(2)], BOOKS)) as served:
        yield served


def announcing(run: Json, requests: int, assertions: int, failed: int = 0) -> Json:
    stats = {
        "requests": {"total": requests, "failed": 0},
        "assertions": {"total": assertions, "failed": failed},
    }
    return {**run, "stats": stats}


def reconciliations(url: str) -> list[tuple[Any, ...]]:
    return query(
        url,
        "select run_id, total, announced, loaded, repeated, reason from ingest.reconciliations"
        " order by run_id, total",
    )


def test_runs_whose_totals_agree_are_not_listed(
    load: Load, sandbox: Sandbox, warehouse_url: str
) -> None:
    sandbox.put_testmo_run(testmo_run(2, total_count=2))
    load(sandbox.settings)
    assert reconciliations(warehouse_url) == []


def test_rows_that_the_api_repeats_are_distinguished_from_rows_that_are_missing(
    load: Load, sandbox: Sandbox, warehouse_url: str
) -> None:
    again = postman_run(1)
    # A script that sends a request of its own makes Postman repeat the execution.
    again["executions"].insert(1, again["executions"][0])
    sandbox.put_postman_run(announcing(again, requests=3, assertions=3, failed=1))
    sandbox.put_postman_run(announcing(postman_run(3), requests=4, assertions=3, failed=1))
    sandbox.put_postman_run(announcing(postman_run(4), requests=2, assertions=2))
    running = announcing(postman_run(5), requests=9, assertions=3, failed=1)
    sandbox.put_postman_run({**running, "status": "running", "finishedAt": None})
    load(sandbox.settings)

    assert reconciliations(warehouse_url) == [
        ("run-1", "assertions_failed", 1, 2, 1, "repeated"),
        ("run-1", "assertions_total", 3, 5, 2, "repeated"),
        ("run-3", "requests_total", 4, 2, 0, "missing"),
        ("run-4", "assertions_total", 2, 3, 0, "surplus"),
        ("run-5", "requests_total", 9, 2, 0, "open"),
    ]


LOOPED = {
    "id": "item-1",
    "itemName": "Ping",
    "request": {"method": "GET", "url": "https://shop.example.com/ping"},
    "response": {"statusCode": 200, "responseTime": 5, "responseSize": 2},
    "assertions": [{"name": "is up", "passed": True}],
}
EMPTY = {**LOOPED, "assertions": []}


def sent(*numbers: int | None, of: Json = LOOPED) -> list[Json]:
    """Executions of one item, with httpRequestIds or without."""
    return [of if number is None else {**of, "httpRequestId": f"{number}"} for number in numbers]


@pytest.mark.parametrize(
    ("executions", "announced", "repeats"),
    [
        pytest.param(sent(None, None, None), 3, [], id="a loop that is announced"),
        pytest.param(sent(None, None, None), 1, [1, 2], id="what is announced once"),
        pytest.param(sent(None, None, None), 2, [1], id="no more than the surplus"),
        pytest.param(sent(None, None, None), None, [], id="nothing is announced"),
        pytest.param(sent(1, 2, 3), 1, [], id="requests of their own"),
        pytest.param(sent(1, 1, 2), 2, [1], id="the same request"),
        pytest.param(sent(1, None), 1, [], id="one request without its ID"),
        pytest.param([*sent(1), *sent(2, of=EMPTY), *sent(1)], 1, [], id="not directly behind"),
        pytest.param(
            [*sent(1), {**LOOPED, "httpRequestId": "1", "response": {"statusCode": 404}}],
            *(1, []),
            id="another response",
        ),
        pytest.param(
            [*sent(1), {**LOOPED, "httpRequestId": "1", "assertions": [{"name": "is up"}]}],
            *(1, []),
            id="another assertion",
        ),
        pytest.param(
            [{**one, "id": None} for one in sent(1, 1)], 1, [], id="an item without an ID"
        ),
        pytest.param(
            [{**one, "iteration": number} for number, one in enumerate(sent(None, None))],
            *(1, []),
            id="iterations",
        ),
        pytest.param([*sent(1, 1), *sent(2, 2, of=EMPTY)], 1, [1], id="nothing left to explain"),
        pytest.param([*sent(2, 2, of=EMPTY), *sent(1, 1)], 1, [1, 3], id="an empty row before it"),
    ],
)
def test_a_row_repeats_the_one_directly_before_it_while_there_is_a_surplus(
    load: Load,
    sandbox: Sandbox,
    warehouse_url: str,
    executions: list[Json],
    announced: int | None,
    repeats: list[int],
) -> None:
    stats = {"assertions": {"total": announced}}
    run = {**postman_run(1), "executions": executions, "stats": stats}
    sandbox.put_postman_run(run)
    load(sandbox.settings)
    assert [
        index
        for (index,) in query(
            warehouse_url, "select execution_index from ingest.repeated_executions('run-1')"
        )
    ] == repeats
    rows = sum(len(executions[index]["assertions"]) for index in repeats)
    if rows:
        assert reconciliations(warehouse_url)[0][4] == rows


def test_iterations_of_the_same_item_are_no_repetition(
    load: Load, sandbox: Sandbox, warehouse_url: str
) -> None:
    run = postman_run(1)
    rounds = [{**one, "iteration": number} for number in range(2) for one in run["executions"]]
    sandbox.put_postman_run(announcing({**run, "executions": rounds}, requests=3, assertions=6))
    load(sandbox.settings)
    assert reconciliations(warehouse_url) == [
        ("run-1", "assertions_failed", 0, 2, 0, "surplus"),
        ("run-1", "requests_total", 3, 4, 0, "surplus"),
    ]


def test_a_testmo_run_is_compared_with_its_threads(
    load: Load, sandbox: Sandbox, warehouse_url: str
) -> None:
    sandbox.put_testmo_run(testmo_run(3, thread_count=2, total_count=7))
    sandbox.put_testmo_run(testmo_run(4, thread_completed_count=None, total_count=None))
    sandbox.put_testmo_run(testmo_run(5, is_completed=False, completed_at=None, thread_count=3))
    load(sandbox.settings)
    assert reconciliations(warehouse_url) == [
        ("3", "thread_count", 2, 1, 0, "missing"),
        ("3", "total_count", 7, 3, 0, "missing"),
        ("5", "thread_count", 3, 1, 0, "open"),
    ]


def test_a_run_that_agrees_later_is_settled_and_an_unchanged_one_is_left_as_it_is(
    load: Load, sandbox: Sandbox, warehouse_url: str
) -> None:
    for number in (3, 4):
        running = announcing(postman_run(number), requests=3, assertions=3, failed=number % 2)
        sandbox.put_postman_run({**running, "status": "running", "finishedAt": None})
    load(sandbox.settings)
    assert [row[0] for row in reconciliations(warehouse_url)] == ["run-3", "run-4"]
    before = query(warehouse_url, "select * from ingest.reconciliations where run_id = 'run-4'")

    sandbox.put_postman_run(postman_run(3))
    load(sandbox.settings)
    assert (
        query(warehouse_url, "select * from ingest.reconciliations")
        == before
        == query(warehouse_url, "select * from ingest.reconciliations where reason = 'open'")
    )
