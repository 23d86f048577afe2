"""How old the page's data is, and whether all of it is there."""

from typing import Any

from pipelines.report.data import ReportData

TITLE = "Freshness"


def view(data: ReportData) -> dict[str, Any]:
    """The last loads, what the marts do not hold yet, and totals that differ from the rows."""
    return {
        "loads": data.rows("freshness"),
        "behind": [row for row in data.rows("behind") if row["raw_loaded_at"]],
        "rejected": data.rows("rejected"),
        "reconciliation": data.rows("reconciliation"),
        "audits": data.rows("audits"),
    }
