"""newman's JSON report (`-r json`, and Postman CLI with `--reporter-json-structure newman`)."""

from typing import Any, ClassVar

from pipelines.sources.fields import Json
from pipelines.sources.reports import identity
from pipelines.sources.reports.code_identity import CodeIdentity
from pipelines.sources.reports.json_stream import ITEM, Path, Wanted
from pipelines.sources.reports.postman.collection import Collection
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
    objects,
    small,
    whole,
)

_SCRIPTS = ("prerequestScript", "testScript")
_SCRIPT_STATS = ("testScripts", "prerequestScripts")


class NewmanReader:
    """Takes the parts of a report as they stream by; `report()` at the end."""

    wanted: ClassVar[Wanted] = {
        "collection": frozenset({"body", "description", "header", "response"}),
        "environment": frozenset(),
        "globals": frozenset(),
        "run": {
            "stats": frozenset(),
            "timings": frozenset(),
            "transfers": frozenset(),
            "executions": {ITEM: LEFT_OUT},
            "error": LEFT_OUT,
        },
    }

    def __init__(self, rows: RowWriter, masker: Masker) -> None:
        self._rows, self._masker = rows, masker
        self._parts: dict[Path, Any] = {}
        self._collection = Collection({})
        self._environment: Json = {}
        self._refs: set[bytes] = set()
        self._results = PostmanRows(rows, masker)

    def take(self, path: Path, value: Any) -> None:
        """One wanted value."""
        if path == ("run", "executions", ITEM):
            if isinstance(value, dict) and "requestExecuted" not in value:
                self._execution(value)
        elif path == ("collection",):
            self._collection = Collection(as_object(value))
            self._masker.learn_variables(as_list(as_object(value).get("variable")))
            self._masker.learn(secrets_of_auth(as_object(value).get("auth")))
        elif path == ("environment",):
            self._environment = as_object(value)
            self._masker.learn_variables(as_list(self._environment.get("values")))
        elif path == ("globals",):
            self._masker.learn_variables(as_list(as_object(value).get("values")))
        else:
            self._parts[path] = value

    @property
    def is_recognised(self) -> bool:
        """Whether the document was such a report."""
        return isinstance(self._parts.get(("run", "stats")), dict)

    def report(self) -> Report:
        """The run. What it announces is compared with its rows."""
        stats = as_object(self._parts.get(("run", "stats")))
        timings = as_object(self._parts.get(("run", "timings")))
        started, finished = epoch(timings.get("started")), epoch(timings.get("completed"))
        transfers = as_object(self._parts.get(("run", "transfers")))
        requests, asserted = as_object(stats.get("requests")), as_object(stats.get("assertions"))
        # `pending` above 0: the run was stopped on its way.
        is_cut_short = any(member(total, "pending") for total in stats.values())
        name = self._collection.name
        environment_name = self._masker.text(as_text(self._environment.get("name")))
        times = [timings.get("started"), timings.get("completed")]
        key = [self._collection.postman_id or name, *times]
        run_error = as_object(self._parts.get(("run", "error")))
        run: Json = {
            "collection_id": None,
            # Without a name newman has made the environment up, with another ID each time.
            "environment_id": as_text(self._environment.get("id")) if environment_name else None,
            "status": "failed" if is_cut_short or run_error else "finished",
            "source": "newman",
            "created_by": None,
            "started_at": started,
            "finished_at": finished,
            "duration_ms": milliseconds_between(started, finished),
            "requests_total": whole(requests.get("total")),
            "requests_failed": whole(requests.get("failed")),
            "assertions_total": whole(asserted.get("total")),
            "assertions_failed": whole(asserted.get("failed")),
            "extra": known(
                collectionName=self._masker.text(name),
                environmentName=environment_name,
                iterations=whole(member(stats, "iterations", "total")),
                runError=self._masker.text(error_text(run_error)) if run_error else None,
                stats={
                    kind: known(
                        total=whole(member(stats, kind, "total")),
                        failed=whole(member(stats, kind, "failed")),
                    )
                    for kind in _SCRIPT_STATS
                    if kind in stats
                }
                or None,
                responseTotal=whole(transfers.get("responseTotal")),
            ),
        }
        refs = identity.set_digest(self._refs)
        lookalike = identity.newman_lookalike(key[0], timings, requests, asserted)
        return Report(
            kind="newman",
            system="postman",
            run=run,
            tables=self._rows.tables(),
            identity=Identity(
                run_id=identity.run_id("newman", *key, refs) if self._refs else lookalike,
                lookalike=lookalike,
                refs=self._refs,
            ),
            digest=self._rows.digest(),
            totals=[
                Announced("requests_total", run["requests_total"], self._results.executions),
                Announced("assertions_total", run["assertions_total"], self._results.assertions),
                Announced("assertions_failed", run["assertions_failed"], self._results.failed),
            ],
            code=CodeIdentity(code_digest=self._collection.digest()),
            postman_id=self._collection.postman_id,
            collection_name=self._masker.text(name),
        )

    def _execution(self, execution: Json) -> None:
        item, cursor = as_object(execution.get("item")), as_object(execution.get("cursor"))
        request = as_object(execution.get("request"))
        response = as_object(execution.get("response"))
        item_id = as_text(item.get("id"))
        self._masker.learn(secrets_of_auth(request.get("auth")))
        ref = as_text(cursor.get("ref"))
        if ref is not None:
            self._refs.add(identity.short_digest(ref))
        self._results.add_execution(
            as_text(execution.get("id")) or item_id,
            item.get("name"),
            request,
            response,
            small(response.get("code")),
            self._extra(execution, item_id, cursor, response),
        )
        for assertion in objects(execution.get("assertions")):
            self._results.add_assertion(
                assertion.get("assertion"),
                assertion.get("error"),
                is_skipped=assertion.get("skipped") is True,
            )

    def _extra(self, execution: Json, item_id: str | None, cursor: Json, response: Json) -> Json:
        script_errors = [
            {"listen": listen, "message": self._masker.text(shortened(error_text(run["error"])))}
            for listen in _SCRIPTS
            for run in objects(execution.get(listen))
            if isinstance(run.get("error"), dict)
        ]
        status = as_text(response.get("status"))
        return known(
            iteration=whole(cursor.get("iteration")),
            position=whole(cursor.get("position")),
            httpRequestId=as_text(cursor.get("httpRequestId")),
            # A script's own request (pm.sendRequest) gives the execution an ID of its own.
            itemId=item_id if item_id != as_text(execution.get("id")) else None,
            folder=self._collection.folder(item_id),
            requestError=request_error(execution.get("requestError"), self._masker),
            scriptErrors=script_errors or None,
            response={"status": status} if status else None,
        )
