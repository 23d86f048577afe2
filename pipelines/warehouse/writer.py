"""A batch of flat runs into the raw tables: which are new or changed, then binary COPY.

Inside the caller's transaction. A run that is known by its digest costs one look-up and no write;
a changed one is deleted with its children and copied anew. A table that a run has no rows of, not
even none (its test results were not read), stays as it is. New runs go straight into their tables,
without a stage: their keys are known to be free.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from pipelines.sources.base import FlatRun, Rows, RunSource
from pipelines.warehouse.queries import queries


class RunTables(Protocol):
    """What runs are told apart by (`name`) and stand in: columns by table, the run's own first."""

    @property
    def name(self) -> str:
        """As `ingest.run_states.source`."""
        ...

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Columns by table, in the order of the rows' values."""
        ...


ColumnTypes = dict[str, dict[str, str]]
_STAMPS = ("first_loaded_at", "loaded_at", "load_id")


def column_types(connection: psycopg.Connection) -> ColumnTypes:
    """The type of each column of the raw tables, by table and column."""
    return dict(connection.execute(queries("ledger")["column_types"]).fetchall())


def merge_runs(
    connection: psycopg.Connection,
    source: RunTables,
    runs: Sequence[FlatRun],
    types: ColumnTypes,
    load_id: int,
) -> Counter[str]:
    """Write the runs that are new or changed; the rows written, by table.

    `loaded_at` is the transaction's start for all of them; `first_loaded_at` of a run that was
    there before is kept.
    """
    row = connection.execute(
        queries("ledger")["content_digests"],
        {"source": source.name, "run_ids": [run.run_id for run in runs]},
    ).fetchone()
    loaded_at, digests = row or (None, {})
    known = [run for run in runs if _is_known(run, digests.get(run.run_id))]
    fresh = [run for run in runs if not _is_known(run, digests.get(run.run_id))]
    parent = next(iter(source.columns))
    written: Counter[str] = Counter()
    if known:
        written[parent] += _undelete(connection, source, known, types, load_id)
    if not fresh:
        return +written
    replaced = [run for run in fresh if run.run_id in digests]
    first_loaded = _delete(connection, source, replaced, types) if replaced else {}
    for table, columns in source.columns.items():
        rows: Iterable[tuple[Any, ...]]
        if table == parent:
            columns = (*columns, *_STAMPS)  # noqa: PLW2901 - only the parent carries them
            rows = [
                (*row, first_loaded.get(row[0], loaded_at), loaded_at, load_id)
                for run in fresh
                for row in run.rows[table]
            ]
        else:
            rows = (row for run in fresh for row in run.rows.get(table, ()))
        if count := sum(len(run.rows.get(table, ())) for run in fresh):
            _copy(connection, table, columns, types[table], rows)
            written[table] += count
    return +written


def _is_known(run: FlatRun, held: list[str | None] | None) -> bool:
    """Whether the digests of its content and of its results, if they were read, are those held."""
    content, results = held or (None, None)
    return content == run.digest.hex() and (
        run.results_digest is None or results == run.results_digest.hex()
    )


def _undelete(
    connection: psycopg.Connection,
    source: RunTables,
    runs: list[FlatRun],
    types: ColumnTypes,
    load_id: int,
) -> int:
    """Clear `deleted_at` of runs that have returned as they were; how many."""
    parent = next(iter(source.columns))
    statement = sql.SQL(
        "update {} set deleted_at = null, loaded_at = now(), load_id = %s "
        "where run_id = any(%s::{}[]) and deleted_at is not null"
    ).format(_name(parent), sql.Identifier(types[parent]["run_id"]))
    keys = [_key(run, parent) for run in runs]
    return connection.execute(statement, (load_id, keys)).rowcount


def mark_deleted(
    connection: psycopg.Connection,
    source: RunTables,
    run_ids: list[str],
    types: ColumnTypes,
    load_id: int,
) -> int:
    """Set `deleted_at` of runs that are gone at the source; how many were not marked before."""
    parent = next(iter(source.columns))
    statement = sql.SQL(
        "update {} set deleted_at = now(), loaded_at = now(), load_id = %s "
        "where run_id = any(%s::text[]::{}[]) and deleted_at is null"
    ).format(_name(parent), sql.Identifier(types[parent]["run_id"]))
    return connection.execute(statement, (load_id, run_ids)).rowcount


def _delete(
    connection: psycopg.Connection, source: RunTables, runs: list[FlatRun], types: ColumnTypes
) -> dict[Any, datetime]:
    """Delete the runs with their children; when each was loaded first."""
    parent, *children = source.columns
    key_type = sql.Identifier(types[parent]["run_id"])
    for table in children:
        keys = [_key(run, parent) for run in runs if table in run.rows]
        connection.execute(
            sql.SQL("delete from {} where run_id = any({}::{}[])").format(
                _name(table), sql.Placeholder(), key_type
            ),
            (keys,),
        )
    deleted = connection.execute(
        sql.SQL(
            "delete from {} where run_id = any({}::{}[]) returning run_id, first_loaded_at"
        ).format(_name(parent), sql.Placeholder(), key_type),
        ([_key(run, parent) for run in runs],),
    )
    return dict(deleted.fetchall())


def _copy(
    connection: psycopg.Connection,
    table: str,
    columns: tuple[str, ...],
    types: dict[str, str],
    rows: Iterable[tuple[Any, ...]],
) -> None:
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        _name(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor().copy(statement) as copy:
        copy.set_types([types[column] for column in columns])
        write_row = copy.write_row
        for row in rows:
            write_row(row)


def merge_references(
    connection: psycopg.Connection,
    source: RunSource,
    references: Rows,
    types: ColumnTypes,
    load_id: int,
) -> Counter[str]:
    """Insert what is new and update what has changed; the rows written, by table."""
    written: Counter[str] = Counter()
    for table, rows in references.items():
        if rows:
            columns = source.reference_columns[table]
            records = [dict(zip(columns, values, strict=True)) for values in rows]
            cursor = connection.execute(
                _upsert(table, columns, types[table]), {"load_id": load_id, "rows": Jsonb(records)}
            )
            if cursor.rowcount:
                written[table] += cursor.rowcount
    return written


def _upsert(table: str, columns: tuple[str, ...], types: dict[str, str]) -> sql.Composed:
    values = columns[1:]

    def listed(parts: Iterable[sql.Composable]) -> sql.Composed:
        return sql.SQL(", ").join(parts)

    return sql.SQL(
        "insert into {table} as stored ({columns}, load_id) "
        "select {columns}, %(load_id)s from jsonb_to_recordset(%(rows)s) as incoming ({types}) "
        "on conflict (id) do update "
        "set {assignments}, loaded_at = now(), load_id = %(load_id)s "
        "where ({stored}) is distinct from ({excluded})"
    ).format(
        table=_name(table),
        columns=listed(sql.Identifier(column) for column in columns),
        types=listed(
            sql.SQL("{} {}").format(sql.Identifier(column), sql.Identifier(types[column]))
            for column in columns
        ),
        assignments=listed(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column)) for column in values
        ),
        stored=listed(sql.Identifier("stored", column) for column in values),
        excluded=listed(sql.Identifier("excluded", column) for column in values),
    )


def _key(run: FlatRun, parent: str) -> Any:
    """The run's ID as its own row has it."""
    (row,) = run.rows[parent]
    return row[0]


def _name(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))
