"""`load`, `backfill`, `audit`, `retry-rejected` as a person runs them; each gives its status."""

from collections.abc import Mapping, Sequence

from pipelines.ingest.audit import AuditReport, audit_source
from pipelines.ingest.backfill import (
    Window,
    backfill_source,
    chosen_scopes,
    estimate_source,
    moment,
)
from pipelines.ingest.load import load_source
from pipelines.ingest.load_lines import audit_lines, estimate_line, scope_line
from pipelines.ingest.progress import ScopeReport
from pipelines.ingest.reparse import Reparsed, reparse_rejected
from pipelines.settings import Settings
from pipelines.sources.registry import REGISTRY
from pipelines.sources.spec import SourceName
from pipelines.terminal import output
from pipelines.terminal.progress import load_progress
from pipelines.warehouse.engine import open_warehouse


def load(settings: Settings, source: SourceName | None, *, verbose: bool) -> int:
    """Load what is new in all sources, or in one."""
    sources = settings.require_source(source)
    if source is None:
        show_sources_left_out(settings)
    url = open_warehouse(settings)
    reports: list[ScopeReport] = []
    with load_progress(verbose=verbose) as progress:
        for name in sources:
            reports += load_source(settings, name, url, progress)
    return _exit_status(reports)


def show_sources_left_out(settings: Settings) -> None:
    """Say which source has no key."""
    for name, spec in REGISTRY.items():
        if name not in settings.configured_sources:
            output.line(f"{name}: not loaded, {spec.key_setting} is not set")


def backfill(
    settings: Settings,
    since: str,
    until: str | None,
    source: SourceName | None,
    scopes: Mapping[SourceName, tuple[str, ...]],
    *,
    dry_run: bool,
    verbose: bool,
) -> int:
    """Read a window again, in the scopes named or in all; dry: say what it would take."""
    window = Window(
        moment("--since", since, settings.testruns_timezone),
        moment("--until", until, settings.testruns_timezone) if until else None,
    )
    chosen = chosen_scopes(settings, source, scopes)
    if dry_run:
        has_failed = False
        for name, ids in chosen.items():
            for estimate in estimate_source(settings, name, ids, window):
                output.line(estimate_line(estimate))
                has_failed |= estimate.error is not None
        return int(has_failed)
    url = open_warehouse(settings)
    reports: list[ScopeReport] = []
    with load_progress(verbose=verbose) as progress:
        for name, ids in chosen.items():
            reports += backfill_source(settings, name, ids, window, url, progress)
    return _exit_status(reports)


def audit(settings: Settings, source: SourceName | None, since: str | None, *, fix: bool) -> int:
    """Compare lists with the warehouse; fails while a run is missing or a list cannot be read."""
    start = moment("--since", since, settings.testruns_timezone) if since else None
    sources = settings.require_source(source)
    url = open_warehouse(settings)
    reports: list[AuditReport] = []
    for name in sources:
        reports += audit_source(settings, name, settings.scopes(name), url, since=start, fix=fix)
    for report in reports:
        for text in audit_lines(report):
            output.line(text)
    incomplete = [report.load for report in reports if not report.is_complete]
    if not incomplete:
        return 0
    names = ", ".join(f"{load.source} {load.scope}" for load in incomplete)
    remedy = "" if fix else "; --fix fetches what is missing"
    output.note(f"{len(incomplete)} of {len(reports)} scopes are not proven ({names}){remedy}")
    return 1


def retry_rejected(settings: Settings) -> int:
    """Parse rejected records again; a line each. Fails as long as one of them is rejected."""
    sources = settings.require_source()
    url = open_warehouse(settings)
    reports: list[ScopeReport] = []
    records: list[Reparsed] = []
    for name in sources:
        scopes, reparsed = reparse_rejected(settings, name, url)
        reports += scopes
        records += reparsed
    for report in reports:
        if report.error is not None:
            output.line(scope_line(report))
    for record in records:
        run = record.run_id or "without a readable ID"
        where = f"{record.source} {record.scope} run {run}"
        output.line(f"{record.rejected_id}: {where}: {record.outcome}")
    rows = sum(sum(report.rows.values()) for report in reports)
    output.line(f"{len(records):,} records, {rows:,} rows written")
    rejected = sum(record.outcome not in ("loaded", "asked for by ID") for record in records)
    if rejected:
        output.note(f"{rejected:,} of {len(records):,} records are still rejected")
    return _exit_status(reports) or int(rejected > 0)


def _exit_status(reports: Sequence[ScopeReport]) -> int:
    failed = [report for report in reports if report.error is not None]
    if not failed:
        return 0
    outlook = (
        "a later load may succeed"
        if any(report.is_transient for report in failed)
        else "a later load will fail as well until this is mended"
    )
    names = ", ".join(f"{report.source} {report.scope}" for report in failed)
    output.note(f"{len(failed)} of {len(reports)} scopes failed ({names}); {outlook}")
    return 1
