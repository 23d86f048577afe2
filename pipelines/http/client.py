"""Polite requests to one API: its key, its rate limit, bounded retries, decoded JSON."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import quote, urlencode

from pydantic import SecretStr

from pipelines.errors import (
    ApiError,
    BadRequestError,
    NotAllowedError,
    NotFoundError,
    PermanentError,
    QuotaSpentError,
    TransientError,
    UnauthorizedError,
    UnreachableError,
)
from pipelines.http.answer_object import NotUtf8Error, decoded_object
from pipelines.http.json_decode import Json
from pipelines.http.memory import TURN, MemoryBounds, weight
from pipelines.http.rate_limiter import RateLimiter
from pipelines.http.retry import DEFAULT_RETRY, RetryPolicy
from pipelines.http.traffic import Traffic
from pipelines.http.transport import (
    DEFAULT_BOUNDS,
    BaseTransport,
    BodyTooLargeError,
    Bounds,
    NoAnswerError,
    NoConnectionError,
    Response,
    Transport,
)

# What stands for our own key where an API sends it back, as it does for secrets in URLs.
_MASK = "REDACTED"
# A shorter key is no secret, and would be found in words of any body.
_SHORTEST_KEY = 8
_TRANSIENT_STATUSES = frozenset({408, 425, 429, *range(500, 600)})
_REFUSALS: dict[int, tuple[type[PermanentError], str]] = {
    400: (BadRequestError, ", the API does not take {path}"),
    401: (UnauthorizedError, ", the key is not accepted; see {key_setting}"),
    403: (PermanentError, ", the key of {key_setting} may not read {path}"),
    404: (NotFoundError, ", the API knows no {path}"),
    405: (NotAllowedError, ", the API does not have {path}"),
    422: (BadRequestError, ", the API does not take {path}"),
}


@dataclass(frozen=True)
class Answer:
    """A decoded JSON object; `is_damaged`: bytes of it were no UTF-8 and are U+FFFD in it."""

    body: Json
    is_damaged: bool = False


@dataclass
class _Request:
    """A GET, and how long its attempts have lasted in all, waits between them left out."""

    where: str
    endpoint: str
    path: str
    query: str
    lasted_seconds: float = 0.0

    @property
    def target(self) -> str:
        return f"{self.path}{self.query}"

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time of an attempt."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.lasted_seconds += time.monotonic() - began


class Client:
    """Requests to one API.

    `name` is the API's name in messages; `key_setting` and `url_setting` are the variables to look
    at when the key or the root is wrong; `header` is the key's: its name, what precedes the key,
    the key. `base` stands for the connections in tests. Waits go by the rate limiter's clock.
    """

    def __init__(  # noqa: PLR0913 - keywords all but three
        self,
        name: str,
        root: str,
        header: tuple[str, str, SecretStr],
        *,
        key_setting: str,
        url_setting: str,
        rate_limiter: RateLimiter,
        retry: RetryPolicy = DEFAULT_RETRY,
        bounds: Bounds = DEFAULT_BOUNDS,
        max_body_bytes: int | None = None,
        base: BaseTransport | None = None,
    ) -> None:
        header_name, prefix, self._key = header
        self.name, self.root, self.rate_limiter, self.traffic = name, root, rate_limiter, Traffic()
        self._key_setting, self._url_setting = key_setting, url_setting
        if max_body_bytes is not None:
            bounds = replace(bounds, body_bytes=max_body_bytes)
        self._retry, self._bounds, self._memory = retry, bounds, MemoryBounds(bounds.body_bytes)
        self._most = f"{bounds.body_bytes / 2**20:.0f} MB; see TESTRUNS_MAX_BODY_MB"
        self._ever_connected = False
        self._waited_before = 0.0
        headers = {
            header_name: prefix + self._key.get_secret_value(),
            "accept": "application/json",
            "accept-encoding": "gzip, deflate",
            "user-agent": "testruns",
        }
        self._transport = Transport(root, headers, bounds, base)

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.close()
        await self.rate_limiter.close()

    def count_anew(self) -> None:
        """Start the counts of the next load."""
        self.traffic = Traffic()
        self._waited_before = self.rate_limiter.waited_seconds

    @property
    def failed_lives(self) -> float:
        """How often the longest that a request may last has been spent on those given up."""
        return self.traffic.failed_seconds / self._bounds.total_seconds

    def masked(self, text: str) -> str:
        """`text` without our own key, plain or as JSON has it: an API may have sent it back."""
        key = self._key.get_secret_value()
        return text.replace(key, _MASK).replace(json.dumps(key)[1:-1], _MASK)

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

        An object without `member`, or with an `error` and nothing in `member`, counts as a broken
        answer, so that an error page with status 200 never passes for an empty history. Of a member
        that is a list, a record that no decoder takes is given as UndecodableRecord.

        Transient failures are tried again as the retry policy says, until all attempts together
        have lasted as long as one may; what is no UTF-8 in the last of them is U+FFFD. Refusals are
        tried again after the wait that the API announces. Raises the ApiError that fits, with a
        message that names endpoint, cause and whether trying again can help.
        """
        query = f"?{urlencode(params, quote_via=quote)}" if params else ""
        request = _Request(f"{self.name} {endpoint}", endpoint, path, query)
        attempt, turn = 0, TURN.get()
        held = 0 if turn is None else turn.held
        while True:
            try:
                body = await self._admitted_body(request, is_list=is_list)
                return Answer(decoded_object(request.where, body, member, is_list=is_list))
            except ApiError as error:
                # Its traceback and its cause would hold the body until garbage is collected.
                failure = error.with_traceback(None)
                failure.__context__ = None
            if turn is not None:
                turn.held = held
            is_late = request.lasted_seconds >= self._bounds.total_seconds
            is_transient = self._retry.is_transient(failure)
            if not is_transient or is_late or not self._retry.has_more(attempt):
                self.traffic.failed_seconds += request.lasted_seconds
                if not is_transient:
                    raise failure
                if isinstance(failure, NotUtf8Error):
                    # It has come so each time: a byte of a name must not hide the whole history.
                    body = failure.body.decode("utf-8", "replace").encode()
                    failure = TransientError(str(failure))
                    self._hold(request, held + weight(body), is_list=is_list)
                    with suppress(ApiError):
                        whole = decoded_object(request.where, body, member, is_list=is_list)
                        return Answer(whole, is_damaged=True)
                tries = "once" if attempt == 0 else f"{attempt + 1} times"
                raise type(failure)(f"{failure}; tried {tries}, a later load may succeed")
            await self.rate_limiter.sleep(self._retry.wait_seconds(attempt))
            attempt += 1

    async def _admitted_body(self, request: _Request, *, is_list: bool) -> bytes:
        """A body that may be decoded now: it is small, or its turn has come. Raises ApiError."""
        turn, bounds, body = TURN.get(), self._memory, None
        held = 0 if turn is None else turn.held
        if turn is not None and not turn.comes.is_set():
            with suppress(BodyTooLargeError):
                body = await self._body(request, bounds.small)
                turn.held = held + weight(body, bounds.small - held)
                if turn.held <= bounds.small:
                    return body
            await turn.comes.wait()
        try:
            body = body or await self._body(request, bounds.body)
        except BodyTooLargeError:
            raise PermanentError(f"{request.where}: the body is larger than {self._most}") from None
        # Pages of a list come one at a time, and are not added up.
        bound = bounds.page_weight if is_list and turn is None else 0
        self._hold(request, held + weight(body, bound), is_list=is_list)
        return body

    def _hold(self, request: _Request, held: int, *, is_list: bool) -> None:
        """Note what the step's answers weigh. Raises PermanentError where it is too much."""
        turn, bounds = TURN.get(), self._memory
        if turn is not None:
            turn.held = held
        if held > (bounds.page_weight if is_list and turn is None else bounds.weight):
            raise PermanentError(f"{request.where}: more than fits {self._most}")

    async def _body(self, request: _Request, most_bytes: int) -> bytes:
        """The body of one answer with status 200. Raises ApiError and BodyTooLargeError."""
        where = request.where
        try:
            async with self.rate_limiter.acquire():
                self._count_request(request.endpoint)
                with request.timed():
                    response = await self._transport.get(request.target, most_bytes)
                self.rate_limiter.answered(response.status, response.headers)
        except QuotaSpentError as spent:
            raise QuotaSpentError(f"{where}: {spent}") from None
        except NoConnectionError as why:
            if self._ever_connected:
                raise TransientError(f"{where}: {why}") from None
            no_server = f"{where}: no server at {self.root} ({why}); see {self._url_setting}"
            raise UnreachableError(no_server) from None
        except NoAnswerError as why:
            self._ever_connected = True
            raise TransientError(f"{where}: {why}") from None
        self._ever_connected = True
        self.traffic.bytes_received += len(response.body)
        if response.status != 200:
            raise self._refusal(where, request.path, response)
        return self._without_key(response.body)

    def _without_key(self, body: bytes) -> bytes:
        """The body with our own key masked, where the API has sent it back."""
        key = self._key.get_secret_value()
        if len(key) >= _SHORTEST_KEY:
            in_json = json.dumps(key)[1:-1]
            for text in {key, in_json, in_json.replace("/", "\\/")}:
                body = body.replace(text.encode(), _MASK.encode())
        return body

    def _count_request(self, endpoint: str) -> None:
        self.traffic.requests[endpoint] += 1
        waited = self.rate_limiter.waited_seconds - self._waited_before
        self.traffic.waited_seconds = round(waited, 3)

    def _refusal(self, where: str, path: str, response: Response) -> ApiError:
        status = response.status
        if status in _TRANSIENT_STATUSES:
            return TransientError(f"{where}: HTTP {status}")
        kind, reason = _REFUSALS.get(status, (PermanentError, ""))
        if 300 <= status < 400:
            reason = f", a redirect, which is not followed with a key; see {self._url_setting}"
        why = reason.format(path=path, key_setting=self._key_setting)
        return kind(f"{where}: HTTP {status}{why}")
