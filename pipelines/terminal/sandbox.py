"""`testruns sandbox`: both APIs on loopback, or their history as report files."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import SettingsError, TestrunsError
from pipelines.sandbox.faults import FAMILIES
from pipelines.sandbox.faults.plan import Faults, described
from pipelines.sandbox.files import read_files
from pipelines.sandbox.history import seeded_history
from pipelines.sandbox.reports import write_reports
from pipelines.sandbox.server import serve_forever
from pipelines.terminal import output


def show_faults() -> None:
    """Print all that can go wrong."""
    for family, members in FAMILIES.items():
        output.line(f"{family}:")
        for text in described(members):
            output.line(f"  {text}")


def write(files: tuple[Path | None, Path | None, Path | None], folder: Path) -> None:
    """Write the history as report files: that of the files, or the invented one up to today.

    Raises SettingsError for files that cannot be read, TestrunsError where nothing can be written.
    """
    today = datetime.now(UTC).date()
    try:
        data = read_files(*files) if any(files) else seeded_history(today)
    except (ValueError, OSError) as error:
        raise SettingsError(str(error)) from None
    try:
        number = write_reports(data, folder)
    except OSError as error:
        raise TestrunsError(f"{folder}: cannot be written: {error.strerror}") from None
    output.line(f"{number:,} report files in {folder}; testruns import takes them")


def serve(
    port: int,
    files: tuple[Path | None, Path | None, Path | None],
    requests_per_minute: int,
    faults: Sequence[str],
) -> None:
    """Serve until stopped: files of Postman runs, Testmo runs and books, or else invented runs.

    Raises SettingsError for files and faults that cannot be read, TestrunsError for a port that
    cannot be served on.
    """
    try:
        plan = Faults(*faults)
        data = read_files(*files) if any(files) else seeded_history(datetime.now(UTC))
    except (ValueError, OSError) as error:
        raise SettingsError(str(error)) from None
    try:
        serve_forever(data, port, requests_per_minute, plan)
    except OSError as error:
        raise TestrunsError(str(error)) from None
