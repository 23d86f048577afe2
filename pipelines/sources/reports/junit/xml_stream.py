"""XML read as events, without a tree: repaired where writers forget what XML cannot hold."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Protocol
from xml.parsers.expat import errors

from pipelines.sources.reports.report import ReportError

DEEPEST = 200

_LONGEST_TAG = 16_000_000
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REFERENCE = re.compile(r"&#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,8}));")
_LONGEST_REFERENCE = 12
_TOO_EARLY = frozenset(
    errors.codes[message]
    for message in (
        errors.XML_ERROR_NO_ELEMENTS,
        errors.XML_ERROR_UNCLOSED_TOKEN,
        errors.XML_ERROR_PARTIAL_CHAR,
        errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
)


class Handler(Protocol):
    """Takes the events; names come without their namespace."""

    def doctype(self, name: str) -> None:
        """The document declares its type; whatever this does, it is refused."""
        ...

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        ...

    def end(self, name: str) -> None:
        """An element ends."""
        ...

    def data(self, text: str) -> None:
        """A piece of text."""
        ...


class Repair:
    """Puts U+FFFD for what XML 1.0 cannot hold; `was_needed` says whether there was any."""

    was_needed = False

    def of(self, chunks: Iterator[str]) -> Iterator[str]:
        """The same text, well-formed in its characters."""
        held = ""
        for chunk in chunks:
            text, held = held + chunk, ""
            ampersand = text.rfind("&", -_LONGEST_REFERENCE)
            if ampersand >= 0 and ";" not in text[ampersand:]:
                text, held = text[:ampersand], text[ampersand:]
            yield self._repaired(text)
        yield self._repaired(held)

    def _repaired(self, text: str) -> str:
        repaired = _NOT_XML.sub("\ufffd", text)
        if "&#" in repaired:
            repaired = _REFERENCE.sub(_character, repaired)
        if repaired is not text and repaired != text:
            self.was_needed = True
        return repaired


def _character(reference: re.Match[str]) -> str:
    code = int(reference[1], 16) if reference[1] else int(reference[2])
    is_character = code <= 0x10FFFF and not _NOT_XML.match(chr(code))
    return reference[0] if is_character else "\ufffd"


def read(chunks: Iterator[str], handler: Handler, position: Callable[[], int]) -> None:
    """Give the document's events to `handler`.

    `position` says how many bytes have been read, for the reason. Raises ReportError for what is
    no XML, ends too early, has a DOCTYPE (and with it entities), or is nested more than 200 deep.
    """
    parser = ET.XMLParser(target=_Target(handler))  # noqa: S314 - a DOCTYPE is refused below
    try:
        tag_length = 0
        for chunk in chunks:
            opened, closed = chunk.rfind("<"), chunk.rfind(">")
            if opened > closed:
                tag_length = len(chunk) - opened
            elif closed >= 0:
                tag_length = 0
            elif tag_length:
                tag_length += len(chunk)
            if tag_length > _LONGEST_TAG:  # the parser would keep all of it
                raise ReportError(f"XML with a tag of more than {_LONGEST_TAG // 10**6} MB")
            parser.feed(chunk)
        parser.close()
    except ET.ParseError as error:
        if error.code in _TOO_EARLY:
            raise ReportError(f"XML ends at byte {position()}", is_cut=True) from None
        line, column = error.position
        problem = str(error).split(":", 1)[0]
        raise ReportError(f"not XML: {problem} at line {line}, column {column}") from None


class _Target:
    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._depth = 0

    def doctype(self, name: str, public: str | None, system: str | None) -> None:  # noqa: ARG002
        self._handler.doctype(name)
        raise ReportError("XML with a DOCTYPE: its entities are never read")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ReportError(f"XML nested more than {DEEPEST} levels deep")
        self._handler.start(tag.rpartition("}")[2], attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1
        self._handler.end(tag.rpartition("}")[2])

    def data(self, text: str) -> None:
        self._handler.data(text)

    def close(self) -> None:
        pass
