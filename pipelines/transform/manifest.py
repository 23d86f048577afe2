"""The dbt project as dbt parses it, kept like Python's own bytecode: beside the code if possible.

Parsing costs more than two seconds, and every process of a code location needs the result. It
depends on the project's files and on dbt, and on the warehouse only by the name of its database,
which is filled in here. So `make install` parses once, a wheel carries the result, and a changed
project is parsed again by whoever needs it first: into this package, or where that is read-only,
under TESTRUNS_HOME.
"""

import fcntl
import hashlib
import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipelines.errors import TransformError
from pipelines.home import private_folder
from pipelines.resources import bundled
from pipelines.settings import Settings
from pipelines.transform.environment import database_name
from pipelines.transform.runner import invoke

Manifest = dict[str, Any]

_SHIPPED = Path(__file__).parent / "parsed"
_DATABASE = "testruns"
_PACKAGES = ("dbt-core", "dbt-adapters", "dbt-postgres")
_FOLDERS = ("models", "macros", "tests")


def dbt_folder(settings: Settings) -> Path:
    """Where dbt writes: the project itself may lie in a read-only installation."""
    return settings.testruns_home / "dbt"


def read_manifest(settings: Settings) -> Manifest:
    """manifest.json of the parsed project; needs no warehouse.

    Raises TransformError with dbt's complaint about the project.
    """
    url = settings.testruns_warehouse_url
    database = database_name(url.get_secret_value()) if url else _DATABASE
    path = _parsed(dbt_folder(settings)) / "manifest.json"
    manifest: Manifest = json.loads(path.read_bytes())
    for node in (*manifest["nodes"].values(), *manifest["sources"].values()):
        node["database"] = database
    return manifest


def load_manifest(folder: Path, database: str) -> Any:
    """The manifest that dbt builds from, in the warehouse's `database`.

    dbt would compare it with the project and the connection, and parse anew for every other host
    or port; that it fits the project is known here. `folder` is that of `dbt_folder`.
    """
    from dbt.contracts.graph.manifest import Manifest as DbtManifest  # noqa: PLC0415 - a second
    from dbt.parser.manifest import extended_mashumuro_decoder  # noqa: PLC0415

    content = (_parsed(folder) / "partial_parse.msgpack").read_bytes()
    manifest: Any = DbtManifest.from_msgpack(content, decoder=extended_mashumuro_decoder)
    for node in (*manifest.nodes.values(), *manifest.sources.values()):
        node.database = database
        if node.relation_name:
            node.relation_name = node.relation_name.replace(f'"{_DATABASE}"', f'"{database}"', 1)
    # What macros see as `graph`; dbt builds it only where it has parsed.
    manifest.build_flat_graph()
    return manifest


def project_digest() -> str:
    """Changes with the files of the dbt project and with dbt."""
    digest = hashlib.blake2b(digest_size=8)
    for package in _PACKAGES:
        digest.update(f"{package} {version(package)}\0".encode())
    project = bundled("dbt_project")
    files = [project / "dbt_project.yml", project / "profiles.yml"]
    for folder in _FOLDERS:
        files += (path for path in (project / folder).rglob("*") if path.is_file())
    for path in sorted(files):
        digest.update(f"{path.relative_to(project)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _parsed(folder: Path) -> Path:
    """A folder with manifest.json and partial_parse.msgpack of the project as it is now."""
    digest = project_digest()
    for kept in (_SHIPPED, folder / "parsed"):
        if _digest_of(kept) == digest:
            return kept
    is_writable = os.access(_SHIPPED.parent, os.W_OK)
    kept = _SHIPPED if is_writable else private_folder(folder) / "parsed"
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _digest_of(kept) != digest:
            _parse(kept, digest)
    return kept


def _digest_of(kept: Path) -> str | None:
    try:
        return (kept / "digest").read_text()
    except OSError:
        return None


def _parse(kept: Path, digest: str) -> None:
    shutil.rmtree(kept, ignore_errors=True)
    result = invoke("parse", folder=kept, variables={"TESTRUNS_DBT_DBNAME": _DATABASE})
    if not result.success:
        reason = " ".join(str(result.exception).split())
        raise TransformError(f"dbt cannot parse its project: {reason}")
    for path in kept.iterdir():
        if path.name not in {"manifest.json", "partial_parse.msgpack"}:
            path.unlink()
    # Last: without it the folder counts as empty.
    (kept / "digest").write_text(digest)


if __name__ == "__main__":
    _parsed(_SHIPPED.parent)
