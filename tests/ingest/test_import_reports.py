"""`testruns import`: each run once, whatever the files, their order and how often they come."""

import copy
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from pipelines.ingest.import_reports import import_folder, import_paths
from pipelines.ingest.report_importer import Options
from pipelines.settings import load_settings
from pipelines.sources.reports.report import COLUMNS
from tests.support.contract import REPORTS
from tests.support.db import query
from tests.support.report_files import (
    FAILURE,
    HEAD,
    JOB,
    Import,
    other_run,
    outcomes,
    put,
    stored,
    variety,
)
from tests.support.reports import STARTED, case, execution, junit, newman, passed

# Beside the tables of runs: what is kept of files.
_KEPT = ("ingest.imported_files", "ingest.report_parts", "ingest.code_identities")


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


def test_our_own_key_is_masked_in_reports_and_in_their_names(
    folder: Path, warehouse_url: str
) -> None:
    key = "PMAK-0123456789"
    settings = load_settings(
        {"POSTMAN_API_KEY": key, "POSTMAN_COLLECTION_IDS": "1-a", "TESTRUNS_HOME": str(folder)},
        folder,
    )
    reports = folder / f"of {key}"
    text = f'<failure message="sent {key}" type="{key}">{key}</failure>'
    put(reports, f"{key}.xml", junit(case(f"a {key}", text), attributes=f'name="{key}"'))
    put(reports, f"broken {key}.xml", f"<testsuites name='{key}'><")
    put(reports, f"none {key}.json", {key: key})
    job = {"JENKINS_URL": "x", "BUILD_TAG": key, "GIT_BRANCH": key}
    done = import_paths(settings, warehouse_url, [reports], Options(environment=key), job)

    assert sorted(outcomes(done)) == ["loaded", "rejected", "rejected"]
    assert key not in str(done)
    kept = [*stored(warehouse_url).values(), *(query(warehouse_url, f"table {t}") for t in _KEPT)]
    assert "REDACTED" in str(kept)
    assert key not in str(kept)
    # They are known by the names that are stored.
    assert import_folder(settings, warehouse_url, reports).files == []
