"""A session of ours, on databases and under roles that have ideas of their own."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.rows import dict_row

from pipelines.errors import WarehouseError
from pipelines.warehouse.engine import connect, engine
from tests.support.db import url_of_role
from tests.support.pooler import TransactionPooler

ROLE_DEFAULTS = {
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "TimeZone": "Asia/Tokyo",
    "bytea_output": "escape",
    "default_transaction_isolation": "serializable",
    "extra_float_digits": "-3",
    "idle_session_timeout": "2s",
    "lock_timeout": "1s",
    "search_path": "raw_postman, raw_testmo",
    "standard_conforming_strings": "off",
    "statement_timeout": "5s",
}


@pytest.fixture
def odd_url(warehouse_url: str) -> Iterator[str]:
    """The warehouse for a role whose defaults are none of Postgres's."""
    role = f"odd_{uuid.uuid4().hex}"
    with psycopg.connect(warehouse_url, autocommit=True) as superuser:
        superuser.execute(f"create role {role} login superuser password 'plain'".encode())
        for name, value in ROLE_DEFAULTS.items():
            superuser.execute(
                f"alter role {role} set {name} = {value}".encode()
                if name == "search_path"
                else f"alter role {role} set {name} = '{value}'".encode()
            )
        yield url_of_role(warehouse_url, role, warehouse_url.rpartition("/")[2])
        superuser.execute(f"drop role {role}".encode())


@contextmanager
def database(server_url: str, options: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as superuser:
        superuser.execute(f"create database {name} {options} template template0".encode())
        yield server_url.rpartition("/")[0] + f"/{name}"
        superuser.execute(f"drop database {name} with (force)".encode())


def session_settings(rows: Callable[[str], list[tuple[str, str]]]) -> dict[str, str]:
    names = ", ".join(f"'{name}'" for name in [*ROLE_DEFAULTS, "client_encoding"])
    return dict(rows(f"select name, setting from pg_settings where name in ({names})"))


def test_a_session_works_under_its_own_settings_whatever_the_roles_are(
    odd_url: str, unwritten_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")

    def in_psycopg(url: str) -> dict[str, str]:
        with connect(url) as connection:
            return session_settings(lambda sql: connection.execute(sql.encode()).fetchall())

    def in_sqlalchemy(url: str) -> dict[str, str]:
        with engine(url).connect() as connection:
            return session_settings(
                lambda sql: [(row[0], row[1]) for row in connection.exec_driver_sql(sql)]
            )

    settings = in_psycopg(odd_url)

    assert settings["client_encoding"] == "UTF8"
    assert settings["TimeZone"] == "UTC"
    assert settings["statement_timeout"] == settings["idle_session_timeout"] == "0"
    assert not {*settings.items()} & {*ROLE_DEFAULTS.items()}
    assert settings == in_psycopg(unwritten_url) == in_sqlalchemy(odd_url)


@pytest.mark.parametrize(
    ("options", "encoding"),
    [
        ("encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' locale_provider libc", "SQL_ASCII"),
        ("encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' locale_provider libc", "LATIN1"),
    ],
)
def test_a_database_that_cannot_hold_every_text_is_refused_in_one_line(
    server_url: str, options: str, encoding: str
) -> None:
    with database(server_url, options) as url:
        with pytest.raises(WarehouseError, match=f"is {encoding}, which") as caught:
            connect(url)
        with pytest.raises(WarehouseError, match=f"is {encoding}, which"):
            engine(url).connect()

    assert "\n" not in str(caught.value)


def test_a_reader_sees_the_queries_of_sql_as_psycopg_does(unwritten_url: str) -> None:
    statement = "select %(number)s::int as number, '%%' as percent"
    with engine(unwritten_url, role="testruns test").connect() as reader:
        [row] = reader.exec_driver_sql(statement, {"number": 7}).mappings()
        [(name,)] = reader.exec_driver_sql("select current_setting('application_name')")
    with connect(unwritten_url) as connection:
        same = connection.cursor(row_factory=dict_row).execute(statement.encode(), {"number": 7})

    assert dict(row) == same.fetchone() == {"number": 7, "percent": "%"}
    assert str(name).startswith("testruns test ")


def test_servers_are_tried_in_turn(unwritten_url: str) -> None:
    account, _, rest = unwritten_url.partition("@")
    server, _, name = rest.partition("/")
    with connect(f"{account}@127.0.0.1:1,{server}/{name}") as connection:
        assert f"{connection.info.host}:{connection.info.port}" == server


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cret@w@127.0.0.1/x", "postgresql://u:s3cret@127.0.0.1:1/x"]
)
def test_a_warehouse_that_is_not_there_is_one_line_without_the_password(url: str) -> None:
    with pytest.raises(WarehouseError, match=r"^TESTRUNS_WAREHOUSE_URL: ") as caught:
        connect(url)

    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pooler_of_transactions_is_refused_and_its_sessions_are_left_as_they_were(
    unwritten_url: str,
) -> None:
    with TransactionPooler(unwritten_url) as pooler:
        with pytest.raises(
            WarehouseError, match=r"pool_mode = transaction\): use its session mode"
        ):
            connect(pooler.url)

        with psycopg.connect(pooler.url, autocommit=True) as other:
            assert other.execute("show search_path").fetchone() == ('"$user", public',)
