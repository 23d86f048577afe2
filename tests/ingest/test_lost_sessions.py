"""The session with the warehouse is lost, or held up: a load goes on once, or ends at once."""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from pipelines.ingest.progress import NullProgress, ScopeReport
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.sources.spec import SourceName
from pipelines.warehouse.engine import connect
from pipelines.warehouse.locks import take_lock
from tests.support.contract import POSTMAN
from tests.support.db import end_sessions, query, tables
from tests.support.factories import BOOKS, COLLECTION, postman_run
from tests.support.oracle import tables_of_postman

Load = Callable[..., list[ScopeReport]]

HISTORY = [postman_run(number) for number in range(230)]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxData(HISTORY, [], BOOKS), requests_per_minute=1_000_000) as sandbox:
        yield sandbox


@pytest.fixture
def variables(sandbox: Sandbox) -> dict[str, str]:
    settings = {k: v for k, v in sandbox.settings.items() if k.startswith("POSTMAN")}
    return {**settings, "POSTMAN_REQUESTS_PER_MINUTE": "1000000"}


def test_a_session_that_is_lost_before_each_batch_costs_nothing(
    load: Load, warehouse_url: str, variables: dict[str, str]
) -> None:
    class Cutting(NullProgress):
        cuts = 0

        def runs_fetched(self, source: SourceName, scope: str, runs: int) -> None:  # noqa: ARG002
            self.cuts += 1
            end_sessions(warehouse_url)

    cutting = Cutting()
    [report] = load(variables, cutting)

    assert cutting.cuts > 5
    assert report.error is None
    assert tables(warehouse_url, POSTMAN) == tables_of_postman(HISTORY, POSTMAN)
    assert report.rows["raw_postman.collection_runs"] == len(HISTORY)
    assert query(warehouse_url, "select outcome from ingest.loads") == [("succeeded",)]


def test_a_warehouse_that_is_gone_ends_the_load_at_once_in_one_line(
    load: Load, warehouse_url: str, server_url: str, sandbox: Sandbox, variables: dict[str, str]
) -> None:
    name = warehouse_url.rpartition("/")[2]

    def admits(*, connections: bool) -> None:
        with psycopg.connect(server_url, autocommit=True) as server:
            server.execute(f'alter database "{name}" allow_connections {connections}'.encode())

    class Closing(NullProgress):
        def runs_fetched(self, source: SourceName, scope: str, runs: int) -> None:  # noqa: ARG002
            admits(connections=False)
            end_sessions(server_url, of=name)

    [report] = load(variables, Closing())
    admits(connections=True)

    assert report.error is not None
    assert report.error.startswith("TESTRUNS_WAREHOUSE_URL: the warehouse does not answer: ")
    assert "\n" not in report.error
    assert report.is_transient
    # A batch of forty was on its way, and what was under way with it.
    assert len(sandbox.requests) < 100
    assert [report.error for report in load(variables)] == [None]
    assert tables(warehouse_url, POSTMAN) == tables_of_postman(HISTORY, POSTMAN)
    outcomes = "select outcome from ingest.loads order by load_id"
    assert query(warehouse_url, outcomes) == [("interrupted",), ("succeeded",)]


def test_a_load_that_waits_for_another_says_for_whom(
    load: Load,
    warehouse_url: str,
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.warehouse.locks._QUIET_SECONDS", 0.01)
    holder = connect(warehouse_url, role="testruns elsewhere")
    take_lock(holder, f"testruns postman {COLLECTION}", busy="", waits=pytest.fail)
    heard: list[Any] = []

    class Waiting(NullProgress):
        def waits_for_lock(self, source: SourceName, scope: str, holder_: str) -> None:
            heard.append((source, scope, holder_.rpartition(" ")[0]))
            holder.close()

    with closing(holder):
        [report] = load(variables, Waiting())

    assert heard == [("postman", COLLECTION, "testruns elsewhere")]
    assert report.error is None


def test_a_schema_that_is_not_there_is_one_line(
    load: Load, warehouse_url: str, variables: dict[str, str]
) -> None:
    with connect(warehouse_url) as connection:
        connection.execute("drop schema raw_postman cascade")
    [report] = load(variables)

    assert report.error == "the warehouse failed: raw_postman.collection_runs does not exist"
    assert report.is_transient
