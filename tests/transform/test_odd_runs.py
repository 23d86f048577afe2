"""Runs that say something odd of themselves, and what the marts make of them."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.dbt import Connection, at, dbt, load_postman, marts, rows


@pytest.fixture
def warehouse(dbt_warehouse_url: str) -> Iterator[Connection]:
    with psycopg.connect(dbt_warehouse_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def build(dbt_warehouse_url: str, dbt_target: Path) -> Callable[..., Any]:
    return lambda *options: dbt(dbt_warehouse_url, dbt_target, *(options or ("run",)))


@pytest.mark.builds
def test_a_run_dated_after_its_load_keeps_its_day_and_moves_nothing_else(
    warehouse: Connection, build: Callable[..., Any]
) -> None:
    for day in range(20):
        began = at("2026-10-01T03:00Z") + dt.timedelta(days=day)
        times: dict[str, Any] = {
            "started_at": began,
            "finished_at": began,
            "loaded_at": began,
        }
        for collection in ("green", "red", "odd"):
            is_red = collection == "red" and day > 17
            load_postman(
                warehouse,
                f"{collection} {day}",
                ["f" if is_red else "p"],
                collection_id=collection,
                environment_id="e",
                times=[100],
                **times,
            )
    build()
    before = marts(warehouse)
    odd: dict[str, Any] = {
        "started_at": at("2027-10-20T03:00Z"),
        "loaded_at": at("2026-10-20T04:00Z"),
        "collection_id": "odd",
        "environment_id": "e",
    }
    # it fails, which makes neither its test, its collection nor its environment any worse
    load_postman(warehouse, "ahead", ["p"], times=[9000], **odd)
    warehouse.execute("update raw_postman.assertions set passed = false where run_id = 'ahead'")
    build()
    after = marts(warehouse)

    changed = {
        mart: (
            sorted(set(before[mart]) - set(after[mart])),
            sorted(set(after[mart]) - set(before[mart])),
        )
        for mart in after
        if before[mart] != after[mart]
    }
    # the day itself, and rows of the run
    for mart in (
        "dim_dates",
        "fct_daily_run_health",
        "fct_request_latency_daily",
        "fct_test_runs",
        "fct_request_executions",
        "fct_assertion_results",
        "fct_test_results",
    ):
        gone, new = changed.pop(mart)
        assert gone == []
        assert len(new) == 1
        assert "2027-10-20" in new[0]
    # what is only counted: runs of the collection, results that have no place in an order
    assert rows(
        warehouse,
        "select runs_total, recent_runs, current_health, last_seen_at from marts.dim_collections"
        " where collection_id = 'odd'",
    ) == [(21, 14, "green", at("2026-10-20T03:00Z"))]
    assert rows(
        warehouse,
        "select results_not_started, health, is_live from marts.dim_tests"
        " where collection_or_project_id = 'odd'",
    ) == [(1, "healthy", True)]
    assert rows(
        warehouse,
        "select failures, failures_not_started from marts.fct_failure_clusters order by 1",
    ) == [(1, 1), (2, 0)]
    assert [len(some) for some in changed.pop("fct_failure_clusters")] == [0, 1]
    for mart in ("dim_collections", "dim_tests"):
        assert [len(some) for some in changed.pop(mart)] == [1, 1]
    assert changed == {}
    build("build", "--full-refresh")
    assert marts(warehouse) == after


def test_a_status_in_the_words_of_any_client_is_green_or_red(
    warehouse: Connection, build: Callable[..., Any]
) -> None:
    words = ["finished", "Finished", "success", "aborted", "cancelled", "error", "failed", "paused"]
    for hour, word in enumerate(words):
        began = at("2026-10-01T00:00Z") + dt.timedelta(hours=hour)
        load_postman(warehouse, word, ["p"], status=word, started_at=began, finished_at=began)
    build("run", "--select", "+fct_test_runs")
    assert dict(rows(warehouse, "select run_id, status from marts.fct_test_runs")) == {
        "finished": "passed",
        "Finished": "passed",
        "success": "passed",
        "aborted": "failed",
        "cancelled": "failed",
        "error": "failed",
        "failed": "failed",
        "paused": "unknown",
    }
    assert rows(
        warehouse, "select run_id from marts.fct_test_runs where is_cut_short order by 1"
    ) == [("aborted",), ("cancelled",), ("error",), ("failed",)]


def test_production_is_red_for_as_long_as_it_is_whatever_staging_does(
    warehouse: Connection, build: Callable[..., Any]
) -> None:
    for day in range(22):
        for environment, minutes in (("production", 0), ("staging", 10)):
            began = at("2026-10-01T03:00Z") + dt.timedelta(days=day, minutes=minutes)
            is_red = environment == "production" and 0 < day < 21
            load_postman(
                warehouse,
                f"{environment} {day}",
                ["f" if is_red else "p"],
                environment_id=environment,
                started_at=began,
                finished_at=began,
            )
    build("run", "--select", "+dim_collections", "+fct_red_periods", "+fct_daily_run_health")
    assert rows(
        warehouse, "select environment, red_minutes, recovered_at from marts.fct_red_periods"
    ) == [("production", 20 * 24 * 60, at("2026-10-22T03:00Z"))]
    assert rows(
        warehouse,
        "select sum(red_minutes), sum(recoveries), sum(recovery_minutes)"
        " from marts.fct_daily_run_health",
    ) == [(20 * 24 * 60, 1, 20 * 24 * 60)]
