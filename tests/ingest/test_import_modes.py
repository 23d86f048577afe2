"""An import that writes nothing, one that watches a folder, and what none may reveal or load."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.ingest.import_reports import watch_paths
from pipelines.ingest.report_importer import Options
from pipelines.settings import Settings
from tests.support.db import query
from tests.support.report_files import HEAD, Import, other_run, outcomes, put, stored, variety
from tests.support.reports import as_bytes, case, execution, failed, junit, newman


def test_no_secret_of_a_report_is_at_rest(offer: Import, folder: Path, warehouse_url: str) -> None:
    sent = execution(
        0,
        request={
            "method": "POST", "url": "https://user:PLANTED@h/x?api_key=PLANTED&t=tok-PLANTED",
            "header": [{"key": "A", "value": "PLANTED"}], "body": {"mode": "raw", "raw": "PLANTED"},
            "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "tok-PLANTED"}]},
        },
        response={"code": 200, "header": [{"key": "Set-Cookie", "value": "PLANTED"}],
                  "cookie": [{"name": "s", "value": "PLANTED"}], "body": "PLANTED",
                  "stream": {"type": "Buffer", "data": [*b"PLANTED"]}},
        requestError={"code": "X", "rawPacket": {"data": [1]}, "config": "PLANTED"},
        assertions=[failed("x", "at https://u:PLANTED@h/ with tok-PLANTED")],
    )  # fmt: skip
    values = [{"key": "apiToken", "value": "PLANTED-environment", "type": "any"}]
    report = newman(
        [sent],
        environment={"id": "e", "name": "n", "values": values},
        globals={"id": "g", "values": values},
    )
    report["collection"]["variable"] = values
    report["collection"]["item"][0]["request"] = {"header": [{"value": "PLANTED"}]}
    put(folder, "a.json", report)
    put(folder, "b.xml", junit(
        '<properties><property name="env.TOKEN" value="PLANTED"/>'
        '<property name="build_url" value="https://u:PLANTED@ci/1?access_token=PLANTED"/>'
        "</properties>",
        case("x", '<failure message="https://u:PLANTED@h/"/><system-out>PLANTED</system-out>'),
        "<system-err>PLANTED</system-err>",
    ))  # fmt: skip
    put(folder, "c.json", {"https://u:PLANTED@h": 1})

    offer(folder)

    names = query(
        warehouse_url,
        "select oid::regclass::text from pg_class where relkind = 'r' and"
        " relnamespace::regnamespace::text in ('ingest', 'raw_postman', 'raw_reports')",
    )
    for (table,) in names:
        rows = query(warehouse_url, f"select * from {table}")
        assert "PLANTED" not in str(rows), table
    assert query(warehouse_url, "select count(build_url) from ingest.code_identities") == [(1,)]


def test_a_dry_run_says_all_and_writes_nothing(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    variety(folder)

    dry = offer(folder, is_dry_run=True)

    assert query(warehouse_url, "select count(*) from ingest.imported_files") == [(0,)]
    assert query(warehouse_url, "select count(*) from ingest.loads") == [(0,)]
    assert not any(stored(warehouse_url).values())
    assert outcomes(offer(folder)) == outcomes(dry)


class _EnoughError(Exception):
    pass


def test_watching_takes_a_file_once_it_is_whole(
    make_settings: Callable[[dict[str, str]], Settings], warehouse_url: str, folder: Path
) -> None:
    now = 0.0
    whole = as_bytes(other_run(0))
    seen: list[tuple[float, str]] = []
    loads: list[tuple[str, bool]] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        if now == 2:
            put(folder, "a.json", whole[:500])
        if now == 8:
            put(folder, "a.json", whole)
        if now == 15:
            loads.extend(query(warehouse_url, "select outcome, rows_written <> '{}' from"
                               " ingest.loads order by load_id"))  # fmt: skip
            put(folder, "testruns-ci.json", {"commit": HEAD})
            put(folder, "b.json", other_run(1))
        if now == 20:
            put(folder, "never.json", whole[:300])
        if now == 120:
            raise _EnoughError

    with pytest.raises(_EnoughError):
        watch_paths(
            make_settings({}), warehouse_url, [folder], Options(), {},
            settled=lambda file: seen.append((now, file.outcome)), clock=lambda: now, sleep=sleep,
        )  # fmt: skip

    assert seen == [(10, "loaded"), (17, "loaded"), (80, "rejected")]
    # Each batch is an import that ends, and models follow what has ended; a file is not read anew
    # each second while it is waited for, nor a sidecar that has come since left unread.
    assert loads == [("succeeded", False), ("succeeded", True)]
    assert query(warehouse_url, "select count(commit_sha) from ingest.code_identities") == [(1,)]


def test_an_import_needs_neither_http_nor_what_models_need() -> None:
    code = (
        "import sys, pipelines.ingest.import_reports, pipelines.settings\n"
        "heavy = {'aiohttp', 'dagster', 'dbt', 'httpx', 'numpy', 'pandas', 'sqlalchemy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
