"""Testmo's endpoint of test results: the tests of one automation run, a page at a time.

Newer than the reference page; what is known of it are its parameters and the fields that a public
client types. An instance that does not have it answers 404 for every run.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.sandbox.testmo_query import Reader
from pipelines.sandbox.wire import Json

_PER_PAGE = {str(size): size for size in range(100, 1001)}
_SORTS = {
    f"automation_run_tests:{name}": name
    for name in ("id", "name", "status", "elapsed", "created_at")
}
_STATUSES = {1, 2, 3, 4}


def tests_page(tests: Sequence[Json], given: Mapping[str, str]) -> Json:
    """One page of a run's test results, the newest first unless the query says otherwise.

    Raises RequestError (422) that names every bad parameter.
    """
    reader = Reader(given)
    sort = reader.choice("sort", _SORTS, "automation_run_tests:id")
    order = reader.choice("order", {"asc": "asc", "desc": "desc"}, "desc")
    per_page: int = reader.choice("per_page", _PER_PAGE, "100")
    page = reader.page()
    threads, statuses = reader.numbers("thread_id"), reader.numbers("status_id")
    if not set(statuses) <= _STATUSES:
        reader.complain("status_id", "may name only 1, 2, 3 and 4")
    reader.refuse_if_wrong()
    wanted = [
        test
        for test in tests
        if (not threads or test.get("thread_id") in threads)
        and (not statuses or test.get("status") in statuses)
    ]
    field = "automation_test_id" if sort == "id" else sort
    wanted.sort(key=lambda test: _place(test, field), reverse=order == "desc")
    on_page = wanted[(page - 1) * per_page : page * per_page]
    last_page = math.ceil(len(wanted) / per_page)
    return {
        "page": page if on_page else None,
        "prev_page": (page - 1 or None) if on_page else None,
        "next_page": page + 1 if on_page and page < last_page else None,
        "last_page": last_page if on_page else None,
        "per_page": per_page,
        "total": len(wanted),
        "result": on_page,
    }


def _place(test: Any, field: str) -> tuple[Any, ...]:
    """Where a result stands in the order of a field; odd ones have a place of their own."""
    return (*_rank(test, field), *_rank(test, "automation_test_id"))


def _rank(test: Any, field: str) -> tuple[int, Any]:
    value = test.get(field) if isinstance(test, dict) else None
    if value is None:
        return 0, 0
    if isinstance(value, int | float):
        return 1, value
    return 2, str(value)
