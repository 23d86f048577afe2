"""What a fault is: something done to one request before it is answered, or to its answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from pipelines.sandbox.postman import PostmanApi
from pipelines.sandbox.testmo import TestmoApi
from pipelines.sandbox.wire import Answer, ListOrder

# Where a fault may strike, as patterns over "{api}/{path}".
ANYWHERE = "*"
LISTS = "*/runs"
DETAILS = "*/runs/*"
POSTMAN_LISTS = "postman/*/runs"
TESTMO_LISTS = "testmo/*/runs"
POSTMAN = "postman/*"
POSTMAN_DETAILS = "postman/*/runs/*"


# How often to look whether a client has read.
_LOOK_SECONDS = 0.001


@dataclass
class Exchange:
    """One request on its way through the sandbox, and in the end its answer.

    `order` None: the list stands in the order that the API itself would give it. `deliver` None:
    the answer goes out as it should. `port` is the sandbox's own; `now` is epoch seconds.
    """

    api: PostmanApi | TestmoApi
    path: str
    query: dict[str, str]
    port: int
    now: float
    order: ListOrder | None = None
    answer: Answer = field(default_factory=lambda: Answer(500, b""))
    deliver: "Deliver | None" = None


@dataclass(frozen=True)
class Fault:
    """A fault by name; `change` gets the exchange before or after it is answered.

    `where` is the pattern of the endpoints that it makes sense at.
    """

    name: str
    description: str
    where: str
    change: "Change"
    before_answer: bool = False


@dataclass(frozen=True)
class Strike:
    """A fault that strikes now: for the `number`th time, counted from 1."""

    fault: Fault
    seed: int
    number: int


Change = Callable[[Exchange, Strike], None]


class Line:
    """The connection that an answer goes out on, by the byte."""

    def __init__(self, request: web.BaseRequest, answer: Answer, ended: asyncio.Event) -> None:
        """Spell the answer out; nothing is sent yet."""
        headers = {
            "Content-Type": "application/json",
            **answer.headers,
            "Content-Length": str(len(answer.body)),
        }
        lines = [f"HTTP/1.1 {answer.status} -", *(f"{key}: {headers[key]}" for key in headers)]
        self.head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self.body = answer.body
        self._transport = request.transport
        self._ended = ended

    def send(self, data: bytes) -> None:
        """Put bytes on the wire, unless the client has gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def drained(self) -> None:
        """Wait until the client has read what was sent, or has gone."""
        while self.is_open and self._transport and self._transport.get_write_buffer_size():
            await self.hold(_LOOK_SECONDS)

    async def hold(self, seconds: float | None = None) -> None:
        """Do nothing for so long, or None: until the client hangs up or the sandbox ends."""
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except TimeoutError:
            return

    @property
    def is_open(self) -> bool:
        """Whether anyone still listens."""
        gone = self._transport is None or self._transport.is_closing()
        return not gone and not self._ended.is_set()

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection itself, None once it is closed."""
        return self._transport


Deliver = Callable[[Line], Awaitable[None]]


def name_of(function: Callable[..., object]) -> str:
    """The name that a fault is requested by."""
    return function.__name__.replace("_", "-")


def description_of(function: Callable[..., object]) -> str:
    """The first line of a fault's docstring."""
    return (function.__doc__ or "").splitlines()[0]
