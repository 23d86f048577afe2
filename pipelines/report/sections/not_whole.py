"""Green runs that did less than they seem to have done, and runs that never ended."""

from typing import Any

from pipelines.report.data import ReportData

TITLE = "Not whole"


def view(data: ReportData) -> dict[str, Any]:
    """Such runs of the period, the latest first."""
    return {"runs": data.rows("not_whole")}
