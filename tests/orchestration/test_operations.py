"""docs/operations.md, held to the code: what it names is there, and what is there it names."""

import re
from pathlib import Path

import click
import pytest

from pipelines.cli import cli
from pipelines.orchestration import alerts
from pipelines.orchestration.alert_sensors import (
    alert_on_failure_sensor,
    alert_on_recovery_sensor,
    freshness_sensor,
)
from pipelines.orchestration.checks import CHECKS, FRESH_HOURS
from pipelines.orchestration.sensors import (
    backfill_sync_sensor,
    models_after_backfill_sensor,
)
from pipelines.settings import (
    EXECUTORS,
    LAUNCHERS,
    SOURCES,
    STORAGE_SCHEME,
    DagsterSettings,
    Settings,
    load_settings,
)
from pipelines.sources.registry import REGISTRY

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
CODE = re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) + re.findall(
    r"(?<!`)`([^`\n]+)`(?!`)", PAGE
)
COMMANDS = sorted(
    {
        line.strip()
        for code in CODE
        for line in re.findall(r"(?:^|/bin/)testruns ([a-z].*)$", code, re.MULTILINE)
    }
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("operations")
    return load_settings({"TESTRUNS_HOME": str(folder)}, folder)


def rows(name: str) -> dict[str, list[str]]:
    """The table whose first column is called so: its cells by the first, without its quotes."""
    (_, table) = PAGE.split(f"\n| {name} |", 1)
    lines = table.split("\n\n", 1)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {first.strip("`"): rest for first, *rest in cells}


def test_every_check_of_the_raw_tables_is_documented_with_its_severity_and_what_to_do() -> None:
    documented = rows("check")
    assert documented.keys() == CHECKS.keys()
    for name, (severity, means, remedy) in documented.items():
        question = CHECKS[name][1].lower()
        assert means
        assert remedy
        assert ("error" in severity) == ("error" in question), name
        assert ("warning" in severity) == ("warns" in question), name
    assert f"{FRESH_HOURS} hours" in documented["is_fresh"][1]


def test_every_alert_is_documented_as_it_begins_and_by_its_sensor(settings: Settings) -> None:
    documented = rows("alert begins")
    failed = [
        alerts.failure_alert(title, {}).title
        for title in ("the scheduled run of nightly failed", "testruns nightly failed")
    ]
    again = ["testruns: nightly works again", "testruns: loaded again"]
    assert set(documented) == {*failed, alerts.stale_alert([]).title, *again}
    for make_sensor in (
        alert_on_failure_sensor,
        alert_on_recovery_sensor,
        backfill_sync_sensor,
        freshness_sensor,
        models_after_backfill_sensor,
    ):
        sensor = make_sensor(settings)
        assert f"`{sensor.name}`" in PAGE


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_page_exists_with_its_options(command: str) -> None:
    node: click.Command = cli
    for word in command.split():
        if isinstance(node, click.Group):
            assert word in node.commands
            node = node.commands[word]
        elif word.startswith("--"):
            assert word in {name for option in node.params for name in option.opts}


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) > 8


def test_every_variable_of_the_deployment_is_reported_with_its_choices_and_its_default() -> None:
    documented = rows("variable")
    assert documented.keys() == DagsterSettings.variables().keys()
    for field, choices in (("executor", EXECUTORS), ("launcher", LAUNCHERS)):
        documented_choices, default = documented[DagsterSettings.variable(field)]
        assert default == f"`{choices[0]}`"
        assert all(f"`{choice}`" in documented_choices for choice in choices)
    assert STORAGE_SCHEME in documented[DagsterSettings.variable("storage_url")][0]


@pytest.mark.parametrize(
    "path",
    sorted(set(re.findall(r"`((?:deploy|docs|pipelines|sql|dbt_project)/[\w./@-]+)`", PAGE))),
)
def test_every_file_that_the_page_names_is_there(path: str) -> None:
    if "NAME" not in path:
        assert (ROOT / path).exists()


def test_every_unit_is_reported() -> None:
    for unit in (ROOT / "deploy" / "systemd").iterdir():
        assert f"`{unit.name}`" in PAGE


def test_the_chart_is_of_the_version_that_is_locked() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    (locked,) = re.findall(r"^dagster==([\d.]+)", lock, re.MULTILINE)
    assert f"--version {locked} " in PAGE


def test_pools_are_called_as_the_page_calls_them() -> None:
    for source in SOURCES:
        assert f"`{REGISTRY[source].pool}`" in PAGE
