"""All marts into a folder: of one build, file by file, with a manifest that says what is whole."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from pipelines.errors import SettingsError, TestrunsError, WarehouseError
from pipelines.report.export.files import WRITERS, Replacement, Writer, digest
from pipelines.report.export.marts import Part, lock_marts, parts, read_marts
from pipelines.transform.build_lock import build_lock
from pipelines.warehouse.engine import connect, reason
from pipelines.warehouse.locks import take_lock

MANIFEST = "manifest.json"

Entry = dict[str, Any]


class ExportError(TestrunsError):
    """The folder could not be written."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    files: int
    rows: int


def export_marts(
    url: str,
    folder: Path,
    since: datetime,
    until: datetime,
    *,
    zone: str,
    suffix: str,
    on_wait: Callable[[str], None] = lambda _: None,
    wait_seconds: float = 60,
) -> Exported:
    """Write the marts of the warehouse at `url` as `suffix` (csv, parquet) into `folder`.

    Months are whole: from the one that holds `since` to the last before `until`, in the business
    zone `zone` (IANA). Marts without a day are written whole. What an earlier export wrote of other
    months stays, in the manifest too. All files are of one moment between two builds; a build that
    begins meanwhile waits, and so does another export into the folder. Where anything fails, the
    folder stays as it was. `on_wait` gets a line that names whoever is waited for, the
    other export `wait_seconds` at most.

    Raises SettingsError for times that make no period and a folder with another manifest,
    ExportError for a folder that cannot be written, WarehouseError, TransformError.
    """
    write = WRITERS[suffix]()
    if until <= since:
        raise SettingsError("--until: must be later than --since")
    try:
        with connect(url, role="testruns export", autocommit=False) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            _lock_folder(connection, folder, on_wait, wait_seconds)
            manifest = _read_manifest(folder)
            with build_lock(url, on_wait):
                marts = read_marts(connection)
                if not marts:
                    raise TestrunsError("there are no marts yet: run `testruns transform`")
                connection.rollback()
                lock_marts(connection, marts)
                connection.execute("select")  # the moment that all files are of
            with Replacement(folder) as files:
                written = {
                    part.path(suffix): _write(connection, part, files, part.path(suffix), write)
                    for mart in marts
                    for part in parts(connection, mart, since, until, zone)
                }
                stale = _stale(manifest, since, until, zone, suffix) - written.keys()
                kept = {path: entry for path, entry in manifest.items() if path not in stale}
                _write_manifest(files, kept | written)
                files.take_names()
            for path in stale:
                (folder / path).unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(
            f"{folder}: cannot be written: {error.strerror or type(error).__name__}"
        ) from None
    except psycopg.Error as error:
        raise WarehouseError(f"the marts cannot be read: {reason(error)}") from None
    return Exported(len(written), sum(entry["rows"] for entry in written.values()))


def _lock_folder(
    connection: psycopg.Connection, folder: Path, on_wait: Callable[[str], None], seconds: float
) -> None:
    """Be the only export of this warehouse into the folder until the session ends."""

    def waits(holder: str) -> None:
        on_wait(f"waiting for {folder}, which is being written by {holder}")

    name = f"export {folder.resolve()}"
    busy = f"{folder} is being written"
    take_lock(connection, name, busy=busy, waits=waits, seconds=seconds)


def _write(
    connection: psycopg.Connection, part: Part, files: Replacement, name: str, write: Writer
) -> Entry:
    with files.file(name) as file:
        rows = write(connection, part, file)
    path = files.written(name)
    return {
        "mart": part.mart.name,
        "month": part.month,
        "rows": rows,
        "bytes": path.stat().st_size,
        "sha256": digest(path),
    }


def _stale(
    manifest: dict[str, Entry], since: datetime, until: datetime, zone: str, suffix: str
) -> set[str]:
    """Files of an earlier export that this one writes too, unless their rows are gone."""
    first, last = (f"{time.astimezone(ZoneInfo(zone)):%Y-%m}" for time in (since, until))
    return {
        path
        for path, entry in manifest.items()
        if path.endswith(f".{suffix}")
        and (entry["month"] in (None, "undated") or first <= entry["month"] <= last)
    }


def _read_manifest(folder: Path) -> dict[str, Entry]:
    """What an earlier export wrote. Raises SettingsError for a manifest of something else."""
    path = folder / MANIFEST
    try:
        files: dict[str, Entry] = json.loads(path.read_text(encoding="utf-8"))["files"]
        if not all(_is_below(name) and "month" in entry for name, entry in files.items()):
            raise ValueError
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SettingsError(f"{path}: is no manifest of an export") from None
    return files


def _is_below(name: str) -> bool:
    """Whether it is a file of the folder, which alone may be replaced and removed."""
    path = PurePath(name)
    return not path.is_absolute() and ".." not in path.parts


def _write_manifest(files: Replacement, entries: dict[str, Entry]) -> None:
    text = json.dumps({"files": dict(sorted(entries.items()))}, indent=2)
    with files.file(MANIFEST) as file:
        file.write(f"{text}\n".encode())
