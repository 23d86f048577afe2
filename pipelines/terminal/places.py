"""Where things are, as a person here would type it."""

from pathlib import Path

from pipelines.settings import Settings
from pipelines.warehouse.embedded.server import EmbeddedPostgres
from pipelines.warehouse.url import WarehouseUrl


def password_place(settings: Settings) -> str:
    """Where the warehouse's password is: a variable, or the embedded server's password file."""
    if settings.testruns_warehouse_url is not None:
        return "TESTRUNS_WAREHOUSE_URL"
    return str(EmbeddedPostgres(settings.testruns_home).pgpass)


def psql_command(settings: Settings, url: str) -> str:
    """A shell line that opens the warehouse in psql."""
    if settings.testruns_warehouse_url is not None:
        return 'psql "$TESTRUNS_WAREHOUSE_URL"'
    passwords = short_path(EmbeddedPostgres(settings.testruns_home).pgpass)
    return f"PGPASSFILE={passwords} psql {WarehouseUrl.parse(url)}"


def short_path(path: Path) -> str:
    """A path as a person here would type it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
