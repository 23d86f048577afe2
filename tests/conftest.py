"""One Postgres for the session, one template, a clone for each test; none of our own variables."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from pipelines.settings import Settings, load_settings
from pipelines.warehouse.embedded import EmbeddedPostgres
from pipelines.warehouse.schema import migrate

for _name in list(os.environ):
    if _name.startswith(("TESTRUNS_", "POSTMAN_", "TESTMO_", "DAGSTER_", "DBT_")):
        del os.environ[_name]
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
# dbt leaves its log file open, which is a warning, which is an error.
os.environ["DBT_LOG_LEVEL_FILE"] = "none"


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that lasts as long as the session; its URL leads to the `testruns` database."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("server"))
    url = server.start(durable=False)
    yield url
    server.stop()


def _create(server_url: str, name: str, template: str) -> str:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'create database "{name}" template "{template}"'.encode())
    return server_url.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """Name of a database with the schema in place."""
    url = _create(server_url, "template_testruns", "template0")
    with psycopg.connect(url, autocommit=True) as connection:
        migrate(connection)
    return "template_testruns"


@pytest.fixture
def warehouse_url(server_url: str, template: str) -> Iterator[str]:
    """A fresh warehouse, its schema in place."""
    name = f"test_{uuid.uuid4().hex}"
    yield _create(server_url, name, template)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)'.encode())


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
