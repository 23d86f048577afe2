"""What became of each run of a batch, beside its rows: written in the batch's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import psycopg

from pipelines.sources.base import FlatRun, Rejected
from pipelines.warehouse.batch import Deferred, FetchResult, NotFound
from pipelines.warehouse.queries import queries

# Of an unknown field's name, which is part of a key; `extra` holds all of it.
_NAME_LENGTH = 200
_DIFFERENCES = ("run_ids", "totals", "announced", "loaded", "are_open")


def save_outcomes(
    connection: psycopg.Connection,
    scope: Mapping[str, Any],
    results: Sequence[FetchResult],
) -> None:
    """Write run states, reconciliations and set-aside records.

    `scope` holds source, scope, load_id and, for a backfill, backfill_id.
    """
    sql = queries("ledger")
    outcomes = [result.outcome for result in results]
    runs = [outcome for outcome in outcomes if isinstance(outcome, FlatRun)]
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    not_found = [outcome.run_id for outcome in outcomes if isinstance(outcome, NotFound)]
    states = _states(results)
    if states:
        connection.execute(sql["save_run_states"], {**scope, **states})
    if runs:
        run_ids = [run.run_id for run in runs]
        compared = [run.run_id for run in runs if run.differences is not None]
        connection.execute(
            sql["save_reconciliations"], {**scope, "compared": compared, **difference_columns(runs)}
        )
        connection.execute(sql["supersede_rejected"], {**scope, "superseded": run_ids})
    if not_found:
        connection.execute(sql["save_not_found"], {**scope, "not_found": not_found})
    if rejected:
        connection.execute(sql["save_rejected"], {**scope, **_records(rejected)})


def save_unknown_fields(
    connection: psycopg.Connection, scope: Mapping[str, Any], fields: set[tuple[str, str]]
) -> None:
    """Write the fields (table, path) that have no column and have not been met before."""
    tables, names = map(list, zip(*sorted(fields), strict=True))
    connection.execute(
        queries("ledger")["save_unknown_fields"], {**scope, "tables": tables, "fields": names}
    )


def unknown_fields(
    columns: Mapping[str, Sequence[str]], nested: frozenset[str], runs: Iterable[FlatRun]
) -> set[tuple[str, str]]:
    """(table, path) of every field that went to `extra`, which is the last column.

    `nested` names the objects whose own leftovers stand under their name.
    """
    tables = [table for table, names in columns.items() if names[-1] == "extra"]
    extras = (
        (table, row[-1])
        for run in runs
        for table in tables
        for row in run.rows.get(table, ())
        if row[-1] is not None
    )
    fields: set[tuple[str, str]] = set()
    for table, extra in extras:
        for key, value in extra.items():
            if key in nested and type(value) is dict:
                fields.update((table, f"{key}.{inner}"[:_NAME_LENGTH]) for inner in value)
            else:
                fields.add((table, key[:_NAME_LENGTH]))
    return fields


def _states(results: Sequence[FetchResult]) -> dict[str, list[Any]]:
    """Parameters of `save_run_states`; {} where nothing is known of any run."""
    states: dict[str, tuple[str | bytes | bool | datetime | None, ...]] = {}
    for result in results:
        listed = result.listed_digest
        match result.outcome:
            case FlatRun(run_id=run_id) as run:
                digests = (listed, run.digest, run.results_digest)
                states[run_id] = (run_id, *digests, run.is_open, run.opened_at, True, True)
            case Deferred(run_id=run_id, opened_at=opened_at, was_requested=was_requested):
                # Open, so that it is requested by ID; a backfill has not seen it.
                states[run_id] = (run_id, None, None, None, True, opened_at, False, was_requested)
            case Rejected(run_id=str(run_id), is_run=True):
                states[run_id] = (run_id, listed, None, None, False, None, True, True)
            case _:
                pass
    if not states:
        return {}
    columns = map(list, zip(*states.values(), strict=True))
    names = (
        *("run_ids", "listed_digests", "content_digests", "results_digests"),
        *("are_open", "opened_at", "are_seen", "were_requested"),
    )
    return dict(zip(names, columns, strict=True))


def difference_columns(runs: list[FlatRun]) -> dict[str, list[Any]]:
    """Parameters of `save_reconciliations`: what runs announce beside what their rows come to."""
    rows = [
        (run.run_id, difference.total, difference.announced, difference.loaded, run.is_open)
        for run in runs
        for difference in run.differences or ()
    ]
    columns = zip(*rows, strict=True) if rows else ((),) * len(_DIFFERENCES)
    return dict(zip(_DIFFERENCES, map(list, columns), strict=True))


def _records(rejected: list[Rejected]) -> dict[str, list[Any]]:
    """Parameters of `save_rejected`."""
    return {
        "endpoints": [record.endpoint for record in rejected],
        "run_ids": [record.run_id for record in rejected],
        "payloads": [record.payload for record in rejected],
        "payload_digests": [
            blake2b(record.payload.encode(errors="surrogatepass"), digest_size=16).digest()
            for record in rejected
        ],
        "errors": [record.error for record in rejected],
    }
