"""A sandbox whose answers a test changes as it likes, for what no fault of the catalogue plays."""

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from pipelines.sandbox.server import Sandbox

Change = Callable[[bytes], bytes]


class Tampered(Sandbox):
    """A sandbox that changes its answers, or their status, where a path ends as given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.changes: dict[str, Change | int] = {}

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        response = await super()._serve(request)
        for ending, change in self.changes.items():
            if request.path.endswith(ending) and response.status == 200:
                if isinstance(change, int):
                    return web.Response(status=change, body=b"{}")
                body = response.body
                assert isinstance(body, bytes)
                response.body = change(body)
        return response


def listed(change: Callable[[list[Any]], list[Any]], member: str = "runs") -> Change:
    """A change of the list of a page."""

    def changed(body: bytes) -> bytes:
        page = json.loads(body)
        page[member] = change(page[member])
        return json.dumps(page).encode()

    return changed


def replaced(body: bytes) -> Change:
    """Another body altogether."""
    return lambda _body: body


def with_members(**members: Any) -> Change:
    """The same object with other members."""
    return lambda body: json.dumps({**json.loads(body), **members}).encode()
