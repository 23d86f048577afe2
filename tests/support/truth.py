"""Whether the warehouse is the source: each run as it is held there, no other but deleted ones."""

from collections import Counter
from collections.abc import Mapping

import psycopg
import pytest

from pipelines.sandbox.server import Sandbox
from tests.support.contract import POSTMAN, TESTMO
from tests.support.oracle import Tables, in_one_order, tables_of_postman, tables_of_testmo


def living(url: str, columns: Mapping[str, Mapping[str, str]]) -> Tables:
    """The rows of a source's runs that are not marked as deleted."""
    parent = next(iter(columns))
    with psycopg.connect(url, autocommit=True, options="-c timezone=UTC") as connection:
        return {
            table: in_one_order(
                connection.execute(
                    f"select {', '.join(names)} from {table} where run_id not in"
                    f" (select run_id from {parent} where deleted_at is not null)".encode()
                ).fetchall()
            )
            for table, names in columns.items()
        }


def assert_warehouse_is(url: str, sandbox: Sandbox) -> None:
    """All tables of both sources, run by run; a run is marked as deleted if the source has none."""
    _assert_equal(living(url, POSTMAN), tables_of_postman(sandbox.postman_runs, POSTMAN))
    _assert_equal(living(url, TESTMO), tables_of_testmo(sandbox.testmo_runs, TESTMO))


def _assert_equal(found: Tables, expected: Tables) -> None:
    for table, rows in expected.items():
        if found[table] == rows:
            continue
        held, wanted = Counter(map(repr, found[table])), Counter(map(repr, rows))
        lacks, surplus = list((wanted - held).elements()), list((held - wanted).elements())
        pytest.fail(
            f"{table} lacks {len(lacks)} rows, as {lacks[:2]};"
            f" it holds {len(surplus)} too many, as {surplus[:2]}"
        )
