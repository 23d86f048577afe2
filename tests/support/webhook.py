"""The other end of a webhook."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit


class Receiver(HTTPServer):
    """Keeps what is posted to it; answers `status` and `body`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.messages: list[dict[str, Any]] = []
        self.hosts: list[str] = []
        self.status = 200
        self.body = b"ok"

    @property
    def texts(self) -> list[str]:
        """What Slack would show of each message."""
        return [message["text"] for message in self.messages]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/s3cret"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.messages.append(message)
        self.server.hosts.append(urlsplit(self.path).hostname or "")
        self.send_response(self.server.status)
        self.send_header("Location", f"{self.server.url}/elsewhere")
        self.end_headers()
        self.wfile.write(self.server.body)

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receives for as long as the context lasts."""
    with Receiver() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
