"""`python -m bench`: run the cases, show the tables, and after a full run write `results.md`.

--quick      the product's own cases, one repetition; some minutes
--only NAME  one group of cases; may be repeated
--size F     a fraction of the work, to try the bench itself: its verdicts mean nothing
"""

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.budgets import verdicts
from bench.cases_commands import commands, demo, nightly
from bench.cases_dbt import dbt
from bench.cases_loads import (
    big_run,
    full_tables,
    latency,
    loads,
    pace,
    tenfold,
    tenfold_latency,
)
from bench.cases_peers import peers, versions
from bench.measure import BenchError
from bench.session import Bench
from bench.table import figures, judged, machine, markdown, plain
from bench.warehouse import Warehouse
from bench.work import Work

_GROUPS = {
    "commands": commands,
    "loads": loads,
    "latency": latency,
    "tenfold": tenfold,
    "tenfold-latency": tenfold_latency,
    "full-tables": full_tables,
    "big-run": big_run,
    "peers": peers,
    "nightly": nightly,
    "dbt": dbt,
    "demo": demo,
    "pace": pace,
}
# What is long, or of others.
_NOT_QUICK = {"tenfold-latency", "peers", "pace"}
_RESULTS = Path(__file__).parent / "results.md"


def main() -> int:
    """Exit status 1 where a budget is missed or a case failed."""
    options = _options()
    chosen = options.only or [
        name for name in _GROUPS if not (options.quick and name in _NOT_QUICK)
    ]
    began = time.monotonic()
    failures = []
    with (
        tempfile.TemporaryDirectory(prefix="testruns-bench-") as folder,
        Warehouse(Path(folder)) as warehouse,
    ):
        bench = Bench(
            warehouse,
            Path(folder),
            repetitions=1 if options.quick else 3,
            work=Work.until_now().times(options.size),
            say=_say,
            size=options.size,
        )
        for name in chosen:
            _say(f"{name} ({time.monotonic() - began:.0f} s)")
            try:
                _GROUPS[name](bench)
            except BenchError as error:
                failures.append(f"{name}: {error}")
                _say(f"  FAILED: {error}")
    judged_budgets = verdicts(bench)
    machine_lines = machine(bench, versions())
    seconds = time.monotonic() - began
    print(
        "\n".join(
            ["", *machine_lines, "", plain(*figures(bench)), "", plain(*judged(judged_budgets))]
        )
    )
    missed = sum(not verdict.is_met for verdict in judged_budgets)
    print(f"\n{seconds / 60:.1f} min; {missed} budgets missed")
    if chosen == list(_GROUPS) and not options.quick and options.size == 1 and not failures:
        _RESULTS.write_text(_page(bench, machine_lines, seconds), "utf-8")
    return 1 if failures or not all(verdict.is_met for verdict in judged_budgets) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="own cases, one repetition")
    parser.add_argument("--only", action="append", choices=_GROUPS, help="one group of cases")
    parser.add_argument("--size", type=float, default=1.0, help="a fraction of the work")
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _page(bench: Bench, machine_lines: list[str], seconds: float) -> str:
    work = bench.work
    return "\n".join(
        [
            "# What a load costs",
            "",
            f"Written by `make bench` on {datetime.now(UTC):%F}, in {seconds / 60:.0f} minutes.",
            "",
            (
                f"Base work: {work.collections} Postman collections of {work.postman_runs:,} runs, "
                f"{work.executions} executions each, {work.assertions} assertions on each; "
                f"{work.projects} Testmo projects of {work.testmo_runs:,} runs. Whole processes, "
                f"medians of {bench.repetitions} (each figure its own), from a local server whose "
                "CPU is counted apart. Postgres is the embedded one, durable, over TCP."
            ),
            "",
            *(f"- {line}" for line in machine_lines),
            "",
            "## Budgets",
            "",
            markdown(*judged(verdicts(bench))),
            "",
            "## Figures",
            "",
            markdown(*figures(bench)),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
