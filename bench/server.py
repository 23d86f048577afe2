"""Both APIs from a process of their own, quick enough not to be what is measured.

A bare protocol on uvloop: it reads a path and writes bytes. What was requested, and what that cost
it, it gives at `/-/stats`; `/-/night` lets a night's runs arrive.

    python -m bench.server '{"work": "…", "latency": 0.05, "bare": false, "per_minute": 300}'
"""

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl

import uvloop

from bench.bodies_postman import PostmanBodies
from bench.bodies_testmo import TestmoBodies
from bench.work import POSTMAN_EVERY, TESTMO_EVERY, Work, nightly_runs

_WINDOW = 60


@dataclass(frozen=True)
class Served:
    """What a server is to do. `latency` is in seconds; `per_minute` None: no limit.

    `bare` leaves out of Testmo's list what only the reference's detail shows.
    """

    work: Work
    latency: float = 0.0
    bare: bool = False
    per_minute: int | None = None

    def as_json(self) -> str:
        return json.dumps({**asdict(self), "work": asdict(self.work)})

    @classmethod
    def from_json(cls, text: str) -> "Served":
        settings = json.loads(text)
        return cls(**{**settings, "work": Work(**settings["work"])})


class Apis:
    """Answers paths, and counts them."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._postman = PostmanBodies(served.work)
        self._testmo = TestmoBodies(served.work, bare=served.bare)
        self._forget()

    def _forget(self) -> None:
        self._requests: Counter[str] = Counter()
        self._sent_at: list[float] = []
        self._refused_at: list[float] = []
        self._cpu = _cpu()

    def answer(self, target: str) -> bytes:
        path, _, query = target.partition("?")
        match path.split("/")[1:]:
            case ["-", "stats"]:
                return _response(json.dumps(self._stats()).encode())
            case ["-", "night"]:
                self._postman.runs += nightly_runs(POSTMAN_EVERY)
                self._testmo.runs += nightly_runs(TESTMO_EVERY)
                return _response(b"{}")
            case [_, *rest]:
                return self._limited(rest, dict(parse_qsl(query)))
        return _response(b"{}", 404)

    def _limited(self, path: list[str], query: dict[str, str]) -> bytes:
        limit = self._served.per_minute
        if limit is None:
            return self._routed(path, query)
        now = time.time()
        window = now // _WINDOW * _WINDOW
        left = limit - sum(at >= window for at in self._sent_at[-limit:])
        reset = int(window + _WINDOW - now) + 1
        headers = (
            f"RateLimit-Limit: {limit}\r\nRateLimit-Remaining: {max(0, left - 1)}\r\n"
            f"RateLimit-Reset: {reset}\r\nRateLimit-Policy: {limit};w={_WINDOW}\r\n"
        ).encode()
        if left <= 0:
            self._refused_at.append(now)
            return _response(b"{}", 429, headers + b"Retry-After: %d\r\n" % reset)
        self._sent_at.append(now)
        return self._routed(path, query, headers)

    def _routed(self, path: list[str], query: dict[str, str], headers: bytes = b"") -> bytes:
        match path:
            case ["collections", scope, "runs"]:
                self._requests["list"] += 1
                body = self._postman.page(scope, query)
            case ["collections", scope, "runs", run_id]:
                self._requests["detail"] += 1
                body = self._postman.detail(scope, run_id)
            case ["projects", scope, "automation", "runs"]:
                self._requests["list"] += 1
                body = self._testmo.page(scope, query)
            case ["automation", "runs", run_id]:
                self._requests["detail"] += 1
                body = self._testmo.detail(run_id)
            case _:
                return _response(b"{}", 404)
        return _response(body, 200, headers)

    def _stats(self) -> dict[str, Any]:
        """What was requested since the last call, and the CPU seconds that it took."""
        stats = {
            "requests": dict(self._requests),
            "cpu": _cpu() - self._cpu,
            "sent_at": self._sent_at,
            "refused_at": self._refused_at,
        }
        self._forget()
        return stats


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _response(body: bytes, status: int = 200, headers: bytes = b"") -> bytes:
    return (
        b"HTTP/1.1 %d -\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b"
    ) % (status, headers, len(body), body)


class _Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, apis: Apis, latency: float) -> None:
        self._apis, self._latency = apis, latency
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, self._received = self._received.split(b"\r\n\r\n", 1)
            target = head.split(b" ", 2)[1].decode()
            body = self._apis.answer(target)
            if self._latency and not target.startswith("/-/"):
                asyncio.get_running_loop().call_later(self._latency, self._transport.write, body)
            else:
                self._transport.write(body)


async def _serve(served: Served) -> None:
    apis = Apis(served)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Line(apis, served.latency), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The bench holds our stdin open for as long as it wants us.
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_serve(Served.from_json(sys.argv[1])))
