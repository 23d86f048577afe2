"""What tests print, searched for properties and attachments; nothing else of it is kept."""

import re
from collections.abc import Iterator

_MARKER = re.compile(r"\[\[(PROPERTY|ATTACHMENT)\|([^\[\]]{1,2000})\]\]")
_LONGEST_LINE = 4_000


class OutputScanner:
    """Finds `[[PROPERTY|name=value]]` and `[[ATTACHMENT|path]]`, each on one line."""

    def __init__(self) -> None:
        self._line: str | None = None

    def begin(self) -> None:
        """A `system-out` or `system-err` begins."""
        self._line = ""

    def data(self, text: str) -> Iterator[tuple[str, str]]:
        """(name, value) of what a piece of text completes; nothing outside of output."""
        if self._line is None:
            return
        line = self._line + text
        if "[[" not in line:
            self._line = "[" if line.endswith("[") else ""
        elif "\n" not in text and len(line) < _LONGEST_LINE:
            self._line = line
        else:
            self._line = ""
            yield from _marked(line)

    def ended(self) -> Iterator[tuple[str, str]]:
        """(name, value) of what stands on the last line."""
        line, self._line = self._line or "", None
        yield from _marked(line)


def _marked(line: str) -> Iterator[tuple[str, str]]:
    for kind, value in _MARKER.findall(line):
        if kind == "ATTACHMENT":
            yield "attachment", value
        elif "=" in value:
            name, _, value_of = value.partition("=")
            yield name, value_of
