"""The schema in a real Postgres: what was promised is there, applied once, read by the reader."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest

from pipelines.errors import WarehouseError
from pipelines.resources import bundled
from pipelines.settings import Settings
from pipelines.sources.registry import REGISTRY
from pipelines.warehouse.engine import connect, open_warehouse
from pipelines.warehouse.migrations import migrate
from tests.support.contract import (
    KEYS,
    PARENTS,
    POSTMAN,
    REFERENCES,
    REPORTS,
    STAMPS,
    TESTMO,
    WATERMARKS,
)
from tests.support.db import url_of_role

OURS = ("ingest", "raw_postman", "raw_testmo", "raw_reports")
FILES = [path.name for path in sorted((bundled("sql") / "schema").glob("*.sql"))]


@pytest.fixture
def connection(unwritten_url: str) -> Iterator[psycopg.Connection]:
    """A session of which nothing remains."""
    with psycopg.connect(unwritten_url) as connection:
        yield connection
        connection.rollback()


def tables(connection: psycopg.Connection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        "select table_schema || '.' || table_name, column_name, udt_name"
        " from information_schema.columns where table_schema = any(%s)",
        (list(OURS),),
    ):
        found.setdefault(table, {})[column] = kind
    return found


def test_every_table_and_column_that_was_promised_is_there(connection: psycopg.Connection) -> None:
    found = tables(connection)

    for table, columns in {**POSTMAN, **TESTMO, **REPORTS}.items():
        stamps = {**STAMPS, "deleted_at": "timestamptz"} if table in PARENTS else {}
        assert found[table] == {**columns, **stamps}, table
    for table, columns in REFERENCES.items():
        assert found[table] == {**columns, **STAMPS}, table
    for table, columns in WATERMARKS.items():
        assert found[table] == columns, table
    assert {"ingest.loads", "ingest.rejected_records"} <= set(found)


def test_every_table_has_the_key_that_was_promised(connection: psycopg.Connection) -> None:
    found: dict[str, tuple[str, ...]] = {}
    for table, columns in connection.execute(
        "select i.indrelid::regclass::text, array_agg(a.attname order by k.place)"
        " from pg_index i cross join lateral unnest(i.indkey) with ordinality k (attnum, place)"
        " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum"
        " where i.indisunique group by i.indexrelid, i.indrelid"
    ):
        if table in KEYS:
            found[table] = tuple(columns)
    assert found == KEYS


def test_two_rows_on_the_run_itself_cannot_share_a_position(
    connection: psycopg.Connection,
) -> None:
    for table in ("automation_run_artifacts", "automation_run_fields", "automation_run_links"):
        put = f"insert into raw_testmo.{table} (run_id, thread_id, position) values (1, null, 0)"
        connection.execute(put)
        with pytest.raises(psycopg.errors.UniqueViolation), connection.transaction():
            connection.execute(put)


def test_every_table_and_every_column_is_described(connection: psycopg.Connection) -> None:
    described = connection.execute(
        "select c.oid::regclass::text, coalesce(a.attname, ''), d.description"
        " from pg_class c"
        " cross join lateral (select null::name, 0 union all select attname, attnum"
        "  from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped)"
        "  as a (attname, attnum)"
        " left join pg_description d on d.objoid = c.oid and d.objsubid = a.attnum"
        "  and d.classoid = 'pg_class'::regclass"
        " where c.relkind = 'r' and c.relnamespace::regnamespace::text = any(%s)",
        (list(OURS),),
    ).fetchall()

    assert len(described) > 250
    assert [(table, column) for table, column, text in described if not (text or "").strip()] == []


@pytest.mark.parametrize(
    ("ending", "unit"),
    [("_ms", "millisecond"), ("_bytes", "bytes"), ("_at", "UTC"), ("_seconds", "seconds")],
)
def test_a_column_with_a_unit_says_so(
    connection: psycopg.Connection, ending: str, unit: str
) -> None:
    rows = connection.execute(
        "select a.attrelid::regclass || '.' || a.attname, d.description from pg_attribute a"
        " join pg_class c on c.oid = a.attrelid and c.relkind = 'r' and a.attnum > 0"
        " join pg_description d on d.objoid = c.oid and d.objsubid = a.attnum"
        " where c.relnamespace::regnamespace::text = any(%s) and a.attname like %s",
        (list(OURS), f"%\\{ending}"),
    ).fetchall()

    assert rows
    assert [column for column, text in rows if unit.lower() not in text.lower()] == []


def test_elapsed_says_that_it_is_in_microseconds(connection: psycopg.Connection) -> None:
    rows = connection.execute(
        "select d.description from pg_attribute a join pg_description d"
        " on d.objoid = a.attrelid and d.objsubid = a.attnum where a.attname = 'elapsed'"
    ).fetchall()

    assert len(rows) == 3
    assert all("icroseconds" in text for (text,) in rows)


def test_each_file_is_applied_once_in_order(empty_database_url: str) -> None:
    with connect(empty_database_url) as connection:
        assert migrate(connection) == FILES
        assert migrate(connection) == []
        recorded = connection.execute("select version, name from ingest.schema_versions order by 1")
        assert recorded.fetchall() == [(int(name[:4]), name) for name in FILES]


def test_only_what_is_missing_is_applied(empty_database_url: str) -> None:
    with connect(empty_database_url) as connection:
        migrate(connection)
        connection.execute("delete from ingest.schema_versions where version = 4")
        assert migrate(connection) == [FILES[3]]


def test_many_that_start_at_once_apply_it_once(empty_database_url: str) -> None:
    together = Barrier(6)

    def start(_number: int) -> list[str]:
        with connect(empty_database_url) as connection:
            together.wait()
            return migrate(connection)

    with ThreadPoolExecutor(6) as threads, connect(empty_database_url) as connection:
        applied = list(threads.map(start, range(6)))
        assert sorted(applied, key=len) == [[]] * 5 + [FILES]
        for _again in range(5):
            connection.execute("revoke usage on schema marts from testruns_reader")
            assert list(threads.map(start, range(6))) == [[]] * 6


def test_a_file_that_changed_after_it_was_applied_is_named(warehouse_url: str) -> None:
    with connect(warehouse_url) as connection:
        connection.execute("update ingest.schema_versions set checksum = 'x' where version = 2")
        with pytest.raises(WarehouseError, match=r"sql/schema/0002_raw_postman\.sql has changed"):
            migrate(connection)


def test_a_warehouse_of_a_newer_version_is_left_alone(warehouse_url: str) -> None:
    with connect(warehouse_url) as connection:
        connection.execute("delete from ingest.schema_versions where version = 4")
        connection.execute("insert into ingest.schema_versions values (99, '0099_x.sql', 'x')")
        with pytest.raises(WarehouseError, match=r"version 99, newer .* upgrade testruns"):
            migrate(connection)
        versions = connection.execute("select version from ingest.schema_versions order by 1")
        kept = [(int(name[:4]),) for name in FILES if not name.startswith("0004")]
        assert versions.fetchall() == [*kept, (99,)]


def test_a_file_that_fails_leaves_nothing_behind(empty_database_url: str) -> None:
    with connect(empty_database_url) as connection:
        connection.execute("create schema raw_testmo; create table raw_testmo.users (id integer)")
        with pytest.raises(psycopg.errors.DuplicateTable):
            migrate(connection)
        assert connection.execute("select to_regclass('ingest.loads')").fetchone() == (None,)


def test_a_schema_that_cannot_be_applied_is_one_line(
    make_settings: Callable[[dict[str, str]], Settings], warehouse_url: str
) -> None:
    with connect(warehouse_url) as connection:
        connection.execute("drop schema ingest cascade")
    with pytest.raises(WarehouseError, match=r"^the warehouse's schema cannot be applied: .*$"):
        open_warehouse(make_settings({}))


@pytest.mark.parametrize("schema", ["marts", "bi"])
def test_the_reader_reads_marts_and_what_is_made_later(
    connection: psycopg.Connection, schema: str
) -> None:
    connection.execute(f"create table {schema}.later as select 1 as one".encode())
    connection.execute(f"create view {schema}.seen as select * from ingest.loads".encode())
    connection.execute("set role testruns_reader")

    assert connection.execute(f"select * from {schema}.later".encode()).fetchall() == [(1,)]
    assert connection.execute(f"select * from {schema}.seen".encode()).fetchall() == []


def test_the_reader_reads_nothing_else_and_writes_nothing(connection: psycopg.Connection) -> None:
    there = sorted(tables(connection))
    connection.execute("set role testruns_reader")

    for refused in (
        *(f"select from {table}" for table in there),
        "create view marts.mine as select 1",
        "create table bi.mine (id integer)",
        "drop table ingest.loads",
        "create schema mine",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(refused.encode())


def test_the_reader_neither_writes_by_accident_nor_reads_for_hours(
    empty_database_url: str, server_url: str
) -> None:
    with connect(empty_database_url) as connection:
        migrate(connection)
        # On a server of one's own an administrator lets it log in.
        connection.execute("alter role testruns_reader login password 'plain'")
    database = empty_database_url.rpartition("/")[2]
    url = url_of_role(server_url, "testruns_reader", database)
    with psycopg.connect(url, autocommit=True) as reader:
        assert reader.execute("show statement_timeout").fetchall() == [("5min",)]
        refusals = ["create temporary table mine (id integer)"]
        if reader.info.server_version >= 160_000:  # Postgres 15 counts large objects as no writing
            refusals.append("select lo_create(0)")
        for refused in refusals:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                reader.execute(refused.encode())


def test_what_the_reader_of_an_older_version_could_read_is_taken_back(
    empty_database_url: str,
) -> None:
    with connect(empty_database_url) as connection:
        migrate(connection)
        connection.execute("delete from ingest.schema_versions where version = 18")
        connection.execute("drop schema bi")
        for schema in ("ingest", "raw_testmo"):
            for grant in (
                "grant usage on schema {} to testruns_reader",
                "grant select on all tables in schema {} to testruns_reader",
                "alter default privileges in schema {} grant select on tables to testruns_reader",
            ):
                connection.execute(grant.format(schema).encode())
        assert migrate(connection) == ["0018_bi.sql"]
        connection.execute("create table ingest.later (id integer)")
        for table in ("ingest.loads", "raw_testmo.users", "ingest.later"):
            statement = "select has_table_privilege('testruns_reader', %s, 'select')"
            assert connection.execute(statement, (table,)).fetchone() == (False,)


@pytest.fixture
def plain_url(server_url: str) -> Iterator[str]:
    """A database whose owner may not create roles, on a server without a testruns_reader."""
    name = f"plain_{uuid.uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as superuser:
        superuser.execute(f"create role {name} login password 'plain'".encode())
        superuser.execute(f"create database {name} owner {name}".encode())
        superuser.execute("alter role testruns_reader rename to someone_else")
        yield url_of_role(server_url, name, name)
        readers = superuser.execute("select from pg_roles where rolname = 'testruns_reader'")
        if not readers.fetchall():
            superuser.execute("alter role someone_else rename to testruns_reader")
        superuser.execute(f"drop database {name} with (force)".encode())
        superuser.execute(f"drop role {name}".encode())


def test_a_login_that_may_not_create_roles_gets_all_but_the_reader(
    plain_url: str, server_url: str
) -> None:
    with connect(plain_url) as connection:
        assert migrate(connection) == FILES
        assert migrate(connection) == []

        with psycopg.connect(server_url, autocommit=True) as superuser:
            superuser.execute("alter role someone_else rename to testruns_reader")
        assert migrate(connection) == []

        connection.execute("create table marts.later as select 1 as one")
    database = plain_url.rpartition("/")[2]
    with psycopg.connect(server_url, autocommit=True, dbname=database) as superuser:
        superuser.execute("set role testruns_reader")
        assert superuser.execute("select * from marts.later").fetchall() == [(1,)]


OUR_SCHEMAS = (
    "ingest", "raw_postman", "raw_testmo", "staging", "marts", "raw_reports", "bi",
)  # fmt: skip


@pytest.fixture
def bounded(server_url: str) -> Iterator[Callable[..., str]]:
    """Makes a database and a role that may create nothing in it but in the schemas of its own."""
    name = f"bounded_{uuid.uuid4().hex}"
    url = url_of_role(server_url, name, name)
    with psycopg.connect(server_url, autocommit=True) as superuser:
        superuser.execute(f"create role {name} login password 'plain'".encode())
        superuser.execute(f"create database {name}".encode())
        superuser.execute(f"revoke create, temp on database {name} from public".encode())

        def with_schemas(*schemas: str) -> str:
            with psycopg.connect(server_url, autocommit=True, dbname=name) as inside:
                for schema in schemas:
                    inside.execute(f"create schema {schema} authorization {name}".encode())
            return url

        yield with_schemas
        superuser.execute(f"drop database {name} with (force)".encode())
        superuser.execute(f"drop role {name}".encode())


def test_a_role_that_may_not_create_schemas_needs_none_where_they_are_there(
    bounded: Callable[..., str],
) -> None:
    with connect(bounded(*OUR_SCHEMAS)) as connection:
        assert migrate(connection) == FILES
        assert migrate(connection) == []
        connection.execute("insert into ingest.watermarks (source, scope) values ('postman', 'x')")


def test_the_schemas_that_an_administrator_has_to_make_are_named(
    bounded: Callable[..., str], make_settings: Callable[[dict[str, str]], Settings]
) -> None:
    url = bounded(*OUR_SCHEMAS[:3])
    with pytest.raises(
        WarehouseError,
        match=r"this role may not create schemas; an administrator creates"
        r" staging, marts, raw_reports, bi for it$",
    ):
        open_warehouse(make_settings({"TESTRUNS_WAREHOUSE_URL": url}))


def test_every_source_shows_in_the_systems_by_its_table_of_runs(
    connection: psycopg.Connection,
) -> None:
    shown: dict[str, str] = dict(
        connection.execute("select system, runs_table from ingest.systems").fetchall()
    )

    assert shown.items() >= {spec.name: spec.runs_table for spec in REGISTRY.values()}.items()


def test_imported_reports_count_in_the_systems_and_what_is_gone_is_not_present(
    connection: psycopg.Connection,
) -> None:
    connection.execute(
        "insert into raw_reports.runs (run_id, source, format, load_id, deleted_at)"
        " values ('a', 's', 'junit', 1, null)"
    )
    connection.execute(
        "insert into raw_postman.collection_runs (run_id, collection_id, load_id, deleted_at)"
        " values ('b', 'c', 1, now())"
    )
    systems = connection.execute(
        "select system, runs, loaded_at = now(), present_loaded_at = now()"
        " from ingest.systems order by system"
    ).fetchall()

    assert systems == [
        ("postman", 1, True, None),
        ("reports", 1, True, True),
        ("testmo", 0, None, None),
    ]
