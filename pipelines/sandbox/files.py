"""Runs and books from files, so that the sandbox can serve a team's own history.

Runs are one JSON object a line, gzipped where the name ends in `.gz`. They are read with the
standard library's json, which keeps whole numbers beyond 64 bits and lone surrogates as they
stand: a file may hold the very record that a loader must survive. A Testmo run may hold its test
results as `tests`; they are served by their own endpoint, which is missing where no run has any.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

import msgspec

from pipelines.sandbox.books import books_of
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.wire import Json


class _Source(msgspec.Struct):
    id: int
    project_id: int
    name: str


class _Status(msgspec.Struct):
    id: int
    name: str
    system_name: str


class _Books(msgspec.Struct):
    """What a books file must hold; a status may have more fields, and keeps them."""

    automation_sources: list[_Source] = []
    statuses: list[_Status] = []
    configs: dict[int, str] = {}
    milestones: dict[int, str] = {}
    users: dict[int, str] = {}
    projects: dict[int, str] = {}


def read_files(
    postman_runs: Path | None, testmo_runs: Path | None, testmo_books: Path | None
) -> SandboxData:
    """Give what the files hold; None means no runs, or books made up from the runs' own IDs.

    Raises ValueError, one line that names the file and the line, for what cannot be read or is
    no run.
    """
    testmo = list(_runs(testmo_runs, id=int, project_id=int)) if testmo_runs else []
    tests = {run["id"]: run.pop("tests") for run in testmo if isinstance(run.get("tests"), list)}
    return SandboxData(
        list(_runs(postman_runs, id=str, collectionId=str)) if postman_runs else [],
        testmo,
        _read_books(testmo_books) if testmo_books else books_of(testmo),
        (lambda run: tests.get(run["id"], [])) if tests else None,
    )


def _runs(path: Path, **required: type) -> Iterator[Json]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            run = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: not JSON: {error}") from None
        if not isinstance(run, dict):
            raise ValueError(f"{path}, line {number}: a run is a JSON object")  # noqa: TRY004
        for name, kind in required.items():
            if type(run.get(name)) is not kind:
                raise ValueError(f"{path}, line {number}: a run needs {name} ({_KINDS[kind]})")
        yield run


_KINDS = {int: "a whole number", str: "a text"}


def _lines(path: Path) -> Iterator[str]:
    try:
        with _open(path) as lines:
            yield from lines
    # A damaged gzip file shows itself in three ways, only one of which is an OSError.
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{path}: {reason}") from None


def _open(path: Path) -> TextIO:
    opener = gzip.open if path.suffix == ".gz" else open
    # A byte order mark, as some editors leave it, is no part of the first line.
    return cast("TextIO", opener(path, "rt", encoding="utf-8-sig"))


def _read_books(path: Path) -> dict[str, Any]:
    text = "".join(_lines(path))
    try:
        msgspec.json.decode(text, type=_Books)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    return cast("dict[str, Any]", json.loads(text))
