"""One report file, recognised by what is in it: never by its name."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.sources.redaction import Redactor
from pipelines.sources.reports.ctrf import CtrfReader
from pipelines.sources.reports.file_bytes import FileBytes, decoded
from pipelines.sources.reports.json_stream import Path, Wanted, pick
from pipelines.sources.reports.junit import xml_stream
from pipelines.sources.reports.junit.reader import JunitReader
from pipelines.sources.reports.postman.newman import NewmanReader
from pipelines.sources.reports.postman.postman_cli import PostmanCliReader
from pipelines.sources.reports.postman.summaries import SummaryReader
from pipelines.sources.reports.report import Report, ReportError, RowWriter
from pipelines.sources.reports.secrets import Masker
from pipelines.sources.reports.spool import Spool

_HTML = ("<!doctype html", "<html")
_HTML_LENGTH = len(_HTML[0])

_JsonReader = NewmanReader | PostmanCliReader | CtrfReader | SummaryReader


def read_report(file: FileBytes, spool: Spool, redactor: Redactor) -> Report:
    """The report in a file, its rows in the spool.

    Raises ReportError with the reason why it is none, or not a whole one.
    """
    text = decoded(file.chunks())
    first = ""
    for chunk in text:
        first = chunk.lstrip()
        if first:
            break
    masker = Masker(redactor)
    rows = RowWriter(spool)
    if first[:_HTML_LENGTH].lower().startswith(_HTML):
        raise ReportError("an HTML page, and no report", is_foreign=True)
    if first.startswith("<"):
        return _read_xml(_chained(first, text), file, rows, masker)
    if first.startswith(("{", "[")):
        return _read_json(_chained(first, text), file, rows, masker)
    if not first:
        raise ReportError("an empty file", is_cut=True)
    raise ReportError("neither JSON nor XML", is_foreign=True)


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _read_xml(text: Iterator[str], file: FileBytes, rows: RowWriter, masker: Masker) -> Report:
    reader, repair = JunitReader(rows, masker), xml_stream.Repair()
    xml_stream.read(repair.of(text), reader, lambda: file.read)
    return reader.report(was_repaired=repair.was_needed)


def _read_json(text: Iterator[str], file: FileBytes, rows: RowWriter, masker: Masker) -> Report:
    readers: list[_JsonReader] = [
        kind(rows, masker) for kind in (NewmanReader, PostmanCliReader, CtrfReader, SummaryReader)
    ]
    wanted: dict[str, Any] = {}
    for reader in readers:
        _merge(wanted, reader.wanted)
    keys: list[str] = []
    for path, value in pick(text, wanted, lambda: file.read, keys):
        for reader in readers:
            if _wants(reader.wanted, path):
                reader.take(path, value)
    for reader in readers:
        if reader.is_recognised:
            return reader.report()
    raise ReportError(f"JSON, but no report: {_described(keys)}", is_foreign=True)


def _merge(tree: dict[str, Any], other: Wanted) -> None:
    for key, subtree in other.items():
        if isinstance(subtree, frozenset):
            tree[key] = tree[key] & subtree if key in tree else subtree
        else:
            _merge(tree.setdefault(key, {}), subtree)


def _wants(tree: Wanted | frozenset[str], path: Path) -> bool:
    for key in path:
        if not isinstance(tree, Mapping) or key not in tree:
            return False
        tree = tree[key]
    return isinstance(tree, frozenset)


def _described(keys: list[str]) -> str:
    if {"info", "item"} <= set(keys):
        return "it is a Postman collection"
    if "_postman_variable_scope" in keys:
        return "it is a Postman environment"
    if not keys:
        return "it is no object with anything in it"
    first_keys = ", ".join(repr(key[:40]) for key in keys[:6])
    return f"it holds {first_keys}{' …' if len(keys) > 6 else ''}"
