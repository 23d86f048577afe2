"""dbt after a night's news, on the base history and on ten times as much."""

from dataclasses import replace
from datetime import timedelta

from bench.history import add_night, fill
from bench.measure import Measured
from bench.session import NIGHT, Bench, Case

_SUBJECT = "dbt build"


def dbt(bench: Bench) -> None:
    """Build all once, then again after each of some nights, with a process of its own each time."""
    for times in (1, 10):
        _builds(bench, times)


def _builds(bench: Bench, times: int) -> None:
    nights = timedelta(days=bench.repetitions + 1)
    work = bench.work.times(times)
    work = replace(work, latest=work.latest - int(nights.total_seconds()))
    home = f"dbt-{times}"
    with bench.warehouse.database("bench") as url, bench.warehouse.session("bench") as session:
        fill(session, work)

        def build() -> Measured:
            built = bench.testruns("transform", url=url, variables={}, home=home)
            # What autovacuum would have seen to before the next night.
            session.execute("vacuum analyze")
            return replace(built, rows=None)

        def after(night: int) -> Measured:
            add_night(session, work, night + 1)
            return build()

        bench.keep(Case(_SUBJECT, "all anew", times=times), "testruns", build())
        bench.repeat(Case(_SUBJECT, NIGHT, times=times), "testruns", after)
