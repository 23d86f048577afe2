"""The client against answers of all kinds, and a server on loopback for what only a wire can do."""

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
import traceback
import tracemalloc
import zlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pipelines.errors import (
    ApiError,
    BadRequestError,
    NotAllowedError,
    NotFoundError,
    PermanentError,
    QuotaSpentError,
    SettingsError,
    TransientError,
    UnauthorizedError,
    UnparsableError,
    UnreachableError,
)
from pipelines.http.client import Answer, Client
from pipelines.http.json_decode import decode
from pipelines.http.rate_limiter import RateLimiter
from pipelines.http.retry import NO_RETRY
from pipelines.http.transport import MOST_IN_FLIGHT, Bounds
from pipelines.ingest.concurrency import map_ordered

KEY = "PMAK-not-to-be-told"
CURSOR = "opaque-cursor"
ENDPOINT = "GET collections/{id}/runs"
PATH = "collections/c/runs"
SMALL = Bounds(body_bytes=2**20)

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
class Asked:
    """A request as it arrived."""

    target: str
    headers: dict[str, str]


@dataclass
class Server:
    """Plays its script, the last reply for ever, and notes what it was asked."""

    script: deque[Any]
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
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
                self.asked.append(Asked(head[0].split()[1], headers))
                reply = self.script.popleft() if len(self.script) > 1 else self.script[0]
                await reply(writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


def plays(script: deque[Reply], requests: list[Asked]) -> httpx.MockTransport:
    """Answers by a script, the last one for ever; no wire."""

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(Asked(request.url.raw_path.decode(), dict(request.headers)))
        reply = script.popleft() if len(script) > 1 else script[0]
        assert isinstance(reply, Whole)
        return reply.response()

    return httpx.MockTransport(handle)


@dataclass
class ToldTime:
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
class Story:
    """What came of a request, and all that happened on the way."""

    outcome: Answer | ApiError
    asked: list[Asked]
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


def client_of(root: str, time: ToldTime | None = None, **options: Any) -> Client:
    time = time or ToldTime()
    return Client(
        "postman",
        root,
        options.pop("header", ("x-api-key", "", SecretStr(KEY))),
        key_setting="POSTMAN_API_KEY",
        url_setting="POSTMAN_API_URL",
        rate_limiter=RateLimiter(1000, clock=time, sleep=time.sleep),
        **options,
    )


async def ask(client: Client, member: str = "runs") -> Answer | ApiError:
    try:
        return await client.get(ENDPOINT, PATH, {"cursor": CURSOR}, member=member)
    except ApiError as error:
        return error


def story_of(*script: Reply, member: str = "runs", root: str = "", **options: Any) -> Story:
    """One `get` of what plays `script`: a server where the script needs a wire."""

    async def story() -> Story:
        time, requests = ToldTime(), list[Asked]()
        if not root and all(isinstance(reply, Whole) for reply in script):
            base = plays(deque(script), requests)
            async with client_of("http://api.invalid", time, base=base, **options) as client:
                outcome = await ask(client, member)
            return Story(outcome, requests, time.slept, client)
        async with Server(deque(script)) as server:
            async with client_of(root or server.root, time, **options) as client:
                outcome = await ask(client, member)
            return Story(outcome, server.asked, time.slept, client)

    return asyncio.run(story())


def assert_tells_no_secret(error: ApiError) -> None:
    """One line that names the endpoint; neither it nor what hangs on it shows key or query."""
    assert ENDPOINT in str(error)
    assert "\n" not in str(error)
    chain: BaseException | None = error
    while chain is not None:
        told = "".join([str(chain), repr(chain), *traceback.format_exception(chain)])
        assert KEY not in told
        assert CURSOR not in told
        chain = chain.__cause__ or chain.__context__


# --- what is asked for ----------------------------------------------------------------------


def test_a_request_carries_path_query_and_key() -> None:
    story = story_of(answer(body=b'{"runs": [1], "meta": {}}'))
    assert story.outcome == Answer({"runs": [1], "meta": {}})
    (asked,) = story.asked
    assert asked.target == f"/{PATH}?cursor={CURSOR}"
    assert asked.headers["x-api-key"] == KEY
    assert asked.headers["accept"] == "application/json"
    assert "authorization" not in asked.headers


def test_a_token_goes_behind_its_prefix() -> None:
    story = story_of(answer(), header=("authorization", "Bearer ", SecretStr(KEY)))
    assert story.asked[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_root_with_a_path_keeps_it() -> None:
    async def story() -> str:
        async with Server(deque([answer()])) as server:
            async with client_of(f"{server.root}/api/v1") as client:
                await ask(client)
            return server.asked[0].target

    assert asyncio.run(story()) == f"/api/v1/{PATH}?cursor={CURSOR}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_stays_at_home(status: int) -> None:
    async def story() -> tuple[Answer | ApiError, list[Asked], list[Asked]]:
        async with Server(deque([answer()])) as elsewhere:
            redirect = answer(status, Location=f"{elsewhere.root}/{PATH}")
            async with Server(deque([redirect])) as server, client_of(server.root) as client:
                return await ask(client), server.asked, elsewhere.asked

    outcome, asked, asked_elsewhere = asyncio.run(story())
    assert type(outcome) is PermanentError
    assert f"HTTP {status}, a redirect" in str(outcome)
    assert "POSTMAN_API_URL" in str(outcome)
    assert_tells_no_secret(outcome)
    assert len(asked) == 1
    assert asked_elsewhere == []


# --- through a proxy ------------------------------------------------------------------------


def asked_through_proxy(
    monkeypatch: pytest.MonkeyPatch, root: str, **environment: str
) -> list[Asked]:
    """What a proxy named by HTTP_PROXY is asked; nothing else listens."""

    async def story() -> list[Asked]:
        async with Server(deque([answer()])) as proxy:
            for name, value in {"HTTP_PROXY": proxy.root, "NO_PROXY": "", **environment}.items():
                monkeypatch.setenv(name.lower(), value)
            async with client_of(root) as client:
                await ask(client)
            return proxy.asked

    return asyncio.run(story())


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    (asked,) = asked_through_proxy(monkeypatch, "http://api.invalid")
    assert asked.target == f"http://api.invalid/{PATH}?cursor={CURSOR}"


def test_a_proxy_may_be_named_without_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> int:
        async with Server(deque([answer()])) as proxy:
            monkeypatch.setenv("http_proxy", proxy.root.removeprefix("http://"))
            async with client_of("http://api.invalid") as client:
                await ask(client)
            return len(proxy.asked)

    assert asyncio.run(story()) == 1


def test_a_proxy_that_is_no_url_is_named_and_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{KEY}@proxy:no-port")
    monkeypatch.setenv("NO_PROXY", "")
    with pytest.raises(SettingsError, match=r"^HTTP_PROXY: ") as refused:
        client_of("http://api.invalid")
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("root", "no_proxy"),
    [
        ("http://127.0.0.1:{port}", ""),
        ("http://localhost:{port}", ""),
        ("http://[::1]:{port}", ""),
        ("http://127.0.0.2:{port}", "127.0.0.2"),
    ],
)
def test_a_proxy_is_not_asked_for_what_is_near(
    monkeypatch: pytest.MonkeyPatch, root: str, no_proxy: str
) -> None:
    root = root.format(port=free_port())
    assert asked_through_proxy(monkeypatch, root, NO_PROXY=no_proxy) == []


def no_answer_through(monkeypatch: pytest.MonkeyPatch, root: str, proxy: str) -> str:
    """What is said of a root behind this proxy."""

    async def story() -> str:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.setenv("no_proxy", "")
        async with client_of(root, retry=NO_RETRY) as client:
            return str(await ask(client))

    return asyncio.run(story())


@pytest.mark.parametrize("root", ["http://api.invalid", "https://api.invalid"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "http://proxy.invalid:3128"])
def test_a_proxy_that_is_not_there_is_told_apart_from_the_api(
    monkeypatch: pytest.MonkeyPatch, root: str, proxy: str
) -> None:
    assert "(the proxy of the environment cannot be reached)" in no_answer_through(
        monkeypatch, root, proxy
    )


def test_a_proxy_that_does_not_let_us_through_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> tuple[Answer | ApiError, list[Asked]]:
        async with Server(deque([answer(407)])) as proxy:
            monkeypatch.setenv("https_proxy", proxy.root)
            monkeypatch.setenv("no_proxy", "")
            async with client_of("https://api.invalid", retry=NO_RETRY) as client:
                return await ask(client), proxy.asked

    outcome, (asked,) = asyncio.run(story())
    assert "the proxy of the environment does not connect us" in str(outcome)
    assert asked.target == "api.invalid:443"
    assert KEY not in str(asked.headers)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_given_its_user_and_password(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    async def story() -> list[Asked]:
        async with Server(deque([answer(403)])) as proxy:
            host = proxy.root.removeprefix("http://")
            monkeypatch.setenv("all_proxy", f"http://us%40er:p%3Ass@{host}")
            monkeypatch.setenv("no_proxy", "")
            async with client_of(f"{scheme}://api.invalid", retry=NO_RETRY) as client:
                await ask(client)
            return proxy.asked

    (asked,) = asyncio.run(story())
    assert asked.headers["proxy-authorization"] == "Basic dXNAZXI6cDpzcw=="


# --- what is tried again --------------------------------------------------------------------

TRANSIENT: dict[str, tuple[Reply, str]] = {
    **{
        f"status {status}": (answer(status), f"HTTP {status}")
        for status in (408, 425, 429, 500, 501, 502, 503, 504, 507, 520, 524, 599)
    },
    "HTML with 200": (answer(body=b"<html>Be back soon</html>"), "not JSON"),
    "an empty body": (answer(body=b""), "not JSON"),
    "half of the JSON": (answer(body=b'{"runs": [{"id"'), "not JSON"),
    "a page that is no UTF-8": (answer(body=b"<html>\xe4</html>"), "not JSON"),
    "an object without the member": (answer(body=b'{"error": "x"}'), "holds no runs"),
    "a list": (answer(body=b"[]"), "holds no runs"),
    "null": (answer(body=b"null"), "holds no runs"),
    "a body cut short": (
        sends_and_closes(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"runs": []}'),
        "cut short",
    ),
    "chunks cut short": (
        sends_and_closes(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{"runs": []}'),
        "cut short",
    ),
    "a connection that is reset": (resets, "closed"),
    "a connection that is closed": (sends_and_closes(b""), "closed"),
    "a head cut short": (sends_and_closes(b"HTTP/1.1 200 OK\r\nConte"), "closed"),
    "no HTTP at all": (sends_and_closes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "not HTTP"),
    "gzip that is none": (answer(body=b"abcd", Content_Encoding="gzip"), "decompressed"),
    "gzip cut short": (
        answer(body=gzip.compress(b'{"runs": []}', mtime=0)[:-12], Content_Encoding="gzip"),
        "not JSON",
    ),
}


@pytest.mark.parametrize("trouble", TRANSIENT)
def test_what_may_pass_is_tried_again_and_then_forgotten(trouble: str) -> None:
    reply, _ = TRANSIENT[trouble]
    story = story_of(reply, reply, answer(body=b'{"runs": [7]}'))
    assert story.body == {"runs": [7]}
    assert len(story.asked) == 3


@pytest.mark.parametrize("trouble", TRANSIENT)
def test_what_does_not_pass_is_tried_five_times_with_growing_waits(trouble: str) -> None:
    reply, cause = TRANSIENT[trouble]
    story = story_of(reply)
    # Whatever the first requests met, a server was there: other scopes may fare better.
    assert type(story.error) is TransientError
    assert cause in str(story.error)
    assert "tried 5 times, a later load may succeed" in str(story.error)
    assert_tells_no_secret(story.error)
    assert len(story.asked) == 5
    for waited, longest in zip(story.backoffs, [0.5, 1, 2, 4], strict=True):
        assert longest / 2 <= waited <= longest


def test_bytes_that_are_no_utf8_each_time_cost_no_page() -> None:
    reply = answer(body=b'{"runs": ["a\xffb"]}')
    story = story_of(reply)
    assert story.outcome == Answer({"runs": ["a\ufffdb"]}, is_damaged=True)
    assert len(story.asked) == 5
    assert story_of(reply, answer(body=b'{"runs": ["ab"]}')).outcome == Answer({"runs": ["ab"]})


def test_waits_differ_so_that_requests_that_failed_together_do_not_return_together() -> None:
    assert len({story_of(answer(500), answer()).backoffs[0] for _ in range(5)}) > 1


def test_a_server_that_never_answers_is_given_up() -> None:
    story = story_of(never_answers, bounds=Bounds(read_seconds=0.02))
    assert type(story.error) is TransientError
    assert "timed out" in str(story.error)
    assert_tells_no_secret(story.error)
    assert len(story.asked) == 5


def test_an_answer_that_drips_is_given_up_though_each_byte_is_in_time() -> None:
    story = story_of(drips, bounds=Bounds(total_seconds=0.5))
    assert type(story.error) is TransientError
    assert "timed out; tried once, a later load may succeed" in str(story.error)
    assert_tells_no_secret(story.error)
    # One request has a life, and not one after the other.
    assert len(story.asked) == 1


# --- what is not tried again ----------------------------------------------------------------

PERMANENT: dict[int, tuple[type[ApiError], str]] = {
    204: (PermanentError, "HTTP 204"),
    206: (PermanentError, "HTTP 206"),
    400: (BadRequestError, PATH),
    401: (UnauthorizedError, "see POSTMAN_API_KEY"),
    403: (PermanentError, f"the key of POSTMAN_API_KEY may not read {PATH}"),
    404: (NotFoundError, f"knows no {PATH}"),
    405: (NotAllowedError, "HTTP 405, the API does not have"),
    410: (PermanentError, "HTTP 410"),
    422: (BadRequestError, PATH),
    451: (PermanentError, "HTTP 451"),
}


@pytest.mark.parametrize("status", PERMANENT)
def test_what_no_repetition_can_help_is_asked_once(status: int) -> None:
    kind, words = PERMANENT[status]
    story = story_of(answer(status, body=b"" if status == 204 else b'{"runs": []}'))
    assert type(story.error) is kind
    assert f"HTTP {status}" in str(story.error)
    assert words in str(story.error)
    assert_tells_no_secret(story.error)
    assert len(story.asked) == 1
    assert story.backoffs == []


# --- nobody there ---------------------------------------------------------------------------


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def test_where_nothing_listens_the_url_and_its_setting_are_named() -> None:
    root = f"http://127.0.0.1:{free_port()}"
    story = story_of(answer(), root=root)
    assert type(story.error) is UnreachableError
    assert f"no server at {root} (the connection is refused)" in str(story.error)
    assert "POSTMAN_API_URL" in str(story.error)
    assert_tells_no_secret(story.error)
    assert len(story.backoffs) == 4


def test_a_server_without_tls_is_told_apart_from_none() -> None:
    async def speaks_plainly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sends_and_closes(b"HTTP/1.1 400 Bad Request\r\n\r\n")(writer)

    async def story() -> Answer | ApiError:
        async with await asyncio.start_server(speaks_plainly, "127.0.0.1", 0) as server:
            root = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with client_of(root) as client:
                return await ask(client)

    error = asyncio.run(story())
    assert type(error) is UnreachableError
    assert "TLS" in str(error)


# A certificate that nobody has signed, for 127.0.0.1, and its key; both were made for this test.
SELF_SIGNED = (
    "MIIBkTCCATagAwIBAgIUZ0ePNII/IEuA7Y+YbA/9/ri1E30wCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxo"
    "b3N0MCAXDTI2MTEyMjE2NDQ0NFoYDzIxMjYxMDI5MTY0NDQ0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcq"
    "hkjOPQIBBggqhkjOPQMBBwNCAASVxUiTZGUN7fnW8JBoqR+QZzf7aQiY83ABVU/IlOTMKFdSVaFEpSQrkokOIlKb"
    "YWHqunzgTDfKtYPcXF3jTKrgo2QwYjAdBgNVHQ4EFgQULagoZSAhYfG7SX3Ts3HFq8wMtEYwHwYDVR0jBBgwFoAU"
    "LagoZSAhYfG7SX3Ts3HFq8wMtEYwDwYDVR0TAQH/BAUwAwEB/zAPBgNVHREECDAGhwR/AAABMAoGCCqGSM49BAMC"
    "A0kAMEYCIQCmqjCYFlCM5WE3RDh1u64XjiPoF0I/HCBU+yCVhui+wwIhAL68WVJ20WddhdhlsQ/DM3tYBd5+Y0m1"
    "vpk9plQn6QIj"
)
ITS_KEY = (
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgXwXK/Hhi2lQMNQIdEDxGcwOKcdQXvisETEHgAVGI"
    "g+qhRANCAASVxUiTZGUN7fnW8JBoqR+QZzf7aQiY83ABVU/IlOTMKFdSVaFEpSQrkokOIlKbYWHqunzgTDfKtYPc"
    "XF3jTKrg"
)


@pytest.fixture
def server_pem(tmp_path: Path) -> Path:
    pem = tmp_path / "server.pem"
    pem.write_text(
        "".join(
            f"-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n"
            for kind, text in (("PRIVATE KEY", ITS_KEY), ("CERTIFICATE", SELF_SIGNED))
        )
    )
    return pem


def tls_of(pem: Path) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    return tls


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_a_certificate_that_is_not_trusted_never_sees_the_key(
    scheme: str, server_pem: Path
) -> None:
    async def story() -> tuple[Answer | ApiError, list[Asked]]:
        async with (
            Server(deque([answer()]), tls_of(server_pem)) as server,
            client_of(server.root.replace("http", scheme)) as client,
        ):
            return await ask(client), server.asked

    outcome, asked = asyncio.run(story())
    assert type(outcome) is UnreachableError
    assert "its certificate is not trusted" in str(outcome)
    assert asked == []


def test_a_name_that_is_not_known_is_told_apart() -> None:
    error = story_of(answer(), root="http://api.invalid", retry=NO_RETRY).error
    assert type(error) is UnreachableError
    assert "(its name is not known)" in str(error)
    assert_tells_no_secret(error)


def test_an_authority_of_our_own_is_trusted_where_ssl_cert_file_names_it(
    monkeypatch: pytest.MonkeyPatch, server_pem: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(server_pem))

    async def story() -> Answer | ApiError:
        async with (
            Server(deque([answer()]), tls_of(server_pem)) as server,
            client_of(server.root.replace("http", "https")) as client,
        ):
            return await ask(client)

    assert asyncio.run(story()) == Answer({"runs": []})


def test_a_server_that_goes_away_later_is_a_passing_trouble() -> None:
    async def story() -> Answer | ApiError:
        async with Server(deque([answer()])) as server:
            client = client_of(server.root)
            async with client:
                await ask(client)
        async with client:
            return await ask(client)

    error = asyncio.run(story())
    assert type(error) is TransientError
    assert "the connection is refused" in str(error)
    assert_tells_no_secret(error)


# --- the quota ------------------------------------------------------------------------------


def test_a_refusal_is_waited_out_as_told_and_counted_as_waiting() -> None:
    story = story_of(answer(429, Retry_After="20"), answer(429, RetryAfter="30"), answer())
    assert story.body == {"runs": []}
    assert story.client.rate_limiter.refusals == 2
    # A second more than announced, each time, since some servers round down.
    waited = story.client.traffic.waited_seconds + sum(story.backoffs)
    assert waited == pytest.approx(21 + 31, abs=0.01)


def test_a_wait_that_is_too_long_is_not_waited_for() -> None:
    story = story_of(answer(429, Retry_After="301"))
    assert type(story.error) is QuotaSpentError
    assert str(story.error).startswith(f"postman {ENDPOINT}: ")
    assert "resumes 20" in str(story.error)
    assert len(story.asked) == 1


def test_what_an_answer_announces_reaches_the_pacer() -> None:
    story = story_of(answer(RateLimit_Limit="300", RateLimit_Remaining="12"))
    assert story.client.rate_limiter.quota.as_json() == {"limit": 300, "remaining": 12}


def test_never_more_than_sixteen_requests_are_under_way() -> None:
    under_way = most = 0
    full = asyncio.Event()

    async def holds(writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == MOST_IN_FLIGHT:
            for _ in range(100):  # were there more to come, they would come now
                await asyncio.sleep(0)
            full.set()
        await full.wait()
        under_way -= 1
        await answer()(writer)

    async def story() -> int:
        async with Server(deque([answer(), holds])) as server, client_of(server.root) as client:
            await ask(client)

            async def steps() -> AsyncIterator[
                Answer | ApiError | Coroutine[Any, Any, Answer | ApiError]
            ]:
                for _ in range(50):
                    yield ask(client)

            return len([one async for one in map_ordered(steps(), MOST_IN_FLIGHT)])

    assert asyncio.run(story()) == 50
    assert most == MOST_IN_FLIGHT


def test_a_request_that_is_given_up_closes_its_connection() -> None:
    async def story() -> None:
        closed = asyncio.Event()
        begun = asyncio.Event()

        async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{")
            begun.set()
            await reader.read()
            closed.set()
            writer.close()

        async with await asyncio.start_server(stalls, "127.0.0.1", 0) as server:
            root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with client_of(root) as client:
                asking = asyncio.create_task(ask(client))
                await begun.wait()
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
                await asyncio.wait_for(closed.wait(), 30)

    asyncio.run(story())


# --- counting -------------------------------------------------------------------------------


def test_requests_are_counted_by_endpoint_retries_included_and_bodies_by_their_bytes() -> None:
    plain = b'{"runs": [], "note": "' + b"x" * 1000 + b'"}'

    async def story() -> Client:
        zipped = answer(body=gzip.compress(plain), Content_Encoding="gzip")
        script = deque([answer(500, b"oops"), zipped, answer(body=b'{"run": 1}')])
        async with Server(script) as server, client_of(server.root) as client:
            await client.get(ENDPOINT, PATH, {}, member="runs")
            await client.get("GET runs/{id}", "runs/1", {}, member="run")
            return client

    client = asyncio.run(story())
    assert client.traffic.requests == {ENDPOINT: 2, "GET runs/{id}": 1}
    assert client.traffic.bytes_received == len(b"oops") + len(plain) + len(b'{"run": 1}')
    client.count_anew()
    assert client.traffic.requests == {}
    assert client.traffic.bytes_received == client.traffic.waited_seconds == 0


def test_a_connection_is_used_again_and_no_cookie_is_kept() -> None:
    async def story() -> list[Asked]:
        async with Server(deque([answer(Set_Cookie="a=b; Path=/")])) as server:
            async with client_of(server.root) as client:
                await ask(client)
                await ask(client)
            assert server.connections == 1
            return server.asked

    assert ["cookie" in asked.headers for asked in asyncio.run(story())] == [False, False]


# --- bodies ---------------------------------------------------------------------------------


def test_numbers_too_big_for_a_column_arrive_as_they_were_sent() -> None:
    body = b'{"runs": [9007199254740993, 9223372036854775808, 123456789012345678901234567890]}'
    assert story_of(answer(body=body)).body == {
        "runs": [9007199254740993, 9223372036854775808, 123456789012345678901234567890]
    }


@pytest.mark.parametrize(
    ("sent", "decoded"),
    [
        (b'\xef\xbb\xbf{"runs": 1}', {"runs": 1}),
        (rb'{"runs": "\ud800"}', {"runs": "\ud800"}),
        (rb'{"runs": "\ud83d\ude00\u0000"}', {"runs": "\U0001f600\0"}),
        (b'{"runs": [NaN, Infinity, -Infinity]}', {"runs": ["NaN", "Infinity", "-Infinity"]}),
        (b'{"runs": [1e999, -1e999, 1.5]}', {"runs": ["1e999", "-1e999", 1.5]}),
        (b'{"runs": 1, "runs": 2}', {"runs": 2}),
    ],
)
def test_what_a_strict_decoder_refuses_is_read_all_the_same(sent: bytes, decoded: object) -> None:
    assert story_of(answer(body=sent)).body == decoded


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"runs": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "nested too deeply"),
        (b'{"runs": ' + b"9" * 5000 + b"}", "a number too long"),
    ],
)
def test_json_that_nothing_here_can_hold_is_kept_as_it_was_sent(body: bytes, reason: str) -> None:
    story = story_of(answer(body=body))
    error = story.error
    assert isinstance(error, UnparsableError)
    assert error.body == body
    assert reason in str(error)
    assert_tells_no_secret(error)
    assert len(story.asked) == 1


def test_a_body_beyond_its_bound_is_dropped_with_a_line_that_names_the_setting() -> None:
    story = story_of(answer(body=b'{"runs": "' + b"x" * 2**21 + b'"}'), bounds=SMALL)
    assert type(story.error) is PermanentError
    assert "the body is larger than 1 MB; see TESTRUNS_MAX_BODY_MB" in str(story.error)
    assert_tells_no_secret(story.error)
    assert len(story.asked) == 1


def test_a_body_of_just_its_bound_is_read() -> None:
    filling = 2**20 - len('{"runs": ""}')
    body = b'{"runs": "' + b"x" * filling + b'"}'
    assert story_of(answer(body=body), bounds=SMALL).body == {"runs": "x" * filling}


@pytest.mark.parametrize(
    ("large", "requests"),
    [
        (b'{"runs": [' + b"0," * 2000 + b"0]}", 2),
        # Of so many bytes no more than a piece is kept: it is asked for again.
        (b'{"runs": ["' + b"x" * 2**19 + b'"]}', 3),
    ],
)
def test_a_large_answer_waits_until_all_before_it_are_dealt_with(
    large: bytes, requests: int
) -> None:
    events: list[str] = []
    first_asked, large_sent = asyncio.Event(), asyncio.Event()

    async def first(writer: asyncio.StreamWriter) -> None:
        first_asked.set()
        await large_sent.wait()
        await answer()(writer)

    async def second(writer: asyncio.StreamWriter) -> None:
        events.append("sent")
        await answer(body=large)(writer)
        large_sent.set()

    async def one(client: Client, name: str) -> str:
        assert isinstance(await ask(client), Answer)
        events.append(name)
        return name

    async def steps(client: Client) -> AsyncIterator[str | Coroutine[Any, Any, str]]:
        yield one(client, "first")
        await first_asked.wait()
        yield one(client, "large")

    async def story() -> list[str]:
        script: deque[Reply] = deque([answer(), first, second])
        async with Server(script) as server, client_of(server.root, bounds=SMALL) as client:
            await ask(client)
            return [name async for name in map_ordered(steps(client), 16)]

    assert asyncio.run(story()) == ["first", "large"]
    assert events == ["sent", "first", *["sent"] * (requests - 2), "large"]


def test_a_body_of_more_values_than_fit_is_refused_with_the_setting() -> None:
    story = story_of(answer(body=b'{"runs": [' + b"{}," * 30_000 + b"{}]}"), bounds=SMALL)
    assert type(story.error) is PermanentError
    assert "more values than fit 1 MB; see TESTRUNS_MAX_BODY_MB" in str(story.error)
    assert len(story.asked) == 1


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)]
)
def test_of_a_bomb_no_more_is_inflated_than_one_piece_of_it(
    encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    bomb = compress(b"\0" * 2**27)
    wire = sends_and_closes(
        f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\n\r\n".encode() + bomb
    )
    tracemalloc.start()
    try:
        story = story_of(wire, bounds=SMALL)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "larger than 1 MB" in str(story.error)
    # Of what arrives, 16 KiB are inflated at a time, a thousandfold at most.
    assert most < 2**26


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text() | st.text(st.characters(categories=["Cs", "Lu"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10,
)  # fmt: skip


@given(JSON, st.booleans())
def test_any_json_is_decoded_to_what_was_encoded(value: Any, has_mark: bool) -> None:  # noqa: FBT001
    body = (b"\xef\xbb\xbf" if has_mark else b"") + json.dumps(value).encode()
    assert decode(body) == json.loads(json.dumps(value))


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_decoded_or_refused_as_documented(body: bytes) -> None:
    with contextlib.suppress(json.JSONDecodeError, UnicodeDecodeError):
        decode(body)


# --- our own key ----------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, 'with"quote', r"with\backslash"])
def test_a_key_that_an_api_sends_back_is_masked_in_plain_and_in_json(key: str) -> None:
    client = client_of("http://127.0.0.1", header=("x-api-key", "", SecretStr(key)))
    masked = client.masked(json.dumps({"echo": f"x{key}y"}) + f" {key}")
    assert masked == '{"echo": "xREDACTEDy"} REDACTED'


def test_neither_client_nor_answer_shows_the_key() -> None:
    client = client_of("http://127.0.0.1")
    assert KEY not in repr(client) + repr(vars(client))
