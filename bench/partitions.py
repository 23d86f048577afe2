"""Whether the largest raw table should be partitioned by month: both ways, on two years of rows.

    python -m bench.partitions

The key of `raw_postman.assertions` has no time in it; partitions by month need one in every key and
in every look-up. Measured is what a night does (new runs in, changed ones deleted, the look-up of
runs) and what partitions are for (an old month goes).
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.history import Session
from bench.table import plain
from bench.warehouse import Warehouse

_MONTHS = 24
_RUNS_A_MONTH = 2000
_ROWS_A_RUN = 60
_NIGHT_RUNS = 400

_COLUMNS = """
    run_id text not null, started_at timestamptz not null, execution_index integer not null,
    assertion_index integer not null, name text, passed boolean, error text, extra jsonb
"""
_TABLES = {
    "one table": f"""
        create table assertions ({_COLUMNS}, primary key (run_id, execution_index, assertion_index))
    """,
    "partitions by month": f"""
        create table assertions (
            {_COLUMNS}, primary key (run_id, execution_index, assertion_index, started_at)
        ) partition by range (started_at);
        select format(
            'create table assertions_%s partition of assertions for values from (%L) to (%L)',
            number, month, month + interval '1 month'
        )
        from
            generate_series(0, {_MONTHS}) as number,
            lateral (select timestamptz '2024-01-01' + number * interval '1 month' as month) as at
    """,
}
_FILL = f"""
    insert into assertions
    select
        md5(run::text), started_at, position / 3, position %% 3, 'Status code is 200, check', true
    from
        generate_series(%(first)s::integer, %(last)s) as run,
        generate_series(0, {_ROWS_A_RUN} - 1) as position,
        lateral (
            select timestamptz '2024-01-01' + run * interval '1 month' / {_RUNS_A_MONTH}
                as started_at
        ) as at
    order by run, position
"""
_OLDEST = "timestamptz '2024-02-01'"


def measure(session: Session, kind: str) -> list[str]:
    """Milliseconds of each act, medians of five, and the size of all indexes."""
    session.execute("drop table if exists assertions")
    create, *made = _TABLES[kind].split(";")
    session.execute(create.encode())
    for query in made:
        for (statement,) in session.execute(query.encode()).fetchall():
            session.execute(statement.encode())
    runs = _MONTHS * _RUNS_A_MONTH
    _fill(session, 1, runs - 6 * _NIGHT_RUNS)
    session.execute("vacuum analyze assertions")
    session.execute("checkpoint")
    last = runs - 6 * _NIGHT_RUNS

    def night(number: int) -> None:
        first = last + 1 + number * _NIGHT_RUNS
        _fill(session, first, first + _NIGHT_RUNS - 1)

    acts: dict[str, Callable[[int], object]] = {
        "night": night,
        "look-up": lambda number: _of_runs(session, number, "select count(*) from assertions"),
        "delete": lambda number: _of_runs(session, number + 100, "delete from assertions"),
    }
    figures = [
        statistics.median(_timed(act, number) for number in range(5)) for act in acts.values()
    ]
    retire = {
        "one table": f"delete from assertions where started_at < {_OLDEST}",
        "partitions by month": "drop table assertions_0",
    }
    figures.append(_timed(lambda _: session.execute(retire[kind].encode()), 0))
    (size,) = session.execute(
        "select sum(pg_indexes_size(c.oid)) / 1e6 from pg_class as c"
        " where c.relname like 'assertions%' and c.relkind = 'r'"
    ).fetchone() or (0,)
    return [kind, *(f"{figure:,.1f}" for figure in figures), f"{size:,.0f}"]


def _fill(session: Session, first: int, last: int) -> None:
    session.execute(_FILL.encode(), {"first": first, "last": last})


def _of_runs(session: Session, number: int, statement: str) -> None:
    """For forty runs, as the loader and dbt ask for them: by ID alone."""
    runs = f"generate_series({number * 40 + 1}, {number * 40 + 40})"
    session.execute(
        f"{statement} where run_id = any(array(select md5(run::text) from {runs} as run))".encode()
    )


def _timed(act: Callable[[int], object], number: int) -> float:
    began = time.perf_counter()
    act(number)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Warehouse(Path(folder)) as warehouse:
        warehouse.create("partitions")
        with warehouse.session("partitions") as session:
            rows = [measure(session, kind) for kind in _TABLES]
    print(f"{_MONTHS * _RUNS_A_MONTH * _ROWS_A_RUN:,} rows; a night is {_NIGHT_RUNS} runs; ms\n")
    head = ("assertions", "a night in", "40 runs read", "40 deleted", "a month gone", "indexes MB")
    print(plain(head, rows))


if __name__ == "__main__":
    main()
