"""Ready-made Singer messages of a work's Postman runs: schema, records, state; one line each.

    python -m bench.singer_records WORK > messages.jsonl

No tap reads this API, so the target alone can be measured: it is given what a tap would have said.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from bench.bodies_postman import PostmanBodies
from bench.work import Work

_TEXT = {"type": ["string", "null"]}
_NUMBER = {"type": ["integer", "null"]}
_STREAMS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "collection_runs": (
        ["run_id"],
        {
            "run_id": _TEXT,
            "collection_id": _TEXT,
            "environment_id": _TEXT,
            "status": _TEXT,
            "source": _TEXT,
            "created_by": _TEXT,
            "started_at": {**_TEXT, "format": "date-time"},
            "finished_at": {**_TEXT, "format": "date-time"},
            "duration_ms": _NUMBER,
        },
    ),
    "executions": (
        ["run_id", "execution_index"],
        {
            "run_id": _TEXT,
            "execution_index": _NUMBER,
            "execution_id": _TEXT,
            "item_name": _TEXT,
            "request_method": _TEXT,
            "request_url": _TEXT,
            "response_status_code": _NUMBER,
            "response_time_ms": _NUMBER,
            "response_size_bytes": _NUMBER,
        },
    ),
    "assertions": (
        ["run_id", "execution_index", "assertion_index"],
        {
            "run_id": _TEXT,
            "execution_index": _NUMBER,
            "assertion_index": _NUMBER,
            "name": _TEXT,
            "passed": {"type": ["boolean", "null"]},
            "error": _TEXT,
        },
    ),
}


def messages(work: Work) -> Iterator[dict[str, Any]]:
    for stream, (keys, properties) in _STREAMS.items():
        schema = {"type": "object", "properties": properties}
        yield {"type": "SCHEMA", "stream": stream, "key_properties": keys, "schema": schema}
    bodies = PostmanBodies(work)
    for collection in work.collection_ids:
        listed: dict[str, Any] = {"meta": {"nextCursor": str(work.postman_runs)}}
        while "nextCursor" in listed["meta"]:
            listed = json.loads(bodies.page(collection, {"cursor": listed["meta"]["nextCursor"]}))
            for run in listed["runs"]:
                yield from _records(json.loads(bodies.detail(collection, run["id"]))["run"])
    yield {"type": "STATE", "value": {}}


def _records(run: dict[str, Any]) -> Iterator[dict[str, Any]]:
    key = {"run_id": run["id"]}
    yield _record(
        "collection_runs",
        key,
        run["collectionId"], run["environmentId"], run["status"], run["source"], run["createdBy"],
        run["startedAt"], run["finishedAt"], run["duration"],
    )  # fmt: skip
    for index, execution in enumerate(run["executions"]):
        request, response = execution["request"], execution["response"]
        key = {"run_id": run["id"], "execution_index": index}
        yield _record(
            "executions",
            key,
            execution["id"], execution["itemName"], request["method"], request["url"],
            response["statusCode"], response["responseTime"], response["responseSize"],
        )  # fmt: skip
        for position, assertion in enumerate(execution["assertions"]):
            yield _record(
                "assertions",
                {**key, "assertion_index": position},
                assertion["name"], assertion["passed"], assertion.get("error"),
            )  # fmt: skip


def _record(stream: str, key: dict[str, Any], *values: Any) -> dict[str, Any]:
    names = [name for name in _STREAMS[stream][1] if name not in key]
    record = key | dict(zip(names, values, strict=True))
    return {"type": "RECORD", "stream": stream, "record": record}


if __name__ == "__main__":
    sys.stdout.writelines(
        json.dumps(message) + "\n" for message in messages(Work.from_json(sys.argv[1]))
    )
