"""JUnit XML in all its dialects: every `testcase`, wherever it stands."""

import re
from datetime import UTC, datetime, timedelta
from operator import itemgetter

from pipelines.sources.reports import identity
from pipelines.sources.reports.code_identity import from_names
from pipelines.sources.reports.junit.case import (
    RESULTS,
    Case,
    Result,
    attempts_of,
    is_kept_property,
    seconds,
)
from pipelines.sources.reports.junit.output import OutputScanner
from pipelines.sources.reports.junit.repeats import Repeats
from pipelines.sources.reports.junit.root import FOREIGN_ROOTS, check_root
from pipelines.sources.reports.junit.run import Seen
from pipelines.sources.reports.junit.suite import Suite
from pipelines.sources.reports.report import (
    ATTEMPTS,
    COLUMNS,
    LONGEST_TEXT,
    TESTS,
    Identity,
    Report,
    RowWriter,
    shortened,
)
from pipelines.sources.reports.secrets import Masker
from pipelines.sources.reports.values import known, moment

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_ENVIRONMENTS = frozenset({"environment", "env", "test.environment", "test_environment"})
_SYNTHETIC = "request or script error"
# jest-junit dates what did not run 1970, Go in the year 1.
_CLOCKS_FROM = datetime(1971, 1, 1, tzinfo=UTC)
_test_row = itemgetter(*COLUMNS[TESTS][1:])


class JunitReader:
    """Takes the elements as they stream by; `report()` at the end."""

    def __init__(self, rows: RowWriter, masker: Masker) -> None:
        self._rows, self._masker = rows, masker
        self._root = ""
        self._root_attributes: dict[str, str] = {}
        self._open: list[Suite] = []
        self._path: list[str] = []
        self._case: Case | None = None
        self._tests = 0
        self._counts = dict.fromkeys(("passed", "failed", "errored", "skipped"), 0)
        self._canonical = identity.RunningDigest()
        self._repeats = Repeats()
        self._times: list[datetime] = []
        self._newest: datetime | None = None
        self._outermost: list[Suite] = []
        self._suites = self._nested = self._outside = 0
        self._uuids: set[str] = set()
        self._stamps: set[str] = set()
        self._properties: list[tuple[str, str]] = []
        # Text of an element that is kept; None: of none.
        self._gathered: list[str] | None = None
        self._gathered_length = 0
        self._output = OutputScanner()
        self._property = ""

    def doctype(self, name: str) -> None:
        """Coverage reports have one, and are no trouble."""
        if name in FOREIGN_ROOTS:
            check_root(name)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if not self._root:
            self._begin(name, attributes)
        if name in ("testsuite", "testsuites"):
            self._start_suite(name, attributes)
        elif name == "testcase":
            self._end_case()  # one inside another is a case of its own
            self._case = Case(attributes, tuple(self._path))
        elif name in RESULTS and self._case is not None:
            self._case.results.append(
                Result(name, attributes.get("message"), attributes.get("type"))
            )
            self._gather()
        elif name == "property":
            self._property = attributes.get("name", "")
            if "value" in attributes:
                self._note_property(self._property, attributes["value"])
                self._property = ""
            elif is_kept_property(self._property) or self._property.lower() in _ENVIRONMENTS:
                self._gather()
        elif name in ("system-out", "system-err"):
            self._output.begin()
            if name == "system-err" and self._case is None and self._is_newman_suite:
                self._gather()

    def end(self, name: str) -> None:
        """An element ends."""
        if name == "testcase":
            self._end_case()
        elif name == "testsuite":
            self._end_suite()
        elif name in RESULTS and self._case is not None and self._gathered is not None:
            self._case.results[-1].text = self._gathered_text()
        elif name == "property" and self._property:
            self._note_property(self._property, self._gathered_text())
            self._property = ""
        elif name in ("system-out", "system-err"):
            for marked in self._output.ended():
                self._note_property(*marked)
            if self._gathered is not None and self._open:
                self._open[-1].system_err.append(self._gathered_text())

    def data(self, text: str) -> None:
        """A piece of text."""
        if self._gathered is not None and self._gathered_length <= LONGEST_TEXT:
            self._gathered.append(text)
            self._gathered_length += len(text)
        for marked in self._output.data(text):
            self._note_property(*marked)

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        check_root(name)
        self._root = name
        self._root_attributes = attributes

    def _gather(self) -> None:
        self._gathered, self._gathered_length = [], 0

    def _gathered_text(self) -> str:
        text, self._gathered = "".join(self._gathered or ()), None
        return text.strip()

    def _note_property(self, name: str, value: str) -> None:
        if is_kept_property(name) or name.lower() in _ENVIRONMENTS:
            if name.lower().startswith("attachment"):
                if self._case is not None:
                    self._case.attachments.append(value.strip()[:2000])
            else:
                self._properties.append((name, value.strip()[:2000]))

    @property
    def _is_newman_suite(self) -> bool:
        return bool(self._open) and bool(_UUID.match(self._open[-1].attributes.get("id", "")))

    def _start_suite(self, name: str, attributes: dict[str, str]) -> None:
        if name == "testsuites":
            self._note_time(attributes)
            return
        suite = Suite(attributes)
        if not self._open:
            self._outermost.append(suite)
        else:
            self._open[-1].children += 1
            self._nested += 1
        self._suites += 1
        self._open.append(suite)
        self._path.append(attributes.get("name", ""))
        if _UUID.match(attributes.get("id", "")):
            self._uuids.add(attributes["id"])
        self._stamps.add(attributes.get("timestamp", ""))
        self._note_time(attributes)

    def _note_time(self, attributes: dict[str, str]) -> None:
        time = moment(attributes.get("timestamp"))
        if time is not None and time >= _CLOCKS_FROM:
            self._times.append(time)
            duration = seconds(attributes.get("time")) or 0.0
            ended = time + timedelta(seconds=min(duration, 1e8))
            self._newest = max(self._newest or ended, ended)
            if len(self._times) > 2:
                self._times = [min(self._times)]

    def _end_suite(self) -> None:
        self._end_case()
        if not self._open:
            return
        suite = self._open[-1]
        announced = suite.announced("errors")
        if self._is_newman_suite and announced and announced > suite.errors and suite.system_err:
            # newman has no case for a request without an answer, or a script that threw.
            case = Case({"name": _SYNTHETIC}, tuple(self._path))
            case.results.append(Result("failure", _first_error(suite.system_err[0]), None))
            case.notes["synthetic"] = True
            self._add(case)
        self._open.pop()
        self._path.pop()
        if self._open:
            self._open[-1].cases += suite.cases

    def _end_case(self) -> None:
        case, self._case = self._case, None
        if case is not None:
            if self._open:
                self._open[-1].errors += case.status == "errored"
                self._open[-1].cases += 1
                self._open[-1].children += 1
            else:
                self._outside += 1
            self._add(case)

    def _add(self, case: Case) -> None:
        index, self._tests = self._tests, self._tests + 1
        status, name, class_name = case.status, case.name, case.class_name
        self._counts[status] += 1
        attempts = attempts_of(case)
        record = {
            "test_index": index,
            "suite_path": [self._masker.text(part) for part in case.suite_path],
            "class_name": self._masker.text(class_name),
            "name": self._masker.text(shortened(name)),
            "status": status,
            "duration_ms": case.duration_ms,
            "message": self._masker.text(shortened(case.message)),
            "type": self._masker.text(case.type),
            "file": self._masker.text(case.attributes.get("file")),
            "extra": self._masker.json(case.leftovers(self._masker, was_retried=bool(attempts))),
        }
        self._rows.add(TESTS, _test_row(record))
        for number, attempt in enumerate(attempts, 1):
            message = self._masker.text(shortened(attempt.message))
            kind = self._masker.text(attempt.type)
            self._rows.add(
                ATTEMPTS, (index, number, attempt.status, attempt.duration_ms, message, kind)
            )
        self._canonical.add(case.suite_path, class_name, name, status, case.attributes.get("time"))
        self._repeats.add(
            identity.short_digest(record["suite_path"], record["class_name"], record["name"]), index
        )

    def report(self, *, was_repaired: bool) -> Report:
        """The run, or a part of it: files of one CI job are one run."""
        self._end_case()
        seen = Seen(
            root=Suite(self._root_attributes),
            outermost=[] if self._outside else self._outermost,
            tests=self._tests,
            counts=self._counts,
            nested=self._nested,
            started_at=min(self._times, default=None),
            is_newman=self._is_newman,
        )
        newest = self._newest and self._newest.isoformat()
        run_id = identity.run_id("junit", self._canonical.hexdigest(), newest)
        rows = self._repeats.settled(self._rows) if self._repeats.any else self._rows
        extra = known(
            aggregated=True if self._is_newman else None, repaired=True if was_repaired else None
        )
        environments = [v for k, v in self._properties if k.lower() in _ENVIRONMENTS]
        run = {
            **seen.columns(),
            "name": self._masker.text(shortened(seen.name)),
            "environment": self._masker.text(next(iter(environments), None)),
            "extra": extra or None,
        }
        return Report(
            kind="junit",
            system="reports",
            run=run,
            tables=rows.tables(),
            identity=Identity(
                run_id=run_id,
                lookalike=run_id,
                follows_job=True,
                cases=self._repeats.cases,
                newest=self._newest,
            ),
            digest=rows.digest(),
            totals=seen.totals(),
            code=from_names(self._properties),
            collection_name=self._masker.text(seen.name) if self._is_newman else None,
        )

    @property
    def _is_newman(self) -> bool:
        """Newman's reporter: each suite has an item's ID, and all of them the run's start."""
        return (
            self._root == "testsuites"
            and 0 < self._suites == len(self._uuids)
            and len(self._stamps) == 1
            and next(iter(self._stamps)).endswith("Z")
        )


def _first_error(text: str) -> str | None:
    """The first line of newman's `system-err` that names an error."""
    lines = [line.strip() for line in text.splitlines()]
    return next((line for line in lines if "Error" in line), None)
