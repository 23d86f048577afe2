"""A walk up Testmo's run list by time instead of by page (design: "the watermark is the cursor").

Page numbers are not safe: a run deleted during the walk shifts its successors, and the one on the
boundary is never shown. So each page is requested as "created after the last one seen", and page
numbers serve only where a whole page of runs was created within one second.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from pipelines.errors import PermanentError, TransientError
from pipelines.sources.base import Page, References, Watermark
from pipelines.sources.fields import BadFieldError, bigint, instant, plausible_time
from pipelines.sources.testmo.api import RunPage

Fetch = Callable[[datetime | None, int], Awaitable[RunPage]]

# `created_after` has whole seconds, and may or may not count its bound in.
_OVERLAP = timedelta(seconds=1)
# Runs from further before what was requested than any mistaken time zone: no filter at work.
_UNFILTERED = timedelta(days=1)
_EMPTY_ATTEMPTS = 3


async def pages(
    fetch: Fetch,
    watermark: Watermark,
    *,
    since: datetime | None,
    now: datetime,
    references: Callable[[object], References],
) -> AsyncIterator[Page]:
    """Pages of runs created from `since` on (None: from the first), oldest first.

    `fetch(created_after, page)` gives one page of the list. The high water of each page is the last
    creation seen, capped at `now`, never behind that of `watermark`. Raises PermanentError for a
    list in another order than requested, not filtered or without an end, TransientError for an
    empty page that the page before announced, and what `fetch` raises.
    """
    position = since
    after = _just_before(position)
    number = 1
    seen: dict[object, datetime | None] = {}
    # Pages in a row that brought nothing new: one that comes again is a list without an end.
    pages_without_news: set[tuple[object, ...]] = set()
    is_announced = False
    while True:
        page = await _page(fetch, after, number, is_announced=is_announced)
        is_announced = page.has_next
        keyed = [(_key(run), _created(run), run) for run in page.runs]
        _check([created for _, created, _ in keyed], after)
        unseen = [
            run
            for key, created, run in keyed
            if key not in seen and not (created and after and created < after)
        ]
        if unseen:
            pages_without_news.clear()
            seen |= {key: created for key, created, _ in keyed}
            position = max((created for _, created, _ in keyed if created), default=position)
            if position is not None:
                # Only runs of the last two seconds can be shown again.
                horizon = position - 2 * _OVERLAP
                seen = {key: at for key, at in seen.items() if at is None or at >= horizon}
                reached = min(position, now)
                watermark = Watermark(max(watermark.high_water or reached, reached))
            remaining = page.total if number == 1 else None
            yield Page(unseen, watermark, references(page.expands), remaining)
            if not page.has_next:
                return
            after = _just_before(position)
            number = 1
        elif page.has_next:
            keys = tuple(key for key, _, _ in keyed)
            if keys in pages_without_news:
                raise PermanentError(
                    f"testmo: page {number} of the list shows what a page before it showed, and "
                    "tells of a next one; the list never ends, so it is left here"
                )
            pages_without_news.add(keys)
            number += 1
        else:
            return


async def _page(
    fetch: Fetch, after: datetime | None, number: int, *, is_announced: bool
) -> RunPage:
    """One page; a last one that the page before announced, and that is empty, is fetched again."""
    for _attempt in range(_EMPTY_ATTEMPTS):
        page = await fetch(after, number)
        if page.runs or page.has_next or not is_announced:
            return page
    raise TransientError(
        "testmo: the list tells of a next page, and that page is empty "
        f"({_EMPTY_ATTEMPTS} attempts); a later load fetches it again"
    )


def _just_before(position: datetime | None) -> datetime | None:
    """What to ask for so that every run of the position's second is shown."""
    return None if position is None else (position - _OVERLAP).replace(microsecond=0)


def _created(run: Any) -> datetime | None:
    try:
        return plausible_time(instant(run, "created_at")) if isinstance(run, dict) else None
    except BadFieldError:
        return None


def _key(run: Any) -> object:
    """The run's ID; where it has none, its content."""
    try:
        run_id = bigint(run, "id") if isinstance(run, dict) else None
    except BadFieldError:
        run_id = None
    return run_id if run_id is not None else json.dumps(run, sort_keys=True)


def _check(created: list[datetime | None], after: datetime | None) -> None:
    times = [moment for moment in created if moment is not None]
    if times != sorted(times):
        raise PermanentError(
            "testmo: the list is not in the order asked for (sort=automation_runs:created_at, "
            "order=asc), so its end cannot be told; nothing after it is loaded"
        )
    if times and after is not None and times[0] < after - _UNFILTERED:
        raise PermanentError(
            f"testmo: the list shows runs from {times[0]:%F %T} where created_after={after:%F %T} "
            "was asked for, so its end cannot be told; nothing after it is loaded"
        )
