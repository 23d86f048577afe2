"""The connections to one API: httpx's interface, aiohttp's bytes; no request repeated unasked."""

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

MOST_IN_FLIGHT = 16
# Many servers hang up on what is idle for five seconds.
_KEEPALIVE_SECONDS = 4.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def transport(root: str) -> AiohttpTransport:
    """Connections to one API, through the environment's proxy unless it is on loopback."""
    parts = urlsplit(root)
    is_near = parts.hostname in _LOOPBACK or proxy_bypass(parts.netloc)
    proxies = {} if is_near else getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"

    def session() -> aiohttp.ClientSession:
        # Reading the certificates takes 50 ms; only TLS needs them.
        tls = True if parts.scheme == "http" else httpx.create_ssl_context()
        connector = aiohttp.TCPConnector(
            limit=MOST_IN_FLIGHT, ssl=tls, keepalive_timeout=_KEEPALIVE_SECONDS
        )
        return aiohttp.ClientSession(connector=connector, middlewares=(_once_only,))

    # The session brings its own TLS; this class would read the certificates a second time.
    return AiohttpTransport(
        verify=False, client=session, proxy=httpx.Proxy(proxy) if proxy else None
    )


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
