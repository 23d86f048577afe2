"""What a client asks for, what it counts, and that nobody learns its key."""

import asyncio
import gzip
import json
from collections import deque

import pytest
from pydantic import SecretStr

from pipelines.errors import (
    ApiError,
    PermanentError,
)
from pipelines.http.client import Answer, Client
from tests.support.scripted_api import (
    CURSOR,
    ENDPOINT,
    KEY,
    PATH,
    ReceivedRequest,
    Server,
    answer,
    assert_tells_no_secret,
    client_of,
    exchange_with,
    send_request,
)


def test_a_request_carries_path_query_and_key() -> None:
    exchange = exchange_with(answer(body=b'{"runs": [1], "meta": {}}'))
    assert exchange.outcome == Answer({"runs": [1], "meta": {}})
    (request,) = exchange.requests
    assert request.target == f"/{PATH}?cursor={CURSOR}"
    assert request.headers["x-api-key"] == KEY
    assert request.headers["accept"] == "application/json"
    assert "authorization" not in request.headers


def test_a_token_goes_behind_its_prefix() -> None:
    exchange = exchange_with(answer(), header=("authorization", "Bearer ", SecretStr(KEY)))
    assert exchange.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_root_with_a_path_keeps_it() -> None:
    async def exchange() -> str:
        async with Server(deque([answer()])) as server:
            async with client_of(f"{server.root}/api/v1") as client:
                await send_request(client)
            return server.requests[0].target

    assert asyncio.run(exchange()) == f"/api/v1/{PATH}?cursor={CURSOR}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_stays_at_home(status: int) -> None:
    async def exchange() -> tuple[Answer | ApiError, list[ReceivedRequest], list[ReceivedRequest]]:
        async with Server(deque([answer()])) as elsewhere:
            redirect = answer(status, Location=f"{elsewhere.root}/{PATH}")
            async with Server(deque([redirect])) as server, client_of(server.root) as client:
                return await send_request(client), server.requests, elsewhere.requests

    outcome, requests, requests_elsewhere = asyncio.run(exchange())
    assert type(outcome) is PermanentError
    assert f"HTTP {status}, a redirect" in str(outcome)
    assert "POSTMAN_API_URL" in str(outcome)
    assert_tells_no_secret(outcome)
    assert len(requests) == 1
    assert requests_elsewhere == []


def test_requests_are_counted_by_endpoint_retries_included_and_bodies_by_their_bytes() -> None:
    plain = b'{"runs": [], "note": "' + b"x" * 1000 + b'"}'

    async def exchange() -> Client:
        zipped = answer(body=gzip.compress(plain), Content_Encoding="gzip")
        script = deque([answer(500, b"oops"), zipped, answer(body=b'{"run": 1}')])
        async with Server(script) as server, client_of(server.root) as client:
            await client.get(ENDPOINT, PATH, {}, member="runs")
            await client.get("GET runs/{id}", "runs/1", {}, member="run")
            return client

    client = asyncio.run(exchange())
    assert client.traffic.requests == {ENDPOINT: 2, "GET runs/{id}": 1}
    assert client.traffic.bytes_received == len(b"oops") + len(plain) + len(b'{"run": 1}')
    client.count_anew()
    assert client.traffic.requests == {}
    assert client.traffic.bytes_received == client.traffic.waited_seconds == 0


def test_a_connection_is_used_again_and_no_cookie_is_kept() -> None:
    async def exchange() -> list[ReceivedRequest]:
        async with Server(deque([answer(Set_Cookie="a=b; Path=/")])) as server:
            async with client_of(server.root) as client:
                await send_request(client)
                await send_request(client)
            assert server.connections == 1
            return server.requests

    assert ["cookie" in request.headers for request in asyncio.run(exchange())] == [False, False]


@pytest.mark.parametrize("key", [KEY, 'with"quote', r"with\backslash"])
def test_a_key_that_an_api_sends_back_is_masked_in_plain_and_in_json(key: str) -> None:
    client = client_of("http://127.0.0.1", header=("x-api-key", "", SecretStr(key)))
    masked = client.masked(json.dumps({"echo": f"x{key}y"}) + f" {key}")
    assert masked == '{"echo": "xREDACTEDy"} REDACTED'


def test_neither_client_nor_answer_shows_the_key() -> None:
    client = client_of("http://127.0.0.1")
    assert KEY not in repr(client) + repr(vars(client))
