"""How Postgres finds the executions that repeat another, whatever it believes of the tables."""

import json

import psycopg

from tests.support.dbt import Connection, rows

RUNS = """
insert into raw_postman.collection_runs (run_id, collection_id, assertions_total, load_id)
select %(name)s || run, 'c', %(announced)s, 1 from generate_series(1, %(runs)s) as run
"""
EXECUTIONS = """
insert into raw_postman.executions (run_id, execution_index, execution_id)
select %(name)s || run, place - 1, 'e'
from generate_series(1, %(runs)s) as run, generate_series(1, %(executions)s) as place
"""
ASSERTIONS = """
insert into raw_postman.assertions (run_id, execution_index, assertion_index, name, passed)
select %(name)s || run, place - 1, 0, 'ok', true
from generate_series(1, %(runs)s) as run, generate_series(1, %(executions)s) as place
"""


def store(warehouse: Connection, name: str, runs: int, executions: int, announced: int) -> None:
    """Runs whose executions are all equal."""
    shape = {"name": name, "runs": runs, "executions": executions, "announced": announced}
    for statement in (RUNS, EXECUTIONS, ASSERTIONS):
        warehouse.execute(statement, shape)


def test_a_long_run_among_runs_of_one_request_is_not_compared_row_with_each_row(
    warehouse_url: str,
) -> None:
    with psycopg.connect(warehouse_url, autocommit=True) as warehouse:
        store(warehouse, "short ", runs=300, executions=1, announced=1)
        warehouse.execute("analyze")
        store(warehouse, "long ", runs=1, executions=200, announced=2)
        found = rows(warehouse, "select * from ingest.repeated_executions('long 1') order by 1")
        assert found == [(place,) for place in range(1, 199)]

        ((query,),) = rows(
            warehouse,
            "select replace(prosrc, 'of_run_id', quote_literal('long 1')) from pg_proc"
            " where oid = 'ingest.repeated_executions(text)'::regprocedure",
        )
        ((plan,),) = rows(warehouse, f"explain (format json) {query}")
    nodes = json.dumps(plan)
    assert '"Join Type": "Full"' in nodes
    # with the one row of the run
    assert nodes.count('"Node Type": "Nested Loop"') == 1
