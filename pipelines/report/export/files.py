"""Files of an export, streamed: rows are never all in memory, and no half file has its name."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, Self

from psycopg import Connection

from pipelines.errors import SettingsError
from pipelines.report.export.marts import Part

# Rows of a mart may hold messages of some kilobytes.
_CHUNK_ROWS = 5_000
_UNFINISHED = ".*.unfinished"


class Writer(Protocol):
    """Writes a part's rows into a file; gives their number."""

    def __call__(self, connection: Connection, part: Part, file: IO[bytes]) -> int:
        """Raises OSError where the file cannot be written."""


def write_csv(connection: Connection, part: Part, file: IO[bytes]) -> int:
    """As Postgres writes it: a header, null as nothing, an empty text as `""`."""
    statement = b"copy (%s) to stdout (format csv, header)" % part.query.as_bytes(connection)
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copied:
            for data in copied:
                file.write(data)
        return cursor.rowcount


def parquet_writer() -> Writer:
    """Parquet of the columns' own types. Raises SettingsError where pyarrow is not installed."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise SettingsError(
            "--format parquet needs pyarrow: pip install 'testruns[parquet]', or use --format csv"
        ) from None

    types: dict[str, Any] = {
        "bigint": pa.int64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "double precision": pa.float64(),
        "integer": pa.int32(),
        "text": pa.string(),
        "timestamp with time zone": pa.timestamp("us", tz="UTC"),
    }

    def write(connection: Connection, part: Part, file: IO[bytes]) -> int:
        pairs = zip(part.mart.columns, part.mart.types, strict=True)
        schema = pa.schema([(name, types[kind]) for name, kind in pairs])
        rows = 0
        with parquet.ParquetWriter(file, schema) as writer:
            for chunk in _chunks(connection, part):
                columns = zip(*chunk, strict=True)
                arrays = [
                    pa.array(column, field.type)
                    for column, field in zip(columns, schema, strict=True)
                ]
                writer.write_batch(pa.record_batch(arrays, schema=schema))
                rows += len(chunk)
        return rows

    return write


def _chunks(connection: Connection, part: Part) -> Iterator[list[tuple[Any, ...]]]:
    with connection.cursor("export") as cursor:
        cursor.execute(part.query)
        while chunk := cursor.fetchmany(_CHUNK_ROWS):
            yield chunk


class Replacement:
    """Files below a folder that take their names together, once all are whole and on the disk.

    Until then each has the name of one that is unfinished; those of a process that was killed are
    removed. One process at a time may replace files of a folder.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder ready. Raises OSError."""
        self._folder = folder
        self._unfinished: dict[Path, Path] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for left in [*folder.glob(_UNFINISHED), *folder.glob(f"*/{_UNFINISHED}")]:
            left.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what has not taken its name."""
        for unfinished in self._unfinished.values():
            unfinished.unlink(missing_ok=True)

    @contextmanager
    def file(self, name: str) -> Iterator[IO[bytes]]:
        """A file to write, on the disk when the block ends. Raises OSError."""
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        self._unfinished[path] = unfinished = path.with_name(f".{path.name}.unfinished")
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def written(self, name: str) -> Path:
        """Where a file is that was written and has not taken its name."""
        return self._unfinished[self._folder / name]

    def take_names(self) -> None:
        """Replace what has the files' names, in the order in which they were written."""
        for path, unfinished in self._unfinished.items():
            unfinished.replace(path)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


WRITERS: dict[str, Callable[[], Writer]] = {"csv": lambda: write_csv, "parquet": parquet_writer}
