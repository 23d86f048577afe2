"""The faults of a sandbox over HTTP, for tests in other languages.

`GET /faults` gives how often each has struck, `PUT /faults` asks for a JSON list of them and no
others, `DELETE /faults` for none. The way in is loopback, as for everything that is served here.
"""

import json

from pipelines.sandbox.faults.plan import Faults
from pipelines.sandbox.wire import Answer, encode

PATH = "/faults"


def control(faults: Faults, method: str, body: bytes) -> Answer:
    """Change the faults as requested, and give those that now hold."""
    try:
        match method:
            case "GET":
                pass
            case "PUT":
                faults.replace(*_specs(body))
            case "DELETE":
                faults.clear()
            case _:
                return Answer(405, encode({"message": "GET, PUT and DELETE are taken here."}))
    except ValueError as error:
        return Answer(400, encode({"message": str(error)}))
    return Answer(200, encode(faults.struck))


def _specs(body: bytes) -> list[str]:
    try:
        specs = json.loads(body)
    except (ValueError, RecursionError):
        specs = None
    if not isinstance(specs, list) or not all(isinstance(spec, str) for spec in specs):
        raise ValueError('the body is to be a JSON list of faults, as ["status-503:times=2"]')
    return specs
