"""Where runs work and where they are kept: executor, launcher, storage. Chosen here, and only here.

By variables of the environment, not of `.env`: Dagster's own processes read them, too.

    TESTRUNS_DAGSTER_EXECUTOR     where steps work: in_process (default), multiprocess, celery, k8s
    TESTRUNS_DAGSTER_LAUNCHER     where runs work: local (default), celery
    TESTRUNS_DAGSTER_STORAGE_URL  where runs are kept: a Postgres; unset: SQLite in Dagster's home
    TESTRUNS_DAGSTER_BROKER_URL   the Redis that Celery's workers take their work from
    TESTRUNS_DAGSTER_URL          the address of Dagster's page, for links in alerts

The executor belongs to the code location. Launcher and storage belong to the instance, whose
dagster.yaml is put together from deploy/dagster/ and names the variables, never their values: ours,
until somebody changes it.
"""

import fcntl
import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipelines.errors import SettingsError
from pipelines.resources import bundled
from pipelines.settings import Settings, load_settings

if TYPE_CHECKING:
    from dagster import DagsterInstance, ExecutorDefinition

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


@dataclass(frozen=True)
class Deployment:
    """The variables above, checked."""

    executor: str = "in_process"
    launcher: str = "local"
    has_server: bool = False

    @property
    def dagster_yaml(self) -> str:
        """The instance's settings; no value of a variable is in them."""
        names = ["dagster.yaml"]
        names += ["postgres.yaml"] if self.has_server else []
        names += ["celery.yaml"] if self.launcher == "celery" else []
        folder = bundled("deploy/dagster")
        return "".join((folder / name).read_text(encoding="utf-8") for name in names)


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
        definition: ExecutorDefinition = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{EXECUTOR_VARIABLE}: {chosen} needs the package {error.name}: "
            f"pip install 'testruns[{chosen}]'"
        ) from None
    if chosen == "celery":
        broker = {"env": BROKER_VARIABLE}
        return definition.configured({"broker": broker, "backend": broker}, "celery")
    return definition


def dagster_home(settings: Settings) -> Path:
    """DAGSTER_HOME where it is set, else `dagster` under TESTRUNS_HOME, which is made if missing.

    Raises SettingsError for a bad variable, a DAGSTER_HOME that Dagster would not take, and for
    a storage that is set and that the dagster.yaml of the user's own does not read.
    """
    chosen = deployment()
    ours = settings.testruns_home / "dagster"
    given = _given("DAGSTER_HOME")
    home = Path(given).expanduser() if given else ours
    config = home / "dagster.yaml"
    if home == ours:
        home.mkdir(parents=True, exist_ok=True)
        if not config.exists() or _is_outdated(config, chosen):
            config.write_text(chosen.dagster_yaml, encoding="utf-8")
    elif not home.is_absolute() or not home.is_dir():
        raise SettingsError(f"DAGSTER_HOME: must be the full path of a folder, not {given!r}")
    reads = config.read_text(encoding="utf-8") if config.exists() else ""
    for variable, is_set, shown_by in (
        (STORAGE_VARIABLE, chosen.has_server, STORAGE_VARIABLE),
        (LAUNCHER_VARIABLE, chosen.launcher == "celery", "CeleryRunLauncher"),
    ):
        if is_set and shown_by not in reads:
            raise SettingsError(f"{variable}: is set, but {config} is yours and does not use it")
    return home


def _is_outdated(config: Path, chosen: Deployment) -> bool:
    """Whether it is as we wrote it for other variables; what somebody has changed never is."""
    variants = [
        Deployment(launcher=launcher, has_server=has_server)
        for launcher in LAUNCHERS
        for has_server in (True, False)
    ]
    outdated = {variant.dagster_yaml for variant in variants} - {chosen.dagster_yaml}
    return config.read_text(encoding="utf-8") in outdated


@contextmanager
def open_instance(settings: Settings, run_id: str) -> Iterator["DagsterInstance"]:
    """Dagster's instance on these settings, for the run `run_id` in this process.

    Dagster makes and migrates its SQLite files without a lock of its own, so that of two processes
    that are the first ones on a home, one would fail. Raises what `dagster_home` raises.
    """
    from pipelines.orchestration import dagster_internals  # noqa: PLC0415 - half a second

    home = dagster_home(settings)
    with (home / "storage.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        instance = dagster_internals.instance_without_capture(home)
        # Each storage makes its file when it is first used, and there is one for each run's events.
        instance.get_run_records(limit=1)
        instance.all_instigator_state()
        instance.all_logs(run_id)
    with instance, ExitStack() as stack:
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
        executor()
        sys.stdout.write(f"{dagster_home(load_settings())}\n")
    except SettingsError as error:
        sys.stderr.writelines(f"testruns: {line}\n" for line in str(error).splitlines())
        sys.exit(2)


if __name__ == "__main__":
    main()
