"""One Postgres for the session, one template, a clone for each test; none of our own variables."""

import gc
import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest

from pipelines.http.retry import RetryPolicy
from pipelines.ingest.load import load_source
from pipelines.ingest.progress import Progress, ScopeReport
from pipelines.settings import Settings, load_settings
from pipelines.warehouse.embedded.server import EmbeddedPostgres
from pipelines.warehouse.migrations import migrate
from tests.support.fork_server import ForkServer

# A server of another version to test on, as its superuser; by default one is started.
_GIVEN_SERVER = os.environ.pop("TESTRUNS_TEST_WAREHOUSE_URL", "")
# A copy of files takes half the time of one by WAL, where nothing is flushed.
_COPIED = "" if _GIVEN_SERVER else "strategy file_copy"
for _name in list(os.environ):
    if _name.startswith(("TESTRUNS_", "POSTMAN_", "TESTMO_", "DAGSTER_", "DBT_")):
        del os.environ[_name]
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
# dbt leaves its log file open, which is a warning, which is an error.
os.environ["DBT_LOG_LEVEL_FILE"] = "none"

# An example may take as long as a busy machine makes it take.
hypothesis.settings.register_profile("testruns", deadline=None)
hypothesis.settings.load_profile("testruns")


# They take longest: begun last, they would be waited for.
_LONGEST = (
    "test_nightly", "test_demo", "test_dbt_models", "test_bi_questions", "test_marts_of_tests",
    "test_cli", "test_definitions", "test_report", "test_checks", "test_alerts",
    "test_backfill_assets", "test_builds", "test_build", "test_faults", "test_load",
)  # fmt: skip


_OF_DBT = {"dbt_target", "dbt_warehouse_url"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """What runs dbt is of `make test-builds`: each worker would parse the project for it."""
    if _OF_DBT & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.builds)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest (`--no-loadscope-reorder` keeps to it)."""
    places = {name: place for place, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_collection_finish() -> None:
    """What is imported stays: to look through all of it for garbage takes half a second a time."""
    gc.freeze()


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that lasts as long as the session; its URL leads to the `testruns` database."""
    if _GIVEN_SERVER:
        yield _GIVEN_SERVER
        _drop_databases(_GIVEN_SERVER)
        return
    server = EmbeddedPostgres(tmp_path_factory.mktemp("server"))
    url = server.start(durable=False)
    yield url
    server.stop()


def _drop_databases(server_url: str) -> None:
    """Those that tests have made and left to the end of the session."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        names = connection.execute(
            "select datname from pg_database"
            " where datname ~ '^test_[0-9a-f]{32}$|^(template|unwritten)_testruns$'"
        ).fetchall()
        for (name,) in names:
            connection.execute(f'drop database "{name}" with (force)'.encode())


def _create(server_url: str, name: str, template: str) -> str:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'create database "{name}" template "{template}" {_COPIED}'.encode())
    return server_url.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """Name of a database with the schema in place."""
    url = _create(server_url, "template_testruns", "template0")
    with psycopg.connect(url, autocommit=True) as connection:
        migrate(connection)
    return "template_testruns"


@pytest.fixture(scope="session")
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """From which `testruns` processes are forked."""
    with ForkServer(tmp_path_factory.mktemp("forked")) as fork_server:
        yield fork_server


@pytest.fixture
def warehouse_url(server_url: str, template: str) -> Iterator[str]:
    """A fresh warehouse, its schema in place."""
    name = f"test_{uuid.uuid4().hex}"
    yield _create(server_url, name, template)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)'.encode())


@pytest.fixture(scope="session")
def new_warehouse(server_url: str, template: str) -> Callable[[], str]:
    """Makes warehouses for a test that needs many; they end with the session."""
    return lambda: _create(server_url, f"test_{uuid.uuid4().hex}", template)


@pytest.fixture(scope="session")
def _kept_url(new_warehouse: Callable[[], str]) -> str:
    return new_warehouse()


@pytest.fixture
def emptied_url(_kept_url: str) -> str:
    """A warehouse without a row, in a tenth of the time of a fresh one.

    For tests that leave rows behind and nothing else: no table, no role, no session at work.
    """
    with psycopg.connect(_kept_url, autocommit=True) as connection:
        tables = connection.execute(
            "select oid::regclass::text from pg_class where relkind = 'r'"
            " and relnamespace::regnamespace::text in"
            " ('ingest', 'raw_postman', 'raw_testmo', 'raw_reports')"
            " and relname <> 'schema_versions'"
        ).fetchall()
        connection.execute("; ".join(f"delete from {table}" for (table,) in tables).encode())
    return _kept_url


@pytest.fixture(scope="session")
def unwritten_url(server_url: str, template: str) -> str:
    """A warehouse that all tests may read and none may change."""
    return _create(server_url, "unwritten_testruns", template)


@pytest.fixture
def dbt_warehouse_url(server_url: str, template: str) -> Iterator[str]:
    """A fresh warehouse, always of one name: dbt parses all anew for every other connection."""
    yield _create(server_url, "dbt_warehouse", template)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute('drop database "dbt_warehouse" with (force)')


@pytest.fixture(scope="session")
def dbt_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where dbt keeps what it has parsed, for all tests that use the warehouse of one name."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """A database without anything of ours."""
    name = f"test_{uuid.uuid4().hex}"
    yield _create(server_url, name, "template0")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)'.encode())


@pytest.fixture
def make_settings(warehouse_url: str, tmp_path: Path) -> Callable[[dict[str, str]], Settings]:
    """Settings from variables, over a fresh warehouse and home."""

    def make(variables: dict[str, str]) -> Settings:
        ours = {"TESTRUNS_WAREHOUSE_URL": warehouse_url, "TESTRUNS_HOME": str(tmp_path / "home")}
        return load_settings({**ours, **variables}, tmp_path)

    return make


@pytest.fixture
def payload() -> Callable[[str], Any]:
    """Reads `payloads/{name}.json`: invented, one case a file."""

    def read(name: str) -> Any:
        return json.loads(
            (Path(__file__).parent / "support" / "payloads" / f"{name}.json").read_text("utf-8")
        )

    return read


@pytest.fixture
def retry() -> RetryPolicy:
    """How often the loads of a test repeat a request, without a wait: as often as anywhere."""
    return RetryPolicy(first_wait_seconds=0)


@pytest.fixture
def load(
    make_settings: Callable[[dict[str, str]], Settings], warehouse_url: str, retry: RetryPolicy
) -> Callable[..., list[ScopeReport]]:
    """Loads every source that the variables configure into the fresh warehouse; its reports."""

    def run(variables: dict[str, str], progress: Progress | None = None) -> list[ScopeReport]:
        settings = make_settings(variables)
        return [
            report
            for source in settings.configured_sources
            for report in load_source(settings, source, warehouse_url, progress, retry)
        ]

    return run
