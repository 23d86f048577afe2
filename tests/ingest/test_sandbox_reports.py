"""The sandbox's history as report files: imported, it is what its APIs give."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipelines.ingest.import_reports import import_paths
from pipelines.ingest.progress import ScopeReport
from pipelines.ingest.report_importer import Options
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.history import seeded_history
from pipelines.sandbox.reports import write_reports
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from tests.support.db import query

OUTCOMES = {1: "skipped", 2: "passed", 3: "failed"}
# What an API names with the owner in front has its bare ID in files.
OWN = "regexp_replace({0}, '^[0-9]+-', '')"
RUNS = f"""
    select runs.started_at, {OWN.format("collection_id")}, {OWN.format("environment_id")}, status,
           finished_at, duration_ms, requests_total, requests_failed, assertions_total,
           assertions_failed
    from raw_postman.collection_runs as runs
    where exists (select from raw_postman.executions where run_id = runs.run_id)
    order by 1, 2
"""
EXECUTIONS = f"""
    select started_at, {OWN.format("collection_id")}, execution_index, execution_id, item_name,
           request_method, request_url, response_status_code, response_time_ms,
           response_size_bytes, sent.extra -> 'requestError'
    from raw_postman.executions as sent join raw_postman.collection_runs using (run_id)
    order by 1, 2, 3
"""
ASSERTIONS = f"""
    select started_at, {OWN.format("collection_id")}, execution_index, assertion_index, name,
           coalesce(passed, true), error
    from raw_postman.assertions join raw_postman.collection_runs using (run_id)
    order by 1, 2, 3, 4
"""

Load = Callable[..., list[ScopeReport]]


@pytest.fixture(scope="module")
def history() -> SandboxData:
    """Two days, of which the second has a weekday's runs of all kinds."""
    return seeded_history(date(2026, 11, 20), days=2)


def test_the_same_history_gives_the_same_files(history: SandboxData, tmp_path: Path) -> None:
    number = write_reports(history, tmp_path / "a")
    write_reports(seeded_history(date(2026, 11, 20), days=2), tmp_path / "b")

    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*")]
    assert len(files) == number
    assert {"".join(path.suffixes[-2:]) for path in files} >= {".json", ".ctrf.json", ".xml"}
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_postman_s_runs_are_those_that_the_api_gives(
    history: SandboxData,
    load: Load,
    make_settings: Callable[[dict[str, str]], Settings],
    warehouse_url: str,
    new_warehouse: Callable[[], str],
    tmp_path: Path,
) -> None:
    with Sandbox(history) as sandbox:
        reports = load({**sandbox.settings, "TESTMO_API_TOKEN": ""})
    assert {report.error for report in reports} == {None}
    write_reports(history, tmp_path / "reports")
    other_url = new_warehouse()

    done = import_paths(make_settings({}), other_url, [tmp_path / "reports"], Options(), {})

    assert {file.outcome for file in done.files} == {"loaded"}
    assert query(other_url, "select * from ingest.reconciliations") == []
    for statement in (RUNS, EXECUTIONS, ASSERTIONS):
        given = query(warehouse_url, statement)
        assert len(given) > 10
        assert query(other_url, statement) == given
    ((digests, collections),) = query(
        other_url,
        "select count(distinct code_digest), count(distinct collection_id)"
        " from raw_postman.collection_runs join ingest.code_identities using (run_id)",
    )
    assert digests == collections


def test_testmo_s_runs_have_the_results_that_the_api_gives(
    history: SandboxData,
    make_settings: Callable[[dict[str, str]], Settings],
    warehouse_url: str,
    tmp_path: Path,
) -> None:
    assert history.testmo_tests is not None
    write_reports(history, tmp_path / "reports")
    import_paths(make_settings({}), warehouse_url, [tmp_path / "reports"], Options(), {})

    expected: list[tuple[Any, ...]] = []
    for run in history.testmo_runs:
        if not run["is_completed"]:
            continue
        commit = {field["name"]: field["value"] for field in run["fields"]}.get("Commit")
        config = history.testmo_books["configs"].get(str(run["config_id"]))
        is_ctrf = run["source_id"] % 2 == 0
        expected += [
            (
                run["name"], config, commit, test["folder"], test["name"],
                OUTCOMES[test["status"]],
                None if test["elapsed"] is None and not is_ctrf else (test["elapsed"] or 0) / 1000,
            )
            for test in history.testmo_tests(run)
        ]  # fmt: skip
    held = query(
        warehouse_url,
        "select runs.name, environment, commit_sha, suite_path[1], tests.name, status,"
        " tests.duration_ms from raw_reports.tests join raw_reports.runs using (run_id)"
        " left join ingest.code_identities using (run_id)",
    )
    assert len(held) > 100
    assert sorted(map(repr, held)) == sorted(map(repr, expected))
