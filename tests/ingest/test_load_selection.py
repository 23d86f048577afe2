"""Which sources and runs a load reads, and what it writes down of itself."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.contract import POSTMAN, REFERENCES, TESTMO
from tests.support.db import query, tables
from tests.support.factories import BOOKS, COLLECTION, NOW, PROJECT, postman_run, testmo_run
from tests.support.loads import (
    RUNS,
    Json,
    Load,
    assert_equal_to,
    hourly_runs,
    only_postman,
    only_testmo,
)
from tests.support.oracle import tables_of_postman, tables_of_testmo


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(hourly_runs()) as sandbox:
        yield sandbox


def test_only_the_run_sources_requested_are_loaded(load: Load, warehouse_url: str) -> None:
    sources = ("monitor", "newman", "api")
    runs = [postman_run(number, source=sources[number % 3]) for number in range(9)]
    with Sandbox(SandboxData(runs, [], BOOKS)) as sandbox:
        for wanted in (["newman"], ["newman", "api"]):
            load({**sandbox.settings, "POSTMAN_RUN_SOURCES": ",".join(wanted)})
            kept = [run for run in runs if run["source"] in wanted]
            assert tables(warehouse_url, POSTMAN) == tables_of_postman(kept, POSTMAN)
        # The API filters by one source only; what it can hide costs no request.
        assert {request.query.get("source") for request in sandbox.requests} == {"newman", None}
        assert sum("run-0" in request.path for request in sandbox.requests) == 0


def test_only_the_testmo_runs_that_match_are_loaded(load: Load, warehouse_url: str) -> None:
    runs = [
        testmo_run(
            number,
            source_id=1 + number % 2,
            config_id=(7, 9, 8, None, 6)[number % 5],
            milestone_id=8 if number % 7 == 3 else None,
            created_by=2 + number % 3,
            tags=(["nightly"], ["main"], ["pr", "main"], [], [])[number % 11 % 5],
        )
        for number in range(1, 61)
    ]
    filters: list[tuple[str, str, Callable[[Json], bool]]] = [
        ("TESTMO_MILESTONE_IDS", "8", lambda run: run["milestone_id"] == 8),
        ("TESTMO_CONFIG_IDS", "7,9", lambda run: run["config_id"] in (7, 9)),
        ("TESTMO_TAGS", "pr,nightly", lambda run: bool({"pr", "nightly"} & set(run["tags"]))),
        ("TESTMO_CREATED_BY", "3", lambda run: run["created_by"] == 3),
        ("TESTMO_SOURCE_IDS", "2", lambda run: run["source_id"] == 2),
    ]
    # What a filter has hidden lies before its watermark, and is loaded all the same by the next.
    wanted: dict[int, Json] = {}
    with Sandbox(SandboxData([], runs, BOOKS)) as sandbox:
        for variable, value, is_wanted in filters:
            before = len(wanted)
            wanted |= {run["id"]: run for run in runs if is_wanted(run)}
            assert before < len(wanted) < len(runs)
            load({**sandbox.settings, variable: value})
            assert tables(warehouse_url, TESTMO) == tables_of_testmo(wanted.values(), TESTMO)

        load(sandbox.settings)
        assert tables(warehouse_url, TESTMO) == tables_of_testmo(runs, TESTMO)


def test_each_source_is_loaded_without_the_other(
    load: Load, warehouse_url: str, sandbox: Sandbox
) -> None:
    load(only_testmo(sandbox))
    assert query(warehouse_url, f"select count(*) from {RUNS}") == [(0,)]
    load(only_postman(sandbox))

    assert_equal_to(
        warehouse_url,
        [postman_run(number) for number in range(12)],
        [testmo_run(number) for number in range(1, 11)],
        BOOKS,
    )


def test_every_load_writes_down_what_it_did(
    load: Load, warehouse_url: str, sandbox: Sandbox
) -> None:
    [postman, testmo] = load(sandbox.settings)

    saved_loads = query(
        warehouse_url,
        "select load_id, source, scope, kind, outcome, error, requests, requests_total,"
        " rows_written, rows_rejected, watermark_before, watermark_after"
        " from ingest.loads order by load_id",
    )
    rows = Counter[str]()
    for table in (*POSTMAN, *TESTMO, *REFERENCES):
        rows[table] = query(warehouse_url, f"select count(*) from {table}")[0][0]
    assert [row[:6] for row in saved_loads] == [
        (postman.load_id, "postman", COLLECTION, "incremental", "succeeded", None),
        (testmo.load_id, "testmo", str(PROJECT), "incremental", "succeeded", None),
    ]
    paths = Counter((request.api, request.path.endswith("/runs")) for request in sandbox.requests)
    assert [row[6] for row in saved_loads] == [
        {
            "GET collections/{id}/runs": paths["postman", True],
            "GET collections/{id}/runs/{runId}": paths["postman", False],
        },
        {
            "GET projects/{id}/automation/runs": paths["testmo", True],
            "GET automation/runs/{id}/tests": paths["testmo", False],
        },
    ]
    # Test results of two runs: the sandbox has none.
    assert [row[7] for row in saved_loads] == [13, 1 + 2]
    written = {**saved_loads[0][8], **saved_loads[1][8]}
    assert written == {table: number for table, number in rows.items() if number}
    assert [row[9:] for row in saved_loads] == [(0, None, NOW), (0, None, NOW - timedelta(hours=1))]
    assert [dict(report.rows) for report in (postman, testmo)] == [row[8] for row in saved_loads]
    [(quota, size, window_to)] = query(
        warehouse_url,
        "select quota, bytes_received, window_to <= finished_at from ingest.loads"
        " where source = 'postman'",
    )
    assert quota == {
        "limit": 6000,
        "remaining": 6000 - 13,
        "month_limit": 1_000_000,
        "month_remaining": 1_000_000 - 13,
    }
    assert size > 1000
    assert window_to
    ids = {load_id for (load_id,) in query(warehouse_url, f"select load_id from {RUNS}")}
    assert ids == {postman.load_id}
