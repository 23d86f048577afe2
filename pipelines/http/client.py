"""One polite request at a time to one API: its key, its pace, bounded retries, decoded JSON.

All that the package knows of HTTP is here and in `transport`.
"""

import asyncio
import json
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from aiohttp.http_exceptions import ContentEncodingError
from pydantic import SecretStr

from pipelines.errors import (
    ApiError,
    BadRequestError,
    NotFoundError,
    PermanentError,
    QuotaSpentError,
    TransientError,
    UnauthorizedError,
    UnparsableError,
    UnreachableError,
)
from pipelines.http.json_decode import reason, salvage_page
from pipelines.http.rate_limiter import RateLimiter
from pipelines.http.retry import DEFAULT_RETRY, RetryPolicy
from pipelines.http.transport import Response, Transport
from pipelines.sources.fields import Json
from pipelines.sources.redaction import MASK

# For a whole answer, however it drips; to connect; between two of its packets.
_TIMEOUT = aiohttp.ClientTimeout(total=120.0, sock_connect=10.0, sock_read=30.0)
_TRANSIENT_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
_REFUSALS: dict[int, tuple[type[PermanentError], str]] = {
    400: (BadRequestError, "the API does not take {path}"),
    401: (UnauthorizedError, "the key is not accepted; see {key_setting}"),
    403: (PermanentError, "the key of {key_setting} may not read {path}"),
    404: (NotFoundError, "the API knows no {path}"),
    422: (BadRequestError, "the API does not take {path}"),
}

# Troubles in words of our own, the first that fits: the library's messages may hold the whole URL,
# its objects the headers.
_TROUBLES = (aiohttp.ClientError, OSError, ValueError)
_NO_SERVER: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientProxyConnectionError, "the proxy of the environment cannot be reached"),
    (aiohttp.ClientConnectorDNSError, "its name is not known"),
    (aiohttp.ClientConnectorCertificateError, "its certificate is not trusted"),
    (aiohttp.ClientSSLError, "it does not speak TLS as we do"),
    (aiohttp.ClientConnectorError, "the connection is refused"),
    (aiohttp.ConnectionTimeoutError, "the connection timed out"),
)
_NO_ANSWER: tuple[tuple[type[Exception], str], ...] = (
    (TimeoutError, "the answer timed out"),
    (ContentEncodingError, "the body cannot be decompressed"),
    (aiohttp.ClientPayloadError, "the body is cut short"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (OSError, "the connection was closed"),
    (aiohttp.ClientConnectionError, "the connection was closed"),
)


@dataclass
class Traffic:
    """What a load has sent and received.

    Requests by endpoint, retries included; bytes of bodies, decompressed; seconds spent waiting
    for the rate limit.
    """

    requests: Counter[str] = field(default_factory=Counter)
    bytes_received: int = 0
    waited_seconds: float = 0.0


@dataclass(frozen=True)
class Answer:
    """A decoded JSON object and the length of its body in bytes."""

    body: Json
    length: int


class Client:
    """Requests to one API.

    `name` is the API's name in messages; `key_setting` and `url_setting` are the variables to look
    at when the key or the root is wrong; `header` is the key's: its name, what precedes the key,
    the key. `timeout` is in seconds, for a whole answer and for each of its steps.
    """

    def __init__(
        self,
        name: str,
        root: str,
        header: tuple[str, str, SecretStr],
        *,
        key_setting: str,
        url_setting: str,
        rate_limiter: RateLimiter,
        retry: RetryPolicy = DEFAULT_RETRY,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        timeout: aiohttp.ClientTimeout = _TIMEOUT,
    ) -> None:
        header_name, prefix, key = header
        self.name, self.root, self.rate_limiter, self.traffic = name, root, rate_limiter, Traffic()
        self._key_setting, self._url_setting, self._sleep = key_setting, url_setting, sleep
        self._retry = retry
        self._key = key
        self._ever_connected = False
        self._waited_before = 0.0
        headers = {
            header_name: prefix + key.get_secret_value(),
            "accept": "application/json",
            "accept-encoding": "gzip, deflate",
            "user-agent": "testruns",
        }
        self._transport = Transport(root, headers, timeout)

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()

    def count_anew(self) -> None:
        """Start the counts of the next load."""
        self.traffic = Traffic()
        self._waited_before = self.rate_limiter.waited_seconds

    def masked(self, text: str) -> str:
        """`text` without our own key, plain or as JSON spells it: an API may have sent it back."""
        key = self._key.get_secret_value()
        return text.replace(key, MASK).replace(json.dumps(key)[1:-1], MASK)

    async def get(
        self,
        endpoint: str,
        path: str,
        params: Mapping[str, Any],
        *,
        member: str,
        is_list: bool = False,
    ) -> Answer:
        """The JSON object at `path`; `endpoint` is its template, for counting and for messages.

        An object without `member` counts as a broken answer, so that an error page with status
        200 never passes for an empty history. Of a member that is a list, a record that no decoder
        takes is given as UndecodableRecord.

        Transient failures are tried again as the retry policy says (five attempts; 0.5, 1, 2, 4 s
        between them, each up to half shorter at random), refusals after the wait that the API
        announces. Raises the ApiError
        that fits, with a message that names endpoint, cause and whether trying again can help.
        """
        attempt = 0
        while True:
            try:
                async with self.rate_limiter.turn():
                    outcome = await self._once(endpoint, path, params, member, is_list=is_list)
            except QuotaSpentError as spent:
                raise QuotaSpentError(f"{self.name} {endpoint}: {spent}") from None
            if isinstance(outcome, Answer):
                return outcome
            if not self._retry.is_transient(outcome):
                raise outcome
            if not self._retry.has_more(attempt):
                raise type(outcome)(
                    f"{outcome}; tried {attempt + 1} times, a later load may succeed"
                )
            await self._sleep(self._retry.wait_seconds(attempt))
            attempt += 1

    async def _once(
        self, endpoint: str, path: str, params: Mapping[str, Any], member: str, *, is_list: bool
    ) -> Answer | ApiError:
        where = f"{self.name} {endpoint}"
        self.traffic.requests[endpoint] += 1
        self.traffic.waited_seconds = round(
            self.rate_limiter.waited_seconds - self._waited_before, 3
        )
        query = f"?{urlencode(params, quote_via=quote)}" if params else ""
        try:
            response = await self._transport.get(f"{path}{query}")
        except _TROUBLES as error:
            return self._no_answer(where, error)
        self._ever_connected = True
        self.traffic.bytes_received += len(response.body)
        self.rate_limiter.answered(response.headers)
        if response.status == 429:
            self.rate_limiter.refused(response.headers)
        elif response.status == 503:
            self.rate_limiter.unavailable(response.headers)
        if response.status != 200:
            return self._refusal(where, path, response)
        return _decoded(where, response.body, member, is_list=is_list)

    def _no_answer(self, where: str, error: Exception) -> ApiError:
        trouble = _trouble(error, _NO_SERVER)
        if trouble is None:
            self._ever_connected = True
            trouble = _trouble(error, _NO_ANSWER) or type(error).__name__
        elif not self._ever_connected:
            return UnreachableError(
                f"{where}: no server at {self.root} ({trouble}); see {self._url_setting}"
            )
        return TransientError(f"{where}: {trouble}")

    def _refusal(self, where: str, path: str, response: Response) -> ApiError:
        status = response.status
        if status in _TRANSIENT_STATUSES:
            return TransientError(f"{where}: HTTP {status}")
        kind, reason = _REFUSALS.get(status, (PermanentError, ""))
        if 300 <= status < 400:
            reason = f"a redirect, which is not followed with a key; see {self._url_setting}"
        told = reason.format(path=path, key_setting=self._key_setting)
        return kind(f"{where}: HTTP {status}{told and ', '}{told}")


def _trouble(error: Exception, known: tuple[tuple[type[Exception], str], ...]) -> str | None:
    """Our words for what went wrong; what a body suffered from stands behind its error."""
    seen = (error, error.__cause__)
    return next((words for kind, words in known if any(isinstance(e, kind) for e in seen)), None)


def _decoded(where: str, body: bytes, member: str, *, is_list: bool) -> Answer | ApiError:
    try:
        record = decode(body)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return TransientError(f"{where}: HTTP 200 with a body that is not JSON")
    except (RecursionError, ValueError) as error:
        record = salvage_page(body, member, decode) if is_list else None
        if record is None:
            return UnparsableError(f"{where}: JSON, {reason(error)}", body)
    if not isinstance(record, dict) or member not in record:
        return TransientError(f"{where}: HTTP 200 with JSON that holds no {member}")
    return Answer(record, len(body))


def decode(body: bytes) -> Any:
    """JSON as Python values, whole numbers of any size included.

    The fast decoder refuses what the standard one takes (a byte order mark, lone surrogates);
    numbers beyond a double and NaN, which neither can keep, stay the text that was sent.
    Raises json.JSONDecodeError or UnicodeDecodeError for what is no JSON, RecursionError for
    nesting beyond a thousand levels, ValueError for a whole number of over 4,300 digits.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return json.loads(
            body.decode("utf-8-sig"),
            parse_float=lambda digits: number if math.isfinite(number := float(digits)) else digits,
            parse_constant=str,
        )
