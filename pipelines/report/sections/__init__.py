"""The sections of the page.

Each is a module with a title and a `view`, and a template of the same name that shows it. To add a
section, add these two files, and name the module below where it is to stand.
"""

from typing import Any, Protocol

from pipelines.report.data import ReportData
from pipelines.report.sections import (
    broken,
    clusters,
    flaky,
    freshness,
    health,
    latency,
    night,
    not_whole,
    outages,
    same_code,
    streaks,
)


class Section(Protocol):
    """What a module of this package has."""

    __name__: str
    TITLE: str
    """As the page's list of sections names it."""

    def view(self, data: ReportData) -> dict[str, Any]:
        """The variables of the template."""


SECTIONS: tuple[Section, ...] = (
    night,
    outages,
    health,
    broken,
    flaky,
    same_code,
    latency,
    streaks,
    clusters,
    not_whole,
    freshness,
)
