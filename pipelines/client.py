"""One polite request at a time to one API: its key, its pace, bounded retries, decoded JSON.

All that the package knows of HTTP is here; httpx keeps the interface and aiohttp moves the bytes
(less than half the CPU of httpx's own transport at 16 in flight).
"""

import asyncio
import json
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import httpx
import msgspec
from httpx_aiohttp import HttpxAiohttpClient
from pydantic import SecretStr

from pipelines.errors import (
    ApiError,
    BadRequestError,
    NotFoundError,
    PermanentError,
    TransientError,
    UnauthorizedError,
    UnparsableError,
    UnreachableError,
)
from pipelines.fields import Json
from pipelines.pace import Pacer
from pipelines.redact import MASK

MOST_IN_FLIGHT = 16

_ATTEMPTS = 5
_FIRST_BACKOFF_SECONDS = 0.5
# One answer, however slowly it drips; the time-outs below are for each read.
_ANSWER_SECONDS = 120.0
_TIMEOUT = httpx.Timeout(connect=10.0, read=30.0, write=30.0, pool=None)
_TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


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

    `name` is the API's name in messages and `key_setting` the variable that holds its key.
    """

    def __init__(
        self,
        name: str,
        root: str,
        header: tuple[str, str, SecretStr],
        *,
        key_setting: str,
        url_setting: str,
        pacer: Pacer,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        header_name, prefix, key = header
        self.name, self.root, self.pacer, self.traffic = name, root, pacer, Traffic()
        self._key_setting, self._url_setting, self._sleep = key_setting, url_setting, sleep
        self._key = key
        self._ever_connected = False
        self._waited_before = 0.0
        self._http = HttpxAiohttpClient(
            headers={
                header_name: prefix + key.get_secret_value(),
                "accept": "application/json",
                "user-agent": "testruns",
            },
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=MOST_IN_FLIGHT),
            # A redirect would carry the key to wherever it points.
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    def count_anew(self) -> None:
        """Start the counts of the next load."""
        self.traffic = Traffic()
        self._waited_before = self.pacer.waited_seconds

    def masked(self, text: str) -> str:
        """`text` without our own key, should an API have sent it back."""
        return text.replace(self._key.get_secret_value(), MASK)

    async def get(
        self, endpoint: str, path: str, params: Mapping[str, Any], *, member: str
    ) -> Answer:
        """The JSON object at `path`; `endpoint` is its template, for counting and for messages.

        An object without `member` counts as a broken answer, so that an error page with status
        200 never passes for an empty history.

        Transient failures are tried five times with growing waits (0.5, 1, 2, 4 s, each shortened
        by up to half at random), refusals after the wait that the API tells. Raises the ApiError
        that fits, with a message that names endpoint, cause and whether trying again can help.
        """
        failure: ApiError
        for attempt in range(_ATTEMPTS):
            async with self.pacer.turn():
                outcome = await self._once(endpoint, path, params, member)
            if isinstance(outcome, Answer):
                return outcome
            failure = outcome
            if not isinstance(failure, TransientError):
                raise failure
            if attempt + 1 < _ATTEMPTS:
                backoff = _FIRST_BACKOFF_SECONDS * 2**attempt
                await self._sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311
        raise type(failure)(
            f"{failure}; tried {_ATTEMPTS} times, a later load may succeed"
        ) from failure.__cause__

    async def _once(
        self, endpoint: str, path: str, params: Mapping[str, Any], member: str
    ) -> Answer | ApiError:
        where = f"{self.name} {endpoint}"
        self.traffic.requests[endpoint] += 1
        self.traffic.waited_seconds = round(self.pacer.waited_seconds - self._waited_before, 3)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                response = await self._http.get(f"{self.root}/{path}", params=dict(params))
        except (httpx.HTTPError, aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return self._no_answer(where, error)
        self._ever_connected = True
        self.traffic.bytes_received += len(response.content)
        self.pacer.answered(response.headers)
        if response.status_code == 429:
            self.pacer.refused(response.headers)
        if response.status_code != 200:
            return self._refusal(where, path, response)
        return _decoded(where, response.content, member)

    def _no_answer(self, where: str, error: Exception) -> ApiError:
        # Only the kind of error is told: messages of the libraries may hold the whole URL.
        what = type(error).__name__
        if not self._ever_connected:
            unreachable = UnreachableError(
                f"{where}: no server answers at {self.root} ({what}); see {self._url_setting}"
            )
            unreachable.__cause__ = error
            return unreachable
        if isinstance(error, TimeoutError):
            what = f"no whole answer in {_ANSWER_SECONDS:.0f} s"
        lost = TransientError(f"{where}: the connection failed ({what})")
        lost.__cause__ = error
        return lost

    def _refusal(self, where: str, path: str, response: httpx.Response) -> ApiError:
        status = response.status_code
        if status in _TRANSIENT_STATUSES:
            return TransientError(f"{where}: HTTP {status}")
        if status == 401:
            return UnauthorizedError(
                f"{where}: HTTP 401, the key is not accepted; see {self._key_setting}"
            )
        if status in (400, 422):
            return BadRequestError(f"{where}: HTTP {status}, the API does not take {path}")
        if status == 403:
            return PermanentError(
                f"{where}: HTTP 403, the key of {self._key_setting} may not read {path}"
            )
        if status == 404:
            return NotFoundError(f"{where}: HTTP 404, the API knows no {path}")
        if 300 <= status < 400:
            return PermanentError(
                f"{where}: HTTP {status}, a redirect, which is not followed with a key; "
                f"see {self._url_setting}"
            )
        return PermanentError(f"{where}: HTTP {status}")


def _decoded(where: str, body: bytes, member: str) -> Answer | ApiError:
    try:
        record = decode(body)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return TransientError(f"{where}: HTTP 200 with a body that is not JSON")
    except (RecursionError, ValueError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else "a number too long"
        return UnparsableError(f"{where}: JSON with {what}", body)
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
