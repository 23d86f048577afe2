"""The flakiest tests, each with its last results as a strip."""

from typing import Any

from pipelines.report.data import ReportData
from pipelines.report.formats import pluralize

TITLE = "Flaky tests"


def view(data: ReportData) -> dict[str, Any]:
    """Tests that change between passing and failing, as the query ranks them."""
    return {"tests": [row | {"alt": alt(row["letters"] or "")} for row in data.rows("flaky")]}


def alt(letters: str) -> str:
    """What a strip of results (p passed, f failed, the oldest first) shows, in words."""
    failures = [len(group) for group in letters.replace("p", " ").split()]
    text = (
        f"Last {pluralize(len(letters), 'result')}, oldest first: "
        f"{pluralize(sum(failures), 'failure')}"
    )
    if not failures:
        return text
    passes = len(letters) - 1 - letters.rindex("f")
    text += f" in {pluralize(len(failures), 'group')}, the longest of {max(failures)}; "
    if not passes:
        return f"{text}the last failed"
    return f"{text}{pluralize(passes, 'pass', 'passes')} since the last"
