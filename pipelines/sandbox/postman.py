"""Postman's two endpoints of collection runs: their list, and one run in detail.

Bodies are encoded when a run is put, so that serving one is a look-up. A collection's runs stand
in order of their start, those without one last; the list is read from the end, newest first. A
cursor names the last run seen, not an offset: what arrives on top in between moves nothing.
"""

import base64
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple
from uuid import UUID

import msgspec

from pipelines.sandbox.limits import PostmanLimits
from pipelines.sandbox.wire import (
    Answer,
    Json,
    ListOrder,
    RequestError,
    encode,
    moment,
    scattered,
)

SUMMARY_FIELDS = (
    "id",
    "status",
    "source",
    "startedAt",
    "finishedAt",
    "stats",
    "collectionId",
    "environmentId",
    "createdBy",
)  # CollectionRunSummary of the reference page

_ENUMS = {
    "status": {"queued", "running", "finished", "failed"},
    "source": {"collection_runner", "monitor", "webhook", "schedule", "api", "newman"},
}
_DEFAULT_LIMIT, _MAX_LIMIT = 10, 100
_NO_START = datetime.max.replace(tzinfo=UTC)


class _Run(NamedTuple):
    """A run ready to be served; sorts by its first two fields, which no two runs share."""

    started_at: datetime
    id: str
    collection: str
    status: object
    source: object
    fields: Json
    summary: bytes
    detail: bytes


class PostmanApi:
    """Holds collection runs and answers requests for them; safe to change from other threads."""

    name = "postman"
    root = "/postman"

    def __init__(self, runs: Sequence[Json], api_key: str, limits: PostmanLimits) -> None:
        """Take runs in the reference page's `CollectionRun` shape, with any further fields."""
        self._api_key = api_key
        self._limits = limits
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}
        self._collections: dict[str, list[_Run]] = {}
        self._names: dict[str, str] = {}
        for run in runs:
            self.put(run)

    @property
    def collection_ids(self) -> list[str]:
        """The collections that ever had a run, each as its first run names it."""
        with self._lock:
            return list(self._names.values())

    @property
    def runs(self) -> list[Json]:
        """The runs that are held now."""
        with self._lock:
            return [run.fields for run in self._runs.values()]

    def runs_listed_at(self, path: str) -> list[Json]:
        """The runs of the collection whose list is at `path`; none where there is no such list."""
        match path.strip("/").split("/"):
            case ["collections", collection, "runs"]:
                with self._lock:
                    return [run.fields for run in self._collections.get(_bare(collection), ())]
        return []

    def put(self, run: Json) -> None:
        """Add a run, or replace the one of the same ID.

        Raises ValueError for a run whose `id` or `collectionId` is no text.
        """
        run_id, named = run.get("id"), run.get("collectionId")
        if not (isinstance(run_id, str) and run_id and isinstance(named, str) and named):
            raise ValueError("a Postman run needs the texts id and collectionId")
        collection = _bare(named)
        new = _Run(
            moment(run.get("startedAt")) or _NO_START,
            run_id,
            collection,
            run.get("status"),
            run.get("source"),
            run,
            encode({field: run[field] for field in SUMMARY_FIELDS if field in run}),
            encode({"run": run}),
        )
        with self._lock:
            self._take_out(run_id)
            self._runs[run_id] = new
            self._names.setdefault(collection, named)
            insort(self._collections.setdefault(collection, []), new)

    def remove(self, run_id: str) -> None:
        """Forget a run; its collection stays known. An unknown ID is no error."""
        with self._lock:
            self._take_out(run_id)

    def answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        order: ListOrder | None = None,
    ) -> Answer:
        """Answer one request; `path` is relative to the API's root.

        `order` is the list's; None: newest first.
        """
        try:
            self._admit(headers)
            if method != "GET":
                raise _error(405, "methodNotAllowedError", f"{method} is not supported here")
            answer = self._route(path, query, order)
        except RequestError as refused:
            answer = refused.answer
        return answer._replace(headers={**self._limits.headers(), **answer.headers})

    def _take_out(self, run_id: str) -> None:
        old = self._runs.pop(run_id, None)
        if old:
            runs = self._collections[old.collection]
            del runs[bisect_left(runs, old[:2])]

    def _admit(self, headers: Mapping[str, str]) -> None:
        # The limits are counted for a key, so that a request without one costs nothing.
        if headers.get("x-api-key") != self._api_key:
            raise _error(
                401,
                "AuthenticationError",
                "Invalid API Key. Every request requires a valid API Key to be sent.",
            )
        exhausted = self._limits.exhausted()
        if exhausted:
            raise _limit_error(exhausted.reset_seconds, month=exhausted is self._limits.month)
        self._limits.spend()

    def _route(self, path: str, query: Mapping[str, str], order: ListOrder | None) -> Answer:
        with self._lock:
            match path.strip("/").split("/"):
                case ["collections", collection, "runs"]:
                    return self._list(self._known(collection), query, order)
                case ["collections", collection, "runs", run_id]:
                    return self._detail(self._known(collection), run_id)
        raise _error(404, "notFound", "Requested resource not found")

    def _known(self, name: str) -> str:
        collection = _bare(name)
        if collection not in self._collections:
            raise _not_found("collection", name)
        return collection

    def _detail(self, collection: str, run_id: str) -> Answer:
        run = self._runs.get(run_id)
        if run is None or run.collection != collection:
            raise _not_found("run", run_id)
        return Answer(200, run.detail)

    def _list(self, collection: str, query: Mapping[str, str], order: ListOrder | None) -> Answer:
        runs = self._collections[collection]
        limit = _limit(query.get("limit"))
        filters = _filters(query)
        behind = _behind(runs, query.get("cursor"), order)

        def admits(run: _Run) -> bool:
            return all(getattr(run, field) == wanted for field, wanted in filters.items())

        matches = list(islice(filter(admits, behind), limit + 1))
        page, more = matches[:limit], len(matches) > limit
        meta: Json = {"total": sum(map(admits, runs)) if filters else len(runs)}
        if more:
            meta["nextCursor"] = _cursor(page[-1])
        listed = b",".join(run.summary for run in page)
        return Answer(200, b'{"runs":[' + listed + b'],"meta":' + encode(meta) + b"}")


def _bare(name: str) -> str:
    """Give a collection's ID, whether it is named by ID or by UID (`ownerId-collectionId`).

    A UUID may begin with eight digits and is then still no UID.
    """
    owner, _, rest = name.partition("-")
    return rest if rest and owner.isdigit() and not _is_uuid(name) else name


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _behind(runs: list[_Run], cursor: str | None, order: ListOrder | None) -> Iterable[_Run]:
    """Give the runs behind a cursor, None the first, in the order of the list."""
    seen = None if cursor is None else _last_seen(cursor)
    match order:
        case ListOrder.OLDEST_FIRST:
            first = 0 if seen is None else bisect_right(runs, seen, key=lambda run: run[:2])
            return runs[first:]
        case ListOrder.NONE:
            place = {run.id: scattered(run.id) for run in runs}
            after = b"" if seen is None else scattered(seen[1])
            behind = (run for run in runs if place[run.id] > after)
            return sorted(behind, key=lambda run: place[run.id])
        case _:
            return reversed(runs if seen is None else runs[: bisect_left(runs, seen)])


def _cursor(run: _Run) -> str:
    started_at = None if run.started_at == _NO_START else run.started_at.isoformat()
    return base64.urlsafe_b64encode(msgspec.json.encode([started_at, run.id])).decode()


def _last_seen(cursor: str) -> tuple[datetime, str]:
    try:
        started_at, run_id = msgspec.json.decode(base64.b64decode(cursor, b"-_", validate=True))
    except (TypeError, ValueError):
        started_at, run_id = "", None
    start = _NO_START if started_at is None else moment(started_at)
    if start is None or not isinstance(run_id, str):
        raise _invalid("cursor", "is invalid or has expired")
    return start, run_id


def _limit(given: str | None) -> int:
    if given is None:
        return _DEFAULT_LIMIT
    if given not in map(str, range(1, _MAX_LIMIT + 1)):
        raise _invalid("limit", f"must be a whole number from 1 to {_MAX_LIMIT}")
    return int(given)


def _filters(query: Mapping[str, str]) -> dict[str, str]:
    wanted = {name: query[name] for name in _ENUMS if name in query}
    for name, value in wanted.items():
        if value not in _ENUMS[name]:
            raise _invalid(name, f"must be one of {', '.join(sorted(_ENUMS[name]))}")
    return wanted


def _error(status: int, name: str, message: str) -> RequestError:
    return RequestError(status, {"error": {"name": name, "message": message}})


def _invalid(parameter: str, complaint: str) -> RequestError:
    return _error(400, "invalidParamsError", f"The parameter {parameter} {complaint}.")


def _not_found(item: str, item_id: str) -> RequestError:
    return RequestError(
        404,
        {
            "error": {
                "name": "instanceNotFoundError",
                "message": f"We could not find the {item} you are looking for",
                "details": {"item": item, "id": item_id},
            }
        },
    )


def _limit_error(wait_seconds: int, *, month: bool) -> RequestError:
    # RateLimitError of the reference page: flat, unlike the other errors.
    name, of_what = ("serviceLimitExhausted", "Monthly") if month else ("rateLimited", "Rate")
    return RequestError(
        429,
        {
            "error": name,
            "message": f"{of_what} limit exceeded. Please retry after {wait_seconds} seconds.",
        },
        {"RetryAfter": str(wait_seconds), "Retry-After": str(wait_seconds)},
    )
