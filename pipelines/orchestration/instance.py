"""Where runs work and where they are kept: executor, launcher, storage; see `DagsterSettings`.

The executor belongs to the code location. Launcher and storage belong to the instance, whose
dagster.yaml is put together from deploy/dagster/ and names variables of the environment, never
their values: ours, until somebody changes it.
"""

import fcntl
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import SettingsError
from pipelines.home import private_folder
from pipelines.resources import bundled
from pipelines.settings import LAUNCHERS, DagsterSettings, Settings, load_settings
from pipelines.terminal import output
from pipelines.transform.environment import environment

if TYPE_CHECKING:
    from dagster import DagsterInstance, ExecutorDefinition

# The last two come with extras of the same name.
_EXECUTORS = {
    "in_process": ("dagster", "in_process_executor"),
    "multiprocess": ("dagster", "multiprocess_executor"),
    "celery": ("dagster_celery", "celery_executor"),
    "k8s": ("dagster_k8s", "k8s_job_executor"),
}


def dagster_yaml(launcher: str, *, has_server: bool) -> str:
    """The instance's settings; `has_server`: its storage is a Postgres."""
    names = ["dagster.yaml"]
    names += ["postgres.yaml"] if has_server else []
    names += ["celery.yaml"] if launcher == "celery" else []
    folder = bundled("deploy/dagster")
    return "".join((folder / name).read_text(encoding="utf-8") for name in names)


def dagster_environment(dagster: DagsterSettings) -> dict[str, str]:
    """The variables that dagster.yaml names, for Dagster's processes: they read no .env."""
    urls = {"storage_url": dagster.storage_url, "broker_url": dagster.broker_url}
    return {
        DagsterSettings.variable(name): url.get_secret_value() for name, url in urls.items() if url
    }


def executor(dagster: DagsterSettings) -> "ExecutorDefinition":
    """Where steps work: by default in the run's own process, as each more would import it all.

    Raises SettingsError for an executor whose package is not installed.
    """
    module, name = _EXECUTORS[dagster.executor]
    try:
        definition: ExecutorDefinition = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{DagsterSettings.variable('executor')}: {dagster.executor} needs the package "
            f"{error.name}: pip install 'testruns[{dagster.executor}]'"
        ) from None
    if dagster.executor == "celery":
        broker = {"env": DagsterSettings.variable("broker_url")}
        return definition.configured({"broker": broker, "backend": broker}, "celery")
    return definition


def dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME where it is set, else `dagster` under TESTRUNS_HOME, which is made if missing.

    Raises SettingsError for a DAGSTER_HOME that Dagster would not take, and for a storage or a
    launcher that is set and that the dagster.yaml of the user's own does not use.
    """
    launcher, has_server = settings.dagster.launcher, settings.dagster.storage_url is not None
    ours = settings.testruns_home / "dagster"
    given = os.environ.get("DAGSTER_HOME", "").strip()
    home = Path(given).expanduser() if given else ours
    config = home / "dagster.yaml"
    if home == ours:
        private_folder(home)
        wanted = dagster_yaml(launcher, has_server=has_server)
        if not config.exists() or _is_ours(config):
            config.write_text(wanted, encoding="utf-8")
    elif not home.is_absolute() or not home.is_dir():
        raise SettingsError(f"DAGSTER_HOME: must be the full path of a folder, not {given!r}")
    text = config.read_text(encoding="utf-8") if config.exists() else ""
    storage = DagsterSettings.variable("storage_url")
    for variable, is_set, used in (
        (storage, has_server, storage),
        (DagsterSettings.variable("launcher"), launcher == "celery", "CeleryRunLauncher"),
    ):
        if is_set and used not in text:
            raise SettingsError(f"{variable}: is set, but {config} is yours and does not use it")
    return home


def _is_ours(config: Path) -> bool:
    """Whether it is as we wrote it for some settings; what somebody has changed never is."""
    text = config.read_text(encoding="utf-8")
    return any(
        text == dagster_yaml(launcher, has_server=has_server)
        for launcher in LAUNCHERS
        for has_server in (True, False)
    )


@contextmanager
def open_instance(settings: Settings, run_id: str) -> Iterator["DagsterInstance"]:
    """Dagster's instance on these settings, for the run `run_id` in this process.

    Dagster makes and migrates its SQLite files without a lock of its own, so that of two processes
    that are the first ones on a home, one would fail. Raises what `dagster_home` raises.
    """
    from pipelines.orchestration import dagster_internals  # noqa: PLC0415 - half a second

    home, variables = dagster_home(settings), dagster_environment(settings.dagster)
    with (home / "storage.lock").open("w") as lock, environment(variables):
        fcntl.flock(lock, fcntl.LOCK_EX)
        instance = dagster_internals.instance_without_capture(home)
        # Each storage makes its file when it is first used, and there is one for each run's events.
        instance.get_run_records(limit=1)
        instance.all_instigator_state()
        instance.all_logs(run_id)
    with environment(variables), instance, ExitStack() as stack:
        # Dagster closes its connection after each of some 1,000 commits, and whoever is the last to
        # close a database waits for the disk to have it all. So somebody has it open.
        files = [home / "history" / "runs.db", home / "history" / "runs" / "index.db"]
        for path in [*files, home / "history" / "runs" / f"{run_id}.db"]:
            if path.exists():
                connection = stack.enter_context(closing(sqlite3.connect(path)))
                connection.execute("select count(*) from sqlite_master").fetchone()
        yield instance


def main() -> None:
    """Make Dagster's home ready and print where it is: what a service does before it starts."""
    try:
        settings = load_settings()
        executor(settings.dagster)
        output.line(str(dagster_home(settings)))
    except SettingsError as error:
        output.note(*str(error).splitlines())
        sys.exit(2)


if __name__ == "__main__":
    main()
