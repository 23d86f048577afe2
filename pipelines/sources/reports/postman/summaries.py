"""Reports of a Postman run without its executions: totals and failures alone.

newman-reporter-json-summary and -json-light, and "Export results" of the Postman app.
"""

from typing import Any, ClassVar

from pipelines.sources.fields import Json
from pipelines.sources.reports import identity
from pipelines.sources.reports.json_stream import ITEM, Path, Wanted
from pipelines.sources.reports.report import Identity, Report, RowWriter, shortened
from pipelines.sources.reports.secrets import Masker
from pipelines.sources.reports.values import (
    as_list,
    as_object,
    as_text,
    epoch,
    known,
    member,
    milliseconds_between,
    whole,
)

_MOST_FAILURES = 1_000


class SummaryReader:
    """Takes the parts of a summary as they stream by; `report()` at the end."""

    wanted: ClassVar[Wanted] = {
        "Collection": frozenset(),
        "Run": frozenset({"Executions"}),
        "id": frozenset(),
        "name": frozenset(),
        "timestamp": frozenset(),
        "collection_id": frozenset(),
        "environment_id": frozenset(),
        "totalPass": frozenset(),
        "totalFail": frozenset(),
        "totalTime": frozenset(),
        "count": frozenset(),
        "results": {ITEM: frozenset({"body", "headers", "requestHeaders", "times", "allTests"})},
    }

    def __init__(self, rows: RowWriter, masker: Masker) -> None:
        self._rows, self._masker = rows, masker
        self._parts: dict[str, Any] = {}
        self._failures: list[Json] = []
        self._requests = 0

    def take(self, path: Path, value: Any) -> None:
        """One wanted value."""
        if path == ("results", ITEM):
            self._requests += 1
            self._note_failures(as_object(value))
        else:
            self._parts[path[0]] = value

    @property
    def is_recognised(self) -> bool:
        """Whether the document was such a report."""
        return self._is_export or isinstance(member(self._parts.get("Run"), "Stats"), dict)

    @property
    def _is_export(self) -> bool:
        return "totalPass" in self._parts and "totalFail" in self._parts

    def report(self) -> Report:
        """The run, without rows of its own."""
        return self._exported() if self._is_export else self._summarised()

    def _note_failures(self, result: Json) -> None:
        for name, passed in as_object(result.get("tests")).items():
            if passed is False and len(self._failures) < _MOST_FAILURES:
                self._failures.append(
                    known(source=self._text(result.get("name")), test=self._text(name))
                )

    def _exported(self) -> Report:
        passed, failed = whole(self._parts["totalPass"]), whole(self._parts["totalFail"])
        started = epoch(self._parts.get("timestamp"))
        return self._summary(
            "postman-export",
            name=as_text(self._parts.get("name")),
            postman_id=as_text(self._parts.get("collection_id")),
            run_id=identity.run_id(
                "postman-export",
                self._parts.get("id"),
                self._parts.get("timestamp"),
                passed,
                failed,
            ),
            run={
                "environment_id": as_text(self._parts.get("environment_id")),
                "status": "finished",
                "source": "collection_runner",
                "started_at": started,
                "duration_ms": whole(self._parts.get("totalTime")),
                "requests_total": self._requests or None,
                "assertions_total": None if passed is None or failed is None else passed + failed,
                "assertions_failed": failed,
            },
            iterations=whole(self._parts.get("count")),
        )

    def _summarised(self) -> Report:
        run = as_object(self._parts.get("Run"))
        stats, timings = as_object(run.get("Stats")), as_object(run.get("Timings"))
        # As newman itself names them; a fork of it writes them in capitals.
        timings = {name.lower(): value for name, value in timings.items()}
        info = as_object(member(self._parts.get("Collection"), "Info"))
        started = epoch(timings.get("started"))
        finished = epoch(timings.get("completed"))
        self._failures = [
            known(
                source=self._text(member(failure, "Source", "Name")),
                test=self._text(member(failure, "Error", "Test")),
                message=self._text(member(failure, "Error", "Message")),
            )
            for failure in as_list(run.get("Failures"))[:_MOST_FAILURES]
        ]
        requests = as_object(_either(stats, "Requests", "requests"))
        asserted = as_object(_either(stats, "Assertions", "assertions"))
        is_cut_short = any(
            whole(_either(as_object(total), "pending", "Pending")) for total in stats.values()
        )
        return self._summary(
            "newman-summary",
            name=as_text(_either(info, "Name", "name")),
            postman_id=as_text(_either(info, "_postman_id", "Id", "id")),
            run_id=identity.newman_lookalike(
                as_text(_either(info, "_postman_id", "Id", "id")) or as_text(info.get("Name")),
                timings,
                requests,
                asserted,
            ),
            run={
                "status": "failed" if is_cut_short else "finished",
                "source": "newman",
                "started_at": started,
                "finished_at": finished,
                "duration_ms": milliseconds_between(started, finished),
                "requests_total": whole(_either(requests, "total", "Total")),
                "requests_failed": whole(_either(requests, "failed", "Failed")),
                "assertions_total": whole(_either(asserted, "total", "Total")),
                "assertions_failed": whole(_either(asserted, "failed", "Failed")),
            },
            iterations=whole(member(_either(stats, "Iterations", "iterations"), "total")),
        )

    def _summary(
        self,
        kind: str,
        *,
        name: str | None,
        postman_id: str | None,
        run_id: str,
        run: Json,
        iterations: int | None,
    ) -> Report:
        extra = known(
            collectionName=name,
            iterations=iterations,
            summaryOnly=True,
            failures=self._failures or None,
        )
        empty = dict.fromkeys(
            ("collection_id", "environment_id", "created_by", "finished_at", "requests_failed")
        )
        return Report(
            kind=kind,
            system="postman",
            run={**empty, **run, "extra": extra},
            tables=self._rows.tables(),
            identity=Identity(run_id=run_id, lookalike=run_id),
            digest=identity.short_digest(self._failures),
            postman_id=postman_id,
            collection_name=self._masker.text(name),
        )

    def _text(self, value: Any) -> str | None:
        return self._masker.text(shortened(as_text(value)))


def _either(record: Json, *names: str) -> Any:
    return next((record[name] for name in names if name in record), None)
