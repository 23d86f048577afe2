"""What `testruns status` shows: how far each history is read, and what needs a look."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from pipelines.settings import Settings
from pipelines.warehouse.embedded.server import EmbeddedPostgres
from pipelines.warehouse.engine import connect
from pipelines.warehouse.queries import queries

Row = dict[str, Any]


@dataclass(frozen=True)
class Status:
    """The `ingest` schema at a glance; rows as the queries of sql/queries/status.sql name them.

    `warehouse` is the URL without its password, which is in `password_in`. Times are UTC.
    """

    warehouse: str
    password_in: str
    tables: list[Row]
    watermarks: list[Row]
    last_loads: list[Row]
    open_runs: list[Row]
    rejected_records: list[Row]
    unknown_fields: list[Row]
    reconciliations: list[Row]

    def as_json(self) -> dict[str, Any]:
        """Everything, times as ISO 8601 text."""
        return asdict(self)


def read_status(settings: Settings, url: str) -> Status:
    """Read it in one session. Raises WarehouseError when the warehouse does not answer."""
    named = queries("status")
    with connect(url, role="testruns status") as connection, connection.transaction():
        rows = connection.cursor(row_factory=dict_row)

        def read(name: str) -> list[Row]:
            return rows.execute(named[name]).fetchall()

        return Status(
            warehouse=without_password(url),
            password_in=password_place(settings),
            tables=read("tables"),
            watermarks=read("watermarks"),
            last_loads=read("last_loads"),
            open_runs=read("open_runs"),
            rejected_records=read("rejected"),
            unknown_fields=read("unknown_fields"),
            reconciliations=read("reconciliations"),
        )


def without_password(url: str) -> str:
    """The libpq URL with everything but its password."""
    parts = conninfo_to_dict(url)
    user = f"{quote(str(parts['user']))}@" if parts.get("user") else ""
    port = f":{parts['port']}" if parts.get("port") else ""
    host = quote(str(parts.get("host") or ""))
    return f"postgresql://{user}{host}{port}/{parts.get('dbname') or ''}"


def password_place(settings: Settings) -> str:
    """Where the warehouse's password is: a variable, or the embedded server's password file."""
    if settings.testruns_warehouse_url is not None:
        return "TESTRUNS_WAREHOUSE_URL"
    return str(EmbeddedPostgres(settings.testruns_home).pgpass)


def psql_command(settings: Settings, url: str) -> str:
    """A shell line that opens the warehouse in psql."""
    if settings.testruns_warehouse_url is not None:
        return 'psql "$TESTRUNS_WAREHOUSE_URL"'
    passwords = shown(EmbeddedPostgres(settings.testruns_home).pgpass)
    return f"PGPASSFILE={passwords} psql {without_password(url)}"


def shown(path: Path) -> str:
    """A path as a person here would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def status_lines(status: Status, psql: str) -> list[str]:
    """The status for people, a line each."""
    now = datetime.now(UTC)
    lines = [
        f"warehouse     {status.warehouse}",
        f"password in   {status.password_in}",
        f"open it       {psql}",
        "",
    ]
    if not status.watermarks and not status.last_loads:
        return [*lines, "nothing has been loaded yet"]
    lines.append("scopes        loaded up to (UTC)    last load")
    marks = {(row["source"], row["scope"]): row for row in status.watermarks}
    for load in status.last_loads:
        watermark = marks.get((load["source"], load["scope"]))
        up_to = f"{watermark['high_water']:%F %T}" if watermark and watermark["high_water"] else "-"
        lines.append(f"  {load['source']} {load['scope']}")
        lines.append(f"              {up_to:<21} {_load(load, now)}")
        if load["error"]:
            lines.append(f"              {load['error']}")
    lines += [
        f"{row['table_name']}: {row['rows']:,} runs, last change {_ago(row['loaded_at'], now)}"
        for row in status.tables
    ]
    lines.append("")
    for title, entries in (
        ("open runs", [_open_run(row) for row in status.open_runs]),
        ("rejected records", [_rejected(row) for row in status.rejected_records]),
        (
            "fields without a column (kept in extra)",
            [f"{row['table_name']}: {row['field']}" for row in status.unknown_fields],
        ),
        (
            "runs whose totals are not what their rows come to (ingest.reconciliations)",
            [_differing(row) for row in status.reconciliations],
        ),
    ):
        lines += _section(title, entries)
    return lines


def _open_run(row: Row) -> str:
    gone = "; gone at the source" if row["gone_at"] else ""
    return f"{row['source']} {row['scope']} {row['run_id']}: since {_time(row['opened_at'])}{gone}"


def _rejected(row: Row) -> str:
    run = row["run_id"] or "without a readable ID"
    return f"{row['rejected_id']}: {row['source']} {row['scope']} run {run}: {row['error']}"


_REASONS = {
    "repeated": "the API repeats rows",
    "open": "not ended yet",
    "missing": "rows are missing",
    "surplus": "more rows than announced",
}


def _differing(row: Row) -> str:
    latest = f"the latest is {row['latest_run_id']}"
    return f"{row['source']} {row['scope']}: {row['runs']:,}, {_REASONS[row['reason']]}; {latest}"


def _section(title: str, entries: list[str]) -> list[str]:
    if not entries:
        return [f"{title}: none"]
    shown_entries = [f"  {entry}" for entry in entries[:20]]
    more = [f"  … and {len(entries) - 20} more (--json shows all)"] if len(entries) > 20 else []
    return [f"{title}: {len(entries)}", *shown_entries, *more]


def _load(load: Row, now: datetime) -> str:
    quota = load["quota"] or {}
    left = [
        f"{quota[remaining]:,} of {quota.get(limit, '?'):,} left this {name}"
        for name, remaining, limit in (
            ("minute", "remaining", "limit"),
            ("month", "month_remaining", "month_limit"),
        )
        if remaining in quota
    ]
    rows = sum((load["rows_written"] or {}).values())
    return ", ".join(
        [
            f"{load['outcome']} {_ago(load['started_at'], now)}",
            f"{rows:,} rows",
            f"{load['requests_total']:,} requests",
            *left,
        ]
    )


def _ago(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "never"
    minutes = max(0, int((now - moment).total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 48 * 60:
        return f"{minutes // 60} h ago"
    return f"{minutes // 1440} days ago"


def _time(moment: datetime | None) -> str:
    return "an unknown time" if moment is None else f"{moment:%F %T} UTC"
