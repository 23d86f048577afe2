"""Parts of a JSON document, read while it streams by; what is not wanted is never built.

newman writes response bodies as lists of numbers, four to five characters a byte: they are cut out
of the text before the parser (yajl, through ijson) sees them.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

import ijson
from ijson.adapters import from_iter
from ijson.common import JSONError

from pipelines.sources.reports.report import ReportError

ITEM = "[]"
DEEPEST = 200
_MOST_KEYS = 20

# What is wanted: a tree of keys (ITEM: each element of a list), its leaves the keys to leave out.
Wanted = Mapping[str, "Wanted | frozenset[str]"]
Path = tuple[str, ...]

# Whole numbers up to the list's end, or to the end of the chunk.
_NUMBERS = re.compile(rb'("data"\s*:\s*\[)[\s\d,]+(?=\]|\Z)')
_NUMBER_BYTES = b"0123456789, \t\r\n"
# An escaped backslash, a whole surrogate pair, and half of one.
_ESCAPES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_FIRST_HALF = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")
_CUT_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")
# Bytes of a text that are kept: as many characters as a column takes, at 12 bytes (escaped pairs).
_LONGEST_TEXT = 800_000
# The parser takes the first half of a word or a number for a wrong one.
_TAIL = 32
_CUT_WORD = re.compile(
    rb"[\s:,\[](?:t|tr|tru|f|fa|fal|fals|n|nu|nul|-|-?[0-9]+(?:\.|\.?[0-9]*[eE][+-]?))\Z"
)
# Digits of a number. Python refuses to read 4,300, which yajl's callback overlooks: it goes on with
# nothing for a value, and crashes now and then (ijson 3.6).
_MOST_DIGITS = 4000
_DIGITS = b"0123456789"
_LONG_NUMBER = re.compile(rb"(?<![0-9])[0-9]{%d}" % (_MOST_DIGITS + 1))
_INT8 = range(-(2**63), 2**63)


def pick(
    text: Iterator[str], wanted: Wanted, position: Callable[[], int], keys: list[str] | None = None
) -> Iterator[tuple[Path, Any]]:
    """(path, value) of each wanted value, in the order of the document.

    `position` says how many bytes have been read, for the reason; `keys` receives the first keys
    of the document itself. Raises ReportError for what is no JSON, ends too early, is nested more
    than 200 deep, or has a number of more than 4,000 digits.
    """
    tail = bytearray()
    events = ijson.basic_parse(
        from_iter(_refusing_long_numbers(_thinned(_encoded(text, tail)))), buf_size=65_536
    )
    walker = _Walker(wanted, [] if keys is None else keys)
    try:
        for event, value in events:
            if (picked := walker.step(event, value)) is not None:
                yield picked
    except JSONError as error:
        raise _json_error(str(error), position(), bytes(tail)) from None
    except ArithmeticError:  # an exponent of twenty digits
        raise _LongNumberError from None


def _encoded(text: Iterator[str], tail: bytearray) -> Iterator[bytes]:
    """The text as UTF-8; `tail` has the last bytes of what was read."""
    for part in text:
        data = part.encode("utf-8", "replace")
        tail[:] = (tail + data[-_TAIL:])[-_TAIL:]
        yield data


def _json_error(message: str, size: int, tail: bytes) -> ReportError:
    if "premature EOF" in message or "Incomplete JSON" in message or _CUT_WORD.search(tail):
        return ReportError(f"JSON ends at byte {size}", is_cut=True)
    if "trailing garbage" in message:
        return ReportError("JSON with more text after its end")
    problem = message.removeprefix("b'").split("\\n")[0].split("\n")[0]
    return ReportError(f"not JSON: {problem.split(': ', 1)[-1].strip()}")


def _thinned(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same document without lists of numbers under `data`, and with very long texts cut."""
    held, in_numbers, in_text, text_length = b"", False, False, 0
    for chunk in chunks:
        data, held = _split_escapes(held + chunk)
        if in_numbers:
            if not (data := data.lstrip(_NUMBER_BYTES)):
                continue
            if not data.startswith(b"]"):  # something else in the list, or a fraction
                data = (b"0" if data[:1] in b".eE" else b"0,") + data
        quotes = _count_quotes(data)
        if in_text and not quotes:
            if text_length > _LONGEST_TEXT:
                continue
            text_length += len(data)
        else:
            text_length = 0
        in_text ^= quotes % 2 == 1
        last = data.rfind(b'"data"')
        match = _NUMBERS.match(data, last) if last >= 0 else None
        in_numbers = match is not None and match.end() == len(data)
        data = _NUMBERS.sub(rb"\1", data)
        if b"\\ud" in data or b"\\uD" in data:
            data = _ESCAPES.sub(_whole_character, data)
        if data:  # an empty chunk would be the end
            yield data
    yield _CUT_ESCAPE.sub(b"", held)


def _count_quotes(data: bytes) -> int:
    """The quotes that begin or end a text; the data begin with no half of an escape."""
    # Backslashes that are escaped themselves escape no quote.
    unescaped = data.replace(b"\\\\", b"")
    return unescaped.count(b'"') - unescaped.count(b'\\"')


class _LongNumberError(ReportError):
    def __init__(self) -> None:
        super().__init__("JSON with a number that is too long")


def _refusing_long_numbers(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same chunks; raises ReportError for a number that Python would refuse to read."""
    in_text, digits = False, 0
    for data in chunks:
        leading = len(data) - len(data.lstrip(_DIGITS))
        if not in_text and digits + leading > _MOST_DIGITS:
            raise _LongNumberError
        for match in _LONG_NUMBER.finditer(data):
            if in_text == (_count_quotes(data[: match.start()]) % 2 == 1):
                raise _LongNumberError
        in_text ^= _count_quotes(data) % 2 == 1
        trailing = len(data) - len(data.rstrip(_DIGITS))
        digits = trailing + (digits if trailing == len(data) else 0)
        yield data


def _whole_character(match: re.Match[bytes]) -> bytes:
    escape = match[0]
    return escape if len(escape) != len(rb"\ud800") else rb"\ufffd"


def _split_escapes(data: bytes) -> tuple[bytes, bytes]:
    """The data, cut before an escape (or the second half of a pair) that may go on after it."""
    at = data.rfind(b"\\", max(len(data) - 12, 0))
    if at < 0:
        return data, b""
    run = len(data[: at + 1]) - len(data[: at + 1].rstrip(b"\\"))
    if run % 2 == 0:
        return data, b""
    if _FIRST_HALF.fullmatch(data, max(at - 6, 0), at):
        at -= 6
    return data[:at], data[at:]


class _Walker:
    """Follows the parser's events through the tree of what is wanted."""

    def __init__(self, wanted: Wanted, keys: list[str]) -> None:
        self._first_keys = keys
        self._depth = 0
        # Of each open container on the way to something wanted: its tree and the current key.
        self._trees: list[Wanted] = []
        self._keys: list[str] = []
        self._wanted = wanted
        # While a value is left out: the depth at which it began.
        self._skipping: int | None = None
        self._leave_out: frozenset[str] = frozenset()
        # While a value is built: its open containers, and the key in each.
        self._built: list[Any] = []
        self._built_keys: list[str] = []
        self._is_left_out = False

    def step(self, event: str, value: Any) -> tuple[Path, Any] | None:
        """Take one event; (path, value) when it completes something wanted."""
        if event in ("start_map", "start_array"):
            self._depth += 1
            if self._depth > DEEPEST:
                raise ReportError(f"JSON nested more than {DEEPEST} levels deep")
            if self._skipping is None:
                self._open({} if event == "start_map" else [])
            return None
        if event in ("end_map", "end_array"):
            self._depth -= 1
            if self._skipping is not None:
                if self._depth == self._skipping:
                    self._skipping = None
                return None
            return self._close()
        if self._skipping is not None:
            return None
        if event == "map_key":
            self._key(value)
            return None
        return self._value(_scalar(value))

    def _key(self, key: str) -> None:
        if self._built:
            self._built_keys[-1] = key
            self._is_left_out = key in self._leave_out
        else:
            self._keys[-1] = key
            if len(self._keys) == 1 and len(self._first_keys) < _MOST_KEYS:
                self._first_keys.append(key)

    def _open(self, container: dict[str, Any] | list[Any]) -> None:
        if self._built:
            if self._is_left_out:
                self._skipping, self._is_left_out = self._depth - 1, False
            else:
                self._built.append(container)
                self._built_keys.append("")
            return
        subtree: Wanted | frozenset[str] | None
        subtree = self._trees[-1].get(self._keys[-1]) if self._trees else self._wanted
        if subtree is None:
            self._skipping = self._depth - 1
        elif isinstance(subtree, frozenset):
            self._leave_out = subtree
            self._built, self._built_keys = [container], [""]
        else:
            self._trees.append(subtree)
            self._keys.append(ITEM if isinstance(container, list) else "")

    def _close(self) -> tuple[Path, Any] | None:
        if not self._built:
            self._trees.pop()
            self._keys.pop()
            return None
        value = self._built.pop()
        self._built_keys.pop()
        if not self._built:
            return tuple(self._keys), value
        self._put(value)
        return None

    def _value(self, value: Any) -> tuple[Path, Any] | None:
        if self._built:
            if self._is_left_out:
                self._is_left_out = False
            else:
                self._put(value)
            return None
        if self._trees and isinstance(self._trees[-1].get(self._keys[-1]), frozenset):
            return tuple(self._keys), value
        return None

    def _put(self, value: Any) -> None:
        container = self._built[-1]
        if isinstance(container, list):
            container.append(value)
        else:
            container[self._built_keys[-1].replace("\0", "\ufffd")] = value


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd") if "\0" in value else value
    if isinstance(value, Decimal):
        return float(value)
    if type(value) is int and value not in _INT8:
        return float(value)
    return value
