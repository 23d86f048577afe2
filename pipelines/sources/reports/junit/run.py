"""What a JUnit report says of its run as a whole, against what is in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.sources.fields import Json
from pipelines.sources.reports.junit.case import seconds
from pipelines.sources.reports.junit.suite import Suite
from pipelines.sources.reports.report import Announced

_TOTALS = {
    "tests_total": ("tests",),
    "tests_failed": ("failures", "errors"),
    "tests_skipped": ("skipped", "disabled"),
}


@dataclass(frozen=True)
class Seen:
    """The root and its outermost suites, if all cases are in suites; cases counted, by status.

    `nested` counts suites inside suites. newman adds up all iterations (`is_newman`).
    """

    root: Suite
    outermost: Sequence[Suite]
    tests: int
    counts: Mapping[str, int]
    nested: int
    started_at: datetime | None
    is_newman: bool

    @property
    def _only_suite(self) -> str | None:
        return self.outermost[0].attributes.get("name") if len(self.outermost) == 1 else None

    @property
    def name(self) -> str | None:
        """The root's name, or that of its only suite."""
        return self.root.attributes.get("name") or self._only_suite

    def columns(self) -> Json:
        """The run's columns, as announced."""
        duration = self._duration_ms()
        ended_after = timedelta(milliseconds=min(duration or 0, 1e13))
        return {
            "source": self._source(),
            "format": "junit",
            "started_at": self.started_at,
            "finished_at": self.started_at and self.started_at + ended_after,
            "duration_ms": duration,
            **{total: self._announced(*names) for total, names in _TOTALS.items()},
        }

    def totals(self) -> list[Announced]:
        """What is announced against the elements.

        Not for newman, which announces scripts as tests, and the failures of all iterations.
        """
        if self.is_newman:
            return []
        tests = self._announced("tests")
        if tests is not None and self.root.announced("tests") is None:
            tests = self.tests + sum(suite.surplus for suite in self.outermost)
        totals = [Announced("tests_total", tests, self.tests)]
        if not self.nested:  # whether a suite counts what fails in its suites depends on the tool
            failed = self.counts["failed"] + self.counts["errored"]
            for total, loaded in (
                ("tests_failed", failed),
                ("tests_skipped", self.counts["skipped"]),
            ):
                totals.append(Announced(total, self._announced(*_TOTALS[total]), loaded))
        return totals

    def _announced(self, *names: str) -> int | None:
        """What the root announces, or its suites together; None where neither does."""
        at_root = self.root.announced(*names)
        if at_root is not None:
            return at_root
        counts = [suite.announced(*names) for suite in self.outermost]
        return None if not counts or None in counts else sum(count or 0 for count in counts)

    def _duration_ms(self) -> int | None:
        total = seconds(self.root.attributes.get("time"))
        if total is None:
            times = [seconds(suite.attributes.get("time")) for suite in self.outermost]
            total = sum(time or 0.0 for time in times) if any(times) else None
        return None if total is None else round(min(total, 1e12) * 1000)

    def _source(self) -> str:
        name = self.root.attributes.get("name", "")
        if self.is_newman:
            return "newman-junit"
        if "pytest" in (self._only_suite, name.removesuffix(" tests")):
            return "pytest"
        return "jest" if name == "jest tests" else "junit"
