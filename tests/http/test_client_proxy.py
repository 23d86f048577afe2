"""The client behind a proxy of the environment."""

import asyncio
from collections import deque

import pytest

from pipelines.errors import (
    ApiError,
    SettingsError,
)
from pipelines.http.client import Answer
from pipelines.http.retry import NO_RETRY
from tests.support.scripted_api import (
    CURSOR,
    KEY,
    PATH,
    ReceivedRequest,
    Server,
    answer,
    client_of,
    free_port,
    send_request,
)


def requests_through_proxy(
    monkeypatch: pytest.MonkeyPatch, root: str, **environment: str
) -> list[ReceivedRequest]:
    """The requests that reach a proxy named by HTTP_PROXY; nothing else listens."""

    async def exchange() -> list[ReceivedRequest]:
        async with Server(deque([answer()])) as proxy:
            for name, value in {"HTTP_PROXY": proxy.root, "NO_PROXY": "", **environment}.items():
                monkeypatch.setenv(name.lower(), value)
            async with client_of(root) as client:
                await send_request(client)
            return proxy.requests

    return asyncio.run(exchange())


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    (request,) = requests_through_proxy(monkeypatch, "http://api.invalid")
    assert request.target == f"http://api.invalid/{PATH}?cursor={CURSOR}"


def test_a_proxy_may_be_named_without_its_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    async def exchange() -> int:
        async with Server(deque([answer()])) as proxy:
            monkeypatch.setenv("http_proxy", proxy.root.removeprefix("http://"))
            async with client_of("http://api.invalid") as client:
                await send_request(client)
            return len(proxy.requests)

    assert asyncio.run(exchange()) == 1


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
def test_a_proxy_is_not_used_for_what_is_near(
    monkeypatch: pytest.MonkeyPatch, root: str, no_proxy: str
) -> None:
    root = root.format(port=free_port())
    assert requests_through_proxy(monkeypatch, root, NO_PROXY=no_proxy) == []


def no_answer_through(monkeypatch: pytest.MonkeyPatch, root: str, proxy: str) -> str:
    """What is said of a root behind this proxy."""

    async def exchange() -> str:
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy)
        monkeypatch.setenv("no_proxy", "")
        async with client_of(root, retry=NO_RETRY) as client:
            return str(await send_request(client))

    return asyncio.run(exchange())


@pytest.mark.parametrize("root", ["http://api.invalid", "https://api.invalid"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "http://proxy.invalid:3128"])
def test_a_proxy_that_is_not_there_is_distinguished_from_the_api(
    monkeypatch: pytest.MonkeyPatch, root: str, proxy: str
) -> None:
    assert "(the proxy of the environment cannot be reached)" in no_answer_through(
        monkeypatch, root, proxy
    )


def test_a_proxy_that_does_not_let_us_through_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def exchange() -> tuple[Answer | ApiError, list[ReceivedRequest]]:
        async with Server(deque([answer(407)])) as proxy:
            monkeypatch.setenv("https_proxy", proxy.root)
            monkeypatch.setenv("no_proxy", "")
            async with client_of("https://api.invalid", retry=NO_RETRY) as client:
                return await send_request(client), proxy.requests

    outcome, (request,) = asyncio.run(exchange())
    assert "the proxy of the environment does not connect us" in str(outcome)
    assert request.target == "api.invalid:443"
    assert KEY not in str(request.headers)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_is_given_its_user_and_password(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    async def exchange() -> list[ReceivedRequest]:
        async with Server(deque([answer(403)])) as proxy:
            host = proxy.root.removeprefix("http://")
            monkeypatch.setenv("all_proxy", f"http://us%40er:p%3Ass@{host}")
            monkeypatch.setenv("no_proxy", "")
            async with client_of(f"{scheme}://api.invalid", retry=NO_RETRY) as client:
                await send_request(client)
            return proxy.requests

    (request,) = asyncio.run(exchange())
    assert request.headers["proxy-authorization"] == "Basic dXNAZXI6cDpzcw=="
