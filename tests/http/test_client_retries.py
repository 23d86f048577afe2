"""Which failures a client tries again, which not, and how many requests it sends at a time."""

import asyncio
import gzip
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from pipelines.errors import (
    ApiError,
    BadRequestError,
    NotAllowedError,
    NotFoundError,
    PermanentError,
    QuotaSpentError,
    TransientError,
    UnauthorizedError,
)
from pipelines.http.client import Answer
from pipelines.http.transport import MOST_IN_FLIGHT, Bounds
from pipelines.ingest.concurrency import map_ordered
from tests.support.scripted_api import (
    ENDPOINT,
    PATH,
    Reply,
    Server,
    answer,
    assert_tells_no_secret,
    client_of,
    drips,
    exchange_with,
    never_answers,
    resets,
    send_request,
    sends_and_closes,
)

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
    "an error and an empty member": (
        answer(body=b'{"error": {"name": "x"}, "runs": []}'),
        "reports an error and no runs",
    ),
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
    exchange = exchange_with(reply, reply, answer(body=b'{"runs": [7]}'))
    assert exchange.body == {"runs": [7]}
    assert len(exchange.requests) == 3


@pytest.mark.parametrize("trouble", TRANSIENT)
def test_what_does_not_pass_is_tried_five_times_with_growing_waits(trouble: str) -> None:
    reply, cause = TRANSIENT[trouble]
    exchange = exchange_with(reply)
    # Whatever the first requests met, a server was there: other scopes may fare better.
    assert type(exchange.error) is TransientError
    assert cause in str(exchange.error)
    assert "tried 5 times, a later load may succeed" in str(exchange.error)
    assert_tells_no_secret(exchange.error)
    assert len(exchange.requests) == 5
    for waited, longest in zip(exchange.backoffs, [0.5, 1, 2, 4], strict=True):
        assert longest / 2 <= waited <= longest


def test_bytes_that_are_no_utf8_each_time_cost_no_page() -> None:
    reply = answer(body=b'{"runs": ["a\xffb"]}')
    exchange = exchange_with(reply)
    assert exchange.outcome == Answer({"runs": ["a\ufffdb"]}, is_damaged=True)
    assert len(exchange.requests) == 5
    assert exchange_with(reply, answer(body=b'{"runs": ["ab"]}')).outcome == Answer(
        {"runs": ["ab"]}
    )


def test_waits_differ_so_that_requests_that_failed_together_do_not_return_together() -> None:
    assert len({exchange_with(answer(500), answer()).backoffs[0] for _ in range(5)}) > 1


def test_a_server_that_never_answers_is_given_up() -> None:
    exchange = exchange_with(never_answers, bounds=Bounds(read_seconds=0.02))
    assert type(exchange.error) is TransientError
    assert "timed out" in str(exchange.error)
    assert_tells_no_secret(exchange.error)
    assert len(exchange.requests) == 5


def test_an_answer_that_drips_is_given_up_though_each_byte_is_in_time() -> None:
    exchange = exchange_with(drips, bounds=Bounds(total_seconds=0.5))
    assert type(exchange.error) is TransientError
    assert "timed out; tried once, a later load may succeed" in str(exchange.error)
    assert_tells_no_secret(exchange.error)
    # One request has a life, and not one after the other.
    assert len(exchange.requests) == 1


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
def test_what_no_repetition_can_help_is_requested_once(status: int) -> None:
    kind, words = PERMANENT[status]
    exchange = exchange_with(answer(status, body=b"" if status == 204 else b'{"runs": []}'))
    assert type(exchange.error) is kind
    assert f"HTTP {status}" in str(exchange.error)
    assert words in str(exchange.error)
    assert_tells_no_secret(exchange.error)
    assert len(exchange.requests) == 1
    assert exchange.backoffs == []


def test_a_refusal_is_waited_out_as_announced_and_counted_as_waiting() -> None:
    exchange = exchange_with(answer(429, Retry_After="20"), answer(429, RetryAfter="30"), answer())
    assert exchange.body == {"runs": []}
    assert exchange.client.rate_limiter.refusals == 2
    # A second more than announced, each time, since some servers round down.
    waited = exchange.client.traffic.waited_seconds + sum(exchange.backoffs)
    assert waited == pytest.approx(21 + 31, abs=0.01)


def test_a_wait_that_is_too_long_is_not_waited_for() -> None:
    exchange = exchange_with(answer(429, Retry_After="301"))
    assert type(exchange.error) is QuotaSpentError
    assert str(exchange.error).startswith(f"postman {ENDPOINT}: ")
    assert "resumes 20" in str(exchange.error)
    assert len(exchange.requests) == 1


def test_what_an_answer_announces_reaches_the_pacer() -> None:
    exchange = exchange_with(answer(RateLimit_Limit="300", RateLimit_Remaining="12"))
    assert exchange.client.rate_limiter.quota.as_json() == {"limit": 300, "remaining": 12}


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

    async def exchange() -> int:
        async with Server(deque([answer(), holds])) as server, client_of(server.root) as client:
            await send_request(client)

            async def steps() -> AsyncIterator[
                Answer | ApiError | Coroutine[Any, Any, Answer | ApiError]
            ]:
                for _ in range(50):
                    yield send_request(client)

            return len([one async for one in map_ordered(steps(), MOST_IN_FLIGHT)])

    assert asyncio.run(exchange()) == 50
    assert most == MOST_IN_FLIGHT


def test_a_request_that_is_given_up_closes_its_connection() -> None:
    async def exchange() -> None:
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
                asking = asyncio.create_task(send_request(client))
                await begun.wait()
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
                await asyncio.wait_for(closed.wait(), 30)

    asyncio.run(exchange())
