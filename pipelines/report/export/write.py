"""All marts into a folder: of one build, file by file, with a manifest that says what is whole."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from pipelines.errors import SettingsError, TestrunsError, WarehouseError
from pipelines.report.export.files import WRITERS, Writer, digest, replacing
from pipelines.report.export.marts import Part, lock_marts, parts, read_marts
from pipelines.transform.build_lock import build_lock
from pipelines.warehouse.engine import connect, reason

MANIFEST = "manifest.json"

Entry = dict[str, Any]


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
) -> Exported:
    """Write the marts of the warehouse at `url` as `suffix` (csv, parquet) into `folder`.

    Months are whole: from the one that holds `since` to the last before `until`, in the business
    zone `zone` (IANA). Marts without a day are written whole. What an earlier export wrote of other
    months stays, in the manifest too. All files are of one moment between two builds; a build that
    begins meanwhile waits. `on_wait` gets a line that names a build that is waited for.

    Raises SettingsError for a folder that cannot be written, WarehouseError, TransformError.
    """
    write = WRITERS[suffix]()
    if until <= since:
        raise SettingsError("--until: must be later than --since")
    try:
        manifest = _read_manifest(folder)
        with connect(url, role="testruns export", autocommit=False) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            with build_lock(url, on_wait):
                marts = read_marts(connection)
                if not marts:
                    raise TestrunsError("there are no marts yet: run `testruns transform`")
                connection.rollback()
                lock_marts(connection, marts)
                connection.execute("select")  # the moment that all files are of
            written = {}
            for mart in marts:
                for part in parts(connection, mart, since, until, zone):
                    path = part.path(suffix)
                    written[path] = _write(connection, part, folder / path, write)
        for path in _stale(manifest, since, until, zone, suffix) - written.keys():
            (folder / path).unlink(missing_ok=True)
            del manifest[path]
        _write_manifest(folder, manifest | written)
    except OSError as error:
        raise SettingsError(
            f"{folder}: cannot be written: {error.strerror or type(error).__name__}"
        ) from None
    except psycopg.Error as error:
        raise WarehouseError(f"the marts cannot be read: {reason(error)}") from None
    return Exported(len(written), sum(entry["rows"] for entry in written.values()))


def _write(connection: psycopg.Connection, part: Part, path: Path, write: Writer) -> Entry:
    with replacing(path) as file:
        rows = write(connection, part, file)
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
    path = folder / MANIFEST
    try:
        files: dict[str, Entry] = json.loads(path.read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise SettingsError(f"{path}: is no manifest of an export") from None
    return files


def _write_manifest(folder: Path, files: dict[str, Entry]) -> None:
    text = json.dumps({"files": dict(sorted(files.items()))}, indent=2)
    with replacing(folder / MANIFEST) as file:
        file.write(f"{text}\n".encode())
