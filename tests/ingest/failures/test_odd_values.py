"""Values that no column holds, absurd times, unknown fields, secrets: kept, replaced or masked."""

import json
import logging
import random

import pytest

from tests.support.db import query
from tests.support.factories import postman_run, testmo_run
from tests.support.small_history import (
    ALL_POSTMAN,
    ALL_TESTMO,
    POSTMAN_KEY,
    RUNS,
    TESTMO_TOKEN,
    Load,
    assert_loaded,
    rejected,
)
from tests.support.tampering import Tampered, listed


def test_what_postgres_cannot_hold_is_replaced_and_everything_else_kept(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    run = postman_run(3, note={"a\0b": "c\0d", "pair": "\ud83d\ude00", "half": "\ud800x"})
    run["executions"][0]["itemName"] = "nul\0 half \udc00 end"
    run["executions"][0]["assertions"][0]["error"] = "\0"
    sandbox.put_postman_run(run)
    assert load(sandbox.settings)[0].error is None

    [(name, extra)] = query(
        warehouse_url,
        f"select item_name, runs.extra from raw_postman.executions join {RUNS} runs using (run_id)"
        " where run_id = 'run-3' and execution_index = 0",
    )
    assert name == "nul\ufffd half \ufffd end"
    assert extra == {
        "note": {"a\ufffdb": "c\ufffdd", "pair": "\N{GRINNING FACE}", "half": "\ufffdx"}
    }


def test_a_rejected_record_keeps_what_postgres_cannot_hold_as_it_was_written(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    run = postman_run(3, executions="a\0b \ud800")
    sandbox.put_postman_run(run)
    load(sandbox.settings)

    [row] = rejected(warehouse_url)
    assert json.loads(row[3]) == run


def test_an_id_that_postgres_cannot_hold_is_set_aside(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    odd = {"id": "nul\0", "status": "finished"}
    sandbox.changes["/runs"] = listed(lambda runs: [odd, *runs])
    variables = {k: v for k, v in sandbox.settings.items() if k.startswith("POSTMAN")}
    [report] = load(variables)

    assert (report.error, report.rejected) == (None, 1)
    [row] = rejected(warehouse_url)
    assert json.loads(row[3]) == odd
    assert row[4].startswith("id: ")


def test_references_that_postgres_cannot_hold_are_kept_as_runs_are(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    def changed(body: bytes) -> bytes:
        page = json.loads(body)
        if "expands" in page:
            page["expands"]["users"] = [
                {"id": 2, "name": "A\0da \ud800", "more\0": ["\0"]},
                {"id": 3, "name": "Bo", "score": 10**30},
            ]
        return json.dumps(page).encode()

    sandbox.changes["/runs"] = changed
    assert [report.error for report in load(sandbox.settings)] == [None, None]
    users = query(warehouse_url, "select id, name, extra from raw_testmo.users order by id")
    assert users == [
        (2, "A\ufffdda \ufffd", {"more\ufffd": ["\ufffd"]}),
        (3, "Bo", {"score": 10**30}),
    ]


def random_text(length: int) -> str:
    """Text that does not compress, as keys and signatures do not."""
    return random.Random(length).randbytes(length // 2).hex()  # noqa: S311 - no secret


def test_huge_texts_and_numbers_are_kept(load: Load, warehouse_url: str, sandbox: Tampered) -> None:
    run = postman_run(3, note=random_text(1_000_000), count=10**40, ratio=1.5)
    run["executions"][0]["itemName"] = random_text(1_000_000)
    run["executions"][0]["assertions"][0]["name"] = random_text(100_000)
    thread = {**testmo_run(3)["threads"][0], "name": random_text(50_000)}
    held = testmo_run(3, name=random_text(200_000), threads=[thread])
    sandbox.put_postman_run(run)
    sandbox.put_testmo_run(held)
    assert [report.error for report in load(sandbox.settings)] == [None, None]

    assert_loaded(
        warehouse_url,
        [run if one["id"] == "run-3" else one for one in ALL_POSTMAN],
        [held if one["id"] == 3 else one for one in ALL_TESTMO],
    )


def test_a_run_with_an_id_that_no_index_holds_is_set_aside_and_no_other_text_is(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    endless = {"id": random_text(5000), "status": "finished"}
    sandbox.changes["/runs"] = lambda body: (
        listed(lambda runs: [endless, *runs])(body) if b'"runs"' in body else body
    )
    long_tag = testmo_run(3, tags=["main", random_text(5000)])
    sandbox.put_testmo_run(long_tag)
    reports = load(sandbox.settings)

    assert [(report.error, report.rejected) for report in reports] == [(None, 1), (None, 0)]
    assert_loaded(
        warehouse_url,
        ALL_POSTMAN,
        [long_tag if run["id"] == 3 else run for run in ALL_TESTMO],
    )
    assert [row[4].split(":")[0] for row in rejected(warehouse_url)] == ["id"]


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_absurd_but_well_formed_times_are_stored(
    load: Load, warehouse_url: str, sandbox: Tampered, when: str
) -> None:
    sandbox.put_postman_run(postman_run(3, startedAt=when, finishedAt=when))
    sandbox.put_testmo_run(testmo_run(3, created_at=when, status=4, is_completed=False))
    for _load in range(2):
        assert [report.error for report in load(sandbox.settings)] == [None, None]

    year = int(when[:4])
    started = f"select extract(year from started_at)::int from {RUNS} where run_id = 'run-3'"
    created = "select extract(year from created_at)::int from raw_testmo.automation_runs"
    assert query(warehouse_url, started) == [(year,)]
    assert query(warehouse_url, f"{created} where run_id = 3") == [(year,)]


def test_a_byte_order_mark_is_no_part_of_the_answer(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    sandbox.changes["/runs"] = lambda body: b"\xef\xbb\xbf" + body
    sandbox.changes["/runs/run-3"] = lambda body: b"\xef\xbb\xbf" + body
    assert [report.error for report in load(sandbox.settings)] == [None, None]
    assert_loaded(warehouse_url, ALL_POSTMAN, ALL_TESTMO)


def test_unknown_fields_are_listed_once_with_the_load_that_saw_them_first(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    run = postman_run(3, runner="ci-7")
    run["executions"][0]["response"]["status"] = "OK"
    run["executions"][1]["response"]["status"] = "Created"
    run["stats"]["requests"]["pending"] = 0
    sandbox.put_postman_run(run)
    sandbox.put_testmo_run(testmo_run(3, links=[{"name": "a", "icon": "b"}]))
    postman, testmo = load(sandbox.settings)
    sandbox.put_postman_run(postman_run(4, runner="ci-8", status="failed", agent="x"))
    later, _ = load(sandbox.settings)

    found = query(
        warehouse_url,
        "select source, table_name, field, first_load_id from ingest.unknown_fields order by 2, 3",
    )
    assert found == [
        ("postman", RUNS, "agent", later.load_id),
        ("postman", RUNS, "runner", postman.load_id),
        ("postman", RUNS, "stats.requests", postman.load_id),
        ("postman", "raw_postman.executions", "response.status", postman.load_id),
        ("testmo", "raw_testmo.automation_run_links", "icon", testmo.load_id),
    ]


def test_a_field_with_an_endless_name_is_listed_by_its_beginning(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    name = random_text(5000)
    sandbox.put_postman_run(postman_run(3, **{name: 1}))
    assert load(sandbox.settings)[0].error is None

    [(field,)] = query(warehouse_url, "select field from ingest.unknown_fields")
    assert name.startswith(field[:100])
    [(extra,)] = query(warehouse_url, f"select extra from {RUNS} where run_id = 'run-3'")
    assert extra == {name: 1}


def test_no_key_stands_in_any_table_log_or_error(
    load: Load,
    warehouse_url: str,
    sandbox: Tampered,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    # An API that echoes our own keys in what it sends.
    sandbox.put_postman_run(postman_run(3, duration=f"key {POSTMAN_KEY}"))
    sandbox.put_testmo_run(testmo_run(3, elapsed=f"Bearer {TESTMO_TOKEN}"))
    sandbox.changes["/runs/run-4"] = 500
    sandbox.changes["/runs/run-5"] = lambda _body: (
        b'{"run": ' + b"[" * 5000 + f'"{POSTMAN_KEY}"'.encode() + b"]" * 5000 + b"}"
    )
    sandbox.changes["/runs"] = lambda body: (
        listed(lambda runs: [*runs, {"id": [POSTMAN_KEY]}])(body) if b'"runs"' in body else body
    )
    reports = load(sandbox.settings)

    assert [report.rejected for report in reports] == [2, 0]
    texts = [caplog.text, *capfd.readouterr(), repr(reports)]
    for (table,) in query(
        warehouse_url,
        "select oid::regclass::text from pg_class where relkind = 'r'"
        " and relnamespace::regnamespace::text in"
        " ('ingest', 'raw_postman', 'raw_testmo', 'raw_reports')",
    ):
        texts += [row for (row,) in query(warehouse_url, f"select t::text from {table} t")]
    assert len(texts) > 60
    for text in texts:
        assert POSTMAN_KEY not in text
        assert TESTMO_TOKEN not in text
    assert sum("REDACTED" in text for text in texts) >= 4


def test_secrets_in_urls_are_masked_wherever_a_field_without_a_column_holds_one(
    load: Load, warehouse_url: str, sandbox: Tampered
) -> None:
    run = postman_run(3, origin="https://u:p@ci.test/a?token=s3cret", note="a token=visible text")
    run["executions"][0]["request"]["proxied"] = {"via": ["http://p.test/?sig=s3cret&b=1"]}
    sandbox.put_postman_run(run)
    load(sandbox.settings)

    assert query(warehouse_url, f"select extra from {RUNS} where run_id = 'run-3'") == [
        ({"origin": "https://REDACTED:REDACTED@ci.test/a?token=REDACTED",
          "note": "a token=visible text"},)
    ]  # fmt: skip
    [(extra,)] = query(
        warehouse_url, "select extra from raw_postman.executions where extra is not null"
    )
    assert extra == {"request": {"proxied": {"via": ["http://p.test/?sig=REDACTED&b=1"]}}}
