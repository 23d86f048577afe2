"""Tests that failed each time lately, with their last outcomes and the runs that prove it."""

from typing import Any

from pipelines.report.data import ReportData
from pipelines.report.sections.flaky import tests_by

TITLE = "Broken tests"


def view(data: ReportData) -> dict[str, Any]:
    """Those that failed most often in a row first."""
    return {"tests": tests_by(data, "broken_rank")}
