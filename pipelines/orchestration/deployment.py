"""Where runs work and where they are kept: executor, launcher, storage. Chosen here, and only here.

The executor belongs to the code location and is below. Launcher and storage belong to the instance,
in DAGSTER_HOME/dagster.yaml: the user's own where DAGSTER_HOME is set, else ours, written once.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import SettingsError
from pipelines.settings import Settings

if TYPE_CHECKING:
    from dagster import ExecutorDefinition

# The address of Dagster's page, for links in alerts; `testruns dev` sets it for its children.
PAGE_VARIABLE = "TESTRUNS_DAGSTER_URL"

_DAGSTER_YAML = """\
# Dagster's own settings: https://docs.dagster.io/deployment/oss/dagster-yaml
# Written once by testruns and never touched again: change what you like.

# Runs, events and schedules are kept in SQLite files beside this one. For a server:
# storage:
#   postgres:
#     # with the driver's name: the storage does not work over psycopg 3, SQLAlchemy's new default
#     postgres_url: postgresql+psycopg2://user:password@host/dagster

# How a run gets a process: of its own, on this machine.
# run_launcher:
#   module: dagster_k8s
#   class: K8sRunLauncher

# One step at a time asks an API: its pool is postman_api or testmo_api. Runs wait in the queue.
concurrency:
  pools:
    default_limit: 1

# A run that was killed ends as failed, and frees its pool, at the latest before the next night.
run_monitoring:
  enabled: true
  max_runtime_seconds: 82800
  free_slots_after_run_end_seconds: 60

# A run that is launched from the page starts within a second, not five.
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1

# Nothing phones home, and no newsletter is offered.
telemetry:
  enabled: false
nux:
  enabled: false
"""


def executor() -> "ExecutorDefinition":
    """Steps in the run's own process: each process more would import it all again."""
    from dagster import in_process_executor  # noqa: PLC0415 - not for `testruns dev` itself

    return in_process_executor


def dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME where it is set, else `dagster` under TESTRUNS_HOME, made if it is missing.

    Raises SettingsError for a DAGSTER_HOME that Dagster would not take.
    """
    given = os.environ.get("DAGSTER_HOME", "").strip()
    if given:
        home = Path(given).expanduser()
        if not home.is_absolute() or not home.is_dir():
            raise SettingsError(f"DAGSTER_HOME: must be the full path of a folder, not {given!r}")
        return home
    home = settings.testruns_home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(_DAGSTER_YAML, encoding="utf-8")
    return home
