"""Executions and assertions as newman and Postman CLI report them: rows, and what they hide."""

from typing import Any

from pipelines.sources.fields import Json
from pipelines.sources.reports.postman.urls import url_text
from pipelines.sources.reports.report import (
    ASSERTIONS,
    EXECUTIONS,
    SYSTEMS,
    RowWriter,
    shortened,
)
from pipelines.sources.reports.secrets import Masker
from pipelines.sources.reports.values import as_list, as_object, as_text, known, whole

# Headers, bodies and what goes with them are never built.
LEFT_OUT = frozenset({
    "body", "certificate", "cookie", "cookies", "event", "header", "headers", "proxy", "rawPacket",
    "stack", "stacktrace", "stream",
})  # fmt: skip
_ERROR_MEMBERS = (
    "code", "errno", "syscall", "hostname", "address", "port", "name", "message", "reason",
    "bytesParsed",
)  # fmt: skip
_SECRETS_OF_AUTH = frozenset({
    "accessToken", "authKey", "clientSecret", "consumerSecret", "password", "privateKey",
    "refreshToken", "secret", "secretKey", "sessionToken", "token", "tokenSecret", "value",
})  # fmt: skip


class PostmanRows:
    """Writes executions, each followed by its assertions, and counts them."""

    def __init__(self, rows: RowWriter, masker: Masker) -> None:
        self._rows, self._masker = rows, masker
        self.executions = self.assertions = self.failed = self.skipped = 0
        self._position = 0

    def add_execution(
        self,
        execution_id: str | None,
        name: Any,
        request: Json,
        response: Json,
        code: int | None,
        extra: Json,
    ) -> None:
        """A request that was sent, and its answer; the assertions that follow are its own."""
        record = {
            "execution_index": self.executions,
            "execution_id": execution_id,
            "item_name": self._masker.text(shortened(as_text(name))),
            "request_method": as_text(request.get("method")),
            "request_url": self._masker.url(shortened(url_text(request.get("url")))),
            "response_status_code": code,
            "response_time_ms": whole(response.get("responseTime")),
            "response_size_bytes": whole(response.get("responseSize")),
            "extra": self._masker.json(extra) or None,
        }
        self._add(EXECUTIONS, record)
        self.executions, self._position = self.executions + 1, 0

    def add_assertion(self, name: Any, error: Any, *, is_skipped: bool) -> None:
        """An assertion of the last execution; `passed` is None for one that was skipped."""
        error = error if isinstance(error, dict) else {}
        extra = known(skipped=True if is_skipped else None, errorName=as_text(error.get("name")))
        text = as_text(error.get("message")) or error_text(error) if error else None
        record = {
            "execution_index": self.executions - 1,
            "assertion_index": self._position,
            "name": self._masker.text(shortened(as_text(name))),
            "passed": False if error else (None if is_skipped else True),
            "error": self._masker.text(shortened(text)),
            "extra": self._masker.json(extra) or None,
        }
        self._add(ASSERTIONS, record)
        self._position += 1
        self.assertions += 1
        self.failed += record["passed"] is False
        self.skipped += record["passed"] is None

    def _add(self, table: str, record: Json) -> None:
        self._rows.add(table, tuple(record[name] for name in SYSTEMS["postman"][table][1:]))


def secrets_of_auth(auth: Any) -> list[Any]:
    """Values that a request's `auth` holds: tokens, passwords, keys."""
    return [
        parameter.get("value")
        for method in as_object(auth).values()
        for parameter in as_list(method)
        if isinstance(parameter, dict) and parameter.get("key") in _SECRETS_OF_AUTH
    ]


def error_text(error: Json) -> str:
    """`Name: message`, or what of it there is."""
    parts = [
        as_text(error.get("name")) or as_text(error.get("type")),
        as_text(error.get("message")),
    ]
    return ": ".join(part for part in parts if part) or "an error without a message"


def request_error(error: Any, masker: Masker) -> Json | None:
    """Why there was no answer: code, host and the like, never what was sent or received."""
    if isinstance(error, str):
        return {"message": masker.text(shortened(error))}
    if not isinstance(error, dict) or not error:
        return None
    return {
        name: masker.text(shortened(value)) if isinstance(value, str) else value
        for name in _ERROR_MEMBERS
        if isinstance(value := error.get(name), str | int | float)
    } or {"message": "an error without a message"}
