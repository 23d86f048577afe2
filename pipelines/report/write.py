"""`testruns report`: from the marts to a file that opens in any browser, without a network."""

import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pipelines.errors import TestrunsError
from pipelines.report.flakiness import flaky_tests
from pipelines.report.health import health_cards
from pipelines.report.latency import latency
from pipelines.report.night import last_night
from pipelines.report.page import render
from pipelines.report.period import period
from pipelines.report.reading import read_rows
from pipelines.report.scopes import scopes
from pipelines.report.streaks import streaks
from pipelines.report.thresholds import read_thresholds
from pipelines.settings import Settings
from pipelines.warehouse.engine import open_warehouse


class ReportError(TestrunsError):
    """The page could not be written."""


def write_report(
    settings: Settings,
    out: Path | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Path:
    """Write the page and say where; `out` None: `report.html` in TESTRUNS_HOME/reports.

    It speaks of the business days from `since` (None: eight weeks) to `until` (None: now). A file
    that is there is replaced at once or, if anything fails, left as it is.

    Raises SettingsError for times that make no period, WarehouseError when there is nothing to
    read, ReportError when the file cannot be written.
    """
    now = datetime.now(UTC)
    asked = period(since, until, now, settings.testruns_timezone)
    thresholds = read_thresholds()
    rows = read_rows(open_warehouse(settings), asked, thresholds)
    names = scopes(rows["scopes"])
    page = render(
        asked,
        names,
        {
            "night": last_night(rows, names, asked),
            "failures": rows["night_failures"],
            "totals": rows["totals"][0],
            "cards": health_cards(rows["health"], names, asked),
            "all_scopes": rows["health"][0]["scopes"] if rows["health"] else 0,
            "flaky": flaky_tests(rows["flaky"], names),
            "latency": latency(rows, names, asked, thresholds),
            "open_streaks": streaks(rows["streaks"], names, asked, is_open=True),
            "past_streaks": streaks(rows["streaks"], names, asked, is_open=False),
            "clusters": rows["clusters"],
            "not_whole": rows["not_whole"],
            "freshness": rows["freshness"],
            "behind": rows["behind"],
            "rejected": rows["rejected"],
            "reconciliation": rows["reconciliation"],
            "thresholds": thresholds,
            "written_at": now,
            "version": version("testruns"),
        },
    )
    return _written(page, out, settings.testruns_home / "reports")


def _written(page: str, out: Path | None, reports: Path) -> Path:
    target = reports / "report.html" if out is None else out.absolute()
    try:
        if out is None:
            reports.mkdir(parents=True, exist_ok=True)
        # A device or a pipe is written to; it must not be replaced.
        if target.exists() and not target.is_file():
            target.write_text(page, encoding="utf-8")
            return target
        target = target.resolve()
        beside = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            beside.write_text(page, encoding="utf-8")
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        setting = "TESTRUNS_HOME" if out is None else "--out"
        raise ReportError(f"{setting}: {target} cannot be written: {reason}") from None
    return target
