"""Which changes make a build worth its time."""

from pathlib import Path

import psycopg
import pytest

from pipelines.transform.build import transform
from pipelines.transform.build_record import build_inputs, save_build, views_stand

CHANGES = {
    "a run of Postman": "insert into raw_postman.collection_runs (run_id, collection_id, load_id)"
    " values ('r', 'c', 1)",
    "a person of Testmo": "insert into raw_testmo.users (id, name, load_id) values (1, 'Ada', 1)",
    "a report file": "insert into raw_reports.runs (run_id, source, format, load_id)"
    " values ('junit-1', 'pytest', 'junit', 1)",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_build_is_due_once_a_raw_table_has_changed(emptied_url: str, change: str) -> None:
    with psycopg.connect(emptied_url, autocommit=True) as session:
        before = build_inputs(session, "UTC")
        assert build_inputs(session, "UTC") == before
        session.execute(CHANGES[change].encode())
        assert build_inputs(session, "UTC") != before


@pytest.mark.parametrize(
    "change",
    [
        "create or replace view staging.v as select 2 as one",
        "drop view staging.v",
        "create view bi.other as select 1 as one",
    ],
)
def test_views_are_left_out_while_they_stand_as_they_were_built(
    warehouse_url: str, change: str
) -> None:
    with psycopg.connect(warehouse_url, autocommit=True) as session:
        session.execute("create view staging.v as select 1 as one")
        assert not views_stand(session, "UTC")
        save_build(session, build_inputs(session, "UTC"), "UTC")
        assert views_stand(session, "UTC")
        session.execute("comment on view staging.v is 'grants and comments change no view'")
        session.execute("grant select on staging.v to public")
        assert views_stand(session, "UTC")
        assert not views_stand(session, "Europe/Berlin")
        session.execute(change.encode())
        assert not views_stand(session, "UTC")


@pytest.mark.builds
def test_a_build_makes_views_once_and_again_when_one_is_gone(
    dbt_warehouse_url: str, dbt_target: Path
) -> None:
    def build() -> list[str]:
        report = transform(dbt_warehouse_url, timezone="UTC", target_path=dbt_target)
        assert report.succeeded, report
        return [result.name for result in report.results if result.status == "success"]

    everything = build()
    with psycopg.connect(dbt_warehouse_url, autocommit=True) as session:
        views = session.execute(
            "select relname from pg_class where relkind = 'v'"
            " and relnamespace::regnamespace::text in ('staging', 'marts', 'bi')"
        ).fetchall()
        assert sorted([*build(), *(name for (name,) in views)]) == sorted(everything)
        session.execute("drop view bi.coverage")
    assert sorted(build()) == sorted(everything)
