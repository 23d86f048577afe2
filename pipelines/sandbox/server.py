"""Serves both fakes on one loopback port: from a thread beside the caller, or until stopped.

The server is aiohttp's low-level one: each fake matches its own few paths, and a request costs a
tenth of a millisecond.
"""

import asyncio
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import KW_ONLY, dataclass, field
from types import FrameType, TracebackType
from typing import Any, NamedTuple, Self

from aiohttp import web

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.faults.control import PATH as FAULTS_PATH
from pipelines.sandbox.faults.control import control
from pipelines.sandbox.faults.fault import Exchange, Line, Strike
from pipelines.sandbox.faults.plan import Faults
from pipelines.sandbox.limits import Clock, PostmanLimits, Quota, minute_end
from pipelines.sandbox.postman import PostmanApi
from pipelines.sandbox.testmo import TestmoApi
from pipelines.sandbox.wire import Answer, Json, encode

_HOST = "127.0.0.1"
_LOGGED_REQUESTS = 100_000


class LoggedRequest(NamedTuple):
    """One request as it was answered; `path` is relative to the root of its API."""

    api: str
    method: str
    path: str
    query: dict[str, str]
    status: int


@dataclass(eq=False, repr=False)
class Sandbox:
    """Both APIs on 127.0.0.1 while its `with` block lasts; port 0 is any free port.

    `requests_per_minute` holds for each API on its own, `monthly_limit` for Postman; `clock`
    gives epoch seconds. `testmo_list_is_bare` leaves threads, tags, fields, links and artifacts
    out of the list, as the reference page shows it; `forbidden_projects` answer 403. `faults` are
    those of pipelines.sandbox.faults, and may be changed at any time.
    """

    data: SandboxData
    _: KW_ONLY
    port: int = 0
    requests_per_minute: int = 6000
    monthly_limit: int = 1_000_000
    postman_api_key: str = "sandbox-postman-key"
    testmo_api_token: str = "sandbox-testmo-token"  # noqa: S105 - no secret
    testmo_list_is_bare: bool = False
    forbidden_projects: frozenset[int] = frozenset()
    clock: Clock = time.time
    faults: Faults = field(default_factory=Faults)
    requests: deque[LoggedRequest] = field(
        default_factory=lambda: deque(maxlen=_LOGGED_REQUESTS), init=False
    )

    def __post_init__(self) -> None:
        """Encode all bodies; nothing is served yet."""
        self._postman = PostmanApi(
            self.data.postman_runs,
            self.postman_api_key,
            PostmanLimits(self.requests_per_minute, self.monthly_limit, self.clock),
        )
        self._testmo = TestmoApi(
            self.data.testmo_runs,
            self.data.testmo_books,
            token=self.testmo_api_token,
            limit=Quota(self.requests_per_minute, minute_end, self.clock),
            list_is_bare=self.testmo_list_is_bare,
            forbidden_projects=self.forbidden_projects,
            tests=self.data.testmo_tests,
        )

    def __enter__(self) -> Self:
        """Start to serve; raises OSError with one clear line if the port cannot be had."""
        listener = _listen(self.port)
        self.port = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="testruns-sandbox", daemon=True
        )
        self._thread.start()
        self._in_loop(self._start(listener))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections and end the thread."""
        self._in_loop(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def postman_url(self) -> str:
        """What POSTMAN_API_URL is to be."""
        return f"http://{_HOST}:{self.port}{PostmanApi.root}"

    @property
    def testmo_url(self) -> str:
        """What TESTMO_API_URL is to be."""
        return f"http://{_HOST}:{self.port}{TestmoApi.root}"

    @property
    def settings(self) -> dict[str, str]:
        """The settings that point a loader here; none for an API that has nothing to serve."""
        settings: dict[str, str] = {}
        collections, projects = self._postman.collection_ids, self._testmo.project_ids
        if collections:
            settings["POSTMAN_API_URL"] = self.postman_url
            settings["POSTMAN_API_KEY"] = self.postman_api_key
            settings["POSTMAN_COLLECTION_IDS"] = ",".join(collections)
        if projects:
            settings["TESTMO_API_URL"] = self.testmo_url
            settings["TESTMO_API_TOKEN"] = self.testmo_api_token
            settings["TESTMO_PROJECT_IDS"] = ",".join(map(str, projects))
            # Testmo does not announce its limit.
            settings["TESTMO_REQUESTS_PER_MINUTE"] = str(self.requests_per_minute)
        return settings

    @property
    def postman_runs(self) -> list[Json]:
        """The Postman runs that are held now."""
        return self._postman.runs

    @property
    def testmo_runs(self) -> list[Json]:
        """The Testmo runs that are held now."""
        return self._testmo.runs

    def put_postman_run(self, run: Json) -> None:
        """Add or replace a run while serving, from any thread."""
        self._postman.put(run)

    def remove_postman_run(self, run_id: str) -> None:
        """Let a run be deleted at the source, from any thread."""
        self._postman.remove(run_id)

    def put_testmo_run(self, run: Json) -> None:
        """Add or replace a run while serving, from any thread."""
        self._testmo.put(run)

    def remove_testmo_run(self, run_id: int) -> None:
        """Let a run be deleted at the source, from any thread."""
        self._testmo.remove(run_id)

    async def _start(self, listener: socket.socket) -> None:
        self._ended = asyncio.Event()
        # An answer that is held back ends when its client hangs up.
        server = web.Server(self._serve, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

    async def _stop(self) -> None:
        self._ended.set()
        await self._runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        """Answer one request. All answers of both APIs pass here, and all faults strike here."""
        if request.path == FAULTS_PATH:
            return _response(control(self.faults, request.method, await request.read()))
        method, query = request.method, dict(request.query)
        api, path = self._addressed(request.path)
        if api is None:
            self.requests.append(LoggedRequest("", method, path, query, _NOWHERE.status))
            return _response(_NOWHERE)
        exchange = Exchange(api, path, dict(query), self.port, self.clock())
        strikes = self.faults.strikes(f"{api.name}{path}")
        _suffer(exchange, strikes, before_answer=True)
        exchange.answer = api.answer(method, path, exchange.query, request.headers, exchange.order)
        _suffer(exchange, strikes, before_answer=False)
        self.requests.append(LoggedRequest(api.name, method, path, query, exchange.answer.status))
        if exchange.deliver is not None:
            await exchange.deliver(Line(request, exchange.answer, self._ended))
            if request.transport is not None:
                request.transport.close()
        return _response(exchange.answer)

    def _addressed(self, path: str) -> tuple[PostmanApi | TestmoApi | None, str]:
        for api in (self._postman, self._testmo):
            if path.startswith(f"{api.root}/"):
                return api, path.removeprefix(api.root)
        return None, path

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()


_NOWHERE = Answer(
    404, encode({"message": f"The sandbox serves {PostmanApi.root} and {TestmoApi.root}."})
)


def _suffer(exchange: Exchange, strikes: list[Strike], *, before_answer: bool) -> None:
    for strike in strikes:
        if strike.fault.before_answer is before_answer:
            strike.fault.change(exchange, strike)


def _response(answer: Answer) -> web.Response:
    headers = {"Content-Type": "application/json", **answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=headers)


def serve_forever(
    data: SandboxData, port: int, requests_per_minute: int, faults: Faults | None = None
) -> None:
    """Serve until SIGINT or SIGTERM, having printed the settings as lines ready for an .env file.

    For the main thread, which alone receives signals. Raises OSError with one clear line if the
    port cannot be had.
    """
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Sandbox(
            data,
            port=port,
            requests_per_minute=requests_per_minute,
            faults=faults or Faults(),
        ) as sandbox:
            for name, value in sandbox.settings.items():
                sys.stdout.write(f"{name}={value}\n")
            sys.stdout.flush()
            stopped.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(port: int) -> socket.socket:
    where = f"the sandbox cannot listen on {_HOST}:{port}"
    if not 0 <= port < 2**16:
        raise OSError(f"{where}: ports go from 1 to 65535, 0 is any free one")
    try:
        return socket.create_server((_HOST, port))
    except OSError as error:
        raise OSError(f"{where}: {error.strerror}") from error
