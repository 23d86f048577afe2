"""Postman CLI's own JSON report (`postman collection run … -r json`)."""

from typing import Any, ClassVar

from pipelines.sources.fields import Json
from pipelines.sources.reports import identity
from pipelines.sources.reports.json_stream import ITEM, Path, Wanted
from pipelines.sources.reports.postman.rows import (
    LEFT_OUT,
    PostmanRows,
    error_text,
    request_error,
    secrets_of_auth,
)
from pipelines.sources.reports.report import (
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
    member,
    milliseconds_between,
    number,
    objects,
    small,
    whole,
)

_TIME_STATS = ("responseAverage", "responseMin", "responseMax", "responseStandardDeviation")


class PostmanCliReader:
    """Takes the parts of a report as they stream by; `report()` at the end."""

    wanted: ClassVar[Wanted] = {
        "run": {
            "meta": frozenset(),
            "summary": frozenset(),
            "executions": {ITEM: LEFT_OUT},
            "runError": LEFT_OUT,
        },
    }

    def __init__(self, rows: RowWriter, masker: Masker) -> None:
        self._rows, self._masker = rows, masker
        self._parts: dict[Path, Any] = {}
        self._response_ids: set[bytes] = set()
        self._results = PostmanRows(rows, masker)
        self._first_iteration: int | None = None

    def take(self, path: Path, value: Any) -> None:
        """One wanted value."""
        if path == ("run", "executions", ITEM):
            if isinstance(value, dict) and "requestExecuted" in value:
                self._execution(value)
        else:
            self._parts[path] = value

    @property
    def is_recognised(self) -> bool:
        """Whether the document was such a report."""
        return all(isinstance(self._parts.get(("run", part)), dict) for part in ("meta", "summary"))

    def report(self) -> Report:
        """The run. What it announces is compared with its rows."""
        meta = as_object(self._parts.get(("run", "meta")))
        summary = as_object(self._parts.get(("run", "summary")))
        started, finished = epoch(meta.get("started")), epoch(meta.get("completed"))
        requests = as_object(summary.get("executedRequests"))
        tests = as_object(summary.get("tests"))
        name, collection_id = as_text(meta.get("collectionName")), as_text(meta.get("collectionId"))
        run_error = self._parts.get(("run", "runError"))
        duration = whole(meta.get("duration"))
        run: Json = {
            "collection_id": collection_id,
            "environment_id": None,
            "status": "failed" if run_error else "finished",
            "source": "newman",
            "created_by": None,
            "started_at": started,
            "finished_at": finished,
            "duration_ms": milliseconds_between(started, finished)
            if duration is None
            else duration,
            "requests_total": whole(requests.get("executed")),
            "requests_failed": whole(requests.get("errors")),
            "assertions_total": whole(tests.get("executed")),
            "assertions_failed": whole(tests.get("failed")),
            "extra": known(
                reporter="postman-cli",
                collectionName=name,
                iterations=whole(member(summary, "iterations", "executed")),
                runError=self._masker.text(_error(run_error)) if run_error else None,
                stats={
                    kind: known(
                        total=whole(member(summary, theirs, "executed")),
                        failed=whole(member(summary, theirs, "errors")),
                    )
                    for kind, theirs in (
                        ("testScripts", "postresponseScripts"),
                        ("prerequestScripts", "prerequestScripts"),
                    )
                    if theirs in summary
                }
                or None,
                timeStats=known(
                    **{kind: number(member(summary, "timeStats", kind)) for kind in _TIME_STATS}
                )
                or None,
            ),
        }
        key = [collection_id or name, meta.get("started"), meta.get("completed")]
        lookalike = identity.run_id("postman-cli", *key, summary)
        responses = identity.set_digest(self._response_ids)
        return Report(
            kind="postman-cli",
            system="postman",
            run=run,
            tables=self._rows.tables(),
            identity=Identity(
                run_id=identity.run_id("postman-cli", *key, responses)
                if self._response_ids
                else lookalike,
                lookalike=lookalike,
                refs=self._response_ids,
            ),
            digest=self._rows.digest(),
            totals=[
                Announced("requests_total", run["requests_total"], self._results.executions),
                self._announced_assertions(run["assertions_total"]),
                Announced("assertions_failed", run["assertions_failed"], self._results.failed),
            ],
            collection_name=self._masker.text(name),
        )

    def _announced_assertions(self, announced: int | None) -> Announced:
        # Whether skipped tests count as executed is not documented.
        if announced is not None and announced + self._results.skipped == self._results.assertions:
            announced = self._results.assertions
        return Announced("assertions_total", announced, self._results.assertions)

    def _execution(self, execution: Json) -> None:
        request = as_object(execution.get("requestExecuted"))
        response = as_object(execution.get("response"))
        self._masker.learn(secrets_of_auth(request.get("auth")))
        if response_id := as_text(response.get("id")):
            self._response_ids.add(identity.short_digest(response_id))
        details = as_object(response.get("_details"))
        code = small(response.get("code"))
        self._results.add_execution(
            as_text(request.get("id")),
            request.get("name"),
            request,
            response,
            small(details.get("code")) if code is None else code,
            self._extra(
                execution, response, as_text(response.get("status")) or as_text(details.get("name"))
            ),
        )
        for test in objects(execution.get("tests")):
            outcome = (as_text(test.get("status")) or "").lower()
            error = test.get("error")
            if outcome == "failed" and not (isinstance(error, dict) and error):
                error = {"name": "AssertionError"}
            is_skipped = outcome == "skipped"
            self._results.add_assertion(
                test.get("name"), None if is_skipped else error, is_skipped=is_skipped
            )

    def _extra(self, execution: Json, response: Json, status: str | None) -> Json:
        # The number of this iteration, whatever its name says, from 0 or from 1 on.
        iteration = whole(execution.get("iterationCount"))
        if self._first_iteration is None:
            self._first_iteration = min(iteration or 0, 1)
        errors = [error for error in as_list(execution.get("errors")) if error]
        is_answered = bool(response)
        return known(
            iteration=None if iteration is None else max(iteration - self._first_iteration, 0),
            requestError=None if is_answered or not errors
            else request_error(errors[0], self._masker),
            scriptErrors=[
                {"listen": "testScript", "message": self._masker.text(_error(error))}
                for error in errors[0 if is_answered else 1 :]
            ] or None,
            downloadedBytes=whole(response.get("downloadedBytes")),
            response={"status": status} if status else None,
        )  # fmt: skip


def _error(error: Any) -> str | None:
    if isinstance(error, dict):
        inner = error.get("error")
        return shortened(error_text(inner if isinstance(inner, dict) else error))
    return shortened(as_text(error)) or "an error without a message"
