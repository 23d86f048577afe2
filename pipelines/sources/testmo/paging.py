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
# Created later than this from now on: no time to page by, nor one up to which all is read.
_AHEAD = timedelta(days=1)
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
    empty page where runs or a page were announced, and what `fetch` raises.
    """
    position = since
    after = _just_before(position)
    number = 1
    seen: dict[object, datetime | None] = {}
    # Pages in a row that brought nothing new: one that comes again is a list without an end.
    pages_without_news: set[tuple[object, ...]] = set()
    is_announced = False
    # Runs that the list has shown since it was last asked for its first page.
    shown = 0
    while True:
        page = await _page(fetch, after, number, is_announced=is_announced)
        is_announced = page.has_next
        shown = len(page.runs) + (shown if number > 1 else 0)
        # A total may be that of other runs as well: it makes us look, and an empty page ends it.
        has_next = page.has_next or bool(page.runs and (page.total or 0) > shown)
        keyed = [(_key(run), _created(run, now + _AHEAD), run) for run in page.runs]
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
            if not has_next:
                return
            after = _just_before(position)
            number = 1
        elif has_next:
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
    """One page; an empty one is fetched again where a page before it, or it itself, tells of runs.

    Were it passed, the runs that belong on it would be behind the position.
    """
    for _attempt in range(_EMPTY_ATTEMPTS):
        page = await fetch(after, number)
        is_contradicted = page.has_next or (number == 1 and (page.total or 0) > 0)
        if page.runs or not (is_announced or is_contradicted):
            return page
    raise TransientError(
        "testmo: the list tells of runs on a page, and that page is empty "
        f"({_EMPTY_ATTEMPTS} attempts); a later load fetches it again"
    )


def _just_before(position: datetime | None) -> datetime | None:
    """What to ask for so that every run of the position's second is shown."""
    return None if position is None else (position - _OVERLAP).replace(microsecond=0)


def _created(run: Any, latest: datetime) -> datetime | None:
    """When the run was created; None: not said, or absurd, as later than `latest`."""
    try:
        created = plausible_time(instant(run, "created_at")) if isinstance(run, dict) else None
    except BadFieldError:
        return None
    return None if created is not None and created > latest else created


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
