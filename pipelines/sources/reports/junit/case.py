"""One `testcase` of a JUnit report: its outcome, its time, its attempts."""

import re
from dataclasses import dataclass, field
from typing import Any

from pipelines.sources.fields import Json
from pipelines.sources.reports.code_identity import is_code_property
from pipelines.sources.reports.report import shortened
from pipelines.sources.reports.secrets import Masker
from pipelines.sources.reports.values import known

_FAILED = {"failure": "failed", "error": "errored"}
# surefire: the test passed in the end, or never did.
_FLAKY = {"flakyFailure": "failed", "flakyError": "errored"}
_RERUN = {"rerunFailure": "failed", "rerunError": "errored"}
RESULTS = frozenset({*_FAILED, *_FLAKY, *_RERUN, "skipped"})

_WITH_COLUMNS = frozenset({"name", "classname", "class", "time", "file"})
_STATUS_WORDS = {
    "skipped": "skipped",
    "notrun": "skipped",
    "disabled": "skipped",
    "ignored": "skipped",
    "failed": "failed",
    "failure": "failed",
    "error": "errored",
}
_TIME = re.compile(r"([+-]?[0-9.,]+(?:[eE][+-]?[0-9]{1,3})?) ?(s|sec|seconds|ms)?\Z")
_LONGEST_SECONDS = 1e12


@dataclass
class Result:
    """A `failure`, `error`, `skipped` or the like inside a case."""

    kind: str
    message: str | None
    type: str | None
    text: str = ""

    @property
    def reason(self) -> str | None:
        """Its message, or its text where it has none."""
        return (self.message or "").strip() or self.text or None


@dataclass(frozen=True)
class Attempt:
    """One try of a test that was tried more than once."""

    status: str
    duration_ms: float | None
    message: str | None
    type: str | None


@dataclass
class Case:
    """A test case with the names of the suites around it, outermost first.

    `duration_ms`: milliseconds; None where there is no readable time.
    """

    attributes: dict[str, str]
    suite_path: tuple[str, ...]
    results: list[Result] = field(default_factory=list)
    attachments: list[str] = field(default_factory=list)
    notes: Json = field(default_factory=dict)
    duration_ms: float | None = field(init=False)

    def __post_init__(self) -> None:
        time = seconds(self.attributes.get("time"))
        self.duration_ms = None if time is None else round(time * 1000, 6)

    @property
    def name(self) -> str | None:
        """As it stands; None where there is none."""
        return self.attributes.get("name")

    @property
    def class_name(self) -> str | None:
        """The class, or what the tool puts in its place."""
        return self.attributes.get("classname", self.attributes.get("class"))

    @property
    def failures(self) -> list[Result]:
        """Failures and errors of the last attempt, in their order."""
        return [result for result in self.results if result.kind in _FAILED]

    @property
    def status(self) -> str:
        """passed, failed, errored or skipped; a failure outweighs `skipped` (node's todo)."""
        if self.failures:
            return _FAILED[self.failures[0].kind]
        if "failure" in self.attributes:
            return "failed"
        for result in self.results:
            if result.kind == "skipped":
                return "skipped"
            if result.kind in _RERUN:
                return _RERUN[result.kind]
        return _STATUS_WORDS.get(self.attributes.get("status", "").lower(), "passed")

    @property
    def _deciding(self) -> Result | None:
        skipped = [result for result in self.results if result.kind == "skipped"]
        return next(iter([*self.failures, *skipped]), None)

    @property
    def message(self) -> str | None:
        """Why it failed or was skipped."""
        deciding = self._deciding
        return deciding.reason if deciding else self.attributes.get("failure")

    @property
    def type(self) -> str | None:
        """The failure's or skip's type, as an exception's name or `pytest.xfail`."""
        return self._deciding.type if self._deciding else None

    def leftovers(self, masker: Masker, *, was_retried: bool) -> Json | None:
        """What has no column, for `extra`; of its secrets those of addresses are masked."""
        has_more = self.results or self.notes or self.attachments or self.duration_ms is None
        if not has_more and _WITH_COLUMNS.issuperset(self.attributes):
            return None
        time = self.attributes.get("time")
        is_expected = self.type == "pytest.xfail" and self.status == "skipped"
        more: list[dict[str, Any]] = [
            known(
                status=_FAILED[failure.kind],
                message=shortened(failure.reason),
                type=failure.type,
            )
            for failure in self.failures[1:]
        ]
        return {
            **self.notes,
            **known(
                line=self.attributes.get("line"),
                assertions=self.attributes.get("assertions"),
                timestamp=self.attributes.get("timestamp"),
                time=time[:100] if time and self.duration_ms is None else None,
                expectedFailure=True if is_expected else None,
                flaky=True if was_retried and self.status == "passed" else None,
                failures=more or None,
                attachments=[masker.url(url) for url in self.attachments] or None,
            ),
        } or None


def attempts_of(case: Case) -> list[Attempt]:
    """The attempts of a case that was tried more than once, the deciding one last; else none."""
    flaky = [result for result in case.results if result.kind in _FLAKY]
    reruns = [result for result in case.results if result.kind in _RERUN]
    if not flaky and not reruns:
        return []
    failed = [
        Attempt({**_FLAKY, **_RERUN}[result.kind], None, result.reason, result.type)
        for result in (*flaky, *reruns)
    ]
    last = Attempt(case.status, case.duration_ms, case.message, case.type)
    # surefire puts the first failure into `failure`, and the later ones behind it.
    return [last, *failed] if reruns and not flaky and case.failures else [*failed, last]


def seconds(time: str | None) -> float | None:
    """Seconds out of what tools write, at least 0; None for what is no time.

    `1,234.5` has thousands, `2,50` a decimal comma, `1.2 s` a unit.
    """
    match = _TIME.match((time or "").strip())
    if match is None:
        return None
    digits = match[1]
    if "." in digits or digits.count(",") > 1:
        digits = digits.replace(",", "")
    try:
        value = float(digits.replace(",", "."))
    except ValueError:
        return None
    if match[2] == "ms":
        value /= 1000
    return max(value, 0.0) if abs(value) < _LONGEST_SECONDS else None


def is_kept_property(name: str) -> bool:
    """Whether a property may be stored: all others may hold secrets."""
    return is_code_property(name) or name.lower().startswith("attachment")
