"""A run's events written to SQLite without a wait for the disk at each of some 800 commits.

Dagster's storage opens a connection for each event and closes it again: a commit waits for the disk
twice, and the last to close a database copies its log back. In a nightly run with nothing new that
was most of its time. Here a commit is in the log when it returns, which is enough for a process
that is killed; a power cut may take the last events of a run's history, never a row of the
warehouse.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def quick_history() -> Iterator[None]:
    """For as long as events are written in numbers; nothing changes where they go to a server."""
    held: dict[str, sqlite3.Connection] = {}

    def hasten(connection: Any, _record: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        connection.execute("pragma synchronous = normal")
        ((_, _, path),) = connection.execute("pragma database_list").fetchall()
        if path and path not in held:
            # As long as this one is open no other is the last to close.
            held[path] = sqlite3.connect(path, check_same_thread=False)
            held[path].execute("select 1 from sqlite_master").fetchall()

    event.listen(Engine, "connect", hasten)
    try:
        yield
    finally:
        event.remove(Engine, "connect", hasten)
        for connection in held.values():
            connection.close()
