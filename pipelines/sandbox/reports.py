"""The served history as report files, as CI would have kept them: newman, JUnit XML and CTRF.

Runs that have ended, with what the formats can hold: Postman's as newman's JSON reports, Testmo's
as JUnit or CTRF, by automation source. The same history gives the same bytes.
"""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from pipelines.sandbox.catalog import COLLECTIONS, ENVIRONMENTS
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.wire import Json

_PASSED, _FAILED, _SKIPPED = "passed", "failed", "skipped"
_OUTCOMES = {1: _SKIPPED, 2: _PASSED, 3: _FAILED}
_COLLECTION_NAMES = {collection.uid: collection.name for collection in COLLECTIONS}
_ENVIRONMENT_NAMES = {uid: name for name, uid in ENVIRONMENTS.items()}


def write_reports(data: SandboxData, folder: Path) -> int:
    """Write a file a run into `folder`, a folder a day; how many. Raises OSError."""
    number = 0
    for name, text in _files(data):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        number += 1
    return number


def _files(data: SandboxData) -> Iterator[tuple[str, str]]:
    # newman writes nothing of a run that broke before it could report.
    ended = [run for run in data.postman_runs if run.get("finishedAt") and run.get("executions")]
    items: dict[str, dict[str, Json]] = {}
    for run in ended:
        for execution in run["executions"]:
            items.setdefault(run["collectionId"], {}).setdefault(execution["id"], execution)
    for run in ended:
        name = f"{run['startedAt'][:10]}/newman-{run['id']}.json"
        report = newman_report(run, list(items[run["collectionId"]].values()))
        yield name, json.dumps(report, indent=2)
    for run in data.testmo_runs:
        if run.get("is_completed") and data.testmo_tests is not None:
            tests = [test for test in data.testmo_tests(run) if test["status"] in _OUTCOMES]
            config = data.testmo_books["configs"].get(str(run.get("config_id")))
            stem = f"{run['created_at'][:10]}/testmo-{run['id']}"
            if run["source_id"] % 2:
                yield f"{stem}.xml", junit_report(run, tests, config)
            else:
                yield f"{stem}.ctrf.json", json.dumps(ctrf_report(run, tests, config), indent=2)


def newman_report(run: Json, items: list[Json]) -> Json:
    """A Postman run as `newman run -r json` writes it; `items` are those of its collection."""
    executions = run["executions"]
    assertions = [assertion for execution in executions for assertion in execution["assertions"]]
    environment = run.get("environmentId")
    return {
        "collection": {
            "info": {
                "_postman_id": _without_owner(run["collectionId"]),
                "name": _COLLECTION_NAMES.get(run["collectionId"], run["collectionId"]),
            },
            "item": [
                {"id": item["id"], "name": item["itemName"],
                 "request": {"method": item["request"]["method"]}}
                for item in items
            ],
        },
        "environment": {
            "id": _without_owner(environment) if environment else _made_up(run, "environment"),
            **({"name": _ENVIRONMENT_NAMES.get(environment, environment)} if environment else {}),
            "values": [],
        },
        "globals": {"id": _made_up(run, "globals"), "values": []},
        "run": {
            "stats": {
                "iterations": _total(run.get("iterations") or 1),
                "requests": {**run["stats"]["requests"], "pending": 0},
                "assertions": _total(
                    len(assertions), sum(not assertion["passed"] for assertion in assertions)
                ),
            },
            "timings": {
                "started": _milliseconds(run["startedAt"]),
                "completed": _milliseconds(run["finishedAt"]),
            },
            "executions": [
                _execution(run, place, execution) for place, execution in enumerate(executions)
            ],
            "failures": [],
            "error": None,
        },
    }  # fmt: skip


def _execution(run: Json, place: int, execution: Json) -> Json:
    response, request = execution.get("response"), execution["request"]
    sent: Json = {
        "cursor": {
            "iteration": execution.get("iteration", 0),
            "position": execution.get("position", place),
            "ref": _made_up(run, f"ref {place}"),
            "httpRequestId": _made_up(run, f"request {place}"),
        },
        "item": {"id": execution["id"], "name": execution["itemName"]},
        "id": execution["id"],
        "request": {"method": request["method"], "url": _url(request["url"]), "header": []},
        "assertions": [_assertion(item) for item in execution["assertions"]],
    }
    if response:
        sent["response"] = {
            "id": _made_up(run, f"response {place}"),
            "code": response["statusCode"],
            "responseTime": response["responseTime"],
            "responseSize": response["responseSize"],
            "header": [],
            "stream": {"type": "Buffer", "data": [123, 125]},
            **({"status": response["status"]} if "status" in response else {}),
        }
    else:
        sent["requestError"] = execution.get("requestError", {"code": "ESOCKETTIMEDOUT"})
    for error in execution.get("scriptErrors", ()):
        name, _, message = error["message"].partition(": ")
        sent.setdefault(error["listen"], []).append({"error": {"name": name, "message": message}})
    return sent


def _assertion(assertion: Json) -> Json:
    sent = {"assertion": assertion["name"], "skipped": bool(assertion.get("skipped"))}
    if assertion["passed"]:
        return sent
    name = assertion.get("errorName", "AssertionError")
    return sent | {"error": {"name": name, "message": assertion["error"], "stack": "…"}}


def _url(url: str) -> Json:
    """A URL in pieces, as Postman's SDK writes it."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name, _, port = host.partition(":")
    pairs = [pair.partition("=") for pair in parts.query.split("&")] if parts.query else []
    pieces: Json = {
        "protocol": parts.scheme,
        "host": name.split("."),
        "path": parts.path.removeprefix("/").split("/") if parts.path else [],
        "query": [{"key": key, "value": value if equals else None} for key, equals, value in pairs],
        "variable": [],
    }
    if user:
        login, _, password = user.partition(":")
        pieces["auth"] = {"user": login, "password": password}
    return pieces | ({"port": port} if port else {})


def junit_report(run: Json, tests: list[Json], config: str | None) -> str:
    """A Testmo run as a JUnit report, a suite a folder."""
    root = ET.Element("testsuites", name=run["name"], timestamp=run["created_at"])
    root.set("time", _seconds(run["elapsed"]))
    for name, value in _about(run).items():
        properties = root.find("properties")
        properties = ET.SubElement(root, "properties") if properties is None else properties
        ET.SubElement(properties, "property", name=name, value=value)
    by_folder: dict[str, list[Json]] = {}
    for test in tests:
        by_folder.setdefault(test["folder"], []).append(test)
    for folder, inside in by_folder.items():
        outcomes = [_OUTCOMES[test["status"]] for test in inside]
        suite = ET.SubElement(
            root, "testsuite", name=folder, timestamp=run["created_at"], tests=str(len(inside)),
            failures=str(outcomes.count(_FAILED)), errors="0",
            skipped=str(outcomes.count(_SKIPPED)),
        )  # fmt: skip
        if config:
            properties = ET.SubElement(suite, "properties")
            ET.SubElement(properties, "property", name="environment", value=config)
        for test, outcome in zip(inside, outcomes, strict=True):
            case = ET.SubElement(suite, "testcase", name=test["name"], classname=folder)
            if test["elapsed"] is not None:
                case.set("time", _seconds(test["elapsed"]))
            if outcome == _FAILED:
                ET.SubElement(case, "failure", message="expected the page to be ready")
            elif outcome == _SKIPPED:
                ET.SubElement(case, "skipped")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def ctrf_report(run: Json, tests: list[Json], config: str | None) -> Json:
    """A Testmo run as a CTRF report."""
    outcomes = [_OUTCOMES[test["status"]] for test in tests]
    about = _about(run)
    start = _milliseconds(run["created_at"])
    return {
        "reportFormat": "CTRF",
        "specVersion": "1.0.0",
        "reportId": str(uuid5(NAMESPACE_URL, f"testmo/{run['id']}")),
        "results": {
            "tool": {"name": "ctrf-sandbox"},
            "summary": {
                "tests": len(tests), "passed": outcomes.count(_PASSED),
                "failed": outcomes.count(_FAILED), "skipped": outcomes.count(_SKIPPED),
                "pending": 0, "other": 0, "start": start,
                "stop": start + round(run["elapsed"] / 1000),
            },
            "tests": [
                {
                    "name": test["name"], "suite": [test["folder"]], "status": outcome,
                    "duration": (test["elapsed"] or 0) / 1000,
                    **({"message": "expected the page to be ready"} if outcome == _FAILED else {}),
                }
                for test, outcome in zip(tests, outcomes, strict=True)
            ],
            "environment": {
                "reportName": run["name"],
                **({"testEnvironment": config} if config else {}),
                **({"commit": about["commit"]} if "commit" in about else {}),
                **({"buildUrl": about["build_url"]} if "build_url" in about else {}),
            },
        },
    }  # fmt: skip


def _about(run: Json) -> dict[str, str]:
    """Commit and build, which Testmo's runs have as fields."""
    names = {"Commit": "commit", "Build": "build_url"}
    fields = {field["name"]: field["value"] for field in run.get("fields") or ()}
    return {ours: fields[theirs] for theirs, ours in names.items() if fields.get(theirs)}


def _total(total: int, failed: int = 0) -> Json:
    return {"total": total, "pending": 0, "failed": failed}


def _made_up(run: Json, what: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"{run['id']}/{what}"))


def _without_owner(uid: str) -> str:
    """The ID that files hold: a UID without its owner in front."""
    owner, _, rest = uid.partition("-")
    return rest if owner.isdecimal() else uid


def _milliseconds(time: str) -> int:
    moment = datetime.fromisoformat(time)
    return (moment - datetime.fromisoformat("1970-01-01T00:00:00Z")) // timedelta(milliseconds=1)


def _seconds(microseconds: int) -> str:
    return f"{microseconds / 1_000_000:.6f}"
