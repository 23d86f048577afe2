"""CTRF, the Common Test Report Format (JSON)."""

from datetime import datetime
from typing import Any, ClassVar

from pipelines.sources.fields import Json
from pipelines.sources.reports import identity
from pipelines.sources.reports.code_identity import from_names
from pipelines.sources.reports.json_stream import ITEM, Path, Wanted
from pipelines.sources.reports.report import (
    ATTEMPTS,
    COLUMNS,
    TESTS,
    Announced,
    Identity,
    Report,
    RowWriter,
    shortened,
)
from pipelines.sources.reports.secrets import Masker
from pipelines.sources.reports.values import (
    as_list,
    as_object,
    as_text,
    epoch,
    known,
    milliseconds_between,
    number,
    objects,
    whole,
)

_STATUSES = {
    "passed": "passed",
    "failed": "failed",
    "skipped": "skipped",
    "pending": "skipped",
    "errored": "errored",
}
_MOST_RETRIES = 1_000
_EXTRA = ("rawStatus", "type", "line", "tags", "retries", "flaky", "browser", "device", "threadId")


class CtrfReader:
    """Takes the parts of a report as they stream by; `report()` at the end."""

    wanted: ClassVar[Wanted] = {
        "reportFormat": frozenset(),
        "specVersion": frozenset(),
        "reportId": frozenset(),
        "runId": frozenset(),
        "generatedBy": frozenset(),
        "timestamp": frozenset(),
        "results": {
            "tool": frozenset(),
            "summary": frozenset(),
            "environment": frozenset({"extra"}),
            "tests": {
                ITEM: frozenset({
                    "ai", "extra", "insights", "parameters", "screenshot", "snippet", "stderr",
                    "stdout", "steps",
                })
            },
        },
    }  # fmt: skip

    def __init__(self, rows: RowWriter, masker: Masker) -> None:
        self._rows, self._masker = rows, masker
        self._parts: dict[Path, Any] = {}
        self._counts = dict.fromkeys(("passed", "failed", "errored", "skipped", "other"), 0)
        self._tests = 0
        self._cases: set[bytes] = set()
        self._canonical = identity.RunningDigest()
        self._latest: datetime | None = None

    def take(self, path: Path, value: Any) -> None:
        """One wanted value."""
        if path == ("results", "tests", ITEM):
            if isinstance(value, dict):
                self._test(value)
        else:
            self._parts[path] = value

    @property
    def is_recognised(self) -> bool:
        """Whether the document was such a report; older ones have no `reportFormat`."""
        has_parts = isinstance(self._parts.get(("results", "summary")), dict)
        return has_parts and (
            self._parts.get(("reportFormat",)) == "CTRF" or ("results", "tool") in self._parts
        )

    def report(self) -> Report:
        """The run, or a shard of it."""
        summary = as_object(self._parts.get(("results", "summary")))
        environment = as_object(self._parts.get(("results", "environment")))
        tool = self._masker.text(
            as_text(as_object(self._parts.get(("results", "tool"))).get("name"))
        )
        started, finished = epoch(summary.get("start")), epoch(summary.get("stop"))
        started = started or epoch(self._parts.get(("timestamp",)))
        duration = milliseconds_between(started, finished)
        skipped = [whole(summary.get(name)) for name in ("skipped", "pending")]
        announced_skipped = (
            sum(n or 0 for n in skipped) if any(n is not None for n in skipped) else None
        )
        run: Json = {
            "source": tool or "ctrf",
            "format": "ctrf",
            "name": self._masker.text(
                as_text(environment.get("reportName")) or as_text(environment.get("appName"))
            ),
            "started_at": started,
            "finished_at": finished,
            "duration_ms": whole(summary.get("duration")) if duration is None else duration,
            "tests_total": whole(summary.get("tests")),
            "tests_failed": whole(summary.get("failed")),
            "tests_skipped": announced_skipped,
            "environment": self._masker.text(as_text(environment.get("testEnvironment"))),
            "extra": known(
                specVersion=as_text(self._parts.get(("specVersion",))),
                toolVersion=as_text(as_object(self._parts.get(("results", "tool"))).get("version")),
                # newman's reporter leaves out requests without assertions.
                assertionsOnly=True if tool == "newman" else None,
                **{
                    name: self._masker.text(as_text(environment.get(name)))
                    for name in ("appName", "appVersion", "osPlatform", "osRelease", "buildName")
                },
            )
            or None,
        }
        report_id, run_id = (as_text(self._parts.get((name,))) for name in ("reportId", "runId"))
        canonical = self._canonical.hexdigest()
        shard = as_text(environment.get("shardId"))
        key: list[Any] = ["run", run_id] if run_id else ["report", report_id]
        if not run_id and not report_id:
            key = [run["source"], canonical, summary.get("start")]
        return Report(
            kind="ctrf",
            system="reports",
            run=run,
            tables=self._rows.tables(),
            identity=Identity(
                run_id=identity.run_id("ctrf", *key),
                lookalike=identity.run_id("ctrf", "content", canonical, summary.get("start")),
                follows_job=run_id is None,
                is_shared=run_id is not None,
                part=shard or "",
                cases=self._cases,
                newest=finished or self._latest or started,
            ),
            digest=self._rows.digest(),
            totals=[
                Announced("tests_total", run["tests_total"], self._tests),
                Announced(
                    "tests_failed", run["tests_failed"],
                    self._counts["failed"] + self._counts["errored"],
                ),
                Announced("tests_skipped", run["tests_skipped"], self._counts["skipped"]),
            ],
            code=from_names([
                *((name, value) for name, value in environment.items() if name != "buildNumber"),
                *([("pipeline_id", environment["buildNumber"])] if "buildNumber" in environment
                  and "buildId" not in environment else []),
            ]),
        )  # fmt: skip

    def _test(self, test: Json) -> None:
        index, self._tests = self._tests, self._tests + 1
        suite = suite_path(test.get("suite"))
        name, raw = as_text(test.get("name")), as_text(test.get("status"))
        status = _STATUSES.get((raw or "").lower(), "other")
        self._counts[status] += 1
        duration = number(test.get("duration"))
        attempts = self._attempts(test, status, duration)
        was_retried = bool(attempts) and any(row[1] in ("failed", "errored") for row in attempts)
        extra = known(
            **{
                key: value
                for key in _EXTRA
                if (value := test.get(key)) not in (None, 0, False, [], raw) and _is_plain(value)
            },
            status=raw if raw != status else None,
            testId=as_text(test.get("testId")) or as_text(test.get("id")),
            attachments=[
                known(path=self._masker.url(as_text(attachment.get("path"))),
                      contentType=as_text(attachment.get("contentType")))
                for attachment in objects(test.get("attachments"))
            ] or None,
        )  # fmt: skip
        if status == "passed" and (was_retried or test.get("flaky") is True):
            extra["flaky"] = True
        record = {
            "test_index": index,
            "suite_path": [self._masker.text(part) or "" for part in suite],
            "class_name": None,
            "name": self._masker.text(shortened(name)),
            "status": status,
            "duration_ms": duration,
            "message": self._text(test.get("message")) or self._text(test.get("trace")),
            "type": None,
            "file": self._masker.text(
                as_text(test.get("filePath")) or as_text(test.get("filepath"))
            ),
            "extra": self._masker.json(extra) or None,
        }
        self._rows.add(TESTS, tuple(record[column] for column in COLUMNS[TESTS][1:]))
        for number_of_attempt, row in enumerate(attempts, 1):
            self._rows.add(ATTEMPTS, (index, number_of_attempt, *row[1:]))
        start, stop = epoch(test.get("start")), epoch(test.get("stop"))
        self._latest = max(filter(None, (self._latest, start, stop)), default=None)
        self._cases.add(identity.short_digest(record["suite_path"], None, record["name"]))
        self._canonical.add(suite, name, status, duration)

    def _attempts(self, test: Json, status: str, duration: float | None) -> list[tuple[Any, ...]]:
        """(number, status, duration, message, type) of each attempt, the deciding one last.

        Some reporters list the attempts before the last, some all of them, some count them only.
        """
        listed = sorted(
            objects(test.get("retryAttempts")),
            key=lambda attempt: whole(attempt.get("attempt")) or 0,
        )
        attempts: list[tuple[Any, ...]] = [
            (
                place,
                _STATUSES.get((as_text(attempt.get("status")) or "").lower(), "other"),
                number(attempt.get("duration")),
                self._text(attempt.get("message")) or self._text(attempt.get("trace")),
                None,
            )
            for place, attempt in enumerate(listed)
        ]
        retries = min(whole(test.get("retries")) or 0, _MOST_RETRIES)
        if not attempts and retries > 0 and status in ("passed", "failed", "errored"):
            # Only what failed is tried again.
            attempts = [(place, "failed", None, None, None) for place in range(retries)]
        if attempts and (attempts[-1][1] != status or len(attempts) == retries):
            message = self._text(test.get("message"))
            attempts.append((len(attempts), status, duration, message, None))
        return attempts

    def _text(self, value: Any) -> str | None:
        return self._masker.text(shortened(as_text(value)))


def suite_path(suite: Any) -> list[str]:
    """Names of the suites, outermost first; a text is split at ` > `."""
    if isinstance(suite, str):
        return [part.strip() for part in suite.split(" > ") if part.strip()]
    return [text for part in as_list(suite) if (text := as_text(part)) is not None]


def _is_plain(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(isinstance(item, str | int | float) for item in values)
