"""Dagster's home under TESTRUNS_HOME: run history, schedule state, and a `dagster.yaml` of ours."""

import os
from pathlib import Path

from pipelines.errors import SettingsError
from pipelines.settings import Settings

# No limits on pools: a run that is killed would hold its slot until somebody frees it by hand, and
# every later night would wait. That two loads never meet is the warehouse's lock's business, which
# ends with the session that holds it.
_DAGSTER_YAML = """\
# Dagster's own settings: https://docs.dagster.io/deployment/oss/dagster-yaml
# Written once by testruns and never touched again: change what you like.

# Runs, events and schedules are kept in SQLite files beside this one. For a server:
# storage:
#   postgres:
#     # with the driver's name: the storage does not work over psycopg 3, SQLAlchemy's new default
#     postgres_url: postgresql+psycopg2://user:password@host/dagster

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
