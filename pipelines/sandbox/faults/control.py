"""The faults of a sandbox over HTTP, for tests in other languages.

`GET /faults` gives how often each has struck, `PUT /faults` asks for a JSON list of them and no
others, `DELETE /faults` for none. The way in is loopback, as for everything that is served here.
"""

import json

from pipelines.sandbox.faults.plan import Faults
from pipelines.sandbox.wire import Answer, encode

PATH = "/faults"


def control(faults: Faults, method: str, body: bytes) -> Answer:
    """Change the faults as asked, and give those that now hold."""
    try:
        match method:
            case "GET":
                pass
            case "PUT":
                faults.replace(*_asks(body))
            case "DELETE":
                faults.clear()
            case _:
                return Answer(405, encode({"message": "GET, PUT and DELETE are taken here."}))
    except ValueError as error:
        return Answer(400, encode({"message": str(error)}))
    return Answer(200, encode(faults.struck))


def _asks(body: bytes) -> list[str]:
    try:
        asks = json.loads(body)
    except (ValueError, RecursionError):
        asks = None
    if not isinstance(asks, list) or not all(isinstance(ask, str) for ask in asks):
        raise ValueError('the body is to be a JSON list of faults, as ["status-503:times=2"]')
    return asks
