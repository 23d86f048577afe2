"""A file's bytes in chunks: hashed as they are on disk, gunzipped where they are gzip.

Bounds what is read: 2 GiB of text, whatever the file's own size.
"""

import codecs
import hashlib
import os
import re
import stat
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from pipelines.sources.reports.report import ReportError

MOST_BYTES = 2 * 1024**3
_CHUNK = 262_144
_GZIP = b"\x1f\x8b"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DECLARED = re.compile(rb"""<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")


def modified_at(status: os.stat_result) -> datetime:
    """When a file was last written, UTC, to the microsecond."""
    return _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1000)


class FileBytes:
    """One file: `chunks()` once, then `read` (bytes of text so far) and `digest()`.

    `size` in bytes and `modified_at` are those of the file when it was opened.

    Raises ReportError for what is not a regular file, is larger than 2 GiB, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115
        except OSError as error:
            raise ReportError(f"cannot be read: {error.strerror}") from None
        status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(status.st_mode):
            self._file.close()
            raise ReportError("not a regular file", is_foreign=True)
        self.size, self._modified_ns = status.st_size, status.st_mtime_ns
        self.modified_at = modified_at(status)
        self.read = 0
        self._hash = hashlib.sha256()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def digest(self) -> str:
        """SHA-256 of the file as it is on disk, in hexadecimal; of its first 2 GiB at most."""
        for _ in self._raw():
            pass
        return self._hash.hexdigest()

    @property
    def has_changed(self) -> bool:
        """Whether somebody wrote to the file since it was opened."""
        status = os.fstat(self._file.fileno())
        return (status.st_size, status.st_mtime_ns) != (self.size, self._modified_ns)

    def chunks(self) -> Iterator[bytes]:
        """The text's bytes. Raises ReportError where gzip ends early, or there is too much."""
        if self.size > MOST_BYTES:
            raise ReportError("larger than 2 GiB")
        raw = self._raw()
        first = next(raw, b"")
        plain = _gunzipped(first, raw) if first.startswith(_GZIP) else _chained(first, raw)
        for chunk in plain:
            self.read += len(chunk)
            if self.read > MOST_BYTES:
                raise ReportError("larger than 2 GiB when decompressed")
            yield chunk

    def _raw(self) -> Iterator[bytes]:
        try:
            while self._file.tell() < MOST_BYTES and (chunk := self._file.read(_CHUNK)):
                self._hash.update(chunk)
                yield chunk
        except OSError as error:
            raise ReportError(f"cannot be read: {error.strerror}") from None


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe would wait for a writer


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _gunzipped(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """The members of a gzip stream, one after the other, at most a chunk at a time."""
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for chunk in _chained(first, rest):
            data = chunk
            while data:
                if inflate.eof:
                    if not data.strip(b"\0"):
                        break  # padding, as tapes and some tools leave it
                    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
                if plain := inflate.decompress(data, _CHUNK):
                    yield plain
                data = inflate.unconsumed_tail or inflate.unused_data
    except zlib.error:
        raise ReportError("gzip that cannot be decompressed") from None
    if not inflate.eof:
        raise ReportError("gzip that ends too early", is_cut=True)


def decoded(chunks: Iterator[bytes]) -> Iterator[str]:
    """The text, by byte order mark or XML declaration, else UTF-8; U+FFFD for what is neither."""
    first = next(chunks, b"")
    while 0 < len(first) < 200 and (more := next(chunks, b"")):
        first += more
    decoder = codecs.getincrementaldecoder(_encoding(first))(errors="replace")
    for chunk in _chained(first, chunks):
        if text := decoder.decode(chunk):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text


def _encoding(first: bytes) -> str:
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if first.startswith((b"<\0", b"{\0")):
        return "utf-16-le"
    if first.startswith((b"\0<", b"\0{")):
        return "utf-16-be"
    declared = _DECLARED.match(first.removeprefix(codecs.BOM_UTF8).lstrip())
    if declared is None or first.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    try:
        name = codecs.lookup(declared[1].decode()).name
        "".encode(name)  # a codec of text, not of bytes
    except (LookupError, UnicodeError):
        return "utf-8-sig"
    # A declaration that could be read as ASCII was not written in UTF-16.
    return "utf-8-sig" if name.startswith(("utf-16", "utf-32", "utf-8")) else name
