"""`testruns import`: each run once, whatever the files, their order and how often they come."""

import copy
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pipelines.errors import SettingsError
from pipelines.ingest.import_reports import import_paths, watch_paths
from pipelines.ingest.report_importer import ImportReport, Options
from pipelines.settings import Settings, load_settings
from pipelines.sources.reports.report import COLUMNS
from tests.support.contract import POSTMAN, REPORTS
from tests.support.db import query, tables
from tests.support.oracle import Tables
from tests.support.reports import STARTED, as_bytes, case, execution, failed, junit, newman, passed

HEAD = "a" * 40
RAW = {**POSTMAN, **REPORTS}
FAILURE = '<failure message="no"/>'
JOB = '<properties><property name="pipeline_id" value="{0}"/></properties>'

Import = Callable[..., ImportReport]


@pytest.fixture
def offer(make_settings: Callable[[dict[str, str]], Settings], warehouse_url: str) -> Import:
    """Imports paths into the fresh warehouse."""
    settings = make_settings({})

    def run(
        *paths: Path,
        options: Options | None = None,
        variables: Mapping[str, str] | None = None,
        is_dry_run: bool = False,
    ) -> ImportReport:
        return import_paths(
            settings, warehouse_url, paths, options or Options(), variables or {},
            is_dry_run=is_dry_run,
        )  # fmt: skip

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "reports"
    made.mkdir()
    return made


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
    sent = execution(number, assertions=[passed("ok"), failed("bad")])
    return newman([sent, execution(number + 1)], started=STARTED + number * 60_000, **members)


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


def test_a_folder_is_loaded_once_in_any_order(
    offer: Import, new_warehouse: Callable[[], str], folder: Path, warehouse_url: str
) -> None:
    variety(folder)

    offer(folder)
    expected = stored(warehouse_url)
    assert [len(rows) for rows in expected.values()] == [2, 4, 4, 2, 5, 2]

    settings = load_settings({}, folder)
    for seed in range(6):
        url = new_warehouse()
        files = [path for path in folder.rglob("*") if path.is_file()] * 3
        Random(seed).shuffle(files)  # noqa: S311 - an order, not a secret
        for path in files:
            import_paths(settings, url, [path], Options(), {})
        assert stored(url) == expected, seed


def test_a_second_import_writes_nothing(offer: Import, folder: Path, warehouse_url: str) -> None:
    variety(folder)
    offer(folder)
    written = query(warehouse_url, "select run_id, loaded_at from raw_postman.collection_runs")

    again = offer(folder)

    assert again.rows == {}
    assert set(outcomes(again)) == {"known", "poorer", "rejected"}
    assert written == query(
        warehouse_url, "select run_id, loaded_at from raw_postman.collection_runs"
    )


def test_each_file_has_a_row_with_its_outcome(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    variety(folder)

    report = offer(folder)
    offer(folder)

    rows = query(
        warehouse_url,
        "select path, kind, first_outcome, reason, run_id is null from ingest.imported_files"
        " order by path",
    )
    named = {Path(path).relative_to(folder).as_posix(): tuple(rest) for path, *rest in rows}
    assert named["a.json"] == ("newman", "loaded", None, False)
    assert named["b/compact.json.gz"] == ("newman", "known", None, False)
    assert named["poorer.json"][:2] == ("newman", "poorer")
    assert named["z-summary.json"][:2] == ("newman-summary", "poorer")
    assert named["cut.json"] == (None, "rejected", "JSON ends at byte 700", True)
    assert named["readme.txt"] == (None, "rejected", "neither JSON nor XML", True)
    assert len(named) == 11
    # What only lies beside reports is no failure.
    assert [Path(file.path).name for file in report.failures] == ["cut.json"]


def test_a_richer_file_replaces_a_poorer_one(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    run = other_run(0)
    poorer = copy.deepcopy(run)
    del poorer["run"]["executions"][0]["assertions"][1]
    first = put(folder, "1.json", poorer)
    second = put(folder, "2.json", run)

    assert outcomes(offer(first)) == ["loaded"]
    assert outcomes(offer(second)) == ["replaced"]
    assert outcomes(offer(first)) == ["poorer"]

    assert query(warehouse_url, "select count(*) from raw_postman.assertions") == [(2,)]
    assert query(warehouse_url, "select count(*) from raw_postman.collection_runs") == [(1,)]
    [(reason,)] = query(
        warehouse_url, "select reason from ingest.imported_files where outcome = 'poorer'"
    )
    assert reason == ("the run is held with 2 results and 2 details; this file has 2 and 1")


def test_announced_totals_are_reconciled(offer: Import, folder: Path, warehouse_url: str) -> None:
    run = other_run(0)
    run["run"]["stats"]["assertions"]["total"] = 5
    put(folder, "a.json", run)
    put(folder, "b.xml", junit(case("a"), attributes='name="s" tests="4"'))
    # A script's own request makes newman write its execution again: the same to the request's ID.
    sent = execution(0, assertions=[passed("ok")])
    again = copy.deepcopy(sent)
    other = {**copy.deepcopy(sent), "cursor": {**sent["cursor"], "httpRequestId": "another"}}
    for name, second in (("repeated", again), ("looped", other)):
        run = newman([sent, second], started=STARTED + len(name))
        run["run"]["stats"]["assertions"]["total"] = 1
        put(folder, f"{name}.json", run)

    offer(folder)

    assert query(
        warehouse_url,
        "select source, total, announced, loaded, repeated, reason from ingest.reconciliations"
        " order by 1, 3, 5",
    ) == [
        ("postman", "assertions_total", 1, 2, 0, "surplus"),
        ("postman", "assertions_total", 1, 2, 1, "repeated"),
        ("postman", "assertions_total", 5, 2, 0, "missing"),
        ("reports", "tests_total", 4, 1, 0, "missing"),
    ]


def test_the_files_of_a_job_are_one_run(offer: Import, folder: Path, warehouse_url: str) -> None:
    for number in range(3):
        suite = f'name="s{number}" tests="2" time="9" timestamp="2026-11-01T10:0{number}:00"'
        cases = [case(f"t{number}"), case("same", FAILURE), case("same")]
        put(folder, f"{number}.xml", junit(JOB.format(1), *cases, attributes=suite))

    for number in (2, 0, 1):
        offer(folder / f"{number}.xml")

    [(tests, started, duration, extra)] = query(
        warehouse_url, "select tests_total, started_at, duration_ms, extra from raw_reports.runs"
    )
    assert (tests, started, duration) == (6, datetime(2026, 11, 1, 10, tzinfo=UTC), 129_000)
    assert extra == {"parts": 3}
    assert query(
        warehouse_url,
        "select test_index, suite_path, name from raw_reports.tests order by test_index",
    ) == [
        (0, ["s0"], "t0"), (1, ["s0"], "same"), (2, ["s1"], "t1"), (3, ["s1"], "same"),
        (4, ["s2"], "t2"), (5, ["s2"], "same"),
    ]  # fmt: skip
    assert query(
        warehouse_url, "select test_index, attempt, status from raw_reports.attempts order by 1, 2"
    ) == [
        (index, attempt, status)
        for index in (1, 3, 5)
        for attempt, status in ((1, "failed"), (2, "passed"))
    ]


def test_a_file_written_again_in_its_job_replaces_its_part(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    put(folder, "a.xml", junit(JOB.format(1), case("x"), case("y", FAILURE)))
    put(folder, "b.xml", junit(JOB.format(1), case("x"), case("y")))
    offer(folder)
    assert query(warehouse_url, "select count(*) from raw_reports.tests") == [(4,)]

    put(folder, "a.xml", junit(JOB.format(1), case("x"), case("y"), case("z")))
    assert outcomes(offer(folder / "a.xml")) == ["replaced"]
    put(folder, "a.xml", junit(JOB.format(1), case("x")))
    assert outcomes(offer(folder / "a.xml")) == ["poorer"]

    assert query(
        warehouse_url, "select name, status from raw_reports.tests order by test_index"
    ) == [(name, "passed") for name in "xyzxy"]


def test_equal_files_of_two_jobs_are_two_runs(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    content = junit(case("x"))
    for shard in ("1", "2"):
        put(folder, f"{shard}/junit.xml", content)
        put(folder, f"{shard}/testruns-ci.json", {"pipeline_id": "9", "shard": shard})

    offer(folder)

    assert query(warehouse_url, "select count(*) from raw_reports.runs") == [(2,)]


def test_the_same_content_without_its_job_is_known(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    path = put(folder, "junit.xml", junit(case("x")))
    offer(path)
    put(folder, "testruns-ci.json", {"commit": HEAD, "pipeline_id": "9"})

    assert outcomes(offer(folder)) == ["known"]

    # And what the sidecar says of the code is taken.
    assert query(
        warehouse_url, "select source, commit_sha, pipeline_id from ingest.code_identities"
    ) == [("reports", HEAD, "9")]
    assert query(warehouse_url, "select count(*) from raw_reports.runs") == [(1,)]


def test_code_is_known_from_options_then_sidecar_then_file_then_environment(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    properties = '<properties><property name="branch" value="from-file"/></properties>'
    put(folder, "a/junit.xml", junit(properties, case("x")))
    put(folder, "testruns-ci.json", {"build_url": "https://ci.example.test/1"})
    environment = {
        "CIRCLECI": "true", "CIRCLE_SHA1": "b" * 40, "CIRCLE_BRANCH": "from-job",
        "CIRCLE_WORKFLOW_ID": "w",
    }  # fmt: skip

    offer(folder, options=Options(commit=HEAD.upper()), variables=environment)

    assert query(
        warehouse_url,
        "select commit_sha, branch, pipeline_id, build_url from ingest.code_identities",
    ) == [(HEAD, "from-file", "w", "https://ci.example.test/1")]


def test_yesterday_s_file_does_not_get_today_s_commit(
    offer: Import, folder: Path, tmp_path: Path, warehouse_url: str
) -> None:
    event = put(tmp_path, "event.json", "{}")
    old = put(folder, "old.xml", junit(case("old")))
    put(folder, "new.xml", junit(case("new")))
    os.utime(old, (event.stat().st_mtime - 3600,) * 2)
    variables = {
        "GITHUB_ACTIONS": "true", "GITHUB_SHA": HEAD, "GITHUB_RUN_ID": "1",
        "GITHUB_EVENT_PATH": str(event),
    }  # fmt: skip

    offer(folder, variables=variables)

    assert query(
        warehouse_url,
        "select name from raw_reports.tests join ingest.code_identities using (run_id)",
    ) == [("new",)]


def test_a_collection_s_id_holds_once_two_runs_show_it(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    ids = "select collection_id, extra ? 'collectionIdGuessed' from raw_postman.collection_runs"
    offer(put(folder, "1.json", other_run(0)))
    [(guessed, is_guessed)] = query(warehouse_url, ids)
    assert is_guessed

    offer(put(folder, "2.json", other_run(10)))

    shown = "11111111-2222-4333-8444-555555555555"
    assert guessed != shown
    assert query(warehouse_url, ids) == [(shown, False), (shown, False)]


def test_a_collection_without_an_id_of_its_own_is_known_by_its_name(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    for number in (0, 10):
        run = other_run(number)
        run["collection"]["info"]["_postman_id"] = f"made-up-{number}"
        put(folder, f"{number}.json", run)

    offer(folder)

    assert query(
        warehouse_url, "select count(*), count(distinct collection_id)"
        " from raw_postman.collection_runs where extra ? 'collectionIdGuessed'",
    ) == [(2, 1)]  # fmt: skip


def test_options_name_collection_source_and_environment(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    put(folder, "a.json", other_run(0))
    put(folder, "b.xml", junit(case("x")))

    offer(folder, options=Options(collection="42-c", source="nightly", environment="staging"))

    assert query(
        warehouse_url,
        "select collection_id, source, environment_id from raw_postman.collection_runs",
    ) == [("42-c", "nightly", "staging")]
    assert query(warehouse_url, "select source, environment from raw_reports.runs") == [
        ("nightly", "staging")
    ]


def test_an_option_given_later_counts_and_one_given_before_stays(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    path = put(folder, "a.json", other_run(0))
    collection = "select collection_id from raw_postman.collection_runs"
    offer(path)

    assert outcomes(offer(path, options=Options(collection="42-c"))) == ["replaced"]
    assert query(warehouse_url, collection) == [("42-c",)]
    assert outcomes(offer(path)) == ["known"]
    assert query(warehouse_url, collection) == [("42-c",)]


def test_a_junit_report_of_a_newman_run_is_superseded_by_its_json(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    started = datetime.fromtimestamp(STARTED / 1000, UTC).isoformat(timespec="milliseconds")
    put(folder, "b.json", other_run(0))
    put(folder, "a.xml", (
        '<testsuites name="Orders" tests="1"><testsuite name="Login" tests="1"'
        ' id="00000000-0000-4000-8000-000000000001"'
        f' timestamp="{started.replace("+00:00", "Z")}"><testcase name="ok"/></testsuite>'
        "</testsuites>"
    ))  # fmt: skip
    expected = "select run_id from raw_postman.collection_runs"
    marked = "select extra ->> 'supersededBy' from raw_reports.runs"

    offer(folder / "a.xml")
    offer(folder / "b.json")
    assert query(warehouse_url, marked) == query(warehouse_url, expected)


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


def test_a_commit_that_is_none_is_refused(offer: Import, folder: Path) -> None:
    with pytest.raises(SettingsError, match="--commit: expected a commit's SHA"):
        offer(folder, options=Options(commit="HEAD"))


def test_a_sidecar_that_cannot_be_read_is_named_once(offer: Import, folder: Path) -> None:
    put(folder, "testruns-ci.json", "{nope")
    for name in ("a.xml", "b.xml"):
        put(folder, name, junit(case(name)))

    report = offer(folder)

    assert sorted(outcomes(report)) == ["loaded", "loaded", "rejected"]
    assert [file.reason for file in report.failures] == ["not a JSON object of less than 1 MB"]


def test_odd_names_and_links_are_no_trouble(
    offer: Import, folder: Path, warehouse_url: str
) -> None:
    (folder / os.fsdecode(b"caf\xe9\n.xml")).write_text(junit(case("x")))
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere").symlink_to(folder / "missing")
    os.mkfifo(folder / "pipe")

    report = offer(folder)

    assert sorted(outcomes(report)) == ["loaded", "rejected", "rejected"]
    assert query(warehouse_url, "select path from ingest.imported_files where run_id is not null")


def test_names_and_paths_may_be_longer_than_an_index_holds(offer: Import, folder: Path) -> None:
    deep = folder.joinpath(*["d" * 250] * 14)
    deep.mkdir(parents=True)
    run = other_run(0)
    run["collection"]["info"] = {"name": "n" * 10_000, "_postman_id": "i" * 10_000}
    put(deep, "a.json", run)
    put(folder, "b.json", other_run(10))

    report = offer(folder, options=Options(collection="c" * 10_000))

    assert outcomes(report) == ["loaded", "loaded"]
    assert outcomes(offer(folder)) == ["known", "known"]


def test_rows_have_the_columns_of_their_tables() -> None:
    assert {table: set(columns) for table, columns in COLUMNS.items()} == {
        table: set(columns) for table, columns in REPORTS.items()
    }


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
