"""Bodies: any JSON is decoded, none is too large, and what is no JSON is kept as it was sent."""

import asyncio
import contextlib
import gzip
import json
import tracemalloc
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import PermanentError, UnparsableError
from pipelines.http.client import Answer, Client
from pipelines.http.json_decode import decode
from pipelines.http.transport import Bounds
from pipelines.ingest.concurrency import map_ordered
from tests.support.scripted_api import (
    Reply,
    Server,
    answer,
    assert_tells_no_secret,
    client_of,
    exchange_with,
    send_request,
    sends_and_closes,
)

SMALL = Bounds(body_bytes=2**20)


def test_numbers_too_big_for_a_column_arrive_as_they_were_sent() -> None:
    body = b'{"runs": [9007199254740993, 9223372036854775808, 123456789012345678901234567890]}'
    assert exchange_with(answer(body=body)).body == {
        "runs": [9007199254740993, 9223372036854775808, 123456789012345678901234567890]
    }


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        (b'\xef\xbb\xbf{"runs": 1}', {"runs": 1}),
        (rb'{"runs": "\ud800"}', {"runs": "\ud800"}),
        (rb'{"runs": "\ud83d\ude00\u0000"}', {"runs": "\U0001f600\0"}),
        (b'{"runs": [NaN, Infinity, -Infinity]}', {"runs": ["NaN", "Infinity", "-Infinity"]}),
        (b'{"runs": [1e999, -1e999, 1.5]}', {"runs": ["1e999", "-1e999", 1.5]}),
        (b'{"runs": 1, "runs": 2}', {"runs": 2}),
    ],
)
def test_what_a_strict_decoder_refuses_is_read_all_the_same(raw: bytes, decoded: object) -> None:
    assert exchange_with(answer(body=raw)).body == decoded


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"runs": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", "nested too deeply"),
        (b'{"runs": ' + b"9" * 5000 + b"}", "a number too long"),
    ],
)
def test_json_that_nothing_here_can_hold_is_kept_as_it_was_sent(body: bytes, reason: str) -> None:
    exchange = exchange_with(answer(body=body))
    error = exchange.error
    assert isinstance(error, UnparsableError)
    assert error.body == body
    assert reason in str(error)
    assert_tells_no_secret(error)
    assert len(exchange.requests) == 1


def test_a_body_beyond_its_bound_is_dropped_with_a_line_that_names_the_setting() -> None:
    exchange = exchange_with(answer(body=b'{"runs": "' + b"x" * 2**21 + b'"}'), bounds=SMALL)
    assert type(exchange.error) is PermanentError
    assert "the body is larger than 1 MB; see TESTRUNS_MAX_BODY_MB" in str(exchange.error)
    assert_tells_no_secret(exchange.error)
    assert len(exchange.requests) == 1


def test_a_text_of_three_fifths_of_the_bound_is_read() -> None:
    filling = 2**20 * 3 // 5
    body = b'{"runs": "' + b"x" * filling + b'"}'
    assert exchange_with(answer(body=body), bounds=SMALL).body == {"runs": "x" * filling}


@pytest.mark.parametrize(
    ("large", "requests"),
    [
        (b'{"runs": [' + b"0," * 2000 + b"0]}", 2),
        # Of so many bytes no more than a piece is kept: it is requested again.
        (b'{"runs": ["' + b"x" * 2**19 + b'"]}', 3),
    ],
)
def test_a_large_answer_waits_until_all_before_it_are_dealt_with(
    large: bytes, requests: int
) -> None:
    events: list[str] = []
    first_requested, large_received = asyncio.Event(), asyncio.Event()

    async def first(writer: asyncio.StreamWriter) -> None:
        first_requested.set()
        await large_received.wait()
        await answer()(writer)

    async def second(writer: asyncio.StreamWriter) -> None:
        events.append("sent")
        await answer(body=large)(writer)
        large_received.set()

    async def one(client: Client, name: str) -> str:
        assert isinstance(await send_request(client), Answer)
        events.append(name)
        return name

    async def steps(client: Client) -> AsyncIterator[str | Coroutine[Any, Any, str]]:
        yield one(client, "first")
        await first_requested.wait()
        yield one(client, "large")

    async def exchange() -> list[str]:
        script: deque[Reply] = deque([answer(), first, second])
        async with Server(script) as server, client_of(server.root, bounds=SMALL) as client:
            await send_request(client)
            return [name async for name in map_ordered(steps(client), 16)]

    assert asyncio.run(exchange()) == ["first", "large"]
    assert events == ["sent", "first", *["sent"] * (requests - 2), "large"]


def test_a_body_of_more_values_than_fit_is_refused_with_the_setting() -> None:
    exchange = exchange_with(answer(body=b'{"runs": [' + b"{}," * 30_000 + b"{}]}"), bounds=SMALL)
    assert type(exchange.error) is PermanentError
    assert "more than fits 1 MB; see TESTRUNS_MAX_BODY_MB" in str(exchange.error)
    assert len(exchange.requests) == 1


def test_what_came_of_an_attempt_that_failed_does_not_count_against_the_next() -> None:
    async def one(client: Client) -> bool:
        return isinstance(await send_request(client), Answer)

    async def steps(client: Client) -> AsyncIterator[bool | Coroutine[Any, Any, bool]]:
        yield one(client)

    async def exchange() -> list[bool]:
        script: deque[Reply] = deque([*[answer(body=b"x" * 500_000)] * 3, answer()])
        async with Server(script) as server, client_of(server.root, bounds=SMALL) as client:
            return [found async for found in map_ordered(steps(client), 16)]

    assert asyncio.run(exchange()) == [True]


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
        exchange = exchange_with(wire, bounds=SMALL)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "larger than 1 MB" in str(exchange.error)
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
