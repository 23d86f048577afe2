"""Views and grants of people on models, through builds of another shape than the one before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipelines.report.write import write_report
from pipelines.settings import load_settings
from pipelines.terminal.status import read_queries
from pipelines.transform.build import transform
from tests.support.dbt import Connection, at, dbt, insert, load_postman, rows

pytestmark = pytest.mark.builds

VIEWS = "select viewname, definition from pg_views where schemaname = 'team' order by 1"
RIGHTS = """
    select oid::regclass::text, item::text
    from pg_class, unnest(relacl) as item
    where relnamespace::regnamespace::text in ('staging', 'marts', 'team') and relkind in ('r', 'v')
    order by 1, 2
"""


@pytest.fixture
def warehouse(dbt_warehouse_url: str) -> Iterator[Connection]:
    with psycopg.connect(dbt_warehouse_url, autocommit=True) as connection:
        connection.execute("create role bi_tool")
        yield connection
        connection.execute("reset role")
        connection.execute("drop owned by bi_tool cascade")
        connection.execute("drop role bi_tool")


def absurd(warehouse: Connection) -> None:
    """Runs as an older version loaded them: counts at the limit of bigint, names of 10 kB."""
    most, long = 2**63 - 1, "".join(map(str, range(3000)))
    night: dict[str, Any] = {"started_at": at("2026-07-01T23:30Z"), "duration_ms": most}
    totals = ("requests_total", "requests_failed", "assertions_total", "assertions_failed")
    announced: dict[str, Any] = dict.fromkeys(totals, most)
    counts = ("success_count", "failure_count", "completed_count", "total_count", "status3_count")
    for number in (1, 2):
        ids: dict[str, Any] = {"collection_id": long[:1000], "environment_id": long[:1000]}
        load_postman(warehouse, f"big {number}", ["pf"], **night, **ids, **announced)
        run = {"run_id": number, "project_id": most, "milestone_id": most, "elapsed": most}
        stamps = {"name": long, "status": 3, "created_at": night["started_at"], "load_id": 1}
        insert(warehouse, "raw_testmo.automation_runs", run | stamps | dict.fromkeys(counts, most))
        difference = {
            "source": "postman",
            "scope": long[:1000],
            "total": "requests_total",
            "load_id": 1,
        }
        figures = {"announced": most, "loaded": 0, "repeated": 0, "reason": "missing"}
        insert(
            warehouse,
            "ingest.reconciliations",
            difference | figures | {"run_id": f"big {number}"},
        )
    warehouse.execute("update raw_postman.executions set item_name = %s, extra = null", [long])
    warehouse.execute("update raw_postman.assertions set name = %s, error = %s", [long, long])


def test_views_and_grants_of_people_survive_every_build(
    dbt_warehouse_url: str, warehouse: Connection, dbt_target: Path, tmp_path: Path
) -> None:
    load_postman(warehouse, "a", ["pf"], started_at=at("2026-07-01T23:30Z"))
    absurd(warehouse)
    report = transform(dbt_warehouse_url, timezone="UTC", target_path=dbt_target)
    assert report.succeeded, report
    settings = load_settings(
        {"TESTRUNS_WAREHOUSE_URL": dbt_warehouse_url, "TESTRUNS_HOME": str(tmp_path)}, tmp_path
    )
    assert write_report(settings).path.exists()
    assert read_queries(dbt_warehouse_url, "summary")
    models = [
        model
        for (model,) in rows(
            warehouse,
            "select oid::regclass::text from pg_class where relkind in ('r', 'v')"
            " and relnamespace::regnamespace::text in ('staging', 'marts') order by 1",
        )
    ]
    # as an older version may have built them: a view for what is a table now, a table for a view,
    # a column of another type, one that is gone, one that was not there yet
    warehouse.execute(
        """
        drop schema bi cascade;
        create schema bi;
        drop table marts.dim_dates;
        create view marts.dim_dates as select date '2000-01-01' as date_day, 'old' as season;
        create table marts.old as select * from marts.fct_failure_streaks;
        drop view marts.fct_failure_streaks;
        alter table marts.old rename to fct_failure_streaks;
        alter table marts.fct_test_runs alter column tests_failed type integer;
        alter table marts.fct_test_runs drop column business_date;
        create schema team;
        create table team.old as select * from staging.stg_testmo__configs;
        create or replace view staging.stg_testmo__configs as
            select *, 'old' as season from team.old;
        grant usage on schema team, marts, staging to bi_tool;
        create view team.dates as select date_day from marts.dim_dates;
        create view team.configs as select config_id from staging.stg_testmo__configs;
        """
    )
    for place, model in enumerate(models):
        if model not in {"marts.dim_dates", "staging.stg_testmo__configs"}:
            warehouse.execute(f"create view team.view_{place} as select * from {model}".encode())
            warehouse.execute(f"create view team.upon_{place} as table team.view_{place}".encode())
    warehouse.execute("grant select on all tables in schema team, marts, staging to bi_tool")
    views, rights = rows(warehouse, VIEWS), rows(warehouse, RIGHTS)
    assert len(views) == 2 * len(models) - 2

    for options in ([], ["--full-refresh"]):
        dbt(dbt_warehouse_url, dbt_target, "run", *options)

        assert rows(warehouse, VIEWS) == views
        assert rows(warehouse, RIGHTS) == rights
        warehouse.execute("set role bi_tool")
        assert rows(warehouse, "select * from team.dates") == [(at("2026-07-01").date(),)]
        for (view, _), model in zip(views, models, strict=False):
            rows(warehouse, f"select * from team.{view}, {model} limit 1")
        warehouse.execute("reset role")
