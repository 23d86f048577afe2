"""The `testruns` command: parse, call, print, exit status; it does no work itself.

One file, so that all commands and options are found in it. Exit status: 0 all went well; 1
something failed (what loaded stays loaded, the rest resumes next time); 2 bad usage or settings.
Imports stay inside the commands: `load` needs neither Dagster, dbt nor pandas, and `--help` needs
nothing at all.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.errors import SettingsError
from pipelines.sources.registry import REGISTRY, SOURCES
from pipelines.terminal import exit_status, output

if TYPE_CHECKING:
    from pipelines.settings import Settings
    from pipelines.sources.spec import SourceName

_EPILOG = """Settings come from the environment or from .env here; see docs/settings.md.

Shell completion: eval "$(testruns completion bash)" in the shell's start-up file.
"""

# Commands whose files are for others to read; those of all others lie in TESTRUNS_HOME.
_FOR_OTHERS = {"report", "export", "dbt"}

_one_source = click.option("--source", type=click.Choice(SOURCES), help="Only this one.")
_verbose = click.option("-v", "--verbose", is_flag=True, help="Show what each scope cost.")
_file = click.Path(path_type=Path)


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="testruns")
@click.pass_context
def cli(context: click.Context) -> None:
    """Every API-test run and every automation run, in your own Postgres warehouse."""
    if context.invoked_subcommand not in _FOR_OTHERS:
        context.call_on_close(partial(os.umask, os.umask(0o077)))


def main() -> None:
    """Run the command line; what goes wrong is a line on stderr."""
    output.open_streams()
    sys.exit(exit_status.run(cli))


def _settings() -> "Settings":
    from pipelines.settings import load_settings

    return load_settings()


def _settings_to_show() -> "Settings":
    from pipelines.terminal.demo import settings_to_show

    return settings_to_show(_settings())


@cli.command()
@_one_source
@_verbose
def load(source: "SourceName | None", *, verbose: bool) -> int:
    """Extract, flatten and load what is new; no dbt."""
    from pipelines.terminal import loading

    return loading.load(_settings(), source, verbose=verbose)


def _scope_options(command: Callable[..., int]) -> Callable[..., int]:
    """An option for the scopes of each source, which the command gets by the source's name."""
    for name, spec in reversed(list(REGISTRY.items())):
        only = f"Only these {spec.scope_kind}s."
        command = click.option(spec.scope_option, name, multiple=True, help=only)(command)
    return command


@cli.command()
@click.option("--since", required=True, help="A date, or a time in ISO 8601.")
@click.option("--until", help="The same; runs from then on are left alone. Default: now.")
@_one_source
@_scope_options
@click.option("--dry-run", is_flag=True, help="Say how many requests it would take.")
@_verbose
def backfill(
    since: str,
    until: str | None,
    source: "SourceName | None",
    *,
    dry_run: bool,
    verbose: bool,
    **scopes: tuple[str, ...],
) -> int:
    """Read a window again and reconcile it with the source.

    No watermark moves. A date without a zone is the business day in TESTRUNS_TIMEZONE.
    """
    from pipelines.terminal import loading

    return loading.backfill(
        _settings(), since, until, source, scopes, dry_run=dry_run, verbose=verbose
    )


@cli.command()
@_one_source
@click.option("--since", help="Only runs opened from then on. Default: the whole history.")
@click.option("--fix", is_flag=True, help="Fetch what is missing or has changed.")
def audit(source: "SourceName | None", since: str | None, *, fix: bool) -> int:
    """Prove that every run is here: lists against the warehouse.

    Lists are read from end to end, a request a hundred runs. Exit status 1 while any run is
    missing.
    """
    from pipelines.terminal import loading

    return loading.audit(_settings(), source, since, fix=fix)


@cli.command("retry-rejected")
def retry_rejected() -> int:
    """Parse rejected records again, after an upgrade.

    Exit status 1 as long as any of them is rejected still.
    """
    from pipelines.terminal import loading

    return loading.retry_rejected(_settings())


@cli.command()
@click.option("--full-refresh", is_flag=True, help="Rebuild incremental models from scratch.")
def transform(*, full_refresh: bool) -> int:
    """Run dbt build over the warehouse."""
    from pipelines.terminal import building

    return building.transform(_settings_to_show(), full_refresh=full_refresh)


@cli.command("dbt", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def dbt_command(arguments: tuple[str, ...]) -> int:
    """Run dbt on this warehouse, its environment set.

    As in: testruns dbt -- docs generate.
    """
    from pipelines.terminal import building

    return building.dbt(_settings_to_show(), arguments)


@cli.command()
@_verbose
def nightly(*, verbose: bool) -> int:
    """Load, then transform: what the schedule runs, in Dagster."""
    from pipelines.terminal import building

    return building.nightly(_settings(), verbose=verbose)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
def status(*, as_json: bool) -> int:
    """Show how far each history is read, and what needs a look.

    Watermarks, last loads, quota left, open runs, rejected records, fields without a column.
    """
    settings = _settings_to_show()
    from pipelines.terminal.show_status import show_status

    show_status(settings, as_json=as_json)
    return 0


@cli.command()
@click.option("--out", type=_file, help="Default: report.html in TESTRUNS_HOME/reports.")
@click.option("--since", help="A date, or a time in ISO 8601. Default: eight weeks of days.")
@click.option("--until", help="The same; the report looks back from there. Default: now.")
@click.option("--open", "is_opened", is_flag=True, help="Show it in the browser.")
def report(out: Path | None, since: str | None, until: str | None, *, is_opened: bool) -> int:
    """Write one self-contained HTML page from the marts.

    It speaks of whole business days in TESTRUNS_TIMEZONE, of ten years at most.
    """
    from pipelines.terminal import building

    return building.report(_settings_to_show(), out, since, until, is_opened=is_opened)


@cli.command()
@click.argument("folder", type=_file, metavar="DIR")
@click.option("--since", required=True, help="A date, or a time in ISO 8601; its month is whole.")
@click.option("--until", help="The same; its month is the last. Default: now.")
@click.option(
    "--format", "suffix", type=click.Choice(["parquet", "csv"]), default="parquet",
    show_default=True, help="Parquet keeps the types; it needs testruns[parquet].",
)  # fmt: skip
def export(folder: Path, since: str, until: str | None, suffix: str) -> int:
    """Write the marts as files, by month, for other tools.

    DIR gets a file for each mart and month, and manifest.json with rows and SHA-256 of each. Again
    into the same DIR replaces the months named and keeps the others.
    """
    from pipelines.terminal import building

    return building.export(_settings_to_show(), folder, since, until, suffix)


@cli.command()
def demo() -> int:
    """Run the nightly job on invented runs, without an account."""
    from pipelines.terminal.summary import run_demo

    return run_demo(_settings())


@cli.command()
@click.option("--port", default=8765, show_default=True, help="0: any free one.")
@click.option("--postman-runs", type=_file, help="NDJSON, may be gzipped.")
@click.option("--testmo-runs", type=_file, help="NDJSON, may be gzipped.")
@click.option("--testmo-books", type=_file, help="JSON: sources, users, …")
@click.option(
    "--requests-per-minute",
    default=6000,
    show_default=True,
    help="The limit that the sandbox announces and enforces; Postman's own is 300.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME[:every=N][:after=N][:times=N][:endpoint=PATTERN]",
    help="What is to go wrong, at each request or at some; may be repeated.",
)
@click.option("--list-faults", is_flag=True, help="Say what can go wrong, and serve nothing.")
@click.option(
    "--write-reports",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the history as report files (newman, JUnit, CTRF), and serve nothing.",
)
def sandbox(
    port: int,
    postman_runs: Path | None,
    testmo_runs: Path | None,
    testmo_books: Path | None,
    requests_per_minute: int,
    faults: tuple[str, ...],
    write_reports: Path | None,
    *,
    list_faults: bool,
) -> int:
    """Serve both APIs on loopback, with invented runs or files."""
    from pipelines.terminal.sandbox import serve, show_faults, write

    files = (postman_runs, testmo_runs, testmo_books)
    if list_faults:
        show_faults()
    elif write_reports is not None:
        write(files, write_reports)
    else:
        serve(port, files, requests_per_minute, faults)
    return 0


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The UI has no login.")
@click.option("--port", default=3000, show_default=True, help="Of the web page.")
def dev(host: str, port: int) -> int:
    """Run Dagster's UI and daemon on the same settings.

    As long as nothing is configured, on the demo's sandbox and warehouse.
    """
    from pipelines.terminal.dev import run_dev

    return run_dev(_settings(), host=host, port=port)


@cli.group()
def warehouse() -> None:
    """Start or stop the embedded Postgres.

    Commands that need it start it by themselves.
    """


@warehouse.command()
def start() -> int:
    """Start it, for psql and BI tools."""
    from pipelines.terminal.places import psql_command
    from pipelines.warehouse.engine import open_warehouse

    settings = _embedded_settings()
    output.line(psql_command(settings, open_warehouse(settings)))
    return 0


@warehouse.command()
def stop() -> int:
    """Stop it; nothing is lost, the next command starts it again."""
    from pipelines.warehouse.embedded.server import EmbeddedPostgres

    is_stopped = EmbeddedPostgres(_embedded_settings().testruns_home).stop()
    output.line("stopped" if is_stopped else "it was not running")
    return 0


def _embedded_settings() -> "Settings":
    from pipelines.terminal.demo import settings_to_show

    settings = _settings()
    if settings.testruns_warehouse_url is not None:
        raise SettingsError("TESTRUNS_WAREHOUSE_URL: is set, so there is no embedded Postgres")
    return settings_to_show(settings, may_be_new=True)


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
    """Load report files: newman, Postman CLI, JUnit, CTRF.

    Folders are searched; what is no report in them is named and left alone.
    """
    if watch and dry_run:
        raise click.UsageError("--watch and --dry-run exclude each other")
    from pipelines.ingest.report_importer import Options
    from pipelines.terminal import importing

    options = Options(collection, source, commit, branch, environment)
    return importing.import_files(_settings(), paths, options, watch=watch, is_dry_run=dry_run)


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print what makes a shell complete commands and options.

    In ~/.bashrc or ~/.zshrc: eval "$(testruns completion bash)"; in fish: testruns completion fish
    | source.
    """
    from click.shell_completion import get_completion_class

    completes = get_completion_class(shell)
    if completes is not None:
        click.echo(completes(cli, {}, "testruns", "_TESTRUNS_COMPLETE").source())
    return 0


if __name__ == "__main__":
    main()
