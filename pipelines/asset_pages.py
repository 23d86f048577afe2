"""What the page of an asset shows of a load: rows, columns, requests, watermarks, a preview.

Tables are Dagster's typed ones rather than Markdown: the previewed text comes from the APIs, and as
Markdown a run's name could draw links and pictures on the page.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from pipelines.progress import ScopeReport
from pipelines.warehouse.queries import queries

Metadata = dict[str, Any]

_PREVIEW_ROWS = 5
_LONGEST_TEXT = 100


def load_metadata(reports: Iterable[ScopeReport]) -> Metadata:
    """What a load cost and how far it came, the same on the page of each table that it wrote."""
    reports = list(reports)
    requests: Counter[str] = Counter()
    for report in reports:
        requests.update(report.requests)
    quota = next((report.quota for report in reversed(reports) if report.quota), {})
    return {
        "requests": requests.total(),
        "requests_by_endpoint": _table(
            {"endpoint": endpoint, "requests": count} for endpoint, count in requests.most_common()
        ),
        "bytes_received": sum(report.bytes_received for report in reports),
        "waited_seconds": round(sum(report.waited_seconds for report in reports), 1),
        "scopes": _table(
            {
                "scope": report.scope,
                "watermark_before": report.high_water_before,
                "watermark_after": report.high_water_after,
                "rows_written": sum(report.rows.values()),
                "rejected": report.rejected,
                "error": report.error,
            }
            for report in reports
        ),
        **{f"quota_{name}": left for name, left in quota.items()},
    }


def table_metadata(connection: psycopg.Connection, tables: Iterable[str]) -> dict[str, Metadata]:
    """Row count and columns of each table or view (`schema.name`) that exists."""
    columns: dict[str, list[dg.TableColumn]] = {}
    found = connection.execute(queries("assets")["columns"], {"tables": list(tables)})
    for table, name, type_name, is_nullable, comment in found:
        constraints = dg.TableColumnConstraints(nullable=is_nullable)
        column = dg.TableColumn(name, type_name, comment, constraints=constraints)
        columns.setdefault(table, []).append(column)
    if not columns:
        return {}
    counts = sql.SQL(" union all ").join(
        sql.SQL("select {}, count(*) from {}").format(table, sql.Identifier(*table.split(".")))
        for table in columns
    )
    return {
        table: {
            "dagster/row_count": rows,
            "dagster/column_schema": dg.TableSchema(columns=columns[table]),
        }
        for table, rows in connection.execute(counts)
    }


def preview(connection: psycopg.Connection, table: str, columns: Iterable[str]) -> dg.MetadataValue:
    """The rows of a parent table that changed last."""
    rows = connection.cursor(row_factory=dict_row).execute(
        sql.SQL("select {}, loaded_at from {} order by loaded_at desc limit {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.Identifier(*table.split(".")),
            _PREVIEW_ROWS,
        )
    )
    return _table(rows)


def _table(rows: Iterable[Mapping[str, Any]]) -> dg.MetadataValue:
    records = [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows]
    names = records[0].data if records else {}
    return dg.MetadataValue.table(
        records, schema=dg.TableSchema([dg.TableColumn(name) for name in names])
    )


def _cell(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, int | float | bool):
        return value
    text = f"{value:%F %T}" if hasattr(value, "strftime") else str(value)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
