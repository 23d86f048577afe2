"""`testruns demo`: the nightly job from nothing to marts, and what a newcomer wants to know."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row
from rich.console import Console
from rich.table import Table

from pipelines.demo import demo_home, demo_settings
from pipelines.errors import TestrunsError
from pipelines.settings import Settings, load_settings
from pipelines.status import psql_command, shown
from pipelines.warehouse.connect import connect, open_warehouse
from pipelines.warehouse.queries import queries

if TYPE_CHECKING:
    from pipelines.nightly import NightlyReport

Row = dict[str, Any]

# Narrower than any terminal, so that a table never wraps.
_WIDTH = 96


def run_demo(settings: Settings) -> None:
    """Run it and print the summary. Raises TestrunsError."""
    console = Console(width=_WIDTH, highlight=False, markup=False)
    console.print("The nightly job on invented runs: no account, no server, no network.\n")
    with ExitStack() as until_the_end:
        with _step(console, "both APIs served on loopback, with 60 invented days"):
            variables = until_the_end.enter_context(demo_settings(settings, anew=True))
            demo = load_settings(variables, demo_home(settings))
        with _step(console, f"Postgres started in {shown(demo.testruns_home / 'postgres')}"):
            url = open_warehouse(demo)
        with _step(console, "nightly: histories loaded, models built and tested, under Dagster"):
            from pipelines.nightly import run_nightly  # noqa: PLC0415 - two seconds of imports

            report = run_nightly(demo)
    if not report.succeeded:
        raise TestrunsError("\n".join([*report.failures, *report.failed_checks]))
    with _step(console, "report: one page to open in a browser"):
        from pipelines.report.write import write_report  # noqa: PLC0415 - another second

        page = write_report(demo)
    _print_summary(console, url, report)
    _print_next_steps(console, demo, url, page)


@contextmanager
def _step(console: Console, name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    console.print(f"  {name:<72}{time.monotonic() - began:5.1f} s")


def _print_summary(console: Console, url: str, report: "NightlyReport") -> None:
    named = queries("summary")
    with connect(url, role="testruns demo") as connection:
        rows = connection.cursor(row_factory=dict_row)

        def read(name: str) -> list[Row]:
            return rows.execute(named[name]).fetchall()

        loaded = read("loaded")[0]
        console.print(
            f"\nLoaded   Postman {loaded['postman_runs']:,} runs, "
            f"{loaded['postman_requests']:,} requests, "
            f"{loaded['postman_assertions']:,} assertions\n"
            f"         Testmo  {loaded['testmo_runs']:,} runs, "
            f"{loaded['testmo_threads']:,} threads, "
            f"{loaded['testmo_tests']:,} tests counted\n"
            f"         dbt     {report.models} models built, {report.checks} tests passed\n"
        )
        _table(
            console,
            "The last 14 days",
            ("", "runs", "green", "red", "tests that passed"),
            [
                (
                    f"{row['system']}  {row['name']}",
                    f"{row['runs']:,}",
                    f"{row['runs_passed']:,}",
                    f"{row['runs_failed']:,}",
                    "-" if row["pass_rate"] is None else f"{row['pass_rate']:.1%}",
                )
                for row in read("health")
            ],
        )
        _table(
            console,
            "Flaky tests (fail for a run or two, and pass again)",
            ("", "results", "failed", "episodes"),
            [
                (
                    f"{row['item_name']}: {row['assertion_name']}",
                    f"{row['results']:,}",
                    f"{row['failed']:,}",
                    f"{row['episodes']:,}",
                )
                for row in read("flaky")
            ],
        )
        _table(
            console,
            "Slowest requests of the last 7 days",
            ("", "requests", "95 % within", "half within", "4 weeks before"),
            [
                (
                    str(row["item_name"]),
                    f"{row['requests']:,}",
                    _ms(row["p95_ms"]),
                    _ms(row["median_ms"]),
                    _ms(row["median_before_ms"]),
                )
                for row in read("slow")
            ],
        )
        console.print("Worth a look")
        for row in read("unfinished"):
            began = f"{row['started_at']:%F %H:%M} UTC"
            console.print(f"  {row['system']} run {row['run_id']}, {began}\n      {row['remark']}")


def _table(
    console: Console, title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]
) -> None:
    console.print(title)
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="", show_header=True)
    for position, column in enumerate(columns):
        # Names give way where there is no room; figures never do.
        table.add_column(
            f"  {column}" if position == 0 else column,
            justify="right" if position else "left",
            no_wrap=True,
            min_width=len(column) if position else 20,
            max_width=None if position else 46,
        )
    for first, *rest in rows:
        table.add_row(f"  {first}", *rest)
    console.print(table)
    console.print()


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def _print_next_steps(console: Console, demo: Settings, url: str, page: Path) -> None:
    command = shown(Path(sys.executable).with_name("testruns"))
    home = shown(demo.testruns_home)
    console.print(
        "\nWhere to look next\n"
        f"  {shown(page)}\n"
        "      the report, for any browser: last night, what is flaky, what got slower\n"
        f"  {psql_command(demo, url)}\n"
        "      the tables: raw_postman, raw_testmo, marts, ingest\n"
        f"  {command} dev\n"
        "      the same job in Dagster's UI: assets from API to marts, runs, checks, schedule\n"
        f"  {command} status\n"
        "      how far each history is read, open runs, what was set aside\n"
        "  .env.example\n"
        "      the settings for your own runs; the demo stays apart from them in "
        f"{home}",
        soft_wrap=True,
    )
