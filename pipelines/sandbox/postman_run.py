"""One Postman run written down: outcomes in, the API's `CollectionRun` out.

What newman reports beyond the reference page (iterations, positions, skipped assertions, request
and script errors, exit codes) stands on newman's runs, so that a loader meets unknown fields.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from random import Random
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from pipelines.sandbox.catalog import ENVIRONMENTS, USERS, Call, Collection, Trigger
from pipelines.sandbox.history_days import iso
from pipelines.sandbox.wire import Json

_TIMEOUT_MS = 5_000
_BETWEEN_REQUESTS_MS = 40
_SKIPPED_CHANCE = 0.005
_VARIABLE = re.compile(r"\{\{\w+\}\}")
_NOT_JSON = "Unexpected token '<' at 1:1\n<html>\n^"


class Outcome(NamedTuple):
    """What came of one request; no status code means no response, `errors` go by assertion."""

    status_code: int | None
    elapsed_ms: int
    errors: dict[str, str]


def unanswered(call: Call) -> Outcome:
    """Give a request that timed out: every assertion finds nothing to look at."""
    return Outcome(None, _TIMEOUT_MS, dict.fromkeys(call.assertions, "expected undefined to exist"))


def answered(
    call: Call, status_code: int, elapsed_ms: int, own_errors: dict[str, str] | None = None
) -> Outcome:
    """Give a response: one of another status than expected brings an HTML page, not JSON."""
    if status_code == call.status_code:
        return Outcome(status_code, elapsed_ms, own_errors or {})
    first, *others = call.assertions
    wrong = f"expected response to have status code {call.status_code} but got {status_code}"
    return Outcome(status_code, elapsed_ms, {first: wrong, **dict.fromkeys(others, _NOT_JSON)})


class Recorder:
    """Writes down one run of a collection; execution IDs are the same in each, as newman's are."""

    def __init__(
        self, collection: Collection, at: datetime, trigger: Trigger, dice: Random
    ) -> None:
        """Note what is known when a run begins; `dice` are this run's own."""
        self._collection = collection
        self._at = at
        self._by_newman = trigger.source == "newman"
        self._dice = dice
        self._begun: Json = {
            "id": str(UUID(int=dice.getrandbits(128), version=4)),
            "source": trigger.source,
            "startedAt": iso(at),
            "collectionId": collection.uid,
        }
        if trigger.environment:
            self._begun["environmentId"] = ENVIRONMENTS[trigger.environment]
        if not self._by_newman:
            self._begun["createdBy"] = dice.choice(USERS)

    def finished(
        self, outcome: Callable[[Call], Outcome], request_count: int | None = None
    ) -> Json:
        """Give the run with what came of all its requests, or of the first so many."""
        iterations = self._collection.iterations if self._by_newman else 1
        token = f"{self._dice.getrandbits(40):010x}"
        executions, elapsed_ms = [], 0
        for iteration in range(iterations):
            for position, call in enumerate(self._collection.calls[:request_count]):
                came = outcome(call)
                execution = self._execution(call, came, token)
                if self._by_newman:
                    execution |= {"iteration": iteration, "position": position}
                    self._add_what_newman_knows(execution, came)
                executions.append(execution)
                elapsed_ms += came.elapsed_ms + _BETWEEN_REQUESTS_MS
        stats = _stats(executions)
        run = self._begun | {
            "status": "finished",
            "finishedAt": iso(self._at + timedelta(milliseconds=elapsed_ms)),
            "duration": elapsed_ms,
            "stats": stats,
            "executions": executions,
        }
        if self._by_newman:
            run |= {
                "exitCode": int(stats["assertions"]["failed"] > 0),
                "iterations": iterations,
                "collectionName": self._collection.name,
            }
        return run

    def failed(self) -> Json:
        """Give the run as one that broke before it could report anything."""
        return self._begun | {
            "status": "failed",
            "finishedAt": iso(self._at + timedelta(seconds=4.205)),
            "duration": 4_205,
            "stats": None,
            "executions": None,
            "exitCode": 1,
            "runError": "error: callback timed out",
        }

    def running(self) -> Json:
        """Give the run as one that has begun and nothing more."""
        return self._begun | {"status": "running"}

    def _execution(self, call: Call, outcome: Outcome, token: str) -> Json:
        url = call.url if "://" in call.url else self._collection.base_url + call.url
        execution: Json = {
            "id": str(uuid5(NAMESPACE_URL, f"{self._collection.uid}/{call.name}")),
            "itemName": call.name,
            "request": {"method": call.method, "url": _VARIABLE.sub(token, url)},
        }
        if outcome.status_code is not None:
            size_bytes = round(call.size_bytes * self._dice.uniform(0.95, 1.05))
            execution["response"] = {
                "statusCode": outcome.status_code,
                "responseTime": outcome.elapsed_ms,
                "responseSize": size_bytes if outcome.status_code == call.status_code else 192,
            }
        execution["assertions"] = [_assertion(name, outcome.errors) for name in call.assertions]
        return execution

    def _add_what_newman_knows(self, execution: Json, outcome: Outcome) -> None:
        if outcome.status_code is None:
            execution |= {"response": None, "requestError": {"code": "ESOCKETTIMEDOUT"}}
        else:
            execution["response"]["status"] = HTTPStatus(outcome.status_code).phrase
        if _NOT_JSON in outcome.errors.values():
            message = f"JSONError: {_NOT_JSON}"
            execution["scriptErrors"] = [{"listen": "testScript", "message": message}]
        for assertion in execution["assertions"]:
            # A skipped assertion is reported as passed.
            skipped = assertion["passed"] and self._dice.random() < _SKIPPED_CHANCE
            assertion["skipped"] = skipped
            if not assertion["passed"]:
                assertion["errorName"] = "AssertionError"


def _assertion(name: str, errors: dict[str, str]) -> Json:
    if name in errors:
        return {"name": name, "passed": False, "error": errors[name]}
    return {"name": name, "passed": True}


def _stats(executions: list[Json]) -> Json:
    """Count as newman does: a request fails by getting no answer, not by its status code."""
    assertions = [a for execution in executions for a in execution["assertions"]]
    return {
        "requests": {
            "total": len(executions),
            "failed": sum(not execution.get("response") for execution in executions),
        },
        "assertions": {
            "total": len(assertions),
            "failed": sum(not assertion["passed"] for assertion in assertions),
        },
    }
