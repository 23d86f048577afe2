"""An API that plays a script, over a socket or without one, and a client of it."""

import asyncio
import socket
import ssl
import traceback
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from pydantic import SecretStr

from pipelines.errors import (
    ApiError,
)
from pipelines.http.client import Answer, Client
from pipelines.http.rate_limiter import RateLimiter

KEY = "PMAK-not-to-be-shown"
CURSOR = "opaque-cursor"
ENDPOINT = "GET collections/{id}/runs"
PATH = "collections/c/runs"
Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Whole:
    """A whole answer, over a wire or without one."""

    status: int
    body: bytes
    headers: dict[str, str]

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        head = [f"HTTP/1.1 {self.status} Whole", f"Content-Length: {len(self.body)}"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        writer.write("\r\n".join([*head, "", ""]).encode() + self.body)
        await writer.drain()

    def response(self) -> httpx.Response:
        async def body() -> AsyncIterator[bytes]:
            yield self.body

        return httpx.Response(self.status, headers=self.headers, content=body())


def answer(status: int = 200, body: bytes = b'{"runs": []}', **headers: str) -> Whole:
    """A whole answer; `Retry_After="1"` is the header Retry-After."""
    return Whole(status, body, {name.replace("_", "-"): text for name, text in headers.items()})


def sends_and_closes(wire: bytes) -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(wire)
        await writer.drain()
        writer.close()

    return reply


async def resets(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def never_answers(_writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drips(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.001)  # the drip itself


@dataclass
class ReceivedRequest:
    """A request as it arrived."""

    target: str
    headers: dict[str, str]


@dataclass
class Server:
    """Plays its script, the last reply for ever, and notes the requests."""

    script: deque[Any]
    tls: ssl.SSLContext | None = None
    requests: list[ReceivedRequest] = field(default_factory=list)
    connections: int = 0
    _handlers: set[asyncio.Task[Any] | None] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.root = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        handlers = [task for task in self._handlers if task]
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._handlers.add(asyncio.current_task())
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
                fields = (line.split(": ", 1) for line in head[1:] if line)
                headers = {name.lower(): value for name, value in fields}
                self.requests.append(ReceivedRequest(head[0].split()[1], headers))
                reply = self.script.popleft() if len(self.script) > 1 else self.script[0]
                await reply(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


def plays(script: deque[Reply], requests: list[ReceivedRequest]) -> httpx.MockTransport:
    """Answers by a script, the last one for ever; no wire."""

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(ReceivedRequest(request.url.raw_path.decode(), dict(request.headers)))
        reply = script.popleft() if len(script) > 1 else script[0]
        assert isinstance(reply, Whole)
        return reply.response()

    return httpx.MockTransport(handle)


@dataclass
class ManualClock:
    """A clock that moves on when somebody sleeps."""

    now: float = 1_795_867_200.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class Exchange:
    """What came of a request, and all that happened on the way."""

    outcome: Answer | ApiError
    requests: list[ReceivedRequest]
    slept: list[float]
    client: Client

    @property
    def backoffs(self) -> list[float]:
        """Waits before another attempt; those for the rate limit are longer."""
        return [seconds for seconds in self.slept if seconds < 5]

    @property
    def error(self) -> ApiError:
        assert isinstance(self.outcome, ApiError), self.outcome
        return self.outcome

    @property
    def body(self) -> Any:
        assert isinstance(self.outcome, Answer), self.outcome
        return self.outcome.body


def client_of(root: str, time: ManualClock | None = None, **options: Any) -> Client:
    time = time or ManualClock()
    return Client(
        "postman",
        root,
        options.pop("header", ("x-api-key", "", SecretStr(KEY))),
        key_setting="POSTMAN_API_KEY",
        url_setting="POSTMAN_API_URL",
        rate_limiter=RateLimiter(1000, clock=time, sleep=time.sleep),
        **options,
    )


async def send_request(client: Client, member: str = "runs") -> Answer | ApiError:
    try:
        return await client.get(ENDPOINT, PATH, {"cursor": CURSOR}, member=member)
    except ApiError as error:
        return error


def exchange_with(*script: Reply, member: str = "runs", root: str = "", **options: Any) -> Exchange:
    """One `get` of what plays `script`: a server where the script needs a wire."""

    async def exchange() -> Exchange:
        time, requests = ManualClock(), list[ReceivedRequest]()
        if not root and all(isinstance(reply, Whole) for reply in script):
            base = plays(deque(script), requests)
            async with client_of("http://api.invalid", time, base=base, **options) as client:
                outcome = await send_request(client, member)
            return Exchange(outcome, requests, time.slept, client)
        async with Server(deque(script)) as server:
            async with client_of(root or server.root, time, **options) as client:
                outcome = await send_request(client, member)
            return Exchange(outcome, server.requests, time.slept, client)

    return asyncio.run(exchange())


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def assert_tells_no_secret(error: ApiError) -> None:
    """One line that names the endpoint; neither it nor what hangs on it shows key or query."""
    assert ENDPOINT in str(error)
    assert "\n" not in str(error)
    chain: BaseException | None = error
    while chain is not None:
        revealed = "".join([str(chain), repr(chain), *traceback.format_exception(chain)])
        assert KEY not in revealed
        assert CURSOR not in revealed
        chain = chain.__cause__ or chain.__context__
