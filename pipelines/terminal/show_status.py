"""What `testruns status` prints."""

import json
from datetime import UTC, datetime
from typing import Any

from pipelines.ingest.load_lines import format_quota
from pipelines.settings import Settings
from pipelines.sources.registry import REGISTRY
from pipelines.terminal import output
from pipelines.terminal.places import psql_command
from pipelines.terminal.status import Row, read_status
from pipelines.warehouse.engine import open_warehouse

_MOST_ENTRIES = 20
_REASONS = {
    "repeated": "the API repeats rows",
    "open": "not ended yet",
    "missing": "rows are missing",
    "surplus": "more rows than announced",
}


def show_status(settings: Settings, *, as_json: bool = False) -> None:
    """Print the status for people, or all of it for programs. Raises WarehouseError."""
    url = open_warehouse(settings)
    status = read_status(settings, url)
    if as_json:
        for text in json.dumps(status, default=str, indent=2).splitlines():
            output.line(text)
    else:
        _show(status, psql_command(settings, url))


def _show(status: dict[str, Any], psql: str) -> None:
    now = datetime.now(UTC)
    output.line(f"warehouse    {status['warehouse']}")
    output.line(f"password in  {status['password_in']}")
    output.line(f"open it      {psql}")
    output.line(f"read only    role {status['reader']}; see docs/bi.md")
    output.line()
    if not status["watermarks"] and not status["last_loads"]:
        output.line("nothing has been loaded yet")
        return
    for source in sorted({load["source"] for load in status["last_loads"]}):
        _show_scopes(source, status, now)
    output.table(
        "Tables",
        ("", "last change", "runs"),
        [
            (row["table_name"], format_age(row["loaded_at"], now), f"{row['rows']:,}")
            for row in status["tables"]
        ],
        numbers=2,
    )
    output.line()
    _show_list("Open runs", [_open_run(row) for row in status["open_runs"]])
    _show_list("Rejected records", [_rejected(row) for row in status["rejected_records"]])
    _show_list(
        "Fields without a column, kept in extra",
        [f"{row['table_name']}: {row['field']}" for row in status["unknown_fields"]],
    )
    _show_list(
        "Runs whose totals differ from their rows (ingest.reconciliations)",
        [_difference(row) for row in status["reconciliations"]],
    )


def _show_scopes(source: str, status: dict[str, Any], now: datetime) -> None:
    loads = [load for load in status["last_loads"] if load["source"] == source]
    high_waters = {
        row["scope"]: row["high_water"] for row in status["watermarks"] if row["source"] == source
    }
    output.table(
        REGISTRY[source].title if source in REGISTRY else source,
        ("", "loaded up to (UTC)", "last load"),
        [
            (load["scope"], _format_minute(high_waters.get(load["scope"])), _last_load(load, now))
            for load in loads
        ],
    )
    for audit in status["audits"]:
        if audit["source"] == source:
            output.line(f"  {_format_audit(audit, now)}")
    for load in loads:
        if load["error"]:
            output.line(f"  {load['scope']}: {load['error']}")
    latest = max(loads, key=lambda load: load["load_id"])
    if quota := format_quota(latest["quota"] or {}):
        output.line(f"  {quota}")
    output.line()


def _format_audit(audit: Row, now: datetime) -> str:
    when = (
        f"as of {_format_minute(audit['audited_at'])} UTC ({format_age(audit['audited_at'], now)})"
    )
    if audit["error"]:
        return f"{audit['scope']}: audit failed {when}: {audit['error']}"
    counts = f"{audit['loaded']:,} of {audit['listed']:,}"
    every = "every run that the API lists is here" if audit["is_complete"] else "RUNS ARE MISSING"
    return f"{audit['scope']}: {every}: {counts}, {when}"


def _last_load(load: Row, now: datetime) -> str:
    age = format_age(load["started_at"], now)
    return age if load["outcome"] == "succeeded" else f"{load['outcome']} {age}"


def format_age(time: datetime | None, now: datetime) -> str:
    """`5 min ago`, `3 h ago`, `12 d ago`; None: `never`."""
    if time is None:
        return "never"
    minutes = max(0, int((now - time).total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 48 * 60:
        return f"{minutes // 60} h ago"
    return f"{minutes // 1440:,} d ago"


def _format_minute(time: datetime | None) -> str:
    return "-" if time is None else f"{time:%F %H:%M}"


def _show_list(title: str, entries: list[str]) -> None:
    output.line(f"{title}: {len(entries) or 'none'}")
    for entry in entries[:_MOST_ENTRIES]:
        output.line(f"  {entry}")
    if len(entries) > _MOST_ENTRIES:
        output.line(f"  … and {len(entries) - _MOST_ENTRIES} more (--json shows all)")


def _open_run(row: Row) -> str:
    since = "an unknown time" if row["opened_at"] is None else f"{row['opened_at']:%F %T} UTC"
    gone = "; gone at the source" if row["gone_at"] else ""
    return f"{row['source']} {row['scope']} {row['run_id']}: since {since}{gone}"


def _rejected(row: Row) -> str:
    run = row["run_id"] or "without a readable ID"
    return f"{row['rejected_id']}: {row['source']} {row['scope']} run {run}: {row['error']}"


def _difference(row: Row) -> str:
    why = f"{_REASONS[row['reason']]}; the latest is {row['latest_run_id']}"
    return f"{row['source']} {row['scope']}: {row['runs']:,}, {why}"
