"""Nobody there, an unknown name, TLS that is missing or not trusted: each in its own words."""

import asyncio
import ssl
from collections import deque
from pathlib import Path

import pytest

from pipelines.errors import (
    ApiError,
    TransientError,
    UnreachableError,
)
from pipelines.http.client import Answer
from pipelines.http.retry import NO_RETRY
from tests.support.scripted_api import (
    ReceivedRequest,
    Server,
    answer,
    assert_tells_no_secret,
    client_of,
    exchange_with,
    free_port,
    send_request,
    sends_and_closes,
)


def test_where_nothing_listens_the_url_and_its_setting_are_named() -> None:
    root = f"http://127.0.0.1:{free_port()}"
    exchange = exchange_with(answer(), root=root)
    assert type(exchange.error) is UnreachableError
    assert f"no server at {root} (the connection is refused)" in str(exchange.error)
    assert "POSTMAN_API_URL" in str(exchange.error)
    assert_tells_no_secret(exchange.error)
    assert len(exchange.backoffs) == 4


def test_a_server_without_tls_is_distinguished_from_none() -> None:
    async def speaks_plainly(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sends_and_closes(b"HTTP/1.1 400 Bad Request\r\n\r\n")(writer)

    async def exchange() -> Answer | ApiError:
        async with await asyncio.start_server(speaks_plainly, "127.0.0.1", 0) as server:
            root = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with client_of(root) as client:
                return await send_request(client)

    error = asyncio.run(exchange())
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
    async def exchange() -> tuple[Answer | ApiError, list[ReceivedRequest]]:
        async with (
            Server(deque([answer()]), tls_of(server_pem)) as server,
            client_of(server.root.replace("http", scheme)) as client,
        ):
            return await send_request(client), server.requests

    outcome, requests = asyncio.run(exchange())
    assert type(outcome) is UnreachableError
    assert "its certificate is not trusted" in str(outcome)
    assert requests == []


def test_a_name_that_is_not_known_is_distinguished() -> None:
    error = exchange_with(answer(), root="http://api.invalid", retry=NO_RETRY).error
    assert type(error) is UnreachableError
    assert "(its name is not known)" in str(error)
    assert_tells_no_secret(error)


def test_an_authority_of_our_own_is_trusted_where_ssl_cert_file_names_it(
    monkeypatch: pytest.MonkeyPatch, server_pem: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(server_pem))

    async def exchange() -> Answer | ApiError:
        async with (
            Server(deque([answer()]), tls_of(server_pem)) as server,
            client_of(server.root.replace("http", "https")) as client,
        ):
            return await send_request(client)

    assert asyncio.run(exchange()) == Answer({"runs": []})


def test_a_server_that_goes_away_later_is_a_passing_trouble() -> None:
    async def exchange() -> Answer | ApiError:
        async with Server(deque([answer()])) as server:
            client = client_of(server.root)
            async with client:
                await send_request(client)
        async with client:
            return await send_request(client)

    error = asyncio.run(exchange())
    assert type(error) is TransientError
    assert "the connection is refused" in str(error)
    assert_tells_no_secret(error)
