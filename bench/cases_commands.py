"""Commands as people meet them: help, status, a night without news, the demo."""

from functools import partial

from bench.measure import TESTRUNS, Measured, Server, run
from bench.server import Served
from bench.session import NOTHING, Bench, Case


def commands(bench: Bench) -> None:
    """`--help`, and on a loaded warehouse `status` and a load of both systems."""
    folder = bench.folder / "commands"
    helped = partial(run, [TESTRUNS, "--help"], {}, folder)
    bench.repeat(Case("testruns --help", "the whole process"), "testruns", lambda _: helped())
    with Server(Served(bench.work)) as server, bench.warehouse.database("bench") as url:
        variables = server.variables("postman", "testmo")
        once = partial(bench.testruns, url=url, variables=variables, server=server)
        once("load")
        bench.repeat(Case("both systems", NOTHING), "testruns", lambda _: once("load"))
        case = Case("testruns status", "the whole process")
        bench.repeat(case, "testruns", lambda _: once("status"))


def nightly(bench: Bench) -> None:
    """`testruns nightly` with nothing new: load, dbt and Dagster, the base work of both systems."""
    with Server(Served(bench.work)) as server, bench.warehouse.database("bench") as url:
        variables = server.variables("postman", "testmo")
        once = partial(
            bench.testruns, "nightly", url=url, variables=variables, server=server, home="nightly"
        )
        bench.keep(Case("testruns nightly", "first"), "testruns", once())
        with bench.warehouse.session("bench") as session:
            session.execute("vacuum analyze")
        bench.repeat(Case("testruns nightly", NOTHING), "testruns", lambda _: once())


def demo(bench: Bench) -> None:
    """`testruns demo` in an empty folder: what `make demo` runs once all is installed."""

    def once(number: int) -> Measured:
        folder = bench.folder / f"demo-{number}"
        variables = {"TESTRUNS_HOME": str(folder / "home")}
        try:
            return run([TESTRUNS, "demo"], variables, folder)
        finally:
            run([TESTRUNS, "warehouse", "stop"], variables, folder)

    # An embedded Postgres outlives the command: its CPU is not the process's, and is not counted.
    bench.repeat(Case("testruns demo", "the whole process"), "testruns", once)
