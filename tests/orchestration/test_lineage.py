"""Which columns the columns of a model are made of, read from SQL."""

import pytest

from pipelines.orchestration.columns_read import columns_read

TABLES = {
    ("raw", "runs"): ["run_id", "name", "status", "elapsed"],
    ("raw", "tests"): ["run_id", "name", "status"],
}


def test_a_column_is_followed_through_subqueries_and_unions_whatever_the_database() -> None:
    query = """
        with source as (select * from "db"."raw"."runs"),
        both_tables as (
            select run_id, elapsed / 1000 as seconds, name from source
            union all
            select run_id, null, coalesce(name, status) from db.raw.tests where status <> 'open'
        )
        select run_id, seconds, name as title, 'us' as unit, count(*) over () as total
        from both_tables
    """
    assert columns_read(query, TABLES) == {
        "run_id": [("raw", "runs", "run_id"), ("raw", "tests", "run_id")],
        "seconds": [("raw", "runs", "elapsed")],
        "title": [
            ("raw", "runs", "name"),
            ("raw", "tests", "name"),
            ("raw", "tests", "status"),
        ],
        "unit": [],
        "total": [],
    }


def test_a_lateral_subquery_gives_what_it_holds_and_not_what_it_is_looked_up_by() -> None:
    query = """
        with tests as (select run_id, name from raw.runs)
        select tests.run_id, latest.status, latest.label
        from tests
        cross join lateral (
            select looked_up.status, looked_up.name || tests.name as label
            from raw.tests as looked_up
            where looked_up.run_id = tests.run_id
            order by looked_up.status
            limit 1
        ) as latest
    """
    assert columns_read(query, TABLES) == {
        "run_id": [("raw", "runs", "run_id")],
        "status": [("raw", "tests", "status")],
        "label": [("raw", "runs", "name"), ("raw", "tests", "name")],
    }


def test_a_function_that_gives_rows_is_no_table() -> None:
    query = """
        select runs.name, days.day
        from raw.runs cross join lateral generate_series(1, runs.elapsed) as days (day)
    """
    read = columns_read(query, TABLES)
    assert read is not None
    assert read["name"] == [("raw", "runs", "name")]
    assert set(read["day"]) <= {("raw", "runs", "elapsed")}


@pytest.mark.parametrize(
    "query",
    ["", "select from where", "select 'no end", "drop table raw.runs", "select 1; select 2"],
)
def test_sql_that_cannot_be_read_has_no_lineage_and_makes_no_noise(
    query: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    assert columns_read(query, TABLES) is None
    assert caplog.records == []
    assert "".join(capfd.readouterr()) == ""
