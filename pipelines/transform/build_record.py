"""What the last complete build was built of, so that what would change nothing is left out.

A night builds at least once a day; what comes after it on the same day, a second run or a repeat of
one that failed in a scope, builds again only if a raw table, a mart or the project has changed. Its
views are made once: they change with the project alone, and are more than half of the models.
"""

from datetime import datetime

from psycopg import Connection
from psycopg.rows import scalar_row
from psycopg.sql import SQL, Identifier

from pipelines.transform.manifest import project_digest
from pipelines.warehouse.queries import queries


def build_inputs(session: Connection, timezone: str) -> str:
    """What a build that begins now is built of; `timezone` is that of the business day."""
    params = {"project": f"{project_digest()} {timezone}", "timezone": timezone}
    tables = session.execute(queries("assets")["changing_tables"]).fetchall()
    newest = SQL("select concat_ws(' ', {})").format(
        SQL(", ").join(
            SQL("(select max(loaded_at) from {})").format(Identifier(*table)) for table in tables
        )
    )
    changed_at = session.cursor(row_factory=scalar_row).execute(newest).fetchone()
    return f"{_scalar(session, 'build_inputs', params)} {changed_at}"


def built_at(session: Connection, inputs: str) -> datetime | None:
    """When what stands now was built of these inputs, UTC; None: a build may change something."""
    fingerprint, _, moment = _last_build(session)
    return moment if fingerprint == _fingerprint(session, inputs) else None


def views_stand(session: Connection, timezone: str) -> bool:
    """Whether every view is as the last complete build made it, of the project as it is now.

    `timezone` is that of the business day. A build need not make such views again.
    """
    _, views, _ = _last_build(session)
    return views == _views(session, timezone)


def save_build(session: Connection, inputs: str, timezone: str) -> None:
    """A complete build has ended well; `inputs` are from before it: a load may have gone on."""
    params = {"fingerprint": _fingerprint(session, inputs), "views": _views(session, timezone)}
    session.execute(queries("assets")["save_build"], params)


def _last_build(session: Connection) -> tuple[str | None, str | None, datetime | None]:
    return session.execute(queries("assets")["last_build"]).fetchone() or (None, None, None)


def _views(session: Connection, timezone: str) -> str:
    return f"{project_digest()} {timezone} {_scalar(session, 'standing_views')}"


def _fingerprint(session: Connection, inputs: str) -> str:
    return f"{inputs} {_scalar(session, 'built_tables')}"


def _scalar(session: Connection, name: str, params: dict[str, str] | None = None) -> str:
    scalar = session.cursor(row_factory=scalar_row)
    return scalar.execute(queries("assets")[name], params).fetchone() or ""
