"""Where runs work and where they are kept: executor, launcher, storage. Chosen here, and only here.

By variables of the environment, not of `.env`: Dagster's own processes read them, too.

    TESTRUNS_DAGSTER_EXECUTOR     where steps work: in_process (default), multiprocess, celery, k8s
    TESTRUNS_DAGSTER_LAUNCHER     where runs work: local (default), celery
    TESTRUNS_DAGSTER_STORAGE_URL  where runs are kept: a Postgres; unset: SQLite in Dagster's home
    TESTRUNS_DAGSTER_BROKER_URL   the Redis through which Celery's workers are asked
    TESTRUNS_DAGSTER_URL          the address of Dagster's page, for links in alerts

The executor belongs to the code location. Launcher and storage belong to the instance, whose
dagster.yaml names the variables and never their values: ours, until somebody changes it.
"""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipelines.errors import SettingsError
from pipelines.settings import Settings, load_settings

if TYPE_CHECKING:
    from dagster import ExecutorDefinition

# `testruns dev` sets it for its children.
PAGE_VARIABLE = "TESTRUNS_DAGSTER_URL"
EXECUTOR_VARIABLE = "TESTRUNS_DAGSTER_EXECUTOR"
LAUNCHER_VARIABLE = "TESTRUNS_DAGSTER_LAUNCHER"
STORAGE_VARIABLE = "TESTRUNS_DAGSTER_STORAGE_URL"
BROKER_VARIABLE = "TESTRUNS_DAGSTER_BROKER_URL"

# The first is the default. The last two come with extras of the same name.
EXECUTORS = {
    "in_process": ("dagster", "in_process_executor"),
    "multiprocess": ("dagster", "multiprocess_executor"),
    "celery": ("dagster_celery", "celery_executor"),
    "k8s": ("dagster_k8s", "k8s_job_executor"),
}
LAUNCHERS = ("local", "celery")
# SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3, over which Dagster's storage fails at the
# first event of a run.
STORAGE_SCHEME = "postgresql+psycopg2"

_DAGSTER_YAML = """\
# Dagster's own settings: https://docs.dagster.io/deployment/oss/dagster-yaml
# Written by testruns, anew when its variables change; once you change it, it is yours.
{storage}{launcher}
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

_POSTGRES = f"""
# Runs, events and schedules are kept in Postgres.
storage:
  postgres:
    postgres_url:
      env: {STORAGE_VARIABLE}
"""

_CELERY = f"""
# A worker of Celery's takes a run, with all of its steps.
run_launcher:
  module: dagster_celery.launcher
  class: CeleryRunLauncher
  config:
    default_queue: dagster
    broker:
      env: {BROKER_VARIABLE}
    backend:
      env: {BROKER_VARIABLE}
"""


@dataclass(frozen=True)
class Deployment:
    """The variables above, checked."""

    executor: str = "in_process"
    launcher: str = "local"
    has_server: bool = False

    @property
    def dagster_yaml(self) -> str:
        """The instance's settings; no value of a variable is in them."""
        return _DAGSTER_YAML.format(
            storage=_POSTGRES if self.has_server else "",
            launcher=_CELERY if self.launcher == "celery" else "",
        )


def deployment() -> Deployment:
    """What the environment asks for. Raises SettingsError, which quotes no URL."""
    executor = _chosen(EXECUTOR_VARIABLE, EXECUTORS)
    launcher = _chosen(LAUNCHER_VARIABLE, LAUNCHERS)
    if launcher == "celery" and executor != "in_process":
        # Celery lets no task wait for others.
        raise SettingsError(
            f"{EXECUTOR_VARIABLE}: must be in_process where {LAUNCHER_VARIABLE} is celery, for a "
            "worker takes a run as a whole"
        )
    if "celery" in (executor, launcher):
        _check_url(BROKER_VARIABLE, "redis", "rediss", why="required by celery, ")
    storage = _given(STORAGE_VARIABLE)
    if storage:
        _check_url(STORAGE_VARIABLE, STORAGE_SCHEME)
    return Deployment(executor, launcher, has_server=bool(storage))


def _given(variable: str) -> str:
    return os.environ.get(variable, "").strip()


def _chosen(variable: str, choices: Iterable[str]) -> str:
    """One of the choices; the first of them is the default."""
    names = list(choices)
    given = _given(variable) or names[0]
    if given not in names:
        raise SettingsError(f"{variable}: must be one of {', '.join(names)}, not {given[:80]!r}")
    return given


def _check_url(variable: str, *schemes: str, why: str = "") -> None:
    try:
        parts = urlsplit(_given(variable))
        is_one = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:  # it may quote the URL
        is_one = False
    if not is_one:
        raise SettingsError(f"{variable}: {why}must be a URL as {schemes[0]}://user:password@host")


def executor() -> "ExecutorDefinition":
    """Where steps work: by default in the run's own process, as each more would import it all.

    Raises SettingsError for a bad variable, and for an executor whose package is not installed.
    """
    chosen = deployment().executor
    module, name = EXECUTORS[chosen]
    try:
        found: ExecutorDefinition = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{EXECUTOR_VARIABLE}: {chosen} needs the package {error.name}: "
            f"pip install 'testruns[{chosen}]'"
        ) from None
    if chosen == "celery":
        broker = {"env": BROKER_VARIABLE}
        return found.configured({"broker": broker, "backend": broker}, "celery")
    return found


def dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME where it is set, else `dagster` under TESTRUNS_HOME, which is made if missing.

    Raises SettingsError for a bad variable, a DAGSTER_HOME that Dagster would not take, and for
    a storage that is set and that the dagster.yaml of the user's own does not read.
    """
    wanted = deployment()
    ours = settings.testruns_home / "dagster"
    given = _given("DAGSTER_HOME")
    home = Path(given).expanduser() if given else ours
    config = home / "dagster.yaml"
    if home == ours:
        home.mkdir(parents=True, exist_ok=True)
        if not config.exists() or _is_outdated(config, wanted):
            config.write_text(wanted.dagster_yaml, encoding="utf-8")
    elif not home.is_absolute() or not home.is_dir():
        raise SettingsError(f"DAGSTER_HOME: must be the full path of a folder, not {given!r}")
    reads = config.read_text(encoding="utf-8") if config.exists() else ""
    for variable, is_set, shown_by in (
        (STORAGE_VARIABLE, wanted.has_server, STORAGE_VARIABLE),
        (LAUNCHER_VARIABLE, wanted.launcher == "celery", "CeleryRunLauncher"),
    ):
        if is_set and shown_by not in reads:
            raise SettingsError(f"{variable}: is set, but {config} is yours and does not use it")
    return home


def _is_outdated(config: Path, wanted: Deployment) -> bool:
    """Whether it is as we wrote it for other variables; what somebody has changed never is."""
    variants = [
        Deployment(launcher=one, has_server=has) for one in LAUNCHERS for has in (True, False)
    ]
    outdated = {variant.dagster_yaml for variant in variants} - {wanted.dagster_yaml}
    return config.read_text(encoding="utf-8") in outdated


def main() -> None:
    """Make Dagster's home ready and print where it is: what a service does before it starts."""
    try:
        executor()
        sys.stdout.write(f"{dagster_home(load_settings())}\n")
    except SettingsError as error:
        sys.stderr.writelines(f"testruns: {line}\n" for line in str(error).splitlines())
        sys.exit(2)


if __name__ == "__main__":
    main()
