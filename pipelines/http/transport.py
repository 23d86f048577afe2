"""The connections to one API: a request out, a whole answer in; nothing is repeated.

The only file that knows the HTTP library: httpx, over the connections of aiohttp, which cost a
sixth of those that httpx brings.
"""

import asyncio
import os
import ssl
import sys
from base64 import b64encode
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi

# httpx imports its own command line, and with it rich and pygments, where it can: 50 ms a command.
sys.modules["httpx._main"] = None  # type: ignore[assignment] # how Python says "not to be had"
import httpx  # noqa: E402

del sys.modules["httpx._main"]

from httpx_aiohttp import AiohttpTransport  # noqa: E402

from pipelines.errors import SettingsError  # noqa: E402

BaseTransport = httpx.AsyncBaseTransport

MOST_IN_FLIGHT = 16
# Many servers close what is idle for five seconds.
_LIMITS = httpx.Limits(max_connections=MOST_IN_FLIGHT, keepalive_expiry=4.0)
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Bounds:
    """What an answer may take.

    Seconds for all of it, to connect, and between two packets; bytes of its decompressed body.
    """

    total_seconds: float = 120.0
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    body_bytes: int = 128 * 2**20


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True)
class Response:
    """A whole answer: headers by lower-case name, the body decompressed."""

    status: int
    headers: dict[str, str]
    body: bytes


class NoConnectionError(Exception):
    """No connection was made; the message says why, in words of our own."""


class NoAnswerError(Exception):
    """No whole answer came over a connection; the message says why, in words of our own."""


class BodyTooLargeError(Exception):
    """The decompressed body is larger than its bound; what came of it is dropped."""


_PROXY = "the proxy of the environment"
# The first that fits the error or its cause: the libraries' own messages may hold the whole URL.
_NO_CONNECTION: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientProxyConnectionError, f"{_PROXY} cannot be reached"),
    (httpx.ProxyError, f"{_PROXY} does not connect us"),
    (aiohttp.ClientConnectorDNSError, "its name is not known"),
    (aiohttp.ClientConnectorCertificateError, "its certificate is not trusted"),
    (aiohttp.ClientSSLError, "it does not speak TLS as we do"),
    (aiohttp.ClientConnectorError, "the connection is refused"),
    (aiohttp.ConnectionTimeoutError, "the connection timed out"),
)
_NO_ANSWER: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "the answer timed out"),
    (httpx.DecodingError, "the body cannot be decompressed"),
    (aiohttp.ClientPayloadError, "the body is cut short"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (OSError, "the connection was closed"),
    (aiohttp.ClientConnectionError, "the connection was closed"),
)
_ERRORS = (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError, ValueError)


class _NoCookies(httpx.Cookies):
    """Keeps none; to look for them takes a third of httpx's own time."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave them where they are."""


_NO_COOKIES = _NoCookies()


class _Client(httpx.AsyncClient):
    """httpx without cookies."""

    cookies = property(lambda self: _NO_COOKIES)  # noqa: ARG005


_NOTHING = httpx.ByteStream(b"")


class Transport:
    """Connections to the API at `root`, through the environment's proxy unless it is on loopback.

    `headers` go with each request. `base` stands for the connections in tests. To be opened and
    closed in one event loop. Raises SettingsError for a proxy that is no URL, without quoting it.
    """

    def __init__(
        self,
        root: str,
        headers: dict[str, str],
        bounds: Bounds = DEFAULT_BOUNDS,
        base: BaseTransport | None = None,
    ) -> None:
        self._root, self._headers, self._bounds = root, httpx.Headers(headers), bounds
        self._base, self._proxy = base, _proxy(httpx.URL(root))
        if self._proxy and httpx.URL(root).scheme == "http":
            # Without TLS there is no tunnel: the proxy reads the request itself.
            self._headers.update(self._proxy.headers)
        timeout = httpx.Timeout(None, connect=bounds.connect_seconds, read=bounds.read_seconds)
        self._extensions = {"timeout": timeout.as_dict()}
        self._client: httpx.AsyncClient

    async def open(self) -> None:
        """Make ready; nothing is sent yet."""
        self._client = _Client(transport=self._base or self._connections())

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def get(self, target: str, most_bytes: int) -> Response:
        """The answer to a GET of path and query, quoted already; redirects are not followed.

        A body is of `most_bytes` at most, decompressed. Raises NoConnectionError, NoAnswerError or
        BodyTooLargeError.
        """
        url = f"{self._root}/{target}"
        try:
            async with asyncio.timeout(self._bounds.total_seconds):
                request = httpx.Request(
                    "GET", url, headers=self._headers, extensions=self._extensions
                )
                response = await self._client.send(request, stream=True)
                try:
                    body = await self._body(response, most_bytes)
                finally:
                    await response.aclose()
                    # A stream knows its response: the circle would wait for the garbage collector.
                    response.stream = _NOTHING
        except _ERRORS as error:
            failure = self._in_our_words(error)
        else:
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in response.headers.raw
            }
            return Response(response.status_code, headers, body)
        raise failure  # without its cause, which may hold the whole URL

    async def _body(self, response: httpx.Response, most_bytes: int) -> bytes:
        chunks, length = [], 0
        async for chunk in response.aiter_bytes():
            chunks.append(chunk)
            length += len(chunk)
            if length > most_bytes:
                raise BodyTooLargeError
        return b"".join(chunks)

    def _in_our_words(self, error: Exception) -> Exception:
        errors = (error, error.__cause__)
        if self._proxy and isinstance(error.__cause__, aiohttp.ClientConnectorDNSError):
            return NoConnectionError(f"{_PROXY} cannot be reached")
        for kind, known in ((NoConnectionError, _NO_CONNECTION), (NoAnswerError, _NO_ANSWER)):
            for trouble, words in known:
                if any(isinstance(each, trouble) for each in errors):
                    return kind(words)
        return NoAnswerError(type(error).__name__)

    def _connections(self) -> AiohttpTransport:
        # Reading the certificates takes 50 ms; only TLS needs them.
        is_plain = self._root[:5].lower() == "http:"
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else _tls()

        def session() -> aiohttp.ClientSession:
            connector = aiohttp.TCPConnector(
                limit=_LIMITS.max_connections or 0,
                keepalive_timeout=_LIMITS.keepalive_expiry,
                ssl=tls,
            )
            return aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(_once_only,),
            )

        return AiohttpTransport(verify=tls, proxy=self._proxy, client=session)


def _proxy(root: httpx.URL) -> httpx.Proxy | None:
    """The proxy of the environment for this API, its user in a header."""
    is_near = root.host in _LOOPBACK or proxy_bypass(root.netloc.decode())
    proxies = {} if is_near else getproxies()
    url = proxies.get(root.scheme) or proxies.get("all")
    if not url:
        return None
    try:
        proxy = httpx.Proxy(url if "://" in url else f"http://{url}")
    except (ValueError, httpx.InvalidURL):
        message = f"{root.scheme.upper()}_PROXY: the environment names a proxy that is no URL"
        raise SettingsError(message) from None
    if proxy.raw_auth is None:
        return proxy
    user = b64encode(b":".join(proxy.raw_auth)).decode()
    return httpx.Proxy(proxy.url, headers={"Proxy-Authorization": f"Basic {user}"})


def _tls() -> ssl.SSLContext:
    """The system's certificates or those of SSL_CERT_FILE and SSL_CERT_DIR; Mozilla's beside."""
    context = ssl.create_default_context()
    if not {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys():
        context.load_verify_locations(certifi.where())
    return context


async def _once_only(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a lost request by itself, neither paced nor counted."""
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError from error
