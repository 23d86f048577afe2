"""Ways to kill a real `testruns` process: at a request, at a commit."""

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from aiohttp import web

from pipelines.sandbox.server import Sandbox
from tests.support.fork_server import ChildProcess


class KillingSandbox(Sandbox):
    """A sandbox that kills its client as a request arrives, so many after `kill_after`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._child: ChildProcess | None = None
        self._left = 0

    def kill_after(self, requests: int, child: ChildProcess) -> None:
        self._left, self._child = requests, child

    def stop_killing(self) -> None:
        self._child = None

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        if self._child is not None:
            self._left -= 1
            if self._left < 0:
                self._child.kill()
                self._child = None
        return await super()._serve(request)


# A simple query of the wire protocol: its kind, its length, its text.
_COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class Gate:
    """A way to Postgres that sees each COMMIT pass, and can kill whoever sends it.

    Before: the COMMIT is never sent. After: it is done, and its sender never hears of it.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 5432
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{port}", 1)
        self.commits = 0
        self._child: ChildProcess | None = None
        self._at, self._after = 0, False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()

    def kill_at(self, commit: int, child: ChildProcess, *, after: bool) -> None:
        """Kill at the commit of that number, counted from now and 1."""
        self._at, self._after, self._child = self.commits + commit, after, child

    def stop_killing(self) -> None:
        self._child = None

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection((self._host, self._port)) as server:
            dying = threading.Event()
            back = threading.Thread(target=self._answers, args=(server, client, dying), daemon=True)
            back.start()
            with suppress(OSError):
                while sent := client.recv(65536):
                    if _COMMIT in sent:
                        self.commits += 1
                        if self._child is not None and self.commits == self._at:
                            if not self._after:
                                self._child.kill()
                                break
                            dying.set()
                    server.sendall(sent)
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            back.join()

    def _answers(self, server: socket.socket, client: socket.socket, dying: Any) -> None:
        with suppress(OSError):
            while answered := server.recv(65536):
                if dying.is_set() and self._child is not None:
                    self._child.kill()
                    break
                client.sendall(answered)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
