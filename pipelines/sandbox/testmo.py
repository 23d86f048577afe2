"""Testmo's endpoints of automation runs: a project's list, one run by ID, and its test results.

Bodies are encoded and references gathered when a run is put, so that a page is a join of bytes.
`expands` holds only what the page refers to; where that is nothing it is `[]`, not `{}`, and an
empty page has no number: quirks that clients of the real API have met.
"""

import math
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from pipelines.sandbox.books import Books, References, references_of
from pipelines.sandbox.limits import Quota
from pipelines.sandbox.testmo_query import RunQuery, read_expands, read_run_query
from pipelines.sandbox.testmo_tests import tests_page
from pipelines.sandbox.wire import (
    Answer,
    Json,
    ListOrder,
    RequestError,
    encode,
    moment,
    scattered,
    whole_number,
)

NOT_LISTED_WHEN_BARE = ("threads", "tags", "fields", "links", "artifacts")

_UNDATED = datetime.min.replace(tzinfo=UTC)


class _Run(NamedTuple):
    """A run ready to be served; sorts by its first two fields, which no two runs share."""

    created_at: datetime
    id: int
    project_id: int
    fields: Json
    listed: bytes
    listed_references: References
    detail: bytes
    detail_references: References


class TestmoApi:
    """Holds automation runs and answers requests for them; safe to change from other threads."""

    name = "testmo"
    root = "/testmo/api/v1"

    def __init__(
        self,
        runs: Sequence[Json],
        books: Json,
        *,
        token: str,
        limit: Quota,
        list_is_bare: bool,
        forbidden_projects: frozenset[int],
        tests: Callable[[Json], list[Json]] | None = None,
    ) -> None:
        """Take runs as the API answers them in detail, and the rest as SandboxData has it."""
        self._token = token
        self._limit = limit
        self._unlisted = NOT_LISTED_WHEN_BARE if list_is_bare else ()
        self._forbidden = forbidden_projects
        self._tests = tests
        self._lock = threading.Lock()
        self._books = Books(books)
        self._runs: dict[int, _Run] = {}
        self._projects: dict[int, list[_Run]] = {key: [] for key in self._books.project_ids}
        for run in runs:
            self.put(run)

    @property
    def project_ids(self) -> list[int]:
        """The projects that the books name or that ever had a run."""
        with self._lock:
            return sorted(self._projects)

    @property
    def runs(self) -> list[Json]:
        """The runs that are held now."""
        with self._lock:
            return [run.fields for run in self._runs.values()]

    def runs_listed_at(self, path: str) -> list[Json]:
        """The runs of the project whose list is at `path`; none where there is no such list."""
        match path.strip("/").split("/"):
            case ["projects", project_id, "automation", "runs"]:
                with self._lock:
                    listed = self._projects.get(whole_number(project_id) or 0, ())
                    return [run.fields for run in listed]
        return []

    def put(self, run: Json) -> None:
        """Add a run, or replace the one of the same ID.

        Raises ValueError for a run whose `id` or `project_id` is no whole number.
        """
        run_id, project_id = run.get("id"), run.get("project_id")
        if type(run_id) is not int or type(project_id) is not int:
            raise ValueError("a Testmo run needs the whole numbers id and project_id")
        listed = {name: value for name, value in run.items() if name not in self._unlisted}
        new = _Run(
            moment(run.get("created_at")) or _UNDATED,
            run_id,
            project_id,
            run,
            encode(listed),
            references_of(listed),
            encode(run),
            references_of(run),
        )
        with self._lock:
            self._take_out(run_id)
            self._runs[run_id] = new
            insort(self._projects.setdefault(project_id, []), new)

    def remove(self, run_id: int) -> None:
        """Forget a run; its project stays known. An unknown ID is no error."""
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

        `order` is the list's, whatever the query asks for; None: as it asks.
        """
        try:
            self._admit(headers)
            if method != "GET":
                raise _error(405, f"The {method} method is not supported for this route.")
            return self._route(path, query, order)
        except RequestError as refused:
            return refused.answer

    def _take_out(self, run_id: int) -> None:
        old = self._runs.pop(run_id, None)
        if old:
            runs = self._projects[old.project_id]
            del runs[bisect_left(runs, old[:2])]

    def _admit(self, headers: Mapping[str, str]) -> None:
        if headers.get("Authorization") != f"Bearer {self._token}":
            raise _error(401, "Unauthenticated.")
        if not self._limit.remaining:
            wait = {"Retry-After": str(self._limit.reset_seconds)}
            raise RequestError(429, {"message": "Too Many Attempts."}, wait)
        self._limit.spend()

    def _route(self, path: str, query: Mapping[str, str], order: ListOrder | None) -> Answer:
        with self._lock:
            match path.strip("/").split("/"):
                case ["projects", project_id, "automation", "runs"]:
                    return self._list(_number(project_id), query, order)
                case ["automation", "runs", run_id]:
                    return self._detail(_number(run_id), query)
                case ["automation", "runs", run_id, "tests"] if self._tests is not None:
                    tests = self._tests(self._known(_number(run_id)).fields)
                    return Answer(200, encode(tests_page(tests, query)))
        raise _error(404, "Not found.")

    def _detail(self, run_id: int, query: Mapping[str, str]) -> Answer:
        run = self._known(run_id)
        expands = self._books.expands(read_expands(query), [run.detail_references])
        return Answer(200, b'{"result":' + run.detail + b',"expands":' + encode(expands) + b"}")

    def _known(self, run_id: int) -> _Run:
        run = self._runs.get(run_id)
        if run is None:
            raise _error(404, "The automation run does not exist or was deleted.")
        self._permit(run.project_id)
        return run

    def _list(self, project_id: int, query: Mapping[str, str], order: ListOrder | None) -> Answer:
        if project_id not in self._projects:
            raise _error(404, "The project does not exist or was deleted.")
        self._permit(project_id)
        wanted = read_run_query(query)
        matches = _select(self._projects[project_id], wanted, order)
        page = matches[(wanted.page - 1) * wanted.per_page : wanted.page * wanted.per_page]
        expands = self._books.expands(wanted.expands, (run.listed_references for run in page))
        return Answer(
            200,
            b"".join(
                [
                    encode(_page_numbers(wanted, len(matches)) if page else _no_page(wanted))[:-1],
                    b',"total":%d,"result":[' % len(matches),
                    b",".join(run.listed for run in page),
                    b'],"expands":',
                    encode(expands),
                    b"}",
                ]
            ),
        )

    def _permit(self, project_id: int) -> None:
        if project_id in self._forbidden:
            raise _error(403, "This action is unauthorized.")


def _select(runs: list[_Run], wanted: RunQuery, order: ListOrder | None) -> list[_Run]:
    """Give the runs that a query wants; both bounds of its time are exclusive.

    In the query's order, unless `order` is another.
    """
    first = bisect_right(runs, (wanted.created_after, math.inf)) if wanted.created_after else 0
    last = bisect_left(runs, (wanted.created_before,)) if wanted.created_before else len(runs)
    matches = runs[first:last]
    if wanted.filters_fields:
        matches = [run for run in matches if wanted.admits(run.fields)]
    if order is ListOrder.NONE:
        return sorted(matches, key=lambda run: scattered(run.id))
    is_rising = wanted.order == "asc" if order is None else order is ListOrder.OLDEST_FIRST
    return matches if is_rising else matches[::-1]


def _page_numbers(wanted: RunQuery, total: int) -> Json:
    last_page = math.ceil(total / wanted.per_page)
    return {
        "page": wanted.page,
        "prev_page": wanted.page - 1 or None,
        "next_page": wanted.page + 1 if wanted.page < last_page else None,
        "last_page": last_page,
        "per_page": wanted.per_page,
    }


def _no_page(wanted: RunQuery) -> Json:
    nothing = dict.fromkeys(("page", "prev_page", "next_page", "last_page"))
    return {**nothing, "per_page": wanted.per_page}


def _number(text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise _error(404, "Not found.")
    return number


def _error(status: int, message: str) -> RequestError:
    return RequestError(status, {"message": message})
