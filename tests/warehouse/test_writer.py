"""Flat runs into real tables: the new are added, the changed replaced, the rest untouched."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg.types.json import set_json_dumps

from pipelines.ingest.load import run_source
from pipelines.ingest.progress import NullProgress
from pipelines.settings import Settings
from pipelines.sources.base import FlatRun, RunSource
from pipelines.sources.content import sanitize
from pipelines.sources.redaction import Redactor
from pipelines.sources.testmo.expands import ExpandsFlattener
from pipelines.warehouse.engine import connect
from pipelines.warehouse.outcomes import unknown_fields
from pipelines.warehouse.writer import ColumnTypes, column_types, merge_references, merge_runs
from tests.support.contract import POSTMAN, REFERENCES, TESTMO
from tests.support.db import everything, query, tables
from tests.support.factories import postman_run, testmo_run
from tests.support.oracle import in_one_order, tables_of_postman, tables_of_testmo

Json = dict[str, Any]

RUNS = "raw_postman.collection_runs"
EXECUTIONS = "raw_postman.executions"
ASSERTIONS = "raw_postman.assertions"
REFERENCES_OF = ExpandsFlattener(Redactor([]))


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def settings(make_settings: Callable[[dict[str, str]], Settings]) -> Settings:
    return make_settings(
        {
            "POSTMAN_API_KEY": "x",
            "POSTMAN_COLLECTION_IDS": "a",
            "TESTMO_API_URL": "http://127.0.0.1:1",
            "TESTMO_API_TOKEN": "x",
            "TESTMO_PROJECT_IDS": "5",
        }
    )


@pytest.fixture
def postman(settings: Settings) -> RunSource:
    return run_source(settings, "postman", NullProgress(), None)


@pytest.fixture
def testmo(settings: Settings) -> RunSource:
    return run_source(settings, "testmo", NullProgress(), None)


@pytest.fixture
def connection(warehouse_url: str) -> Iterator[psycopg.Connection]:
    with connect(warehouse_url) as connection:
        set_json_dumps(msgspec.json.encode, connection)
        yield connection


class Merging:
    """Merges runs as a load does: rows and what is held of each run, in one transaction."""

    def __init__(self, connection: psycopg.Connection, source: RunSource) -> None:
        self._connection, self._source = connection, source
        self._types: ColumnTypes = column_types(connection)
        self._load_id = 0

    def flat(self, run: Json) -> FlatRun:
        return self._source.flatten(*sanitize(run))

    def __call__(self, *runs: Json) -> dict[str, int]:
        self._load_id += 1
        flat = [self.flat(run) for run in runs]
        with self._connection.transaction():
            written = merge_runs(self._connection, self._source, flat, self._types, self._load_id)
            for run in flat:
                self._connection.execute(
                    "insert into ingest.run_states (source, run_id, scope, content_digest, is_open)"
                    " values (%s, %s, 'a', %s, false) on conflict (source, run_id)"
                    " do update set content_digest = excluded.content_digest",
                    (self._source.name, run.run_id, run.digest),
                )
        return dict(written)


@pytest.fixture
def merge(connection: psycopg.Connection, postman: RunSource) -> Merging:
    return Merging(connection, postman)


@pytest.fixture
def merge_testmo(connection: psycopg.Connection, testmo: RunSource) -> Merging:
    return Merging(connection, testmo)


def test_new_runs_are_added_with_all_of_their_children(merge: Merging, warehouse_url: str) -> None:
    runs = [postman_run(number) for number in range(3)]
    assert merge(*runs) == {RUNS: 3, EXECUTIONS: 6, ASSERTIONS: 9}

    assert tables(warehouse_url, POSTMAN) == tables_of_postman(runs, POSTMAN)
    stamps = f"select distinct first_loaded_at = loaded_at, load_id, deleted_at from {RUNS}"
    assert query(warehouse_url, stamps) == [(True, 1, None)]


def test_a_run_that_is_the_same_is_not_written(merge: Merging, warehouse_url: str) -> None:
    runs = [postman_run(number) for number in range(3)]
    merge(*runs)
    before = everything(warehouse_url)

    assert merge(*runs) == {}
    assert everything(warehouse_url) == before


def test_the_order_of_keys_is_no_change(merge: Merging) -> None:
    run = postman_run(1)
    merge(run)

    assert merge(dict(reversed(run.items()))) == {}


def test_a_changed_run_replaces_its_children_as_a_whole(merge: Merging, warehouse_url: str) -> None:
    merge(*(postman_run(number) for number in range(3)))
    before = query(warehouse_url, f"select run_id, first_loaded_at, loaded_at from {RUNS}")
    longer = postman_run(1)
    longer["executions"] = [*longer["executions"], *longer["executions"]]
    shorter = postman_run(2, executions=[])
    assert merge(postman_run(0), longer, shorter) == {RUNS: 2, EXECUTIONS: 4, ASSERTIONS: 6}

    assert tables(warehouse_url, POSTMAN) == tables_of_postman(
        [postman_run(0), longer, shorter], POSTMAN
    )
    after = query(warehouse_url, f"select run_id, first_loaded_at, loaded_at from {RUNS}")
    assert sorted(row[:2] for row in after) == sorted(row[:2] for row in before)
    moved = {row[0] for row in set(after) - set(before)}
    assert moved == {"run-1", "run-2"}
    assert query(warehouse_url, f"select run_id, load_id from {RUNS} order by 1") == [
        ("run-0", 1),
        ("run-1", 2),
        ("run-2", 2),
    ]


def test_a_change_deep_in_a_child_is_a_change_of_the_run(
    merge: Merging, warehouse_url: str
) -> None:
    merge(postman_run(1))
    run = postman_run(1)
    run["executions"][1]["assertions"][0]["passed"] = False

    assert merge(run) == {RUNS: 1, EXECUTIONS: 2, ASSERTIONS: 3}
    assert tables(warehouse_url, POSTMAN) == tables_of_postman([run], POSTMAN)


def test_new_changed_and_known_runs_may_come_together(
    merge_testmo: Merging, warehouse_url: str
) -> None:
    merge_testmo(testmo_run(1), testmo_run(2))
    changed = testmo_run(2, threads=[], tags=["x", "y"])
    written = merge_testmo(testmo_run(1), changed, testmo_run(3))

    assert written["raw_testmo.automation_runs"] == 2
    assert written["raw_testmo.automation_run_tags"] == 3
    assert tables(warehouse_url, TESTMO) == tables_of_testmo(
        [testmo_run(1), changed, testmo_run(3)], TESTMO
    )


def test_json_of_every_kind_is_stored_as_it_is(merge_testmo: Merging, warehouse_url: str) -> None:
    kinds: list[Any] = [None, {}, [], "text", "", 7, -0.5, True, {"a": [None, {}]}]
    merge_testmo(testmo_run(1, fields=[{"meta": kind, "more": kind} for kind in kinds]))

    stored = query(
        warehouse_url,
        "select meta is null, meta, extra from raw_testmo.automation_run_fields order by position",
    )
    assert stored == [(kind is None, kind, {"more": kind}) for kind in kinds]


def test_a_row_that_postgres_refuses_takes_its_whole_batch_back(
    merge: Merging, warehouse_url: str
) -> None:
    merge(postman_run(1))
    before = everything(warehouse_url)
    # Somebody has put a row where this run's is to go.
    query(warehouse_url, f"insert into {EXECUTIONS} values ('run-2', 0) returning 1")
    with pytest.raises(psycopg.errors.UniqueViolation):
        merge(postman_run(1, duration=5), postman_run(2))
    query(warehouse_url, f"delete from {EXECUTIONS} where run_id = 'run-2' returning 1")

    assert everything(warehouse_url) == before


def test_column_types_are_those_of_the_tables(connection: psycopg.Connection) -> None:
    types = column_types(connection)

    for table, columns in {**POSTMAN, **TESTMO, **REFERENCES}.items():
        assert columns.items() <= types[table].items()


def merge_expands(
    connection: psycopg.Connection, source: RunSource, expands: Json, load_id: int
) -> dict[str, int]:
    with connection.transaction():
        return dict(
            merge_references(
                connection,
                source,
                REFERENCES_OF.flatten(expands).rows,
                column_types(connection),
                load_id,
            )
        )


def test_references_are_added_then_changed_where_they_differ(
    connection: psycopg.Connection, testmo: RunSource, warehouse_url: str, payload: Any
) -> None:
    expands = payload("testmo_expands")
    assert merge_expands(connection, testmo, expands, 1) == {
        "raw_testmo.automation_sources": 2,
        "raw_testmo.configs": 1,
        "raw_testmo.users": 1,
        "raw_testmo.statuses": 1,
    }
    before = everything(warehouse_url)
    assert merge_expands(connection, testmo, expands, 2) == {}
    assert everything(warehouse_url) == before

    expands["statuses"][0]["is_final"] = None
    expands["statuses"][0]["aliases"] = []
    expands["automation_sources"][0]["name"] = "units"
    assert merge_expands(connection, testmo, expands, 3) == {
        "raw_testmo.automation_sources": 1,
        "raw_testmo.statuses": 1,
    }
    status = (
        "select is_final, aliases, load_id, loaded_at > first_loaded_at from raw_testmo.statuses"
    )
    assert query(warehouse_url, status) == [(None, [], 3, True)]
    sources = "select name, load_id from raw_testmo.automation_sources order by id"
    assert query(warehouse_url, sources) == [("units", 3), ("Unit", 1)]


def test_every_column_of_a_reference_is_kept(
    connection: psycopg.Connection, testmo: RunSource, warehouse_url: str, payload: Any
) -> None:
    expands = payload("testmo_expands")
    expands["statuses"][0]["position"] = 3
    merge_expands(connection, testmo, expands, 1)

    expected = REFERENCES_OF.flatten(json.loads(json.dumps(expands))).rows
    assert tables(warehouse_url, testmo.reference_columns) == {
        table: in_one_order(expected.get(table, [])) for table in testmo.reference_columns
    }


def test_unknown_fields_are_named_by_table_and_path(merge: Merging, postman: RunSource) -> None:
    run = postman_run(1, runner={"host": "ci"}, stats={"testScripts": {}, "requests": {"x": 1}})
    run["executions"][0]["response"]["status"] = "OK"
    run["executions"][0]["iteration"] = 0
    run["executions"][1]["assertions"][0]["skipped"] = False

    runs = [merge.flat(run), merge.flat(postman_run(2))]
    assert unknown_fields(postman.columns, postman.nested, runs) == {
        (RUNS, "runner"),
        (RUNS, "stats.testScripts"),
        (RUNS, "stats.requests"),
        (EXECUTIONS, "response.status"),
        (EXECUTIONS, "iteration"),
        (ASSERTIONS, "skipped"),
    }
