"""`dbt build` over the warehouse, in this process: from raw tables to marts.

dbt is told everything through environment variables (dbt_project/profiles.yml), and answers through
its result objects: nothing of its own reaches stdout, and nothing is written beside the project,
which may lie in a read-only installation. A dbt started as a process of its own costs two seconds
more; Dagster, which does start one, gives it the same variables.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg import Connection, pq
from psycopg import Error as PsycopgError
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import LockNotAvailable
from psycopg.rows import scalar_row

from pipelines.bundled import bundled
from pipelines.errors import TestrunsError, WarehouseError
from pipelines.warehouse.connect import connect
from pipelines.warehouse.queries import queries

_LOCK_WAIT = "600s"

# What profiles.yml asks for by name; libpq takes the rest from variables of its own.
_PROFILE = {
    "host": "TESTRUNS_DBT_HOST",
    "port": "TESTRUNS_DBT_PORT",
    "user": "TESTRUNS_DBT_USER",
    "password": "DBT_ENV_SECRET_TESTRUNS_PASSWORD",  # dbt masks values of this prefix
    "dbname": "TESTRUNS_DBT_DBNAME",
    "sslmode": "TESTRUNS_DBT_SSLMODE",
}


class TransformError(TestrunsError):
    """dbt could not start, or gave up before the first model."""


@dataclass(frozen=True)
class TransformReport:
    """What a build did."""

    seconds: float
    models: int
    """Models built."""
    tests: int
    """Tests that ran and gave a verdict."""
    failed_tests: list[str] = field(default_factory=list)
    """`name: what dbt says of it`, one line each; what is built on a failed model was skipped."""
    warned_tests: list[str] = field(default_factory=list)
    """The same for tests that only warn: oddities at the source, which are kept as they are."""
    errors: list[str] = field(default_factory=list)
    """`name: message`, one line each: models and tests that could not be run."""
    skipped: list[str] = field(default_factory=list)
    """Names of what was not run because something before it failed."""

    @property
    def succeeded(self) -> bool:
        """Everything was built, and no test failed; warnings do not count."""
        return not self.errors and not self.failed_tests


def dbt_environment(url: str, timezone: str) -> dict[str, str]:
    """Variables under which dbt works on the warehouse at `url`, in the business zone `timezone`.

    What the URL leaves out comes from libpq's own variables and defaults, as for every other
    connection to it. Options beyond those of profiles.yml (sslrootcert, options, …) are passed on
    as libpq's variables; the few that have none (keepalives, …) are left out.

    Raises TransformError for a URL that libpq cannot read or that dbt cannot use; never quotes it.
    """
    try:
        given = conninfo_to_dict(re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", url))
    except PsycopgError:
        # without its cause: the message quotes the part that it cannot read, maybe the password
        message = "TESTRUNS_WAREHOUSE_URL is not a URL that libpq can read"
        raise TransformError(message) from None
    known = {option.keyword.decode(): option for option in pq.Conninfo.get_defaults()}
    values = {
        name: (option.val or b"").decode() for name, option in known.items() if name in _PROFILE
    }
    values |= {name: str(value) for name, value in given.items()}
    values["dbname"] = values["dbname"] or values["user"]
    if not values["port"].isdigit():
        raise TransformError(f"TESTRUNS_WAREHOUSE_URL: dbt takes one port, not {values['port']!r}")
    environment = {"TESTRUNS_TIMEZONE": timezone, "TESTRUNS_DBT_DIGEST": _definitions_digest()}
    for name, value in values.items():
        if variable := _PROFILE.get(name) or (known[name].envvar or b"").decode():
            environment[variable] = value
    return environment


def _definitions_digest() -> str:
    """Changes with the SQL of models and macros: by it dbt sees what was built otherwise."""
    project = bundled("dbt_project")
    digest = hashlib.blake2b(digest_size=8)
    for folder in ("macros", "models"):
        for path in sorted((project / folder).rglob("*.sql")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def alone(url: str) -> Iterator[Connection]:
    """The warehouse for one build: two at once would replace each other's tables half-way.

    Gives the session that holds the lock. Waits ten minutes for another build; raises
    TransformError naming who holds the lock, or when the warehouse does not answer.
    """
    sql, lock = queries("ledger"), {"lock_name": "testruns dbt build"}
    try:
        session = connect(url, role="testruns build")
    except WarehouseError as error:
        raise TransformError(str(error)) from None
    with session:
        scalar = session.cursor(row_factory=scalar_row)
        if not scalar.execute(sql["take_lock"], lock).fetchone():
            session.execute(f"set lock_timeout = '{_LOCK_WAIT}'".encode())
            try:
                session.execute(sql["wait_for_lock"], lock)
            except LockNotAvailable:
                holder = scalar.execute(sql["lock_holder"], lock).fetchone() or "another build"
                message = f"the models are being built by {holder}; waited {_LOCK_WAIT} for it"
                raise TransformError(message) from None
            session.execute("set lock_timeout = 0")
        yield session


def transform(
    url: str, *, timezone: str, target_path: Path, full_refresh: bool = False
) -> TransformReport:
    """Builds and tests every model in the warehouse at `url`.

    `timezone` is the IANA zone of the business day. dbt keeps its parsed project under
    `target_path` and is quicker the next time. `full_refresh` builds incremental models anew.

    A model or test that fails is in the report; TransformError says that dbt could not start.
    """
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - a second and 100 MB, for this command alone

    project = str(bundled("dbt_project"))
    arguments = [
        *("--no-version-check", "--quiet", "--no-print", "--no-use-colors"),
        *("--log-level", "none", "--log-level-file", "none", "--no-write-json"),
        # unit tests look at fixtures, not at the warehouse: the test suite runs them
        *("build", "--exclude-resource-type", "unit_test"),
        *("--project-dir", project, "--profiles-dir", project, "--target", "warehouse"),
        *("--target-path", str(target_path), "--log-path", str(target_path)),
    ]
    if full_refresh:
        arguments.append("--full-refresh")
    started = time.monotonic()
    with alone(url), variables(dbt_environment(url, timezone)):
        answer: Any = dbtRunner().invoke(arguments)
    if isinstance(answer.exception, KeyboardInterrupt):
        raise answer.exception  # dbt keeps it back; it has cancelled its queries
    if answer.exception is not None:
        message = f"dbt: {one_line(str(answer.exception))}"
        raise TransformError(message) from answer.exception
    return _report(answer.result.results, seconds=time.monotonic() - started)


def _report(results: Sequence[Any], *, seconds: float) -> TransformReport:
    """Sorts dbt's results (one a model or test) by what became of them."""
    by_status: dict[str, list[str]] = {}
    models = tests = 0
    for result in results:
        status, name = str(result.status), result.node.name
        is_model = result.node.resource_type == "model"
        models += is_model and status == "success"
        tests += not is_model and status in {"pass", "warn", "fail"}
        message = name if status == "skipped" else f"{name}: {one_line(result.message or status)}"
        by_status.setdefault(status, []).append(message)
    return TransformReport(
        seconds=seconds,
        models=models,
        tests=tests,
        failed_tests=by_status.get("fail", []),
        warned_tests=by_status.get("warn", []),
        errors=by_status.get("error", []) + by_status.get("partial success", []),
        skipped=by_status.get("skipped", []),
    )


def one_line(message: str) -> str:
    """What is wrong by dbt's message, without its headings ("Database Error in model …")."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = (line for line in lines if not re.match(r"[A-Z]\w+ Error( in .*)?$", line))
    return next(told, "; ".join(lines))


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for a while; afterwards they are what they were."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
