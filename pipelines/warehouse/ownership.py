"""Who owns which scope and test: a CSV file of the user's, kept in `ingest.ownership`."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from psycopg import Connection

from pipelines.errors import SettingsError
from pipelines.sources.registry import SOURCES
from pipelines.warehouse.queries import queries

_SETTING = "TESTRUNS_OWNERSHIP_FILE"
_COLUMNS = ("system", "scope_pattern", "test_pattern", "owner", "channel")
_SYSTEMS = (*SOURCES, "reports")

Rule = dict[str, int | str | None]


def read_ownership(path: Path | None) -> list[Rule]:
    """The rows of `ingest.ownership` as the file has them; without a file there are none.

    Raises SettingsError naming the line that is wrong.
    """
    if path is None:
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_rules(file))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingsError(f"{_SETTING}: cannot be read: {reason} ({path})") from None
    except (UnicodeDecodeError, csv.Error):
        raise SettingsError(f"{_SETTING}: is not CSV in UTF-8 ({path})") from None


def save_ownership(connection: Connection, rules: Sequence[Rule]) -> None:
    """Make the table say what the file says, in one transaction."""
    sql = queries("ownership")
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(sql["delete_rules"])
        cursor.executemany(sql["insert_rule"], rules)


def _rules(file: TextIO) -> Iterator[Rule]:
    reader = csv.reader(file, strict=True)
    if tuple(name.strip() for name in next(reader, [])) != _COLUMNS:
        raise SettingsError(f"{_SETTING}: line 1 must be {','.join(_COLUMNS)}")
    for fields in reader:
        if not fields:
            continue
        where = f"{_SETTING}: line {reader.line_num}"
        if len(fields) != len(_COLUMNS):
            raise SettingsError(f"{where} has {len(fields)} fields, not {len(_COLUMNS)}")
        rule = dict(zip(_COLUMNS, map(_value, fields), strict=True))
        if rule["system"] not in (None, *_SYSTEMS):
            raise SettingsError(f"{where}: system must be {', '.join(_SYSTEMS)} or blank")
        if rule["owner"] is None:
            raise SettingsError(f"{where} has no owner")
        for pattern in (rule["scope_pattern"], rule["test_pattern"]):
            # Postgres would refuse it as soon as anything is compared with it.
            if re.search(r"(?<!\\)(\\\\)*\\$", pattern or ""):
                raise SettingsError(f"{where}: a pattern must not end with a backslash")
        yield {"line": reader.line_num, **rule}


def _value(field: str) -> str | None:
    return field.replace("\0", "").strip() or None
