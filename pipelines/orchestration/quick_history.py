"""A run's events written to SQLite without a wait for the disk at each of some 800 commits.

Dagster's storage opens a connection for each statement and closes it again: a commit waits for the
disk twice, and the last to close a database copies its log back. Here connections are kept, and a
commit is in the log when it returns, which is enough for a process that is killed; a power cut may
take the last events of a run's history, never a row of the warehouse.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


class _Kept(sqlite3.Connection):
    """Goes back to the unused ones instead of being closed."""

    unused: list["_Kept"]

    def close(self) -> None:
        self.rollback()
        self.unused.append(self)


@contextmanager
def quick_history() -> Iterator[None]:
    """For as long as events are written in numbers; nothing changes where they go to a server."""
    unused: defaultdict[str, list[_Kept]] = defaultdict(list)

    def connect(
        dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]
    ) -> _Kept | None:
        if dialect.driver != "pysqlite" or not arguments[0].endswith(".db"):
            return None
        of_this_file = unused[arguments[0]]
        if of_this_file:
            return of_this_file.pop()
        opened = _Kept(*arguments, **{**options, "check_same_thread": False})
        opened.execute("pragma synchronous = normal")
        opened.unused = of_this_file
        return opened

    event.listen(Engine, "do_connect", connect)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", connect)
        for connections in unused.values():
            for connection in connections:
                sqlite3.Connection.close(connection)
