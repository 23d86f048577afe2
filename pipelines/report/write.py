"""`testruns report`: from the marts to a file that opens in any browser, without a network."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import TestrunsError
from pipelines.home import private_folder
from pipelines.report.data import read_data
from pipelines.report.page import render
from pipelines.report.period import choose_period
from pipelines.report.sections import outages
from pipelines.report.sections.outages import OutageLine
from pipelines.settings import Settings
from pipelines.warehouse.engine import open_warehouse


@dataclass(frozen=True)
class WrittenReport:
    """A page that was written; `outages` are those of its period, the latest first."""

    path: Path
    outages: list[OutageLine]


class ReportError(TestrunsError):
    """The page could not be written."""


def write_report(
    settings: Settings,
    out: Path | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> WrittenReport:
    """Write the page and say where; `out` None: `report.html` in TESTRUNS_HOME/reports.

    It speaks of the business days from `since` (None: eight weeks) to `until` (None: now). A file
    that is there is replaced at once or, if anything fails, left as it is.

    Raises SettingsError for times that make no period, WarehouseError when there is nothing to
    read, ReportError when the file cannot be written.
    """
    now = datetime.now(UTC)
    period = choose_period(since, until, now, settings.testruns_timezone)
    data = read_data(open_warehouse(settings), period)
    path = _write(render(data, written_at=now), out, settings.testruns_home / "reports")
    return WrittenReport(path, outages.lines(data))


def _write(page: str, out: Path | None, reports: Path) -> Path:
    target = reports / "report.html" if out is None else out.absolute()
    try:
        if out is None:
            private_folder(reports)
        # A device or a pipe is written to; it must not be replaced.
        if target.exists() and not target.is_file():
            target.write_text(page, encoding="utf-8")
            return target
        target = target.resolve()
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with beside.open("w", encoding="utf-8") as file:
                file.write(page)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        setting = "TESTRUNS_HOME" if out is None else "--out"
        raise ReportError(f"{setting}: {target} cannot be written: {reason}") from None
    return target
