"""A walk over the pages of one run's test results, from the oldest ID on.

New results lengthen the last page, and the pages before it stay as they are. What a page says of
those behind it (`next_page`, `last_page`, `total`) may contradict itself: the walk goes on while
anything announces more, and ends only where the results seen are as many as the total says.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pipelines.errors import PermanentError, TransientError
from pipelines.sources.fields import BadFieldError, bigint
from pipelines.sources.testmo.api import TestsPage

Fetch = Callable[[int], Awaitable[TestsPage]]

_EMPTY_ATTEMPTS = 3
# No run has so many: an API that gives new results for ever is left here.
_MOST_RESULTS = 1_000_000


async def result_pages(
    fetch: Fetch, run_id: str, *, is_expected: bool = False
) -> AsyncIterator[TestsPage]:
    """Pages of results that were not on a page before; `fetch(page)` gives one page of the run.

    `is_expected`: the run counts tests, so that an empty first page without a total is requested
    again before it is believed.

    Raises TransientError where results are missing or went missing meanwhile, PermanentError for
    pages without an end, and what `fetch` raises.
    """
    seen: set[int] = set()
    # Results shown, those that stood on a page before not counted in.
    results_seen = 0
    total: int | None = None
    number = 1
    is_announced = False
    while True:
        page = await _page(
            fetch,
            number,
            results_seen,
            is_announced=is_announced,
            is_expected=is_expected and not results_seen,
        )
        if total is not None and page.total is not None and page.total < total:
            raise TransientError(
                f"testmo: run {run_id} had {total:,} test results and has {page.total:,} while "
                "they are read; a later load reads them again"
            )
        total = page.total if page.total is not None else total
        new_results = [(_id(result), result) for result in page.results]
        new_results = [(key, result) for key, result in new_results if key not in seen]
        results_seen += len(new_results)
        unseen: list[Any] = []
        for key, result in new_results:
            if key not in seen:
                unseen.append(result)
            if key is not None:
                seen.add(key)
        yield TestsPage(unseen, page.expands)
        has_more = page.has_next or (page.last_page or 0) > number or (total or 0) > results_seen
        if not has_more or not page.results:
            break
        if not unseen or results_seen > _MOST_RESULTS:
            raise PermanentError(
                f"testmo: page {number:,} of the test results of run {run_id} brings nothing new "
                f"after {results_seen:,}, or too many, and tells of a next one; they are left here"
            )
        number += 1
        is_announced = True


async def _page(
    fetch: Fetch, number: int, results_seen: int, *, is_announced: bool, is_expected: bool
) -> TestsPage:
    """One page; an empty one where there should be results is fetched again."""
    for _attempt in range(_EMPTY_ATTEMPTS):
        page = await fetch(number)
        # The total decides: a page too many is no harm where all of it has been seen.
        is_announced = is_announced or page.has_next
        is_end = page.total <= results_seen if page.total is not None else not is_announced
        if page.results or (is_end and not (is_expected and page.total is None)):
            return page
    if is_end:
        return page
    total = "more" if page.total is None else f"{page.total:,}"
    raise TransientError(
        f"testmo: page {number:,} of a run's test results is empty, where {results_seen:,} of "
        f"{total} have been shown ({_EMPTY_ATTEMPTS} attempts); a later load reads them again"
    )


def _id(result: Any) -> int | None:
    try:
        return bigint(result, "automation_test_id") if isinstance(result, dict) else None
    except BadFieldError:
        return None
