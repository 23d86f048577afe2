"""`testruns demo`: the nightly job from nothing to marts, and what a newcomer wants to know."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.resources import bundled
from pipelines.settings import Settings, load_settings
from pipelines.terminal import output
from pipelines.terminal.demo import demo_environment, demo_home
from pipelines.terminal.places import psql_command, short_path
from pipelines.terminal.status import Row, read_queries
from pipelines.warehouse.engine import open_warehouse

if TYPE_CHECKING:
    from pipelines.orchestration.nightly import NightlyReport
    from pipelines.report.sections.outages import OutageLine

_MOST_OUTAGES = 3


def run_demo(settings: Settings) -> int:
    """Run it and print the summary; the exit status."""
    output.line("The nightly job on invented runs: no account, no server, no network.")
    output.line()
    with ExitStack() as sandbox:
        with _step("both APIs served on loopback, with 60 invented days"):
            variables = sandbox.enter_context(demo_environment(settings, empty=True))
            demo = load_settings(variables, demo_home(settings))
        with _step(f"Postgres started in {short_path(demo.testruns_home / 'postgres')}"):
            url = open_warehouse(demo)
        with _step("nightly: runs loaded, models built and tested, in Dagster"):
            from pipelines.orchestration.nightly import run_nightly  # noqa: PLC0415 - two seconds

            report = run_nightly(demo)
    if not report.succeeded:
        output.note(*map(str, report.failures), *report.failed_checks)
        return 1
    with _step("report: one page to open in a browser"):
        from pipelines.report.write import write_report  # noqa: PLC0415 - another second

        written = write_report(demo)
    _show_summary(read_queries(url, "summary"), report, written.outages)
    _show_next_steps(demo, url, written.path)
    return 0


@contextmanager
def _step(name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    output.line(f"  {name:<66}{time.monotonic() - began:6.1f} s")


def _show_summary(
    rows: dict[str, list[Row]], report: "NightlyReport", outages: list["OutageLine"]
) -> None:
    loaded = rows["loaded"][0]
    output.line()
    output.line(
        f"Loaded   Postman {loaded['postman_runs']:,} runs, "
        f"{loaded['postman_requests']:,} requests, {loaded['postman_assertions']:,} assertions"
    )
    output.line(
        f"         Testmo  {loaded['testmo_runs']:,} runs, "
        f"{loaded['testmo_threads']:,} threads, {loaded['testmo_tests']:,} tests counted"
    )
    output.line(f"         dbt     {report.models} models built, {report.checks} tests passed")
    output.line()
    output.table(
        "The last 14 days",
        ("", "runs", "green", "red", "tests passed"),
        [
            (
                f"{row['system']:<7}  {row['name']}",
                f"{row['runs']:,}",
                f"{row['runs_passed']:,}",
                f"{row['runs_failed']:,}",
                "-" if row["pass_rate"] is None else f"{row['pass_rate']:.1%}",
            )
            for row in rows["health"]
        ],
        numbers=4,
    )
    output.line()
    output.table(
        "Flaky tests (fail for one run, and pass in the next)",
        ("", "results", "failed", "episodes"),
        [
            (
                f"{row['item_name']}: {row['assertion_name']}",
                f"{row['results']:,}",
                f"{row['failed']:,}",
                f"{row['episodes']:,}",
            )
            for row in rows["flaky"]
        ],
        numbers=3,
    )
    output.line()
    output.table(
        "Slowest requests of the last 7 days",
        ("", "requests", "95 % within", "half within", "4 weeks before"),
        [
            (
                str(row["item_name"]),
                f"{row['requests']:,}",
                _format_ms(row["p95_ms"]),
                _format_ms(row["median_ms"]),
                _format_ms(row["median_before_ms"]),
            )
            for row in rows["slow"]
        ],
        numbers=4,
    )
    output.line()
    output.line("Worth a look")
    largest = sorted(outages, key=lambda outage: outage.tests_hit, reverse=True)
    for outage in largest[:_MOST_OUTAGES]:
        output.line(f"  outage of {outage.began}")
        output.line(f"      {outage.what}")
    for row in rows["unfinished"]:
        output.line(f"  {row['system']} run {row['run_id']}, {row['started_at']:%F %H:%M} UTC")
        output.line(f"      {row['remark']}")


def _format_ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def _show_next_steps(demo: Settings, url: str, page: Path) -> None:
    command = short_path(Path(sys.executable).with_name("testruns"))
    home, example = short_path(demo.testruns_home), short_path(bundled(".env.example"))
    output.line()
    output.line("Where to look next")
    for topic, why in (
        (short_path(page), "the report, for any browser: last night, flaky tests, slow requests"),
        (psql_command(demo, url), "the tables: raw_postman, raw_testmo, marts, ingest"),
        (f"{command} dev", "the same job in Dagster's UI: assets, runs, checks, schedule"),
        (f"{command} status", "how far each history is read, open runs, what was set aside"),
        (example, f"settings for your own runs; the demo stays apart in {home}"),
    ):
        output.line(f"  {topic}")
        output.line(f"      {why}")
