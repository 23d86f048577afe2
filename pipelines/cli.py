"""The `testruns` command: parse, call, print, exit status; it does no work itself.

Exit status: 0 all went well; 1 something failed (what loaded stays loaded, the rest resumes next
time); 2 bad usage or settings. Imports stay inside the commands: `load` needs neither Dagster, dbt
nor pandas, and `--help` needs nothing at all.
"""

import atexit
import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.errors import SettingsError, TestrunsError

if TYPE_CHECKING:
    from pipelines.ingest.progress import ScopeReport
    from pipelines.settings import Settings, Source

_EPILOG = "Settings come from the environment or from .env here; see README.md."


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="testruns")
def cli() -> None:
    """Every API-test run and every automation run, in your own Postgres warehouse."""


def main() -> None:
    """Run the command line; each complaint is a line on stderr."""
    # What is imported is never garbage: to look through it again and again, and once more at the
    # end, takes a fifth of what a command without work to do costs.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    try:
        sys.exit(cli(standalone_mode=False) or 0)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _complain("interrupted; what is loaded stays, the next load goes on from there")
        sys.exit(130)
    except SettingsError as error:
        _complain(str(error))
        sys.exit(2)
    except TestrunsError as error:
        _complain(str(error))
        sys.exit(1)


def _complain(message: str) -> None:
    for line in message.splitlines():
        click.echo(f"testruns: {line}", err=True)


def _settings() -> "Settings":
    from pipelines.settings import load_settings

    return load_settings()


@cli.command()
@click.option("--source", type=click.Choice(["postman", "testmo"]), help="Only this one.")
def load(source: "Source | None") -> int:
    """Extract, flatten and load what is new; no dbt."""
    settings = _settings()
    sources = settings.require_source(source)

    from pipelines.ingest.load import load_source
    from pipelines.terminal.progress import load_progress
    from pipelines.warehouse.engine import open_warehouse

    if source is None:
        _say_what_is_left_out(settings)
    url = open_warehouse(settings)
    reports: list[ScopeReport] = []
    with load_progress() as progress:
        for one in sources:
            reports += load_source(settings, one, url, progress)
    return _exit_status(reports)


def _say_what_is_left_out(settings: "Settings") -> None:
    for source, key in (("postman", "POSTMAN_API_KEY"), ("testmo", "TESTMO_API_TOKEN")):
        if source not in settings.configured_sources:
            click.echo(f"{source}: not loaded, {key} is not set")


def _exit_status(reports: "list[ScopeReport]") -> int:
    failed = [report for report in reports if report.error is not None]
    if not failed:
        return 0
    helps = (
        "a later load may succeed"
        if any(one.is_transient for one in failed)
        else ("a later load will fail as well until this is mended")
    )
    names = ", ".join(f"{report.source} {report.scope}" for report in failed)
    _complain(f"{len(failed)} of {len(reports)} scopes failed ({names}); {helps}")
    return 1


@cli.command()
@click.option("--since", required=True, help="A date, or a time in ISO 8601.")
@click.option("--until", help="The same; runs from then on are left alone. Default: now.")
@click.option("--source", type=click.Choice(["postman", "testmo"]), help="Only this one.")
@click.option("--collection", "collections", multiple=True, help="Only these collections.")
@click.option("--project", "projects", multiple=True, help="Only these projects.")
@click.option("--dry-run", is_flag=True, help="Say how many requests it would take.")
def backfill(
    since: str,
    until: str | None,
    source: "Source | None",
    collections: tuple[str, ...],
    projects: tuple[str, ...],
    *,
    dry_run: bool,
) -> int:
    """Re-read a window and reconcile it with the source; no watermark moves.

    A date without a zone is the business day in TESTRUNS_TIMEZONE.
    """
    settings = _settings()
    from pipelines.ingest.backfill import (
        Window,
        backfill_source,
        chosen_scopes,
        estimate_source,
        moment,
    )

    window = Window(
        moment("--since", since, settings.testruns_timezone),
        moment("--until", until, settings.testruns_timezone) if until else None,
    )
    chosen = chosen_scopes(settings, source, collections, projects)
    if dry_run:
        from pipelines.terminal.progress import estimate_line

        estimates = [
            estimate
            for one, scopes in chosen.items()
            for estimate in estimate_source(settings, one, scopes, window)
        ]
        for estimate in estimates:
            click.echo(estimate_line(estimate))
        return 1 if any(estimate.error for estimate in estimates) else 0

    from pipelines.terminal.progress import load_progress
    from pipelines.warehouse.engine import open_warehouse

    url = open_warehouse(settings)
    reports: list[ScopeReport] = []
    with load_progress() as progress:
        for one, scopes in chosen.items():
            reports += backfill_source(settings, one, scopes, window, url, progress)
    return _exit_status(reports)


@cli.command("retry-rejected")
def retry_rejected() -> int:
    """Parse rejected records again, after an upgrade."""
    settings = _settings()
    sources = settings.require_source()

    from pipelines.ingest.reparse import retry_rejected as retry
    from pipelines.warehouse.engine import open_warehouse

    url = open_warehouse(settings)
    reports: list[ScopeReport] = []
    for one in sources:
        done, records = retry(settings, one, url)
        reports += done
        for record in records:
            run = record.run_id or "without a readable ID"
            where = f"{record.source} {record.scope} run {run}"
            click.echo(f"{record.rejected_id}: {where}: {record.outcome}")
    rows = sum(sum(report.rows.values()) for report in reports)
    click.echo(f"{rows:,} rows written")
    return _exit_status(reports)


@cli.command()
@click.option("--full-refresh", is_flag=True, help="Rebuild incremental models from scratch.")
def transform(*, full_refresh: bool) -> int:
    """Run dbt build over the warehouse."""
    from pipelines.terminal.demo import shown_settings

    settings = _shown(shown_settings(_settings()))
    from pipelines.transform.build import transform as build
    from pipelines.warehouse.engine import open_warehouse

    report = build(
        open_warehouse(settings),
        timezone=settings.testruns_timezone,
        target_path=settings.testruns_home / "dbt",
        full_refresh=full_refresh,
    )
    click.echo(f"dbt: {report.models} models, {report.tests} tests in {report.seconds:.1f} s")
    for line in report.warned_tests:
        click.echo(f"  warns: {line}")
    for line in [*report.errors, *report.failed_tests]:
        _complain(f"dbt: {line}")
    if report.skipped:
        _complain(f"dbt: skipped {', '.join(report.skipped)}")
    return 0 if report.succeeded else 1


@cli.command()
def nightly() -> int:
    """Load, then transform: what the schedule runs, through Dagster."""
    settings = _settings()
    settings.require_source()

    from pipelines.orchestration.nightly import run_nightly
    from pipelines.terminal.progress import load_progress, nightly_lines

    _say_what_is_left_out(settings)
    with load_progress() as progress:
        report = run_nightly(settings, progress)
    for line in nightly_lines(report):
        click.echo(line)
    for line in [*report.failures, *report.failed_checks]:
        _complain(line)
    return 0 if report.succeeded else 1


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
def status(*, as_json: bool) -> int:
    """Show watermarks, freshness, open runs, last loads, quota, rejected records."""
    from pipelines.terminal.demo import shown_settings

    settings = _shown(shown_settings(_settings()))
    from pipelines.terminal.status import psql_command, read_status, status_lines
    from pipelines.warehouse.engine import open_warehouse

    url = open_warehouse(settings)
    found = read_status(settings, url)
    if as_json:
        click.echo(json.dumps(found.as_json(), default=str, indent=2))
    else:
        click.echo("\n".join(status_lines(found, psql_command(settings, url))))
    return 0


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), help="Default: TESTRUNS_HOME/reports.")
@click.option("--since", help="A date, or a time in ISO 8601. Default: eight weeks of days.")
@click.option("--until", help="The same; the report looks back from there. Default: now.")
@click.option("--open", "show", is_flag=True, help="Show it in the browser.")
def report(out: Path | None, since: str | None, until: str | None, *, show: bool) -> int:
    """Write one self-contained HTML page from the marts.

    It speaks of whole business days in TESTRUNS_TIMEZONE, of ten years at most.
    """
    from pipelines.terminal.demo import shown_settings

    settings = _shown(shown_settings(_settings()))
    import webbrowser

    from pipelines.ingest.backfill import moment

    zone = settings.testruns_timezone
    asked_since = moment("--since", since, zone) if since else None
    asked_until = moment("--until", until, zone) if until else None

    from pipelines.report.write import write_report
    from pipelines.terminal.status import shown

    written = write_report(settings, out, asked_since, asked_until)
    click.echo(shown(written))
    if show and not webbrowser.open(written.as_uri()):
        _complain(f"no browser could be started; open {written.as_uri()}")
    return 0


def _shown(settings: "Settings") -> "Settings":
    """Say so when it is the demo that is looked at."""
    if settings.testruns_home.name == "demo" and not settings.configured_sources:
        click.echo("no API is configured: this is the demo's warehouse", err=True)
    return settings


@cli.command()
def demo() -> int:
    """Run the nightly job end to end on bundled sandbox APIs, without an account."""
    from pipelines.terminal.summary import run_demo

    run_demo(_settings())
    return 0


@cli.command()
@click.option("--port", default=8765, show_default=True, help="0: any free one.")
@click.option("--postman-runs", type=click.Path(path_type=Path), help="NDJSON, may be gzipped.")
@click.option("--testmo-runs", type=click.Path(path_type=Path), help="NDJSON, may be gzipped.")
@click.option("--testmo-books", type=click.Path(path_type=Path), help="JSON: sources, users, …")
@click.option(
    "--requests-per-minute",
    default=6000,
    show_default=True,
    help="The limit that the sandbox announces and enforces; Postman's own is 300.",
)
@click.option(
    "--fault",
    "asks",
    multiple=True,
    metavar="NAME[:every=N][:after=N][:times=N][:endpoint=PATTERN]",
    help="What is to go wrong, at each request or at some; may be repeated.",
)
@click.option("--list-faults", is_flag=True, help="Say what can go wrong, and serve nothing.")
def sandbox(
    port: int,
    postman_runs: Path | None,
    testmo_runs: Path | None,
    testmo_books: Path | None,
    requests_per_minute: int,
    asks: tuple[str, ...],
    *,
    list_faults: bool,
) -> int:
    """Serve both APIs on loopback: a seeded history, or runs from files."""
    from datetime import UTC, datetime

    from pipelines.sandbox.faults import FAMILIES
    from pipelines.sandbox.faults.plan import Faults, described
    from pipelines.sandbox.files import read_files
    from pipelines.sandbox.history import seeded_history
    from pipelines.sandbox.server import serve_forever

    if list_faults:
        for family, members in FAMILIES.items():
            click.echo("\n  ".join([f"{family}:", *described(members)]))
        return 0
    try:
        faults = Faults(*asks)
        if postman_runs or testmo_runs or testmo_books:
            data = read_files(postman_runs, testmo_runs, testmo_books)
        else:
            data = seeded_history(datetime.now(UTC))
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None
    try:
        serve_forever(data, port, requests_per_minute, faults)
    except OSError as error:
        raise TestrunsError(str(error)) from None
    return 0


@cli.command()
@click.option("--port", default=3000, show_default=True, help="Of the web page.")
def dev(port: int) -> int:
    """Run Dagster's UI and daemon on the same settings; on the demo if nothing is configured."""
    settings = _settings()

    from pipelines.settings import load_settings
    from pipelines.terminal.demo import demo_settings, is_unconfigured
    from pipelines.terminal.dev import run_dev

    if not is_unconfigured(settings):
        return run_dev(settings, port=port, extra_environment={})
    click.echo("no API is configured: Dagster runs on the demo's sandbox and warehouse", err=True)
    with demo_settings(settings, anew=False) as variables:
        return run_dev(
            load_settings(variables, Path(variables["TESTRUNS_HOME"])),
            port=port,
            extra_environment=variables,
        )


@cli.group()
def warehouse() -> None:
    """Start or stop the embedded Postgres; commands start it by themselves."""


@warehouse.command()
def start() -> int:
    """Start it, for psql and BI tools."""
    from pipelines.terminal.demo import shown_settings

    settings = _embedded(_shown(shown_settings(_settings())))
    from pipelines.terminal.status import psql_command
    from pipelines.warehouse.engine import open_warehouse

    click.echo(psql_command(settings, open_warehouse(settings)))
    return 0


@warehouse.command()
def stop() -> int:
    """Stop it; nothing is lost, the next command starts it again."""
    from pipelines.terminal.demo import shown_settings
    from pipelines.warehouse.embedded.server import EmbeddedPostgres

    settings = _embedded(_shown(shown_settings(_settings())))
    stopped = EmbeddedPostgres(settings.testruns_home).stop()
    click.echo("stopped" if stopped else "it was not running")
    return 0


def _embedded(settings: "Settings") -> "Settings":
    if settings.testruns_warehouse_url is not None:
        raise SettingsError("TESTRUNS_WAREHOUSE_URL: is set, so there is no embedded Postgres")
    return settings


@cli.command("import")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH…"
)
@click.option("--collection", help="ID of the Postman collection that newman ran.")
@click.option("--source", help="What made the runs; default: as the reports say.")
@click.option("--commit", help="SHA of the commit that was tested.")
@click.option("--branch", help="Branch that was tested.")
@click.option("--environment", help="Environment in which it was tested.")
@click.option("--watch", is_flag=True, help="Go on, and take each file once it is whole.")
@click.option("--dry-run", is_flag=True, help="Say what would become of each file.")
def import_files(
    paths: tuple[Path, ...],
    collection: str | None,
    source: str | None,
    commit: str | None,
    branch: str | None,
    environment: str | None,
    *,
    watch: bool,
    dry_run: bool,
) -> int:
    """Load report files (newman, Postman CLI, JUnit, CTRF; gzip), once each.

    Folders are searched; what is no report in them is named and left alone.
    """
    if watch and dry_run:
        raise click.UsageError("--watch and --dry-run exclude each other")
    settings = _settings()
    import os

    from pipelines.ingest.import_reports import import_paths, watch_paths
    from pipelines.ingest.report_importer import Options
    from pipelines.terminal.imports import file_line, summary_line
    from pipelines.warehouse.engine import open_warehouse
    from pipelines.warehouse.report_ledger import ImportedFile

    options = Options(collection, source, commit, branch, environment)
    options.code()

    def settled(file: ImportedFile) -> None:
        if file.reason:
            _complain(file_line(file))
        elif watch:
            click.echo(file_line(file))

    url = open_warehouse(settings)
    if watch:
        watch_paths(settings, url, paths, options, os.environ, settled=settled)
    report = import_paths(
        settings, url, paths, options, os.environ, settled=settled, is_dry_run=dry_run
    )
    click.echo(summary_line(report.files, report.rows, is_dry_run=dry_run))
    return 1 if report.failures else 0


if __name__ == "__main__":
    main()
