"""The environment variables under which dbt works on a warehouse (dbt_project/profiles.yml)."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pipelines.errors import TransformError
from pipelines.resources import bundled
from pipelines.warehouse.url import WarehouseUrl, libpq_variables

# What profiles.yml reads by name; libpq takes the rest from variables of its own.
_PROFILE = {
    "host": "TESTRUNS_DBT_HOST",
    "port": "TESTRUNS_DBT_PORT",
    "user": "TESTRUNS_DBT_USER",
    "password": "DBT_ENV_SECRET_TESTRUNS_PASSWORD",  # dbt masks values of this prefix
    "dbname": "TESTRUNS_DBT_DBNAME",
    "sslmode": "TESTRUNS_DBT_SSLMODE",
}


def database_name(url: str) -> str:
    """The database that `url` leads to. Raises TransformError, which never quotes the URL."""
    return _complete(url)["dbname"]


def dbt_environment(url: str, timezone: str) -> dict[str, str]:
    """Variables for dbt on the warehouse at `url`, in the business zone `timezone` (IANA).

    What the URL leaves out comes from libpq's own variables and defaults, as for every other
    connection to it. Options beyond those of profiles.yml (sslrootcert, options, …) become libpq's
    variables; the few that have none (keepalives, …) are left out.

    Raises TransformError for a URL that cannot be read or that dbt cannot use; never quotes it.
    """
    values = _complete(url)
    if not values["port"].isdigit():
        raise TransformError(f"TESTRUNS_WAREHOUSE_URL: dbt takes one port, not {values['port']!r}")
    parameters = WarehouseUrl.parse(url).parameters
    variables = libpq_variables()
    return {
        "TESTRUNS_TIMEZONE": timezone,
        "TESTRUNS_DBT_DIGEST": _definitions_digest(),
        **{variables[name]: value for name, value in parameters.items() if name in variables},
        **{variable: values[name] for name, variable in _PROFILE.items()},
    }


def _definitions_digest() -> str:
    """Changes with the SQL of models and macros: by it dbt sees what was built otherwise."""
    digest = hashlib.blake2b(digest_size=8)
    for folder in ("macros", "models"):
        for path in sorted((bundled("dbt_project") / folder).rglob("*.sql")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _complete(url: str) -> dict[str, str]:
    try:
        return WarehouseUrl.parse(url).complete()
    except ValueError as error:
        raise TransformError(f"TESTRUNS_WAREHOUSE_URL: {error}") from None


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
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
