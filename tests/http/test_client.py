"""The client against a server on loopback that does as it is told, misbehaviour included."""

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
import traceback
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pipelines.errors import (
    ApiError,
    BadRequestError,
    NotFoundError,
    PermanentError,
    QuotaSpentError,
    SettingsError,
    TransientError,
    UnauthorizedError,
    UnparsableError,
    UnreachableError,
)
from pipelines.http.client import Answer, Client, decode
from pipelines.http.rate_limiter import RateLimiter
from pipelines.http.transport import MOST_IN_FLIGHT
from pipelines.ingest.concurrency import map_ordered

KEY = "PMAK-not-to-be-told"
CURSOR = "opaque-cursor"
ENDPOINT = "GET collections/{id}/runs"
PATH = "collections/c/runs"

Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(status: int = 200, body: bytes = b'{"runs": []}', **headers: str) -> Reply:
    """A whole answer; `Retry_After="1"` is the header Retry-After."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        head = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}"]
        head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()

    return reply


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

    script: deque[Reply]
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
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
    backoffs: list[float]
    client: Client

    @property
    def error(self) -> ApiError:
        assert isinstance(self.outcome, ApiError), self.outcome
        return self.outcome

    @property
    def body(self) -> Any:
        assert isinstance(self.outcome, Answer), self.outcome
        return self.outcome.body


def client_of(root: str, backoffs: ToldTime | None = None, **options: Any) -> Client:
    time = ToldTime()
    return Client(
        "postman",
        root,
        options.pop("header", ("x-api-key", "", SecretStr(KEY))),
        key_setting="POSTMAN_API_KEY",
        url_setting="POSTMAN_API_URL",
        rate_limiter=RateLimiter(1000, clock=time, sleep=time.sleep),
        sleep=(backoffs or ToldTime()).sleep,
        **options,
    )


async def ask(client: Client, member: str = "runs") -> Answer | ApiError:
    try:
        return await client.get(ENDPOINT, PATH, {"cursor": CURSOR}, member=member)
    except ApiError as error:
        return error


def story_of(*script: Reply, member: str = "runs", root: str = "", **options: Any) -> Story:
    """One `get` of a server that plays `script`."""

    async def story() -> Story:
        backoffs = ToldTime()
        async with Server(deque(script)) as server:
            async with client_of(root or server.root, backoffs, **options) as client:
                outcome = await ask(client, member)
            return Story(outcome, server.asked, backoffs.slept, client)

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
    assert story.outcome == Answer({"runs": [1], "meta": {}}, 25)
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


# --- what is tried again --------------------------------------------------------------------

TRANSIENT: dict[str, tuple[Reply, str]] = {
    **{
        f"status {status}": (answer(status), f"HTTP {status}")
        for status in (408, 425, 429, 500, 501, 502, 503, 504, 507, 520, 524, 599)
    },
    "HTML with 200": (answer(body=b"<html>Be back soon</html>"), "not JSON"),
    "an empty body": (answer(body=b""), "not JSON"),
    "half of the JSON": (answer(body=b'{"runs": [{"id"'), "not JSON"),
    "bytes that are no UTF-8": (answer(body=b'{"runs": "\xff"}'), "not JSON"),
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


def test_waits_differ_so_that_requests_that_failed_together_do_not_return_together() -> None:
    assert len({story_of(answer(500), answer()).backoffs[0] for _ in range(5)}) > 1


def test_a_server_that_never_answers_is_given_up() -> None:
    story = story_of(never_answers, timeout=aiohttp.ClientTimeout(sock_read=0.02))
    assert type(story.error) is TransientError
    assert "timed out" in str(story.error)
    assert_tells_no_secret(story.error)
    assert len(story.asked) == 5


def test_an_answer_that_drips_is_given_up_though_each_byte_is_in_time() -> None:
    story = story_of(drips, timeout=aiohttp.ClientTimeout(total=0.05))
    assert type(story.error) is TransientError
    assert "timed out" in str(story.error)
    assert_tells_no_secret(story.error)
    assert len(story.asked) == 5


# --- what is not tried again ----------------------------------------------------------------

PERMANENT: dict[int, tuple[type[ApiError], str]] = {
    204: (PermanentError, "HTTP 204"),
    206: (PermanentError, "HTTP 206"),
    400: (BadRequestError, PATH),
    401: (UnauthorizedError, "see POSTMAN_API_KEY"),
    403: (PermanentError, f"the key of POSTMAN_API_KEY may not read {PATH}"),
    404: (NotFoundError, f"knows no {PATH}"),
    405: (PermanentError, "HTTP 405"),
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


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_a_certificate_that_is_not_trusted_never_sees_the_key(scheme: str, tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_text(
        "".join(
            f"-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n"
            for kind, text in (("PRIVATE KEY", ITS_KEY), ("CERTIFICATE", SELF_SIGNED))
        )
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)

    async def story() -> tuple[Answer | ApiError, list[Asked]]:
        async with (
            Server(deque([answer()]), tls) as server,
            client_of(server.root.replace("http", scheme)) as client,
        ):
            return await ask(client), server.asked

    outcome, asked = asyncio.run(story())
    assert type(outcome) is UnreachableError
    assert "its certificate is not trusted" in str(outcome)
    assert asked == []


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
    # A second more than told, each time, since some servers round down.
    assert story.client.traffic.waited_seconds == pytest.approx(21 + 31)


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


# --- counting -------------------------------------------------------------------------------


def test_requests_are_counted_by_endpoint_retries_included_and_bodies_by_their_bytes() -> None:
    plain = b'{"runs": [], "note": "' + b"x" * 1000 + b'"}'

    async def story() -> Client:
        zipped = answer(body=gzip.compress(plain), Content_Encoding="gzip")
        script = deque([answer(500, b"oops"), zipped, answer(body=b'{"run": 1}')])
        async with Server(script) as server, client_of(server.root) as client:
            assert (await client.get(ENDPOINT, PATH, {}, member="runs")).length == len(plain)
            await client.get("GET runs/{id}", "runs/1", {}, member="run")
            return client

    client = asyncio.run(story())
    assert client.traffic.requests == {ENDPOINT: 2, "GET runs/{id}": 1}
    assert client.traffic.bytes_received == len(b"oops") + len(plain) + len(b'{"run": 1}')
    client.count_anew()
    assert client.traffic.requests == {}
    assert client.traffic.bytes_received == client.traffic.waited_seconds == 0


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
