"""TESTRUNS_HOME: what lies there is its owner's alone to read."""

from pathlib import Path


def private_folder(path: Path) -> Path:
    """The folder, closed to all but its owner; it and its parents are made if missing.

    Raises OSError.
    """
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_mode & 0o077:
        path.chmod(0o700)
    return path
