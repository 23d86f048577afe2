"""Other answers than the honest one: error pages, broken encodings, redirects, refusals."""

import gzip as gzip_format
import struct
import zlib
from collections.abc import Callable
from functools import cache

from pipelines.sandbox.faults.fault import (
    ANYWHERE,
    POSTMAN_DETAILS,
    Exchange,
    Fault,
    Strike,
    description_of,
    name_of,
)
from pipelines.sandbox.wire import Answer, encode

FAULTS: list[Fault] = []

# As many bytes as a body of blanks has; packed, they are a thousandth.
_BOMB = 500_000_000
_PAGE = b"<!doctype html><title>Just a moment</title><h1>The site is being worked on</h1>"


def _answer(make: Callable[[Exchange], Answer]) -> Callable[[Exchange], Answer]:
    def change(exchange: Exchange, _strike: Strike) -> None:
        exchange.answer = make(exchange)

    FAULTS.append(Fault(name_of(make), description_of(make), ANYWHERE, change))
    return make


@_answer
def html(_exchange: Exchange) -> Answer:
    """A page of HTML with status 200, as a proxy or a login page sends it."""
    return Answer(200, _PAGE, {"Content-Type": "text/html"})


@_answer
def empty_body(exchange: Exchange) -> Answer:
    """Status 200 and nothing in the body."""
    return exchange.answer._replace(body=b"")


@_answer
def error_with_200(exchange: Exchange) -> Answer:
    """Status 200 and a JSON object that reports an error."""
    return exchange.answer._replace(status=200, body=encode({"error": "try again later"}))


@_answer
def gzip(exchange: Exchange) -> Answer:
    """The honest body, compressed as its header says."""
    return _gzipped(exchange.answer, gzip_format.compress(exchange.answer.body))


@_answer
def gzip_broken(exchange: Exchange) -> Answer:
    """A body that says it is gzip, damaged in its middle."""
    packed = bytearray(gzip_format.compress(exchange.answer.body))
    middle = len(packed) // 2
    packed[middle : middle + 8] = b"\xff" * 8
    return _gzipped(exchange.answer, bytes(packed))


@_answer
def gzip_bomb(exchange: Exchange) -> Answer:
    """495 kB of gzip that hold a body of 500 MB."""
    return _gzipped(exchange.answer._replace(status=200), _bomb())


@_answer
def not_utf8(exchange: Exchange) -> Answer:
    """One byte of the body is no UTF-8: the first letter of its first `status`."""
    body = exchange.answer.body.replace(b'"status":"', b'"status":"\xff', 1)
    return exchange.answer._replace(body=body.replace(b'"name":"', b'"name":"\xff', 1))


@_answer
def redirect(exchange: Exchange) -> Answer:
    """302 to another host (`localhost`), to a path outside of both APIs."""
    target = f"http://localhost:{exchange.port}/elsewhere{exchange.path}"
    return Answer(302, b"", {"Location": target})


@_answer
def unauthorized(_exchange: Exchange) -> Answer:
    """401: the key is no longer taken; `:after=N` lets it happen in the middle."""
    return Answer(401, encode({"message": "Unauthenticated."}))


@_answer
def forbidden(_exchange: Exchange) -> Answer:
    """403: the key may not read this."""
    return Answer(403, encode({"message": "This action is unauthorized."}))


@cache
def _bomb() -> bytes:
    """A megabyte packed once, its block repeated: to pack all of it takes seconds."""
    blanks, times = b" " * 1_000_000, _BOMB // 1_000_000
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(blanks) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(times):
        checksum = zlib.crc32(blanks, checksum)
    header = b"\x1f\x8b\x08" + bytes(7)
    return header + block * times + packer.flush() + struct.pack("<II", checksum, _BOMB)


def _gzipped(answer: Answer, body: bytes) -> Answer:
    return answer._replace(body=body, headers={**answer.headers, "Content-Encoding": "gzip"})


def _status(status: int, reason: str) -> Fault:
    def change(exchange: Exchange, _strike: Strike) -> None:
        exchange.answer = Answer(status, _PAGE, {"Content-Type": "text/html"})

    return Fault(f"status-{status}", f"{status} ({reason}) with a page of HTML.", ANYWHERE, change)


FAULTS += [
    _status(500, "internal server error"),
    _status(502, "bad gateway"),
    _status(503, "service unavailable"),
    _status(504, "gateway timeout"),
]


def _unknown(exchange: Exchange, _strike: Strike) -> None:
    exchange.answer = Answer(404, encode({"error": {"name": "instanceNotFoundError"}}))


FAULTS.append(
    Fault("listed-is-unknown", "404 for a run that the list shows.", POSTMAN_DETAILS, _unknown)
)
