"""One secret in every place that can hold text; then everything that is kept or printed is read."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.db import query, url_of_role
from tests.support.factories import BOOKS, PROJECT, postman_run, testmo_run
from tests.support.reports import case, execution, failed, junit, newman
from tests.support.webhook import receiving

SECRET = "hunter2xyzzy"
URLS = (
    f"https://ada:{SECRET}@shop.example.com/cart",
    f"https://shop.example.com/cart?page=2&token={SECRET}#access_token={SECRET}",
    f"postgresql://ada:{SECRET}@db.example.com/shop",
)
# URLs as they stand in messages and names.
TEXT = f"GET {URLS[0]} failed ({URLS[1]}), see '{URLS[2]}'"


def hostile_postman() -> list[dict[str, Any]]:
    executions = [
        {
            "id": "item",
            "itemName": TEXT,
            "request": {"method": "GET", "url": url, "of another version": {"via": TEXT}},
            "response": {"statusCode": 200, "responseTime": 1, "note": TEXT},
            "assertions": [{"name": TEXT, "passed": False, "error": TEXT, "more": [TEXT]}],
        }
        for url in URLS
    ]
    ci_report: dict[str, Any] = {
        "createdBy": TEXT,
        "environmentName": TEXT,
        "of another version": {TEXT: [TEXT]},
    }
    return [
        postman_run(1, executions=executions, **ci_report),
        # set aside: an execution that is no object
        postman_run(2, executions=[*executions, TEXT], **ci_report),
        # an odd value of a known field
        postman_run(3, duration=TEXT, status=TEXT, executions=executions),
    ]


def hostile_testmo() -> list[dict[str, Any]]:
    link = {"name": TEXT, "note": TEXT, "url": URLS[0], "size": 1, "of another version": TEXT}
    ci_report: dict[str, Any] = {
        "name": TEXT,
        "tags": [TEXT],
        "links": [link],
        "artifacts": [link | {"url": URLS[1]}],
        "fields": [{"type": 1, "name": TEXT, "value": TEXT, "meta": {"url": URLS[1]}}],
        "of another version": [TEXT],
    }
    return [
        testmo_run(1, **ci_report),
        testmo_run(2, **(ci_report | {"links": TEXT})),
        testmo_run(3, elapsed=TEXT),
    ]


def write_reports(folder: Path, keys: tuple[str, str]) -> Path:
    """What newman and others write, with credentials where they write them, and our own `keys`."""
    text = f"{TEXT} {' '.join(keys)}"
    folder /= f"of {keys[0]}"
    folder.mkdir(parents=True)
    header = [{"key": "Authorization", "value": f"Bearer {SECRET}"}]
    url = {
        "protocol": "https",
        "auth": {"user": "ada", "password": SECRET},
        "host": ["shop", "example", "com"],
        "path": ["cart"],
        "query": [{"key": "token", "value": SECRET}],
    }
    made = execution(
        1,
        assertions=[failed(text, text)],
        request={
            "method": "POST",
            "url": url,
            "header": header,
            "auth": {"type": "bearer", "bearer": [{"key": "token", "value": SECRET}]},
            "body": {"mode": "raw", "raw": f'{{"password": "{SECRET}"}}'},
        },
        item={"id": "item-1", "name": text},
    )
    made["response"] |= {"header": header, "stream": {"type": "Buffer", "data": [*SECRET.encode()]}}
    values = [{"key": "password", "value": SECRET, "type": "secret"}]
    report = newman(
        [made],
        environment={"id": "e", "name": text, "values": values},
        globals={"id": "g", "values": values},
    )
    (folder / f"newman {keys[1]}.json").write_text(json.dumps(report))
    properties = (
        f'<properties><property name="password" value="{SECRET}"/>'
        f'<property name="url" value="{URLS[0]}"/></properties>'
    )
    output = f"<system-out>login with {SECRET}</system-out><system-err>{SECRET}</system-err>"
    failure = (
        f'<failure message="{URLS[0]}" type="{keys[0]} {URLS[0]}">{keys[1]} {URLS[0]}</failure>'
    )
    (folder / "junit.xml").write_text(
        junit(
            properties,
            case(f"{URLS[0]} {keys[0]}", failure + output),
            output,
            attributes=f'name="s {keys[1]}"',
        )
    )
    ctrf = {
        "results": {
            "tool": {"name": "jest"},
            "summary": {"tests": 1, "passed": 0, "failed": 1, "start": 1, "stop": 2},
            "tests": [
                {
                    "name": text,
                    "status": "failed",
                    "message": text,
                    "trace": text,
                    "stdout": [SECRET],
                    "stderr": [SECRET],
                    "parameters": {"password": SECRET},
                    "extra": {"url": URLS[0]},
                    "tags": [text],
                    "rawStatus": text,
                    "suite": [text],
                    "filePath": text,
                }
            ],
            "environment": {"appName": text, "extra": {"password": SECRET}},
        }
    }
    (folder / "ctrf.json").write_text(json.dumps(ctrf))
    (folder / f"broken {keys[0]}.xml").write_text(f"<testsuites><testsuite name='{URLS[0]}'><oops")
    return folder.parent


@pytest.fixture
def role_url(warehouse_url: str, server_url: str) -> Iterator[str]:
    """The warehouse of a role whose password is the secret."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create role secretive superuser login password '{SECRET}'".encode())
        name = warehouse_url.rpartition("/")[2]
        yield url_of_role(warehouse_url, "secretive", name).replace("plain", SECRET)
        connection.execute("reassign owned by secretive to current_user")
        with psycopg.connect(warehouse_url, autocommit=True) as ours:
            ours.execute("reassign owned by secretive to current_user")
            ours.execute("drop owned by secretive")
        connection.execute("drop role secretive")


def everything_stored(url: str) -> Iterator[tuple[str, str]]:
    """Each row of each table, and where it stands."""
    relations = query(
        url,
        "select oid::regclass::text from pg_class where relkind in ('r', 'v', 'm')"
        " and relnamespace::regnamespace::text !~ '^(pg_|information_schema)'",
    )
    for (relation,) in relations:
        for (row,) in query(url, f"select r::text from {relation} as r"):
            yield relation, row


@pytest.mark.slow
def test_a_secret_is_stored_and_printed_nowhere(role_url: str, tmp_path: Path) -> None:
    books = json.loads(json.dumps(BOOKS))
    for name in ("configs", "milestones", "users", "projects"):
        books[name] = dict.fromkeys(books[name], TEXT)
    books["automation_sources"][0] |= {"name": TEXT, "of another version": TEXT}
    books["statuses"][0] |= {"name": TEXT, "aliases": [TEXT]}
    home = tmp_path / "home"
    with (
        Sandbox(SandboxData(hostile_postman(), hostile_testmo(), books)) as sandbox,
        receiving() as webhook,
    ):
        keys = (sandbox.postman_api_key, sandbox.testmo_api_token)
        reports = write_reports(tmp_path / "reports", keys)
        variables = {
            **sandbox.settings,
            "TESTMO_PROJECT_IDS": f"{PROJECT},404",
            "TESTRUNS_WAREHOUSE_URL": role_url,
            "TESTRUNS_HOME": str(home),
            "TESTRUNS_ALERT_WEBHOOK": f"{webhook.url}/{SECRET}?token={SECRET}",
        }

        printed = {}
        for arguments in (
            ["load", "--verbose"],
            ["import", "--branch", keys[0], "--environment", keys[1], str(reports)],
            ["transform"],
            ["report"],
            ["nightly", "--verbose"],
            ["audit"],
            ["backfill", "--since", "2026-01-01"],
            ["retry-rejected"],
            ["status"],
            ["status", "--json"],
        ):
            done = subprocess.run(
                [sys.executable, "-m", "pipelines.cli", *arguments],
                cwd=tmp_path,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), **variables},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode in {0, 1}, done.stderr
            assert "Traceback" not in done.stderr
            printed[arguments[0]] = done.stdout + done.stderr
        sent = json.dumps(webhook.messages)

    assert "404" in sent
    assert query(role_url, "select count(*) from ingest.rejected_records") == [(2,)]
    for secret in (SECRET, *keys):
        forms = [secret, secret.encode().hex()]
        assert [name for name, text in printed.items() if any(form in text for form in forms)] == []
        assert not any(form in sent for form in forms)
        assert {
            (relation, row[max(0, row.find(secret) - 60) : row.find(secret) + 20])
            for relation, row in everything_stored(role_url)
            if any(form in row for form in forms)
        } == set(), secret
        assert [
            str(path)
            for path in home.rglob("*")
            if path.is_file() and any(form.encode() in path.read_bytes() for form in forms)
        ] == []
    # What lies in the home is its owner's alone, but for reports, whose folder is closed.
    assert [
        str(path)
        for path in (home, *home.rglob("*"))
        if path.stat().st_mode & 0o077 and path.name != "report.html"
    ] == []
