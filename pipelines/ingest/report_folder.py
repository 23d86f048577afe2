"""The folder of TESTRUNS_REPORTS_DIR as it stands: what is new in it, what was set aside of it.

A file is known by its path, size and time, so that a look reads none of them.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from pipelines.errors import SettingsError, WarehouseError
from pipelines.ingest.report_files import (
    OfferedFile,
    offered_files,
    printable,
    redactor_of,
)
from pipelines.settings import Settings
from pipelines.sources.reports.code_identity import SIDECAR
from pipelines.sources.reports.file_bytes import modified_at
from pipelines.warehouse.engine import connect, reason
from pipelines.warehouse.queries import queries

# Under such names programs write what they rename once it is whole; rsync's begin with a dot.
_UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".tmp", ".temp")


@dataclass(frozen=True)
class NewFile:
    """A file that is not imported as it is now."""

    offered: OfferedFile
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class FolderState:
    """What is new in a folder, and (path, reason) of the reports in it that were set aside."""

    new: list[NewFile]
    rejected: list[tuple[str, str]]


@dataclass(frozen=True)
class _Known:
    size_bytes: int | None
    modified_at: datetime | None
    imported_at: datetime
    outcome: str
    reason: str | None
    is_foreign: bool

    def is_of(self, status: os.stat_result, sidecar_at: datetime | None) -> bool:
        """Whether it was the same file, with what its sidecar says now."""
        same = (self.size_bytes, self.modified_at) == (status.st_size, modified_at(status))
        return same and (sidecar_at is None or sidecar_at <= self.imported_at)


def look_into(folder: Path, url: str, settings: Settings) -> FolderState:
    """Compare a folder with what the warehouse at `url` knows of it.

    Raises SettingsError where it cannot be read, WarehouseError where Postgres does not answer.
    """
    redactor = redactor_of(settings)
    try:
        os.scandir(folder).close()
    except OSError as error:
        problem = f"cannot be read: {error.strerror} ({printable(folder, redactor)})"
        raise SettingsError(f"TESTRUNS_REPORTS_DIR: {problem}") from None
    try:
        with connect(url, role="testruns dagster") as connection:
            params = {"folder": printable(folder, redactor).rstrip("/") + "/"}
            rows = connection.execute(queries("import")["known_files"], params).fetchall()
    except psycopg.Error as error:
        raise WarehouseError(f"the warehouse failed: {reason(error)}") from error
    known = {path: _Known(*values) for path, *values in rows}
    state = FolderState([], [])
    sidecars: dict[Path, datetime | None] = {}
    for file, status in _finished_files(folder):
        held = known.get(printable(file.path, redactor))
        if held is None or not held.is_of(status, _sidecar_time(file, sidecars)):
            state.new.append(NewFile(file, status.st_size, modified_at(status)))
        elif held.outcome == "rejected" and not held.is_foreign:
            state.rejected.append((printable(file.path, redactor), held.reason or ""))
    return state


def _finished_files(folder: Path) -> Iterator[tuple[OfferedFile, os.stat_result]]:
    for file in offered_files([folder]):
        name = file.path.name
        if name.startswith(".") or name.lower().endswith(_UNFINISHED):
            continue
        try:
            status = file.path.stat()
        except OSError:  # it is gone again
            continue
        if stat.S_ISREG(status.st_mode):
            yield file, status


def _sidecar_time(file: OfferedFile, times: dict[Path, datetime | None]) -> datetime | None:
    """When the newest sidecar that may speak of a file was written, UTC; None: there is none."""
    folders = [file.path.parent, *file.path.parent.parents]
    newest = None
    for folder in folders[: folders.index(file.root) + 1]:
        if folder not in times:
            try:
                times[folder] = modified_at((folder / SIDECAR).stat())
            except OSError:
                times[folder] = None
        newest = max(filter(None, (newest, times[folder])), default=None)
    return newest


def seconds_at_rest(file: NewFile) -> float:
    """For how long nobody has written to it, by this machine's clock."""
    return (datetime.now(UTC) - file.modified_at).total_seconds()
