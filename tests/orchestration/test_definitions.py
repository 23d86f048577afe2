"""The code location as Dagster loads it: its assets, edges, checks, job and schedule."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.definitions import build_definitions, defs
from pipelines.errors import SettingsError
from pipelines.orchestration.instance import dagster_home
from pipelines.orchestration.report_asset import report_asset
from pipelines.orchestration.resources import resources
from pipelines.settings import Settings, load_settings
from pipelines.sources.registry import REGISTRY

ROOT = Path(__file__).resolve().parents[2]
RAW = [table.name for spec in REGISTRY.values() for table in (*spec.tables, *spec.references)]
MARTS = [
    "fct_test_runs",
    "fct_request_executions",
    "fct_assertion_results",
    "fct_daily_run_health",
]

MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> MakeSettings:
    """Settings from variables, without a warehouse; dbt parses its project once for all of them."""
    folder = tmp_path_factory.mktemp("definitions")

    def make(**variables: str) -> Settings:
        return load_settings({"TESTRUNS_HOME": str(folder / "home"), **variables}, folder)

    return make


@pytest.fixture(scope="module")
def definitions(settings: MakeSettings) -> dg.Definitions:
    """With nothing set but the schedule."""
    return build_definitions(
        settings(TESTRUNS_TIMEZONE="Europe/Berlin", TESTRUNS_NIGHTLY_CRON="30 4 * * *")
    )


@pytest.fixture(scope="module")
def graph(definitions: dg.Definitions) -> Any:
    return definitions.resolve_asset_graph()


def key(table: str) -> dg.AssetKey:
    return dg.AssetKey(table.split("."))


@pytest.mark.builds
def test_a_server_loads_it_from_an_empty_folder_without_a_word_of_warning(
    settings: MakeSettings, tmp_path: Path
) -> None:
    """As workspace.yaml points at it: nothing set, no warehouse, no Dagster home."""
    done = subprocess.run(
        [
            *(sys.executable, "-W", "ignore:Function `definitions_validate_command`", "-m"),
            *("dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml")),
        ],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            "TESTRUNS_HOME": str(settings().testruns_home),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert "All code locations passed validation" in output
    assert "Warning" not in output
    assert "WARNING" not in output


def test_a_bad_setting_is_named_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTRUNS_TIMEZONE", "Mars/Olympus")
    with pytest.raises(SettingsError, match=r"^TESTRUNS_TIMEZONE: 'Mars/Olympus' is no IANA"):
        defs()


@pytest.mark.parametrize("table", RAW)
def test_every_raw_table_is_an_asset_of_its_source(graph: Any, table: str) -> None:
    node = graph.get(key(table))
    assert node.group_name == key(table).path[0].removeprefix("raw_")
    assert node.description
    assert node.is_materializable


@pytest.mark.parametrize("mart", MARTS)
def test_every_mart_leads_back_through_staging_to_the_raw_tables(graph: Any, mart: str) -> None:
    upstream = dg.AssetSelection.assets(["marts", mart]).upstream().resolve(graph)
    groups = {graph.get(one).group_name for one in upstream}
    assert groups >= {"postman", "staging", "marts"}
    parents = graph.get(dg.AssetKey(["staging", "stg_postman__collection_runs"])).parent_keys
    assert parents == {key(REGISTRY["postman"].runs_table)}


def test_every_asset_has_group_description_kind_owner_and_layer(graph: Any) -> None:
    nodes = [graph.get(one) for one in graph.get_all_asset_keys()]
    assert {node.group_name for node in nodes} == {
        "postman", "testmo", "report_files", "staging", "marts", "bi", "backfill", "ingest",
        "reports",
    }  # fmt: skip
    for node in nodes:
        assert node.description, node.key
        assert node.kinds, node.key
        assert node.owners, node.key
        assert node.tags["layer"], node.key


def test_the_ui_shows_what_assets_work_with_and_no_secret(settings: MakeSettings) -> None:
    ours = resources(
        settings(
            POSTMAN_API_KEY="s3cret",
            POSTMAN_COLLECTION_IDS="c1,c2",
            TESTRUNS_WAREHOUSE_URL="postgresql://u:s3cret@db/wh",
        )
    )
    assert ours["warehouse"].address == "postgresql://u@db/wh"
    assert ours["postman_api"].scopes == ["c1", "c2"]
    for resource in ours.values():
        config = resource.model_dump(exclude={"settings"})
        assert config
        assert "s3cret" not in str(config)


def test_the_tests_of_dbt_are_checks_on_their_models_that_say_what_they_ask(
    graph: Any,
) -> None:
    checks = {check.name: check for check in graph.asset_check_keys}
    assert {dg.AssetKey(["marts", mart]) for mart in MARTS} <= {
        check.asset_key for check in checks.values()
    }
    descriptions = {name: graph.get(check).description or "" for name, check in checks.items()}
    assert (
        descriptions["unique_fct_test_runs_test_run_key"]
        == "dbt: unique(column_name='test_run_key')"
    )
    assert descriptions["assert_no_run_starts_in_the_future"].startswith("Detects: runs that start")
    assert all(descriptions.values())


def test_a_night_takes_in_all_but_the_days(definitions: dg.Definitions, graph: Any) -> None:
    nightly = definitions.resolve_job_def("nightly")
    days = {dg.AssetKey(["backfill", f"{source}_days"]) for source in ("postman", "testmo")}
    assert set(nightly.asset_layer.executable_asset_keys) == set(graph.executable_asset_keys) - days
    assert {node.name for node in nightly.nodes} == {
        *("load_postman", "check_postman", "load_testmo", "check_testmo", "dbt_build", "report"),
    }
    transform = definitions.resolve_job_def("transform")
    assert {node.name for node in transform.nodes} == {"dbt_build"}
    # A build of fewer would not count as one, and would be made anew where nothing has changed.
    models = {one for one in graph.executable_asset_keys if "dbt" in graph.get(one).kinds}
    assert set(transform.asset_layer.executable_asset_keys) == models
    backfill = definitions.resolve_job_def("backfill_days")
    assert {node.name for node in backfill.nodes} == {
        *("backfill__postman_days", "backfill__testmo_days"),
    }
    assert backfill.partitions_def is not None


def test_what_only_the_night_makes_has_to_be_fresh(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        is_made = spec.group_name in ("staging", "marts", "bi", "reports")
        assert (spec.freshness_policy is not None) == is_made, spec.key


def test_no_asset_of_the_models_stands_alone(graph: Any) -> None:
    for one in graph.get_all_asset_keys():
        node = graph.get(one)
        # A calendar is made of dates alone.
        if node.group_name in ("staging", "marts", "bi"):
            assert node.parent_keys | node.child_keys, one


def test_no_model_waits_for_a_day_that_nobody_reads_again(graph: Any) -> None:
    for source in ("postman", "testmo"):
        assert not graph.get(dg.AssetKey(["backfill", f"{source}_days"])).child_keys


def test_no_run_is_tried_again_as_a_whole_because_a_step_failed(
    definitions: dg.Definitions,
) -> None:
    for name in ("nightly", "transform", "backfill", "backfill_days"):
        tags = definitions.resolve_job_def(name).tags
        assert tags["dagster/retry_on_asset_or_op_failure"] == "false"


def test_an_audit_is_launched_as_it_stands(definitions: dg.Definitions) -> None:
    audit = definitions.resolve_job_def("audit")
    dg.validate_run_config(audit, {})
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(audit, {"resources": {"warehouse": {"config": {}}}})


def test_the_schedule_ticks_by_the_wall_clock_of_its_zone_and_runs_by_default(
    definitions: dg.Definitions,
) -> None:
    schedule = definitions.resolve_schedule_def("nightly")
    assert schedule.job_name == "nightly"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 4 * * *", "Europe/Berlin")


def test_a_source_without_a_key_stands_in_the_graph_and_has_no_step(settings: MakeSettings) -> None:
    only_postman = build_definitions(settings(POSTMAN_API_KEY="key", POSTMAN_COLLECTION_IDS="c1"))
    steps = {node.name for node in only_postman.resolve_job_def("nightly").nodes}
    assert steps == {"load_postman", "check_postman", "dbt_build", "report"}
    unloaded = only_postman.resolve_asset_graph().get(key(REGISTRY["testmo"].runs_table))
    assert not unloaded.is_materializable
    assert unloaded.child_keys


def test_dagsters_own_settings_are_written_once_and_then_left_to_the_user(
    settings: MakeSettings, tmp_path: Path
) -> None:
    ours = settings(TESTRUNS_HOME=str(tmp_path))
    home = dagster_home(ours)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
    (home / "dagster.yaml").write_text("# mine\n", encoding="utf-8")
    assert dagster_home(ours) == home
    assert (home / "dagster.yaml").read_text(encoding="utf-8") == "# mine\n"


def test_a_dagster_home_of_the_users_is_taken_as_it_is(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert dagster_home(settings()) == tmp_path
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("home", ["not/absolute", "/nowhere/at/all"])
def test_a_dagster_home_that_dagster_would_refuse_is_named(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)
    with pytest.raises(SettingsError, match=f"^DAGSTER_HOME: .*{home}"):
        dagster_home(settings())


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")  # of Dagster's own function for tests
def test_the_daemon_writes_the_report_when_marts_have_been_built(settings: MakeSettings) -> None:
    mart = dg.AssetSpec(["marts", "m"])
    definitions = dg.Definitions(
        assets=[mart, report_asset([mart.key])], resources=resources(settings())
    )
    with dg.instance_for_test() as instance:
        quiet = dg.evaluate_automation_conditions(definitions, instance=instance)
        assert quiet.total_requested == 0
        instance.report_runless_asset_event(dg.AssetMaterialization(mart.key))
        built = dg.evaluate_automation_conditions(
            definitions, instance=instance, cursor=quiet.cursor
        )
        assert built.total_requested == 1
