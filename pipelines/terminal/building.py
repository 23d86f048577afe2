"""Commands that build, and what they built, as a person runs them; each gives the exit status."""

import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.ingest.backfill import moment
from pipelines.settings import Settings
from pipelines.terminal import output
from pipelines.terminal.import_lines import outcomes_line
from pipelines.terminal.loading import show_sources_left_out
from pipelines.terminal.places import short_path
from pipelines.terminal.progress import load_progress
from pipelines.warehouse.engine import open_warehouse
from pipelines.warehouse.reference import read_reference

if TYPE_CHECKING:
    from pipelines.orchestration.nightly import NightlyReport

_MOST_OUTAGES = 5


def transform(settings: Settings, *, full_refresh: bool) -> int:
    """Build and test the models."""
    from pipelines.transform.build import transform as build  # noqa: PLC0415 - not for a night

    reference = read_reference(settings)
    report = build(
        open_warehouse(settings),
        timezone=settings.testruns_timezone,
        reference=reference,
        target_path=settings.testruns_home / "dbt",
        full_refresh=full_refresh,
        on_wait=output.note,
    )
    output.line(f"dbt: {report.models} models, {report.tests} tests in {report.seconds:.1f} s")
    for text in report.warned_tests:
        output.line(f"  warns: {text}")
    output.note(*(f"dbt: {text}" for text in [*report.errors, *report.failed_tests]))
    if report.skipped:
        output.note(f"dbt: skipped {', '.join(report.skipped)}")
    return 0 if report.succeeded else 1


def dbt(settings: Settings, arguments: tuple[str, ...]) -> int:
    """Any dbt command on this warehouse."""
    from pipelines.transform.dbt_command import run_dbt  # noqa: PLC0415 - not for a night

    return run_dbt(
        arguments,
        url=open_warehouse(settings),
        timezone=settings.testruns_timezone,
        folder=settings.testruns_home / "dbt",
        on_wait=output.note,
    )


def nightly(settings: Settings, *, verbose: bool) -> int:
    """Load, then build, as a run of Dagster's."""
    settings.require_input()
    read_reference(settings)  # a complaint comes before the first request
    from pipelines.orchestration.nightly import run_nightly  # noqa: PLC0415 - two seconds

    show_sources_left_out(settings)
    with load_progress(verbose=verbose) as progress:
        report = run_nightly(settings, progress)
    for text in _nightly_lines(report):
        output.line(text)
    output.note(*map(str, report.failures), *report.failed_checks)
    return 0 if report.succeeded else 1


def _nightly_lines(report: "NightlyReport") -> list[str]:
    """What was imported and built, and the run in Dagster; failures have lines of their own."""
    outcome = "succeeded" if report.succeeded else "FAILED"
    return [
        *([f"reports: {outcomes_line(report.files)}"] if report.files else []),
        f"dbt: {report.models} models built, {report.checks} tests run"
        if report.models or not report.succeeded
        else "dbt: nothing has changed since the models were built today; they stand",
        *(f"  warns: {check}" for check in report.warned_checks),
        f"Dagster run {report.run_id}: {outcome} in {report.seconds:.1f} s",
    ]


def report(
    settings: Settings, out: Path | None, since: str | None, until: str | None, *, is_opened: bool
) -> int:
    """Write the page and say where it is, and on stderr which outages its period had."""
    from pipelines.report.write import write_report  # noqa: PLC0415 - a second

    zone = settings.testruns_timezone
    written = write_report(
        settings,
        out,
        moment("--since", since, zone) if since else None,
        moment("--until", until, zone) if until else None,
    )
    output.line(short_path(written.path))
    output.note(*(f"outage {line}" for line in written.outages[:_MOST_OUTAGES]))
    if len(written.outages) > _MOST_OUTAGES:
        output.note("more outages are on the page")
    if is_opened and not webbrowser.open(written.path.as_uri()):
        output.note(f"no browser could be started; open {written.path.as_uri()}")
    return 0


def export(settings: Settings, folder: Path, since: str, until: str | None, suffix: str) -> int:
    """Write the marts into a folder and say how much it was."""
    from pipelines.report.export.write import export_marts  # noqa: PLC0415 - not for a night

    zone = settings.testruns_timezone
    exported = export_marts(
        open_warehouse(settings),
        folder,
        moment("--since", since, zone),
        moment("--until", until, zone) if until else datetime.now(UTC),
        zone=zone,
        suffix=suffix,
        on_wait=output.note,
    )
    output.line(f"{exported.files:,} files, {exported.rows:,} rows in {short_path(folder)}")
    return 0
