"""Histories that stand in the raw tables at once, for cases about tables that are already full."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from bench.work import POSTMAN_EVERY, TESTMO_EVERY, Work, nightly_runs

Session = psycopg.Connection[tuple[Any, ...]]

_SQL = (Path(__file__).parent / "history.sql").read_text("utf-8")


def fill(session: Session, work: Work) -> None:
    """Write the whole history of a work, and let the planner know of it."""
    _write(session, work, range(1, work.postman_runs + 1), range(1, work.testmo_runs + 1))
    session.execute("vacuum analyze")


def add_night(session: Session, work: Work, night: int) -> None:
    """Write the runs of the `night`-th night after the history, counted from 1."""
    postman, testmo = nightly_runs(POSTMAN_EVERY), nightly_runs(TESTMO_EVERY)
    _write(
        session,
        work,
        range(work.postman_runs + 1, work.postman_runs + 1 + night * postman)[-postman:],
        range(work.testmo_runs + 1, work.testmo_runs + 1 + night * testmo)[-testmo:],
    )


def _write(session: Session, work: Work, postman: range, testmo: range) -> None:
    """Runs of these numbers, of each collection and project."""
    values = {
        "collections": work.collections,
        "executions": work.executions,
        "assertions": work.assertions,
        "projects": work.projects,
        "postman_first": postman[0],
        "postman_last": postman[-1],
        "postman_runs": work.postman_runs,
        "postman_every": POSTMAN_EVERY,
        "testmo_first": testmo[0],
        "testmo_last": testmo[-1],
        "testmo_runs": work.testmo_runs,
        "testmo_every": TESTMO_EVERY,
        "latest": datetime.fromtimestamp(work.latest, UTC),
    }
    with session.transaction():
        for statement in _SQL.split(";\n\n"):
            # Parameters of the client's side: some stand where the protocol takes none.
            psycopg.ClientCursor(session).execute(statement.encode(), values)
