"""The traceback of an exception that nobody expected: into a file, and one line that names it."""

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import UnexpectedError
from pipelines.home import private_folder


@dataclass(frozen=True)
class TracebackLog:
    """A file a day in `folder`, readable by its owner alone; `masked` takes secrets out of text."""

    folder: Path
    masked: Callable[[str], str]

    def add(self, error: Exception, where: str) -> UnexpectedError:
        """Keep the traceback of what happened `where`; the error that says in one line where it is.

        Raises nothing: a disk that is full costs the traceback alone.
        """
        now = datetime.now(UTC)
        path = self.folder / f"{now:%Y-%m-%d}.log"
        text = "".join(traceback.format_exception(error))
        try:
            private_folder(self.folder)
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace") as log:
                log.write(f"{now:%FT%TZ} {where}\n{self.masked(text)}\n")
            place = f"the traceback is in {path}"
        except OSError as failure:
            place = f"its traceback could not be written ({failure.strerror}: {path})"
        first_line = f"{type(error).__name__} {error}".strip().splitlines()[0][:200]
        return UnexpectedError(self.masked(f"unexpected {first_line}; {place}"))
