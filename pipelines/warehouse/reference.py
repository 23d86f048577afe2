"""What runs do not tell and the marts need: who owns what, what things are called, where they are.

Owners and names stand in CSV files of the user's, addresses follow from the settings. All of it is
kept in tables of `ingest`, which each build fills anew.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from psycopg import Connection

from pipelines.errors import SettingsError
from pipelines.settings import SOURCES, Settings
from pipelines.warehouse.queries import queries

Row = dict[str, int | str | None]

_SYSTEMS = (*SOURCES, "reports")
_KINDS = ("scope", "environment")
_OWNERSHIP = ("system", "scope_pattern", "test_pattern", "owner", "channel")
_NAMES = ("system", "kind", "id", "name")


@dataclass(frozen=True)
class Reference:
    """The rows of `ingest.ownership`, `ingest.names` and `ingest.addresses`."""

    ownership: Sequence[Row] = ()
    names: Sequence[Row] = ()
    addresses: Sequence[Row] = ()


def read_reference(settings: Settings) -> Reference:
    """What the files and the settings say. Raises SettingsError naming the line that is wrong."""
    owners, names = settings.testruns_ownership_file, settings.testruns_names_file
    return Reference(
        ownership=_read("TESTRUNS_OWNERSHIP_FILE", owners, _OWNERSHIP, {"owner"}),
        names=_read("TESTRUNS_NAMES_FILE", names, _NAMES, set(_NAMES)),
        addresses=[
            {"system": source, "api_url": settings.sources[source].api_url}
            for source in settings.configured_sources
        ],
    )


def save_reference(connection: Connection, reference: Reference) -> None:
    """Make the tables say it, in one transaction.

    Addresses of systems that these settings leave out stay: who only builds needs no key.
    """
    sql = queries("reference")
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(sql["delete_ownership"])
        cursor.executemany(sql["insert_ownership"], reference.ownership)
        cursor.execute(sql["delete_names"])
        cursor.executemany(sql["insert_names"], reference.names)
        cursor.executemany(sql["save_address"], reference.addresses)


def _read(
    setting: str, path: Path | None, columns: tuple[str, ...], required: set[str]
) -> list[Row]:
    if path is None:
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_rows(setting, file, columns, required))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingsError(f"{setting}: cannot be read: {reason} ({path})") from None
    except (UnicodeDecodeError, csv.Error):
        raise SettingsError(f"{setting}: is not CSV in UTF-8 ({path})") from None


def _rows(
    setting: str, file: TextIO, columns: tuple[str, ...], required: set[str]
) -> Iterator[Row]:
    reader = csv.reader(file, strict=True)
    if tuple(name.strip() for name in next(reader, [])) != columns:
        raise SettingsError(f"{setting}: line 1 must be {','.join(columns)}")
    for fields in reader:
        if not fields:
            continue
        where = f"{setting}: line {reader.line_num}"
        if len(fields) != len(columns):
            raise SettingsError(f"{where} has {len(fields)} fields, not {len(columns)}")
        values = [field.replace("\0", "").strip() or None for field in fields]
        row = dict(zip(columns, values, strict=True))
        for column, value in row.items():
            _check(where, column, value, is_required=column in required)
        yield {"line": reader.line_num, **row}


def _check(where: str, column: str, value: str | None, *, is_required: bool) -> None:
    allowed = {"system": _SYSTEMS, "kind": _KINDS}.get(column)
    if value is None:
        if is_required:
            raise SettingsError(f"{where} has no {column}")
    elif allowed and value not in allowed:
        raise SettingsError(f"{where}: {column} must be one of {', '.join(allowed)}")
    elif column.endswith("_pattern") and re.search(r"(?<!\\)(\\\\)*\\$", value):
        # Postgres would refuse it as soon as anything is compared with it.
        raise SettingsError(f"{where}: {column} must not end with a backslash")
