"""What the last complete build was built of, so that one that would change nothing is left out.

A night builds at least once a day; what comes after it on the same day, a second run or a repeat of
one that failed in a scope, builds again only if a raw table, a mart or the project has changed.
"""

from datetime import datetime

from psycopg import Connection
from psycopg.rows import scalar_row

from pipelines.settings import Settings
from pipelines.transform.manifest import project_digest
from pipelines.warehouse.queries import queries


def built_at(session: Connection, settings: Settings) -> datetime | None:
    """When what stands now was built, UTC; None: a build may change something."""
    last = session.execute(queries("assets")["last_build"]).fetchone()
    if last is None or last[0] != _fingerprint(session, settings):
        return None
    moment: datetime = last[1]
    return moment


def save_build(session: Connection, settings: Settings) -> None:
    """A complete build has ended well."""
    told = {"fingerprint": _fingerprint(session, settings)}
    session.execute(queries("assets")["save_build"], told)


def _fingerprint(session: Connection, settings: Settings) -> str:
    asked = {"project": project_digest(settings), "timezone": settings.testruns_timezone}
    scalar = session.cursor(row_factory=scalar_row)
    found: str | None = scalar.execute(queries("assets")["build_fingerprint"], asked).fetchone()
    return found or ""
