"""Where files beside the package lie: in a checkout they do, in a wheel they are inside it."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def bundled(name: str) -> Path:
    """`name` ("sql", "dbt_project", "deploy/dagster" or ".env.example"); it may be read-only.

    Raises FileNotFoundError if the installation is incomplete.
    """
    for path in (_PACKAGE.parent / name, _PACKAGE / "_bundled" / name):
        if path.exists():
            return path
    raise FileNotFoundError(f"{name} is missing from this installation of testruns")
