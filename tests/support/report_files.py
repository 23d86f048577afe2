"""Folders of report files, and what an import of them writes."""

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.ingest.report_importer import ImportReport
from tests.support.contract import POSTMAN, REPORTS
from tests.support.db import tables
from tests.support.oracle import Tables
from tests.support.reports import STARTED, as_bytes, case, execution, failed, junit, newman, passed

HEAD = "a" * 40
RAW = {**POSTMAN, **REPORTS}
FAILURE = '<failure message="no"/>'
JOB = '<properties><property name="pipeline_id" value="{0}"/></properties>'
Import = Callable[..., ImportReport]


def put(folder: Path, name: str, content: bytes | str | dict[str, Any]) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(as_bytes(content))
    return path


def stored(url: str) -> Tables:
    return tables(url, RAW)


def outcomes(report: ImportReport) -> list[str]:
    return [file.outcome for file in report.files]


def other_run(number: int, **members: Any) -> dict[str, Any]:
    """A newman run of its own."""
    request = execution(number, assertions=[passed("ok"), failed("bad")])
    return newman([request, execution(number + 1)], started=STARTED + number * 60_000, **members)


def variety(folder: Path) -> None:
    """Files of every kind, some holding the same run."""
    run = other_run(0)
    put(folder, "a.json", run)
    put(folder, "b/compact.json.gz", gzip.compress(json.dumps(run, sort_keys=True).encode()))
    poorer = copy.deepcopy(run)
    del poorer["run"]["executions"][1]
    put(folder, "poorer.json", poorer)
    put(folder, "other.json", other_run(10))
    summary = copy.deepcopy(run)
    put(folder, "z-summary.json", {
        "Collection": {"Info": {"Name": "Orders", "Id": run["collection"]["info"]["_postman_id"]}},
        "Run": {"Stats": {"Requests": summary["run"]["stats"]["requests"],
                          "Assertions": summary["run"]["stats"]["assertions"]},
                "Failures": [], "Timings": summary["run"]["timings"]},
    })  # fmt: skip
    put(folder, "junit.xml", junit(case("a"), case("b", FAILURE)))
    put(folder, "same-junit.xml", "\ufeff" + junit(case("a"), case("b", FAILURE)))
    put(folder, "job/1.xml", junit(JOB.format(7), case("c"), case("d", FAILURE)))
    put(folder, "job/2.xml", junit(JOB.format(7), case("e", FAILURE), case("e")))
    put(folder, "readme.txt", "hello")
    put(folder, "cut.json", as_bytes(run)[:700])
