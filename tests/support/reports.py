"""Report files made up for tests, and what the readers make of them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.sources.redaction import Redactor
from pipelines.sources.reports.file_bytes import FileBytes
from pipelines.sources.reports.recognise import read_report
from pipelines.sources.reports.report import SYSTEMS, Report, ReportError
from pipelines.sources.reports.spool import Spool

STARTED = 1_793_500_000_000  # ms since 1970: 2026-11-01T01:46:40Z


@dataclass(frozen=True)
class Read:
    """A report that was read, its rows by the table's last name, each a dict."""

    report: Report
    rows: dict[str, list[dict[str, Any]]]

    @property
    def run(self) -> dict[str, Any]:
        return self.report.run

    def differences(self) -> dict[str, tuple[int, int]]:
        """(announced, loaded) by total."""
        return {
            total.total: (total.announced, total.loaded)
            for total in self.report.totals
            if total.announced is not None and total.announced != total.loaded
        }


def read(folder: Path, content: bytes | str | dict[str, Any]) -> Read:
    """What is read out of a file of this content. Raises ReportError."""
    path = folder / "report"
    path.write_bytes(as_bytes(content))
    file = FileBytes(path)
    try:
        with Spool() as spool:
            report = read_report(file, spool, Redactor(["api_key"]))
            rows = {
                table.split(".")[1]: [
                    dict(zip(columns[1:], row, strict=True)) for row in report.tables.get(table, ())
                ]
                for table, columns in list(SYSTEMS[report.system].items())[1:]
            }
    finally:
        file.close()
    return Read(report, rows)


def refusal(folder: Path, content: bytes | str | dict[str, Any]) -> ReportError:
    """Why a file of this content is not taken."""
    try:
        read(folder, content)
    except ReportError as error:
        return error
    raise AssertionError("it was taken")


def as_bytes(content: bytes | str | dict[str, Any]) -> bytes:
    if isinstance(content, dict):
        content = json.dumps(content, indent=2)
    return content.encode() if isinstance(content, str) else content


def execution(
    number: int, *, assertions: Sequence[dict[str, Any]] = (), iteration: int = 0, **members: Any
) -> dict[str, Any]:
    """An execution of newman's; `members` replace its own, None takes one away."""
    made = {
        "cursor": {
            "ref": f"ref-{number}", "iteration": iteration, "position": number,
            "httpRequestId": f"http-{number}",
        },
        "item": {"id": f"item-{number}", "name": f"Request {number}"},
        "id": f"item-{number}",
        "request": {
            "method": "GET",
            "url": {"protocol": "https", "host": ["api", "example", "test"],
                    "path": ["orders", str(number)], "query": [], "variable": []},
        },
        "response": {
            "id": f"response-{number}", "code": 200, "status": "OK", "responseTime": 12,
            "responseSize": 34, "stream": {"type": "Buffer", "data": [123, 34, 125]},
        },
        "assertions": list(assertions),
        **members,
    }  # fmt: skip
    return {name: value for name, value in made.items() if value is not None}


def passed(name: str) -> dict[str, Any]:
    return {"assertion": name, "skipped": False}


def failed(name: str, message: str = "expected 1 to equal 2") -> dict[str, Any]:
    return {**passed(name), "error": {"name": "AssertionError", "message": message, "stack": "…"}}


def newman(executions: Iterable[Any], *, started: int = STARTED, **members: Any) -> dict[str, Any]:
    """A report of newman's over these executions, announced as they are."""
    listed = list(executions)
    assertions = [one for made in listed for one in made.get("assertions", ())]
    stats = {
        "iterations": {"total": 1, "pending": 0, "failed": 0},
        "requests": {
            "total": len(listed), "pending": 0,
            "failed": sum("response" not in made for made in listed),
        },
        "assertions": {
            "total": len(assertions), "pending": 0,
            "failed": sum("error" in one for one in assertions),
        },
        "testScripts": {"total": 1, "pending": 0, "failed": 0},
    }  # fmt: skip
    return {
        "collection": {
            "info": {"_postman_id": "11111111-2222-4333-8444-555555555555", "name": "Orders"},
            "item": [{"id": one["item"]["id"], "name": one["item"].get("name")} for one in listed],
        },
        "environment": {"id": "made-up-for-this-run", "values": []},
        "globals": {"id": "globals", "values": []},
        "run": {
            "stats": stats,
            "timings": {"started": started, "completed": started + 2500, "responseAverage": 12.5},
            "executions": listed,
            "transfers": {"responseTotal": 34},
            "failures": [],
            "error": None,
        },
        **members,
    }


def junit(*cases: str, attributes: str = 'name="suite"') -> str:
    """A JUnit report of one suite."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites><testsuite {attributes}>\n'
        + "\n".join(cases)
        + "\n</testsuite></testsuites>\n"
    )


def case(name: str, inside: str = "", *, time: str = "0.5", classname: str = "acme.Orders") -> str:
    return f'<testcase classname="{classname}" name="{name}" time="{time}">{inside}</testcase>'
