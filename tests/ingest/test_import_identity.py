"""Which code, collection and environment an imported run belongs to."""

import os
from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.ingest.report_importer import Options
from tests.support.db import query
from tests.support.report_files import HEAD, Import, other_run, outcomes, put
from tests.support.reports import case, junit


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
