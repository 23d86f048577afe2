"""Same code, different outcome: flaky tests by their history and by the code that they ran on."""

from typing import Any

from pipelines.report.data import ReportData

TITLE = "Same code"

# What the two verdicts say together.
_MEANINGS = {
    "both": "Flaky by both: it fails now and then although nothing of its code has changed.",
    "code": "Flaky on the same code, and not by its history: it runs too seldom, or failed too long"
    " at a time, for episodes to show.",
    "history": "Flaky by its history, and not on the same code: it failed when the code changed."
    " Look at those changes before you quarantine it.",
    "unknown": "Flaky by its history; too few groups or results for a verdict on the same code.",
}


def view(data: ReportData) -> dict[str, Any]:
    """Tests that one of the two verdicts calls flaky, as the query ranks them."""
    return {
        "tests": [row | {"meaning": _MEANINGS[row["verdict"]]} for row in data.rows("same_code")]
    }
