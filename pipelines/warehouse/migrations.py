"""The schema as numbered plain SQL: forward only, each file once, in one transaction, under a lock.

`sql/schema/0001_….sql` and its successors can be applied by psql as well; which ones are in is
recorded in `ingest.schema_versions`.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg.rows import scalar_row

from pipelines.errors import WarehouseError
from pipelines.resources import bundled

_LOCK = 7_205_759_403_792_793  # any constant: one migration at a time in a database

# Postgres refuses this to a role without CREATE on the database, even if the schema is there.
_CREATE_SCHEMA = re.compile(r"^create schema if not exists (\w+);$", re.MULTILINE)

_VERSIONS = """
create schema if not exists ingest;

create table if not exists ingest.schema_versions (
    version integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
);
comment on table ingest.schema_versions is 'Files of sql/schema that have been applied.';
comment on column ingest.schema_versions.version is 'Number of the file.';
comment on column ingest.schema_versions.name is 'Name of the file.';
comment on column ingest.schema_versions.checksum is 'SHA-256 of the file when it was applied.';
comment on column ingest.schema_versions.applied_at is 'UTC.';
"""


_MAY_CREATE = "select has_database_privilege(current_database(), 'create')"


@dataclass(frozen=True)
class _Migration:
    version: int
    name: str
    statements: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.statements.encode()).hexdigest()


def migrate(connection: psycopg.Connection) -> list[str]:
    """Apply what is missing, and give the names of the files applied.

    Safe to call from any number of processes at once. Schemas that an administrator has made are
    taken as they are. Raises WarehouseError for a file that has changed since it was applied, for a
    schema that is newer than this version of testruns, for a Postgres older than 15, and for a
    role that would have to create schemas and may not.
    """
    if connection.info.server_version < 150_000:
        raise WarehouseError("TESTRUNS_WAREHOUSE_URL: Postgres 15 or newer is needed")
    migrations = _migrations()
    if _applied(connection) == {file.version: file.checksum for file in migrations}:
        _grant_to_reader(connection)
        return []
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
        applied = _applied(connection)
        _check(migrations, applied)
        missing = [file for file in migrations if file.version not in applied]
        create = _schema_filter(connection, [_VERSIONS, *(file.statements for file in missing)])
        connection.execute(create(_VERSIONS))
        for file in missing:
            connection.execute(create(file.statements))
            connection.execute(
                "insert into ingest.schema_versions (version, name, checksum) values (%s, %s, %s)",
                (file.version, file.name, file.checksum),
            )
    _grant_to_reader(connection)
    return [file.name for file in missing]


def _schema_filter(connection: psycopg.Connection, statements: list[str]) -> Callable[[str], bytes]:
    """Takes the creation of schemas that are there out of statements.

    Raises WarehouseError where others are needed, and this role may not create them.
    """
    cursor = connection.cursor(row_factory=scalar_row)
    existing = set(cursor.execute("select nspname::text from pg_namespace"))
    wanted = dict.fromkeys(_CREATE_SCHEMA.findall("\n".join(statements)))
    needed = [schema for schema in wanted if schema not in existing]
    if needed and not cursor.execute(_MAY_CREATE).fetchone():
        raise WarehouseError(
            "TESTRUNS_WAREHOUSE_URL: this role may not create schemas; an administrator creates "
            f"{', '.join(needed)} for it"
        )

    def without_existing(text: str) -> bytes:
        return _CREATE_SCHEMA.sub(
            lambda match: match[0] if match[1] in needed else "", text
        ).encode()

    return without_existing


def _migrations() -> list[_Migration]:
    files = sorted((bundled("sql") / "schema").glob("[0-9]*.sql"))
    return [
        _Migration(int(file.name.split("_")[0]), file.name, file.read_text(encoding="utf-8"))
        for file in files
    ]


def _applied(connection: psycopg.Connection) -> dict[int, str]:
    is_there = connection.cursor(row_factory=scalar_row).execute(
        "select to_regclass('ingest.schema_versions') is not null"
    )
    if not is_there.fetchone():
        return {}
    rows = connection.execute("select version, checksum from ingest.schema_versions")
    return dict(rows.fetchall())


def _check(migrations: list[_Migration], applied: dict[int, str]) -> None:
    known = {file.version: file for file in migrations}
    for version, checksum in sorted(applied.items()):
        if version not in known:
            raise WarehouseError(
                f"the warehouse's schema is at version {version}, newer than this testruns knows "
                f"({max(known)}): upgrade testruns"
            )
        if known[version].checksum != checksum:
            raise WarehouseError(
                f"sql/schema/{known[version].name} has changed since it was applied; "
                "changes go into a new file"
            )


def _grant_to_reader(connection: psycopg.Connection) -> None:
    """Let `testruns_reader` read, once the role is there (0004 says who makes it)."""
    pending = connection.cursor(row_factory=scalar_row).execute(
        "select exists (select from pg_roles where rolname = 'testruns_reader')"
        " and not (select bool_and(has_schema_privilege(r.oid, n.oid, 'usage'))"
        "          from pg_namespace n, pg_roles r where r.rolname = 'testruns_reader'"
        "          and n.nspname ~ '^(marts|bi)$')"
    )
    if pending.fetchone():
        with connection.transaction():
            # Postgres refuses two sessions that grant on one schema at once.
            connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute((bundled("sql") / "reader.sql").read_bytes())
