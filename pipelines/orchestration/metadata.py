"""What the page of an asset shows of a load: rows, columns, requests, watermarks, a preview.

Tables are Dagster's typed ones rather than Markdown: the previewed text comes from the APIs, and as
Markdown a run's name could draw links and pictures on the page.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from pipelines.ingest.progress import ScopeReport
from pipelines.sources.registry import REGISTRY
from pipelines.sources.spec import SourceName
from pipelines.warehouse.queries import queries

Metadata = dict[str, Any]

_PREVIEW_ROWS = 5
_LONGEST_TEXT = 500


def load_metadata(reports: Iterable[ScopeReport]) -> Metadata:
    """What a load cost and how far it came, the same on the page of each table that it wrote."""
    reports = list(reports)
    requests: Counter[str] = Counter()
    for report in reports:
        requests.update(report.requests)
    quota = next((report.quota for report in reversed(reports) if report.quota), {})
    return {
        "requests": requests.total(),
        "bytes_received": sum(report.bytes_received for report in reports),
        "waited_seconds": round(sum(report.waited_seconds for report in reports), 1),
        "scopes_failed": sum(report.error is not None for report in reports),
        **{f"quota_{name}": left for name, left in quota.items()},
    }


def runs_metadata(
    connection: psycopg.Connection, source: SourceName, reports: Sequence[ScopeReport]
) -> Metadata:
    """What stands on the page of a source's runs alone: scopes, endpoints, tables, rows."""
    spec = REGISTRY[source]
    requests: Counter[str] = Counter()
    written: Counter[str] = Counter()
    for report in reports:
        requests.update(report.requests)
        written.update(report.rows)
    metadata = {
        "scopes": table(
            {
                "scope": report.scope,
                "watermark_before": report.high_water_before,
                "watermark_after": report.high_water_after,
                "rows_written": sum(report.rows.values()),
                "rejected": report.rejected,
                "requests": sum(report.requests.values()),
                "error": report.error,
            }
            for report in reports
        ),
        "requests_by_endpoint": table(
            {"endpoint": endpoint, "requests": count} for endpoint, count in requests.most_common()
        ),
        "rows_by_table": table(
            {"table": name, "rows_written": count} for name, count in written.most_common()
        ),
        "preview": _preview(connection, spec.runs_table, spec.preview_columns),
    }
    return without_empty_tables(metadata)


def without_empty_tables(metadata: Metadata) -> Metadata:
    """A page shows what there is."""
    return {
        name: value
        for name, value in metadata.items()
        if not isinstance(value, dg.TableMetadataValue) or value.records
    }


def table_metadata(
    connection: psycopg.Connection,
    tables: Iterable[str],
    descriptions: Mapping[str, str] | None = None,
) -> dict[str, Metadata]:
    """Row count and columns of each table or view (`schema.name`) that exists.

    `descriptions` are of columns without a comment in the warehouse, by name.
    """
    columns: dict[str, list[dg.TableColumn]] = {}
    rows = connection.execute(queries("assets")["columns"], {"tables": list(tables)})
    for name, column, type_name, is_nullable, comment in rows:
        constraints = dg.TableColumnConstraints(nullable=is_nullable)
        description = comment or (descriptions or {}).get(column)
        columns.setdefault(name, []).append(
            dg.TableColumn(column, type_name, description, constraints=constraints)
        )
    if not columns:
        return {}
    counts = sql.SQL(" union all ").join(
        sql.SQL("select {}, count(*) from {}").format(name, sql.Identifier(*name.split(".")))
        for name in columns
    )
    return {
        name: {
            "dagster/row_count": row_count,
            "dagster/column_schema": dg.TableSchema(columns=columns[name]),
        }
        for name, row_count in connection.execute(counts)
    }


def materializations(
    connection: psycopg.Connection,
    source: SourceName,
    rows_written: Mapping[str, int],
    of_all: Metadata,
    of_table: Mapping[str, Metadata] | None = None,
) -> list[dg.MaterializeResult[None]]:
    """What a step says of the tables that it filled, in the order of `rows_written`.

    `of_all` stands on each page, `of_table` on that of one. A load without news, or one that
    failed, leaves the data version as it was, and so the models up to date.
    """
    of_tables = table_metadata(connection, rows_written)
    # The last load that wrote to each table; one that is empty has none.
    last_written = connection.execute(queries("assets")["last_written"], {"source": source})
    versions: dict[str, int] = dict(last_written.fetchall())
    return [
        dg.MaterializeResult(
            asset_key=table.split("."),
            metadata={
                "rows_written": rows,
                **of_tables[table],
                **of_all,
                **(of_table or {}).get(table, {}),
            },
            data_version=dg.DataVersion(str(versions.get(table, 0))),
        )
        for table, rows in rows_written.items()
    ]


def _preview(connection: psycopg.Connection, name: str, columns: Iterable[str]) -> dg.MetadataValue:
    """The rows of a parent table that changed last."""
    rows = connection.cursor(row_factory=dict_row).execute(
        sql.SQL("select {}, loaded_at from {} order by loaded_at desc limit {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.Identifier(*name.split(".")),
            _PREVIEW_ROWS,
        )
    )
    return table(rows)


def table(rows: Iterable[Mapping[str, Any]]) -> dg.MetadataValue:
    """Rows as a table on a page; times are UTC, long text is cut."""
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
