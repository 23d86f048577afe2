"""How an answer goes out, or does not: time-outs at every phase, resets, bodies cut short.

The honest answer is made first, so that what it costs (a request of the quota) is spent.
"""

import socket
import struct

from pipelines.sandbox.faults.fault import (
    ANYWHERE,
    Deliver,
    Exchange,
    Fault,
    Line,
    Strike,
    description_of,
    name_of,
)

FAULTS: list[Fault] = []

_DRIP_SECONDS = 0.05
# On, with no time to linger: the kernel answers what is left with a reset.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def _delivery(deliver: Deliver) -> Deliver:
    def change(exchange: Exchange, _strike: Strike) -> None:
        exchange.deliver = deliver

    FAULTS.append(Fault(name_of(deliver), description_of(deliver), ANYWHERE, change))
    return deliver


@_delivery
async def no_answer(line: Line) -> None:
    """The request is taken and never answered."""
    await line.hold()


@_delivery
async def half_a_header(line: Line) -> None:
    """The answer stops in the middle of its headers."""
    line.send(line.head[: len(line.head) // 2])
    await line.hold()


@_delivery
async def stalled_body(line: Line) -> None:
    """The answer stops in the middle of its body."""
    line.send(line.head + line.body[: len(line.body) // 2])
    await line.hold()


@_delivery
async def slow_drip(line: Line) -> None:
    """The body comes a byte every 50 ms, so that no single read times out."""
    line.send(line.head)
    for byte in line.body:
        if not line.is_open:
            return
        line.send(bytes([byte]))
        await line.hold(_DRIP_SECONDS)


@_delivery
async def endless_drip(line: Line) -> None:
    """Blanks come before the body, one a second, for ever."""
    line.send(line.head)
    while line.is_open:
        line.send(b" ")
        await line.hold(1)


@_delivery
async def endless_body(line: Line) -> None:
    """A body without a length comes as fast as it is read, for ever."""
    line.send(b"HTTP/1.1 200 -\r\nContent-Type: application/json\r\n\r\n")
    while line.is_open:
        line.send(b" " * 1_000_000)
        await line.drained()


@_delivery
async def endless_continue(line: Line) -> None:
    """100 Continue comes again and again, ten a second, and never an answer."""
    while line.is_open:
        line.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await line.hold(0.1)


@_delivery
async def huge_headers(line: Line) -> None:
    """The answer's headers are 20 MB long."""
    line.send(line.head.removesuffix(b"\r\n"))
    for number in range(2_000):
        if not line.is_open:
            return
        line.send(b"X-Filler-%d: " % number + b"x" * 10_000 + b"\r\n")
        await line.drained()
    line.send(b"\r\n" + line.body)


@_delivery
async def hung_up(line: Line) -> None:
    """The connection is closed without an answer."""


@_delivery
async def reset(line: Line) -> None:
    """The connection is reset without an answer."""
    _reset(line)


@_delivery
async def reset_in_body(line: Line) -> None:
    """The connection is reset in the middle of the body."""
    line.send(line.head + line.body[: len(line.body) // 2])
    _reset(line)


@_delivery
async def truncated(line: Line) -> None:
    """The connection is closed in the middle of the body."""
    line.send(line.head + line.body[: len(line.body) // 2])


def _reset(line: Line) -> None:
    if line.transport is not None:
        connection = line.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        line.transport.abort()
