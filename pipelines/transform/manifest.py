"""The dbt project as dbt parses it, which tells Dagster what is in it before anything runs.

Parsing takes seconds and every process of a code location asks for it, so that it is kept under
TESTRUNS_HOME and done anew only when the project's files, dbt or the database's name have changed.
"""

import fcntl
import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.resources import bundled
from pipelines.settings import Settings
from pipelines.transform.build import TransformError, dbt_environment, environment

Manifest = dict[str, Any]


def dbt_folder(settings: Settings) -> Path:
    """Where dbt writes: the project itself may lie in a read-only installation."""
    return settings.testruns_home / "dbt"


def dbt_arguments(settings: Settings, command: str, *arguments: str) -> list[str]:
    """A dbt command on the bundled project that writes nothing but its own parsing and SQL."""
    project, folder = str(bundled("dbt_project")), str(dbt_folder(settings))
    return [
        *("--no-version-check", "--no-use-colors", "--log-level-file", "none"),
        *(command, "--project-dir", project, "--profiles-dir", project, "--target", "warehouse"),
        *("--target-path", folder, "--log-path", folder),
        *arguments,
    ]


def read_manifest(settings: Settings) -> Manifest:
    """The parsed project; needs no warehouse. Raises TransformError with dbt's complaint."""
    variables = {"TESTRUNS_TIMEZONE": settings.testruns_timezone}
    if settings.testruns_warehouse_url is not None:
        # A build reuses what is parsed here only if it was parsed for the same connection.
        url = settings.testruns_warehouse_url.get_secret_value()
        variables = dbt_environment(url, settings.testruns_timezone)
    folder = dbt_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"manifest-{_digest(variables)}.json"
    with (folder / "manifest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            for outdated in folder.glob("manifest-*.json"):
                outdated.unlink()
            with environment(variables):
                _parse(settings)
            (folder / "manifest.json").replace(kept)
        manifest: Manifest = json.loads(kept.read_bytes())
    return manifest


def project_digest(settings: Settings) -> str:
    """Changes with all that a build depends on besides the data."""
    return f"{_digest({})} {settings.testruns_timezone}"


def _digest(environment: Mapping[str, str]) -> str:
    """Changes with all that a manifest depends on: dbt, the database's name, the files."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(version("dbt-core").encode())
    digest.update(environment.get("TESTRUNS_DBT_DBNAME", "testruns").encode())
    project = bundled("dbt_project")
    for path in sorted(project.rglob("*")):
        if path.suffix in {".sql", ".yml"}:
            digest.update(f"\0{path.relative_to(project)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _parse(settings: Settings) -> None:
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - a second, for what is seldom needed

    answer = dbtRunner().invoke(dbt_arguments(settings, "parse", "--log-level", "none"))
    if not answer.success:
        reason = " ".join(str(answer.exception).split())
        raise TransformError(f"dbt cannot parse its project: {reason}")
