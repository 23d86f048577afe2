"""Failures with the same message: one cause may lie behind many tests."""

from typing import Any

from pipelines.report.data import ReportData

TITLE = "Failures"


def view(data: ReportData) -> dict[str, Any]:
    """The most frequent messages of the period."""
    return {"clusters": data.rows("clusters")}
