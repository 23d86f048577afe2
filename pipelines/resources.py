"""Where folders beside the package lie: in a checkout they do, in a wheel they are inside it."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def bundled(name: str) -> Path:
    """Folder `name` ("sql", "dbt_project" or "deploy/dagster"); it may be read-only.

    Raises FileNotFoundError if the installation is incomplete.
    """
    for folder in (_PACKAGE.parent / name, _PACKAGE / "_bundled" / name):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{name}/ is missing from this installation of testruns")
