"""Reports of a folder in Dagster: imported once they are whole, by the night and by a sensor."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.definitions import build_definitions
from pipelines.orchestration.report_files import CHECKS, IMPORTED, REJECTED, files_by_outcome
from pipelines.settings import Settings
from tests.support.db import query
from tests.support.reports import as_bytes, case, execution, junit, newman, passed

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "import.md").read_text("utf-8")
HOUR_AGO = 3601

MakeSettings = Callable[[dict[str, str]], Settings]
Evaluations = Mapping[str, dg.AssetCheckEvaluation]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "incoming"
    made.mkdir()
    return made


@pytest.fixture
def definitions(make_settings: MakeSettings, folder: Path) -> dg.Definitions:
    """With a folder of reports and no API."""
    return build_definitions(make_settings({"TESTRUNS_REPORTS_DIR": str(folder)}), is_quiet=True)


@pytest.fixture
def instance() -> Any:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def put(folder: Path, name: str, content: bytes | str, *, age: float = 0) -> Path:
    path = folder / name
    path.write_bytes(as_bytes(content))
    moment = path.stat().st_mtime - age
    os.utime(path, (moment, moment))
    return path


def run(definitions: dg.Definitions) -> tuple[dg.ExecuteInProcessResult, Evaluations]:
    """The job of imports, and what its checks say."""
    done = definitions.resolve_job_def("import_reports").execute_in_process(raise_on_error=False)
    return done, {one.check_name: one for one in done.get_asset_check_evaluations()}


def test_what_is_whole_is_imported_once_and_a_bad_file_costs_only_itself(
    definitions: dg.Definitions, folder: Path, warehouse_url: str
) -> None:
    put(folder, "junit.xml", junit(case("a"), case("b")))
    put(folder, "newman.json", as_bytes(newman([execution(0, assertions=[passed("ok")])])))
    put(folder, "cut.xml", junit(case("a"))[:-20], age=HOUR_AGO)
    put(folder, "picture.png", b"\x89PNG")
    put(folder, "growing.xml", junit(case("c"))[:-20])
    put(folder, "copying.xml.part", junit(case("d")), age=HOUR_AGO)
    put(folder, ".hidden.xml.Xa3f", junit(case("e")), age=HOUR_AGO)

    done, checks = run(definitions)

    assert done.success
    assert files_by_outcome(done) == {"loaded": 2, "rejected": 2}
    assert query(
        warehouse_url,
        "select regexp_replace(path, '.*/', ''), outcome, is_foreign from ingest.imported_files"
        " order by 1",
    ) == [
        ("cut.xml", "rejected", False),
        ("junit.xml", "loaded", False),
        ("newman.json", "loaded", False),
        ("picture.png", "rejected", True),
    ]
    assert query(warehouse_url, "select count(*) from raw_reports.tests") == [(2,)]
    assert query(warehouse_url, "select count(*) from raw_postman.executions") == [(1,)]
    assert checks[IMPORTED].passed
    assert not checks[REJECTED].passed
    assert checks[REJECTED].severity is dg.AssetCheckSeverity.WARN
    assert (checks[REJECTED].description or "").startswith(
        f"{folder / 'cut.xml'}: XML ends at byte"
    )

    put(folder, "growing.xml", junit(case("c")))
    (folder / "cut.xml").unlink()
    done, checks = run(definitions)
    assert files_by_outcome(done) == {"loaded": 1}
    assert all(one.passed for one in checks.values())
    loads = query(warehouse_url, "select count(*) from ingest.loads")
    done, _ = run(definitions)
    assert done.success
    assert files_by_outcome(done) == {}
    assert query(warehouse_url, "select count(*) from ingest.loads") == loads


def test_a_sidecar_that_comes_later_is_read(
    definitions: dg.Definitions, folder: Path, warehouse_url: str
) -> None:
    put(folder, "junit.xml", junit(case("a")), age=HOUR_AGO)
    run(definitions)
    put(folder, "testruns-ci.json", '{"commit": "c0ffee1"}')
    done, _ = run(definitions)
    assert files_by_outcome(done) == {"known": 1}
    assert query(warehouse_url, "select commit_sha from ingest.code_identities") == [("c0ffee1",)]


def test_a_folder_that_is_gone_fails_the_check_and_not_the_step(
    definitions: dg.Definitions, folder: Path
) -> None:
    folder.rmdir()
    done, checks = run(definitions)
    assert not done.success
    assert len(done.asset_materializations_for_node("load_reports")) == 3
    problem = f"TESTRUNS_REPORTS_DIR: cannot be read: No such file or directory ({folder})"
    assert checks[IMPORTED].description == problem
    assert checks[IMPORTED].severity is dg.AssetCheckSeverity.ERROR


def test_the_sensor_requests_an_import_when_a_file_has_come_to_rest(
    definitions: dg.Definitions, folder: Path, instance: dg.DagsterInstance
) -> None:
    sensor = definitions.resolve_sensor_def("reports_sensor")
    cursor: str | None = None

    def look() -> list[str | None]:
        nonlocal cursor
        with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
            data = sensor.evaluate_tick(context)
        cursor = data.cursor
        return [request.run_key for request in data.run_requests or []]

    assert look() == []
    path = put(folder, "junit.xml", junit(case("a"))[:40])
    assert look() == []
    put(folder, "junit.xml", junit(case("a")))
    assert look() == []
    (first,) = look()
    assert look() == [first]
    run(definitions)
    assert look() == []
    put(folder, path.name, junit(case("a"), case("b")))
    assert look() == []
    (second,) = look()
    assert second != first


def test_a_night_needs_no_api_where_there_is_a_folder(definitions: dg.Definitions) -> None:
    jobs = {job.name: job for job in definitions.get_repository_def().get_all_jobs()}
    nodes = {node.name for node in jobs["nightly"].graph.nodes}
    assert nodes == {"load_reports", "check_reports", "dbt_build", "report"}
    graph = definitions.resolve_asset_graph()
    for table in ("runs", "tests", "attempts"):
        node = graph.get(dg.AssetKey(["raw_reports", table]))
        assert node.group_name == "report_files"
        assert node.kinds == {"python", "postgres"}
        assert node.owners
        assert node.description


def test_the_page_names_each_check_and_the_sensor() -> None:
    for name in (*CHECKS, "reports_sensor", "TESTRUNS_REPORTS_DIR"):
        assert f"`{name}`" in PAGE
