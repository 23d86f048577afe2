"""The dbt project on a real Postgres: what the marts say of rows whose answers are known."""

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.types.json import Jsonb

from pipelines.resources import bundled
from pipelines.transform.build import transform
from tests.support.dbt import Connection, at, day, dbt, insert, load_postman, marts, rows

ACCUMULATING = ("fct_request_executions", "fct_assertion_results")


@pytest.fixture
def warehouse(dbt_warehouse_url: str) -> Iterator[Connection]:
    with psycopg.connect(dbt_warehouse_url, autocommit=True) as connection:
        yield connection


def test_the_marts_say_what_was_computed_by_hand(
    dbt_warehouse_url: str, warehouse: Connection, dbt_target: Path
) -> None:
    # Berlin left summer time on 25 October at 01:00 UTC: that day lasted from 22:00 to 23:00 UTC.
    run_values: dict[str, Any] = {
        "duration_ms": 1000,
        "requests_total": 2,
        "assertions_total": 3,
        "assertions_failed": 0,
    }
    load_postman(warehouse, "a", ["pps", "p"], started_at=at("2026-10-24T22:00Z"), **run_values)
    run_values["duration_ms"] = 2000
    load_postman(warehouse, "b", ["pf", "!fu"], started_at=at("2026-10-25T22:59:59Z"), **run_values)
    load_postman(warehouse, "c", ["p"], started_at=at("2026-10-25T23:00Z"), duration_ms=70)
    load_postman(warehouse, "cut", [], status="failed", started_at=at("2026-10-25T12:00Z"))
    load_postman(warehouse, "killed", [], status="running", started_at=at("2026-10-25T13:00Z"))
    load_postman(warehouse, "waiting", [], status="queued")
    load_postman(warehouse, "gone", ["p"], deleted_at=at("2026-10-26T03:00Z"))
    insert(
        warehouse,
        "raw_testmo.automation_sources",
        {"id": 5, "name": "web-e2e", "load_id": 1},
    )
    insert(
        warehouse,
        "raw_testmo.automation_runs",
        {
            "run_id": 1,
            "project_id": 7,
            "source_id": 5,
            "name": "Nightly",
            "status": 3,
            "elapsed": 291_600_011_423,
            "is_completed": True,
            "success_count": 6,
            "failure_count": 2,
            "total_count": 10,
            "created_at": at("2026-10-24T22:30Z"),
            "completed_at": at("2026-10-28T07:30Z"),
            "load_id": 1,
        },
    )

    difference = {"source": "postman", "total": "requests_total", "announced": 2, "load_id": 1}
    insert(
        warehouse,
        "ingest.reconciliations",
        difference
        | {"scope": "c1", "run_id": "b", "loaded": 1, "repeated": 0, "reason": "missing"},
        difference
        | {"scope": "c1", "run_id": "gone", "loaded": 3, "repeated": 1, "reason": "repeated"},
    )
    insert(
        warehouse,
        "raw_reports.runs",
        {"run_id": "j", "source": "newman-junit", "format": "junit", "load_id": 1,
         "extra": Jsonb({"supersededBy": "a", "timeGuessed": True})},
        {"run_id": "k", "source": "pytest", "format": "junit", "load_id": 1},
    )  # fmt: skip
    result = {"run_id": "k", "suite_path": ["shop"], "name": "t"}
    insert(
        warehouse,
        "raw_reports.tests",
        result | {"test_index": 0, "status": "passed", "extra": Jsonb({"flaky": True})},
        result | {"test_index": 1, "status": "failed", "extra": Jsonb({"occurrence": 2})},
    )
    insert(
        warehouse,
        "ingest.code_identities",
        {"source": "postman", "run_id": "a", "code_digest": "d"},
        {"source": "reports", "run_id": "k", "commit_sha": "c0ffee", "branch": "main"},
    )

    report = transform(dbt_warehouse_url, timezone="Europe/Berlin", target_path=dbt_target)

    assert report.succeeded, report
    assert rows(
        warehouse,
        """
        select test_run_key, run_source, superseded_by_test_run_key, is_time_guessed, commit_sha,
               branch
        from staging.stg_reports__runs
        left join staging.stg_ingest__code_identities using (test_run_key) order by 1
        """,
    ) == [
        ("reports:j", "newman-junit", "postman:a", True, None, None),
        ("reports:k", "pytest", None, False, "c0ffee", "main"),
    ]
    assert rows(
        warehouse,
        "select test_index, occurrence, is_flaky_in_run from staging.stg_reports__tests order by 1",
    ) == [(0, 1, True), (1, 2, False)]
    assert (report.warned_tests, report.skipped) == ([], [])
    assert rows(
        warehouse,
        """
        select run_id, status, is_open, business_date, duration_ms, requests_total,
               requests_failed, tests_passed, tests_failed, tests_undecided, pass_rate
        from marts.fct_test_runs order by test_run_key
        """,
    ) == [
        ("a", "passed", False, day("2026-10-25"), 1000, 2, 0, 3, 0, 1, 1.0),
        ("b", "failed", False, day("2026-10-25"), 2000, 2, 1, 1, 2, 1, 1 / 3),
        ("c", "passed", False, day("2026-10-26"), 70, 1, 0, 1, 0, 0, 1.0),
        ("cut", "failed", False, day("2026-10-25"), None, 0, 0, 0, 0, 0, None),
        ("killed", "running", True, day("2026-10-25"), None, 0, 0, 0, 0, 0, None),
        ("waiting", "queued", True, None, None, 0, 0, 0, 0, 0, None),
        ("k", "failed", False, None, None, None, None, 1, 1, 0, 0.5),
        ("1", "failed", False, day("2026-10-25"), 291_600_011.423, None, None, 6, 2, 2, 0.75),
    ]
    assert rows(
        warehouse,
        "select run_id, commit_sha, branch, code_digest from marts.fct_test_runs"
        " where num_nonnulls(commit_sha, code_digest) > 0 order by 1",
    ) == [("a", None, None, "d"), ("k", "c0ffee", "main", None)]
    assert rows(
        warehouse,
        """
        select system, test_folder, test_name, outcome, is_flaky_in_run, error_message
        from marts.fct_test_results where test_run_key in ('postman:c', 'reports:k') order by 1, 4
        """,
    ) == [
        ("postman", None, "p", "passed", False, None),
        ("reports", "shop", "t", "failed", False, None),
        ("reports", "shop", "t", "passed", True, None),
    ]
    assert rows(
        warehouse,
        """
        select test_run_key, execution_index, item_name, is_answered, business_date
        from marts.fct_request_executions order by 1, 2
        """,
    ) == [
        ("postman:a", 0, "item 0", True, day("2026-10-25")),
        ("postman:a", 1, "item 1", True, day("2026-10-25")),
        ("postman:b", 0, "item 0", True, day("2026-10-25")),
        ("postman:b", 1, "item 1", False, day("2026-10-25")),
        ("postman:c", 0, "item 0", True, day("2026-10-26")),
    ]
    assert rows(
        warehouse,
        """
        select execution_index, assertion_index, item_name, outcome, error_message
        from marts.fct_assertion_results where test_run_key = 'postman:b' order by 1, 2
        """,
    ) == [
        (0, 0, "item 0", "passed", None),
        (0, 1, "item 0", "failed", "expected 200"),
        (1, 0, "item 1", "failed", "expected 200"),
        (1, 1, "item 1", "unknown", None),
    ]
    # 25 October: durations 1000 and 2000, so the 95th percentile lies at 1000 + 0.95 * 1000.
    assert rows(
        warehouse,
        """
        select collection_or_project_id, business_date, runs_total, runs_open, runs_finished,
               runs_passed, runs_failed, success_rate, tests_decided, pass_rate,
               duration_median_ms, duration_p95_ms
        from marts.fct_daily_run_health where runs_total > 0 order by system, business_date
        """,
    ) == [
        ("c1", day("2026-10-25"), 4, 1, 3, 1, 2, 1 / 3, 6, 4 / 6, 1500, 1950),
        ("c1", day("2026-10-26"), 1, 0, 1, 1, 0, 1.0, 1, 1.0, 70, 70),
        ("7", day("2026-10-25"), 1, 0, 1, 0, 1, 0.0, 8, 0.75, 291_600_011.423, 291_600_011.423),
    ]
    # Red from b's end, 22:59:59 UTC (cut, at 12:00, had turned it red before), to c's, 23:00.
    assert rows(
        warehouse,
        """
        select business_date, red_minutes, recoveries, recovery_minutes
        from marts.fct_daily_run_health where system = 'postman' order by 1
        """,
    ) == [(day("2026-10-25"), 660, 0, 0), (day("2026-10-26"), 0, 1, 660)]
    assert rows(
        warehouse, "select run_id, total_name, difference, reason from marts.fct_reconciliation"
    ) == [("b", "requests_total", -1, "missing")]


@pytest.mark.slow
def test_builds_touch_changed_runs_alone_and_end_as_a_full_refresh_would(
    dbt_warehouse_url: str, warehouse: Connection, dbt_target: Path
) -> None:
    def built(*options: str, timezone: str = "UTC") -> dict[str, list[str]]:
        select = ("--select", "int_test_runs+", "int_test_run_counts", "int_test_changes")
        dbt(dbt_warehouse_url, dbt_target, "run", *select, *options, timezone=timezone)
        return marts(warehouse)

    def counts(held: dict[str, list[str]]) -> list[int]:
        return [len(held[mart]) for mart in ("fct_test_runs", *ACCUMULATING)]

    def written(run_id: str) -> list[tuple[Any, ...]]:
        """Which transaction wrote each row of a run, and where it lies."""
        return [
            row
            for mart in ACCUMULATING
            for row in rows(
                warehouse,
                f"select xmin::text, ctid::text from marts.{mart}"
                f" where test_run_key = 'postman:{run_id}' order by 2",
            )
        ]

    night = at("2026-07-01T23:30Z")
    for run_id in ("fewer", "gone", "lost", "none", "same", "zero"):
        run_values: dict[str, Any] = {"started_at": night, "finished_at": night, "loaded_at": night}
        load_postman(warehouse, run_id, ["pf", "p"], times=[100, 20], **run_values)
    load_postman(warehouse, "slow", ["p"], times=[901], started_at=at("2026-07-11T23:30Z"))
    testmo = {"run_id": 1, "project_id": 7, "source_id": 5, "status": 4, "is_completed": False}
    insert(warehouse, "raw_testmo.automation_sources", {"id": 5, "name": "old", "load_id": 1})
    insert(
        warehouse,
        "raw_testmo.automation_runs",
        testmo | {"created_at": night, "loaded_at": night, "load_id": 1},
    )
    dbt(dbt_warehouse_url, dbt_target, "run")
    assert counts(marts(warehouse)) == [8, 13, 19]

    untouched = written("same")
    assert len(untouched) == 2 + 3

    # A changed run with fewer rows, one that has lost all, one deleted, one whose row is gone, one
    # whose load began before the others' and committed after them, a source that was renamed; and
    # one of the day before, which changes what is usual and what slow's latency is compared with.
    later = at("2026-07-02T23:30Z")
    load_postman(warehouse, "fewer", ["f"], times=[900], started_at=night, loaded_at=later)
    load_postman(warehouse, "none", [], started_at=night, loaded_at=later)
    early = {"started_at": night, "loaded_at": at("2026-06-30T23:30Z")}
    load_postman(warehouse, "late", ["sp", "=sp"], times=[300, 300], **early)
    load_postman(warehouse, "before", ["p"] * 9, times=[500] * 9, started_at=at("2026-06-30T01Z"))
    warehouse.execute(
        "update raw_postman.collection_runs set deleted_at = now() where run_id = 'gone'"
    )
    warehouse.execute("delete from raw_postman.collection_runs where run_id = 'lost'")
    warehouse.execute("update raw_testmo.automation_sources set name = 'new'")
    changed = built()
    assert counts(changed) == [8, 17, 21]
    assert written("same") == untouched
    # before 500; fewer 900, late 300 (its repeat does not count), same and zero 100; slow: 901
    assert rows(
        warehouse,
        "select business_date, requests_answered, p50_ms, baseline_median_ms, is_regression"
        " from marts.fct_request_latency_daily where item_name = 'item 0' order by 1",
    ) == [
        (day("2026-06-30"), 1, 500, None, False),
        (day("2026-07-01"), 4, 200, None, False),
        (day("2026-07-11"), 1, 901, 300, False),
    ]
    # in the order of start and key: before 9, fewer 1, late 1 (again without its repeat)
    assert rows(
        warehouse,
        "select run_id, completeness from marts.fct_test_runs"
        " where run_id in ('before', 'fewer', 'late') order by 1",
    ) == [("before", None), ("fewer", 1 / 9), ("late", 1 / 5)]
    assert changed == built("--full-refresh")
    assert not set(written("same")) & set(untouched)

    # Tables as another version of this project built them.
    warehouse.execute("alter table marts.fct_request_executions drop column is_answered")
    warehouse.execute("alter table marts.fct_assertion_results add column was_flaky boolean")
    # The deleted run returns with its old loaded_at, and the business day is redefined.
    warehouse.execute("update raw_postman.collection_runs set deleted_at = null")
    returned = built(timezone="Europe/Berlin")
    assert counts(returned) == [9, 19, 24]
    assert returned == built("--full-refresh", timezone="Europe/Berlin")


@pytest.mark.builds
def test_an_empty_warehouse_builds_without_a_complaint_and_every_column_is_described(
    dbt_warehouse_url: str, warehouse: Connection, dbt_target: Path
) -> None:
    complaints: list[str] = []

    def listen(event: Any) -> None:
        if event.info.level in {"warn", "error"} or "Deprecat" in event.info.name:
            complaints.append(f"{event.info.name}: {event.info.msg}")

    results = dbt(dbt_warehouse_url, dbt_target, "build", callbacks=[listen])

    assert {str(result.status) for result in results} == {"success", "pass", "no-op"}  # exposures
    assert complaints == []
    uncommented = """
        select relations.oid::regclass::text, attributes.attname
        from pg_class as relations
        inner join pg_attribute as attributes
            on relations.oid = attributes.attrelid and attributes.attnum >= 0
        where
            relations.relnamespace::regnamespace::text in ('staging', 'marts')
            and relations.relkind in ('r', 'v')
            and not attributes.attisdropped
            and col_description(relations.oid, attributes.attnum) is null
        union all
        select oid::regclass::text, null
        from pg_class
        where
            relnamespace::regnamespace::text in ('staging', 'marts')
            and relkind in ('r', 'v')
            and obj_description(oid, 'pg_class') is null
    """
    assert rows(warehouse, uncommented) == []
    # what is built anew has lost its comments, what was changed by hand has another
    warehouse.execute("comment on column marts.fct_test_runs.pass_rate is 'what it is not'")
    rebuilt = ("stg_postman__assertions", "fct_test_results", "dim_dates")
    dbt(dbt_warehouse_url, dbt_target, "run", "--select", *rebuilt)
    assert rows(warehouse, uncommented) == []
    ((description,),) = rows(
        warehouse,
        "select col_description(attrelid, attnum) from pg_attribute"
        " where attrelid = 'marts.fct_test_runs'::regclass and attname = 'pass_rate'",
    )
    assert description.startswith("tests_passed / (tests_passed + tests_failed), from 0 to 1")
    manifest = dbt(dbt_warehouse_url, dbt_target, "parse")
    columns: dict[tuple[str, str], set[str]] = {}
    for schema, table, column in rows(
        warehouse,
        """
        select table_schema, table_name, column_name from information_schema.columns
        where table_schema in ('raw_postman', 'raw_testmo', 'raw_reports', 'staging', 'marts', 'bi')
        or (table_schema, table_name) in (
            ('ingest', 'reconciliations'), ('ingest', 'code_identities'), ('ingest', 'addresses')
        )
        """,
    ):
        columns.setdefault((schema, table), set()).add(column)
    described = [*manifest.sources.values()]
    described += [node for node in manifest.nodes.values() if node.resource_type == "model"]
    assert {(node.schema, node.identifier): set(node.columns) for node in described} == columns
    for node in described:
        assert node.description, node.name
        assert [c.name for c in node.columns.values() if not c.description] == [], node.name
    for source in manifest.sources.values():
        # the key under which the load materializes it, so that Dagster draws one graph
        key = source.config.meta["dagster"]["asset_key"]
        assert key == [source.schema, source.identifier]


@pytest.mark.builds
def test_a_changed_var_or_definition_builds_anew_what_is_kept(
    dbt_warehouse_url: str, warehouse: Connection, dbt_target: Path
) -> None:
    for night in range(12):
        started = at("2026-07-01T02:00Z") + dt.timedelta(days=night)
        load_postman(warehouse, f"{night}", ["f" if night % 2 else "p"], started_at=started)
    warehouse.execute("update raw_postman.assertions set name = 'ok'")
    # an item keeps its history when it is renamed: six nights would be too few for a verdict
    warehouse.execute("update raw_postman.executions set item_name = 'b' where run_id::int > 5")

    def flaky_days(*options: str, timezone: str = "UTC") -> int:
        select = ("--select", "+fct_test_flakiness", *options)
        dbt(dbt_warehouse_url, dbt_target, "run", *select, timezone=timezone)
        ((days,),) = rows(warehouse, "select count(*) from marts.fct_test_flakiness where is_flaky")
        return int(days)

    def written() -> set[tuple[str, ...]]:
        return set(rows(warehouse, "select xmin::text from marts.fct_test_flakiness"))

    assert flaky_days() == 3
    before = written()
    assert flaky_days() == 3
    assert written() == before
    # twelve nights have five episodes
    assert flaky_days("--vars", "flaky_episodes: 8") == 0
    assert flaky_days() == 3
    assert written() != before
    # as a version of this project would leave it that defined the same columns otherwise
    before = written()
    warehouse.execute("update ingest.model_definitions set definition = 'other'")
    assert flaky_days() == 3
    assert written() != before
    # another business day moves every night to the day before
    days = "select min(business_date), max(business_date) from marts.fct_test_flakiness"
    assert rows(warehouse, days) == [(day("2026-07-01"), day("2026-07-12"))]
    assert flaky_days(timezone="America/New_York") == 3
    assert rows(warehouse, days) == [(day("2026-06-30"), day("2026-07-11"))]


def test_every_var_defines_what_is_kept_but_those_that_only_tests_read() -> None:
    project = yaml.safe_load((bundled("dbt_project") / "dbt_project.yml").read_text("utf-8"))
    macro = (bundled("dbt_project") / "macros" / "model_definition.sql").read_text("utf-8")
    listed = re.findall(r"^        '(\w+)'", macro, re.MULTILINE)
    assert sorted(listed) == sorted(set(project["vars"]) - {"tested_runs", "tested_days", "as_of"})
