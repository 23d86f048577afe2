"""The connections to one API: a request out, a whole answer in; none repeated unasked.

aiohttp by itself: with httpx above it, a first load takes a fifth more CPU.
"""

import os
import ssl
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
from yarl import URL

from pipelines.errors import SettingsError

MOST_IN_FLIGHT = 16
# Many servers hang up on what is idle for five seconds.
_KEEPALIVE_SECONDS = 4.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True)
class Response:
    """A whole answer: headers by lower-case name, the body decompressed."""

    status: int
    headers: dict[str, str]
    body: bytes


class Transport:
    """Connections to the API at `root`, through the environment's proxy unless it is on loopback.

    `headers` go with each request. `timeout` is in seconds, for a whole answer and for each step.
    To be opened and closed in one event loop.
    """

    def __init__(self, root: str, headers: dict[str, str], timeout: aiohttp.ClientTimeout) -> None:
        self._root, self._headers, self._timeout = URL(root), headers, timeout
        self._proxy, self._proxy_headers = _proxy(self._root)
        self._session: aiohttp.ClientSession

    async def open(self) -> None:
        """Make ready; nothing is sent yet."""
        connector = aiohttp.TCPConnector(
            limit=MOST_IN_FLIGHT,
            # Reading the certificates takes 50 ms; only TLS needs them.
            ssl=True if self._root.scheme == "http" else _tls(),
            keepalive_timeout=_KEEPALIVE_SECONDS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=self._timeout,
            middlewares=(_once_only,),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, target: str) -> Response:
        """The answer to a GET of path and query, quoted already; redirects are not followed.

        Raises aiohttp.ClientError, TimeoutError, OSError or ValueError.
        """
        async with self._session.get(
            URL(f"{self._root}/{target}", encoded=True),
            allow_redirects=False,
            proxy=self._proxy,
            proxy_headers=self._proxy_headers,
        ) as answer:
            body = await answer.read()
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in answer.raw_headers
        }
        return Response(answer.status, headers, body)


def _proxy(root: URL) -> tuple[URL | None, dict[str, str] | None]:
    """The proxy for this API, without its user, and the header that names the user.

    Raises SettingsError, which does not quote it, for one that is no URL.
    """
    is_near = root.host in _LOOPBACK or proxy_bypass(root.authority)
    proxies = {} if is_near else getproxies()
    told = proxies.get(root.scheme) or proxies.get("all")
    if not told:
        return None, None
    try:
        url = URL(told if "://" in told else f"http://{told}")
    except ValueError:
        message = f"{root.scheme.upper()}_PROXY: the environment names a proxy that is no URL"
        raise SettingsError(message) from None
    if url.user is None:
        return url, None
    user = aiohttp.encode_basic_auth(url.user, url.password or "")
    return url.with_user(None), {"Proxy-Authorization": user}


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
