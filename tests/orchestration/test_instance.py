"""Executor, launcher and storage by variables: what each starts, and how a bad one is refused."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from pipelines import definitions
from pipelines.cli import cli
from pipelines.errors import SettingsError
from pipelines.orchestration.instance import (
    dagster_home,
    dagster_yaml,
    executor,
    main,
    open_instance,
)
from pipelines.settings import STORAGE_SCHEME, DagsterSettings, Settings, load_settings
from tests.support.db import query

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
REDIS = {"TESTRUNS_DAGSTER_BROKER_URL": "redis://127.0.0.1:6379"}
POSTGRES = {"TESTRUNS_DAGSTER_STORAGE_URL": "postgresql+psycopg2://u:s3cret@127.0.0.1/dagster"}

Set = Callable[..., Settings]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Set:
    """Settings over an empty home, with these variables in the environment."""

    def given(**variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return load_settings({"TESTRUNS_HOME": str(tmp_path / "home"), **variables}, tmp_path)

    return given


NO_BROKER = "TESTRUNS_DAGSTER_BROKER_URL: required by celery, must be a URL as redis://host"
BAD = [
    (
        {"TESTRUNS_DAGSTER_EXECUTOR": "kelery"},
        (
            "TESTRUNS_DAGSTER_EXECUTOR: must be one of "
            "in_process, multiprocess, celery, k8s, not 'kelery'"
        ),
    ),
    (
        {"TESTRUNS_DAGSTER_LAUNCHER": "k8s"},
        "TESTRUNS_DAGSTER_LAUNCHER: must be one of local, celery, not 'k8s'",
    ),
    ({"TESTRUNS_DAGSTER_EXECUTOR": "celery"}, NO_BROKER),
    (
        {
            "TESTRUNS_DAGSTER_LAUNCHER": "celery",
            "TESTRUNS_DAGSTER_BROKER_URL": "redis://u:s3cret@host:port",
        },
        NO_BROKER,
    ),
    (
        {**REDIS, "TESTRUNS_DAGSTER_LAUNCHER": "celery", "TESTRUNS_DAGSTER_EXECUTOR": "celery"},
        (
            "TESTRUNS_DAGSTER_EXECUTOR: must be in_process where TESTRUNS_DAGSTER_LAUNCHER is "
            "celery, for a worker takes a run as a whole"
        ),
    ),
    (
        {"TESTRUNS_DAGSTER_STORAGE_URL": "postgresql://u:s3cret@host/dagster"},
        "TESTRUNS_DAGSTER_STORAGE_URL: must be a URL as postgresql+psycopg2://host",
    ),
]


@pytest.mark.parametrize(("variables", "complaint"), BAD)
def test_a_bad_variable_is_one_line_that_names_it_and_quotes_no_url(
    settings: Set,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    variables: dict[str, str],
    complaint: str,
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("TESTRUNS_HOME", str(home))
    with pytest.raises(SettingsError) as raised:
        settings(**variables)
    assert str(raised.value) == complaint
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"testruns: {complaint}\n"
    assert not home.exists()


@pytest.mark.parametrize(
    ("name", "package"), [("celery", "dagster_celery"), ("k8s", "dagster_k8s")]
)
def test_an_executor_whose_package_is_missing_says_what_to_install(
    settings: Set, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    chosen = settings(**REDIS, TESTRUNS_DAGSTER_EXECUTOR=name).dagster
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=rf"{package}: pip install 'testruns\[{name}\]'$"):
        executor(chosen)


@pytest.mark.parametrize(("given", "name"), [("", "in_process"), ("multiprocess", "multiprocess")])
def test_the_code_location_takes_the_executor_that_is_chosen(
    settings: Set, given: str, name: str
) -> None:
    assert executor(settings(TESTRUNS_DAGSTER_EXECUTOR=given).dagster).name == name


def test_dagsters_settings_follow_the_variables_until_somebody_changes_them(settings: Set) -> None:
    home = dagster_home(settings())
    config = home / "dagster.yaml"
    assert "storage" not in yaml.safe_load(config.read_text("utf-8"))
    on_a_server = settings(**POSTGRES)
    assert dagster_home(on_a_server) == home
    written = config.read_text("utf-8")
    assert yaml.safe_load(written)["storage"] == {
        "postgres": {"postgres_url": {"env": "TESTRUNS_DAGSTER_STORAGE_URL"}}
    }
    assert "s3cret" not in written

    config.write_text("# mine\n", "utf-8")
    with pytest.raises(SettingsError, match=r"^TESTRUNS_DAGSTER_STORAGE_URL: is set, but .* yours"):
        dagster_home(on_a_server)
    assert config.read_text("utf-8") == "# mine\n"
    config.write_text(f"# mine\n{written}", "utf-8")
    assert dagster_home(on_a_server) == home


def test_a_server_that_names_our_own_folder_as_dagsters_home_has_it_made(
    settings: Set, tmp_path: Path
) -> None:
    home = tmp_path / "home" / "dagster"
    assert dagster_home(settings(DAGSTER_HOME=str(home))) == home
    assert (home / "dagster.yaml").exists()


@dg.op
def step() -> None:
    """Something to keep."""


@dg.job(executor_def=dg.in_process_executor)
def kept() -> None:
    step()


def run_in(home: Path) -> str:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        done = kept.execute_in_process(instance=instance)
        assert done.success
    # As another process sees it.
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = instance.get_run_by_id(done.run_id)
        assert run is not None
        assert run.is_success
        assert instance.all_logs(done.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
    return done.run_id


def test_without_a_variable_runs_are_kept_in_files(settings: Set) -> None:
    home = dagster_home(settings())
    run_in(home)
    assert (home / "history" / "runs.db").exists()


def test_on_a_server_runs_are_kept_in_postgres_and_nothing_in_files(
    settings: Set, empty_database_url: str
) -> None:
    driven = empty_database_url.replace("postgresql://", "postgresql+psycopg2://")
    home = dagster_home(settings(TESTRUNS_DAGSTER_STORAGE_URL=driven))
    run_id = run_in(home)
    assert query(empty_database_url, "select run_id, status from runs") == [(run_id, "SUCCESS")]
    assert not (home / "history").exists()


def test_a_server_that_only_the_settings_name_is_used_by_a_run_in_this_process(
    empty_database_url: str, tmp_path: Path
) -> None:
    driven = empty_database_url.replace("postgresql://", "postgresql+psycopg2://")
    home = {"TESTRUNS_HOME": str(tmp_path / "home")}
    from_file = load_settings({**home, "TESTRUNS_DAGSTER_STORAGE_URL": driven}, tmp_path)
    with open_instance(from_file, str(uuid.uuid4())) as instance:
        done = kept.execute_in_process(instance=instance)
    assert query(empty_database_url, "select run_id from runs") == [(done.run_id,)]
    assert "TESTRUNS_DAGSTER_STORAGE_URL" not in os.environ


def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        (DEPLOY / "kubernetes" / "values.yaml").read_text("utf-8")
    )
    return found


def test_the_values_for_kubernetes_name_our_module_our_version_and_the_driver() -> None:
    (ours,) = values()["dagster-user-deployments"]["deployments"]
    assert ours["dagsterApiGrpcArgs"] == ["--module-name", definitions.__name__]
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'version = "{ours["image"]["tag"]}"' in project
    assert ours["includeConfigInLaunchedRuns"] == {"enabled": True}
    known = set(DagsterSettings.variables())
    assert {one["name"] for one in ours["env"]} <= known
    assert values()["postgresql"]["postgresqlScheme"] == STORAGE_SCHEME


def test_what_the_values_add_to_dagsters_settings_is_what_dagster_takes() -> None:
    added = values()["additionalInstanceConfig"]
    schema = dg.Field(dagster_instance_config_schema()).config_type
    checked = validate_config(schema, added)
    assert checked.success, checked.errors
    assert (
        added["concurrency"]
        == yaml.safe_load(dagster_yaml("local", has_server=False))["concurrency"]
    )


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_every_unit_as_it_stands(tmp_path: Path) -> None:
    """With a stand-in for the commands, which are installed elsewhere."""
    for unit in UNITS:
        text = unit.read_text("utf-8").replace("/opt/testruns/.venv/bin/", "/bin/true ")
        (tmp_path / unit.name.replace("@.", "@1.")).write_text(text, "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *tmp_path.iterdir()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_what_is_there_as_an_ordinary_user(unit: Path) -> None:
    lines = unit.read_text("utf-8").splitlines()
    if unit.suffix == ".timer":
        (started,) = (line.partition("=")[2] for line in lines if line.startswith("Unit="))
        assert (unit.parent / started).exists()
        return
    assert "User=testruns" in lines
    commands = [line.partition("=")[2].split() for line in lines if line.startswith("Exec")]
    for program, first, *_ in commands:
        if program.endswith("/testruns"):
            assert first in cli.commands
    assert all(program.startswith("/opt/testruns/.venv/bin/") for program, *_ in commands)
