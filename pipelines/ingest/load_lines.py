"""What a load, a dry backfill and an audit say in lines, in the terminal and in Dagster's log."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.ingest.progress import ScopeReport
from pipelines.sources.spec import SourceName

if TYPE_CHECKING:
    from pipelines.ingest.audit import AuditReport
    from pipelines.ingest.backfill import Estimate


def scope_line(report: ScopeReport) -> str:
    """One line for a scope: what was written and at what cost, or first of all why it failed."""
    runs = sum(rows for table, rows in report.rows.items() if table.endswith("_runs"))
    rows = sum(report.rows.values())
    parts = [f"{runs:,} runs, {rows:,} rows" if rows else "nothing new"]
    if report.error is not None:
        parts = [f"FAILED: {report.error}"]
        parts += [f"{runs:,} runs, {rows:,} rows written before"] if rows else []
    parts.append(f"{sum(report.requests.values()):,} requests")
    if report.deleted:
        parts.append(f"{report.deleted:,} runs gone at the source")
    if report.rejected:
        parts.append(f"{report.rejected:,} records rejected (see testruns status)")
    if report.high_water_after is not None:
        parts.append(f"up to {report.high_water_after:%F %T} UTC")
    if report.notice is not None:
        parts.append(report.notice)
    separator = ", " if report.error is None else "; "
    return f"{report.source} {report.scope}: {separator.join(parts)}"


def detail_lines(report: ScopeReport) -> list[str]:
    """What `--verbose` adds for a scope: requests by endpoint, rows by table, bytes and waiting."""
    traffic = [
        f"{report.bytes_received / 1e6:,.1f} MB received",
        f"{report.waited_seconds:,.0f} s waited for the rate limit",
        *filter(None, [format_quota(report.quota)]),
    ]
    return [
        *(f"  {number:,} requests: {endpoint}" for endpoint, number in report.requests.items()),
        *(f"  {number:,} rows: {table}" for table, number in report.rows.items() if number),
        f"  {', '.join(traffic)}",
    ]


def format_quota(quota: Mapping[str, int]) -> str:
    """`requests left: 290 of 300 this minute`, as the API announced last; nothing: empty."""
    parts = [
        f"{quota[remaining]:,} of {quota.get(limit, '?'):,} this {unit}"
        for unit, remaining, limit in (
            ("minute", "remaining", "limit"),
            ("month", "month_remaining", "month_limit"),
        )
        if remaining in quota
    ]
    return f"requests left: {', '.join(parts)}" if parts else ""


def size_line(source: SourceName, scope: str, runs: int, minutes: float) -> str:
    """What a first load has before it."""
    takes = f"{format_minutes(minutes)} at the allowed rate"
    return f"{source} {scope}: {runs:,} runs to load, {takes}; a stopped load goes on where it was"


def estimate_line(estimate: "Estimate") -> str:
    """One line for a scope: what a backfill of it would take."""
    where = f"{estimate.source} {estimate.scope}"
    if estimate.error is not None:
        return f"{where}: FAILED: {estimate.error}"
    return (
        f"{where}: {estimate.runs:,} runs, {estimate.requests:,} requests, "
        f"{format_minutes(estimate.minutes)} at the allowed rate"
    )


def audit_lines(report: "AuditReport") -> list[str]:
    """What an audit found in a scope, and the runs that are missing."""
    load, comparison = report.load, report.found
    where = f"{load.source} {load.scope}"
    requests = f"{sum(load.requests.values()):,} requests"
    if comparison is None:
        return [f"{where}: FAILED: {load.error}; {requests}"]
    parts = [f"{comparison.loaded:,} of {comparison.listed:,} listed runs are here"]
    for number, words in (
        (report.fixed, "fetched now"),
        (comparison.changed, "changed since they were loaded"),
        (comparison.gone, "no longer listed"),
    ):
        parts += [f"{number:,} {words}"] if number else []
    failed = "" if load.error is None else f"FAILED: {load.error}; "
    line = f"{where}: {failed}{', '.join([*parts, requests])}"
    more = comparison.missing - len(report.missing_runs)
    return [
        line,
        *(f"  missing: {run_id}" for run_id in report.missing_runs),
        *([f"  … and {more:,} more"] if more else []),
    ]


def format_minutes(minutes: float) -> str:
    """`about 12 min`, `about 3 h 20 min`."""
    hours, rest = divmod(max(1, round(minutes)), 60)
    return f"about {hours:,} h {rest} min" if hours else f"about {rest} min"
