"""Loads of the product: first, nothing new, a night's news, all re-read; and their limits."""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from functools import partial

from bench.history import fill
from bench.measure import BenchError, Measured, Server
from bench.server import Served
from bench.session import FIRST, NIGHT, NOTHING, REREAD, Bench, Case
from bench.warehouse import EMPTY
from bench.work import Work

_LATENCY_MS = 50
_COMMANDS = {
    FIRST: ("load",),
    NOTHING: ("load",),
    NIGHT: ("load",),
    REREAD: ("backfill", "--since", "2000-01-01"),
}
_BIG_RUN_EXECUTIONS = 20_000
_PACE_PER_MINUTE = 300
_PACE_WINDOWS = 4


def loads(bench: Bench) -> None:
    """Both systems from a server without latency; Postman beside its floor."""
    _sequence(bench, "Postman")
    _floor(bench)
    _sequence(bench, "Testmo")
    _sequence(bench, "Testmo, bare lists")


def latency(bench: Bench) -> None:
    """The same with 50 ms before each answer."""
    _sequence(bench, "Postman", latency_ms=_LATENCY_MS)
    _sequence(bench, "Testmo", latency_ms=_LATENCY_MS)


def tenfold(bench: Bench) -> None:
    """The same with ten times the history."""
    _sequence(bench, "Postman", times=10)
    _sequence(bench, "Testmo", times=10)


def tenfold_latency(bench: Bench) -> None:
    """Ten times the history, and 50 ms before each answer."""
    steps = (FIRST, NOTHING, NIGHT)
    _sequence(bench, "Postman", steps, latency_ms=_LATENCY_MS, times=10)
    _sequence(bench, "Testmo", steps, latency_ms=_LATENCY_MS, times=10)


def full_tables(bench: Bench) -> None:
    """The first load of Postman into tables that hold ten times as much already."""
    held = _earlier(bench.work.times(10))
    with bench.warehouse.database("held"):
        with bench.warehouse.session("held") as session:
            fill(session, held)
        for name, template in (("empty", EMPTY), ("full", "held")):
            case = Case("Postman", f"{FIRST} into {name} tables")
            bench.repeat(case, "testruns", partial(_into, bench, template))


def _earlier(work: Work) -> Work:
    """A history that ends before the one that is served begins to matter."""
    return replace(work, latest=work.latest - int(timedelta(days=10).total_seconds()))


def _into(bench: Bench, template: str, _: int) -> Measured:
    database = bench.warehouse.database("bench", template=template)
    with Server(Served(bench.work)) as server, database as url:
        return bench.testruns("load", url=url, variables=server.variables("postman"), server=server)


def big_run(bench: Bench) -> None:
    """One run of twenty thousand executions."""
    executions = max(1, round(_BIG_RUN_EXECUTIONS * bench.size))
    work = replace(bench.work, collections=1, postman_runs=1, executions=executions, projects=0)

    def once(_: int) -> Measured:
        with Server(Served(work)) as server, bench.warehouse.database("bench") as url:
            variables = server.variables("postman")
            return bench.testruns("load", url=url, variables=variables, server=server)

    bench.repeat(Case("Postman", "one run of 20,000 executions"), "testruns", once)


def pace(bench: Bench) -> None:
    """Enough work for some minutes at 300 requests a minute; once, for it takes its time.

    A window that is used up at once and begins anew: request number 300 n waits for n windows. So
    the share is 300 n over what the limit allows up to that request.
    """
    runs = _PACE_WINDOWS * _PACE_PER_MINUTE // bench.work.collections
    work = replace(bench.work, postman_runs=runs, executions=1, assertions=1)
    served = Served(work, per_minute=_PACE_PER_MINUTE)
    with Server(served) as server, bench.warehouse.database("bench") as url:
        case = Case("Postman", f"{work.all_postman_runs:,} runs at {_PACE_PER_MINUTE} a minute")
        variables = server.variables("postman")
        result = bench.testruns("load", url=url, variables=variables, server=server, home="pace")
    sent, refused = result.sent_at, result.refused_at
    last = len(sent) // _PACE_PER_MINUTE * _PACE_PER_MINUTE
    allowed = (sent[last] - sent[0]) * _PACE_PER_MINUTE / 60
    bench.keep(case, "testruns", result)
    bench.facts["pace, share used"] = last / allowed
    bench.facts["pace, refusals after the first window"] = sum(at > sent[0] + 60 for at in refused)


def _sequence(
    bench: Bench,
    subject: str,
    steps: Iterable[str] = _COMMANDS,
    *,
    latency_ms: int = 0,
    times: int = 1,
) -> None:
    """The steps one after the other on one warehouse, and all of it as often as requested."""
    served = Served(
        bench.work.times(times), latency=latency_ms / 1000, bare=subject.endswith("bare lists")
    )
    measured: dict[str, list[Measured]] = {what: [] for what in steps}
    for _ in range(bench.repetitions):
        with Server(served) as server, bench.warehouse.database("bench") as url:
            variables = server.variables(subject.partition(",")[0].lower())
            for what, repeated in measured.items():
                if what == NIGHT:
                    server.night()
                repeated.append(
                    bench.testruns(*_COMMANDS[what], url=url, variables=variables, server=server)
                )
    for what, repeated in measured.items():
        bench.keep(Case(subject, what, latency_ms, times), "testruns", Measured.median(repeated))


def _floor(bench: Bench) -> None:
    """One COPY a table of what a first load has written, and the server's time to serve it."""
    case = Case("Postman", FIRST)
    with Server(Served(bench.work)) as server, bench.warehouse.database("loaded") as loaded:
        variables = server.variables("postman")
        first = bench.testruns("load", url=loaded, variables=variables, server=server)

        def once(_: int) -> Measured:
            with bench.warehouse.database("floor") as empty:
                command = [sys.executable, "-m", "bench.floor", loaded, empty]
                done = subprocess.run(
                    [*command, str(bench.warehouse.pid)],
                    capture_output=True,
                    text=True,
                    check=False,
                )
            if done.returncode:
                raise BenchError(f"bench.floor: {done.stderr.strip().splitlines()[-1]}")
            result = json.loads(done.stdout)
            return Measured(
                wall=result["wall"] + first.server,
                postgres=result["postgres"],
                server=first.server,
                rows=result["rows"],
            )

        bench.repeat(case, "floor", once)
