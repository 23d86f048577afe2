"""A walk down Postman's run list that can be put down and picked up (design: "Postman: a walk").

The list pages by an opaque cursor and filters by no time; its order is not documented, so it is
judged on what arrives. Newest first, the walk stops at the first page that lies wholly before the
lookback; oldest first, it starts where the lookback did last time; neither, it reads to the end.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pipelines.errors import BadRequestError, PermanentError, TransientError
from pipelines.sources.base import Page, WalkState, Watermark
from pipelines.sources.fields import BadFieldError, instant, plausible_time
from pipelines.sources.postman.api import RunPage

Fetch = Callable[[str | None], Awaitable[RunPage]]


async def pages(
    fetch: Fetch, watermark: Watermark, *, lookback: timedelta, now: datetime
) -> AsyncIterator[Page]:
    """Pages from where `mark` stands until the gap to its high water is closed.

    `fetch(cursor)` gives one page of the list. An interrupted walk is closed first, from its
    cursor; then what has arrived on top since is walked. Raises PermanentError for a cursor that
    comes back, TransientError for a list that ends long before the total it tells, and whatever
    `fetch` raises.
    """
    while True:
        resumed = watermark.walk is not None
        async for page in _one_walk(fetch, watermark, lookback=lookback, now=now):
            watermark = page.watermark
            yield page
        if not resumed:
            return


async def _one_walk(
    fetch: Fetch, watermark: Watermark, *, lookback: timedelta, now: datetime
) -> AsyncIterator[Page]:
    """From `mark.cursor` to the point where the walk closes."""
    state = watermark.walk or WalkState(started_at=now)
    cursor = watermark.cursor if watermark.walk or watermark.known_order == "oldest_first" else None
    resumed = watermark.walk is not None
    from_top = cursor is None or resumed
    restarted = False
    asked: set[str] = set()
    # Pages read: their cursors and latest starts.
    read: list[tuple[str | None, datetime | None]] = []
    count = _Count()
    while True:
        try:
            page = await fetch(cursor)
        except BadRequestError:
            if cursor is None or restarted:
                raise
            # The cursor has expired: from the top; what is loaded is not fetched again.
            cursor, state, restarted = None, WalkState(started_at=now), True
            resumed, from_top = False, True
            asked.clear()
            read.clear()
            count = _Count()
            continue
        earliest, latest = _span(page.runs)
        state = _seen(state, earliest, latest, lookback)
        read.append((cursor, latest))
        following = page.next_cursor
        count.add(page)
        if following is None and from_top and not resumed and count.is_cut_short:
            yield Page(page.runs, replace(watermark, cursor=None, walk=None))
            raise TransientError(
                f"postman: the list ended after {count.runs:,} runs and tells of {count.total:,}; "
                "what it showed is loaded, and a later load starts at its top again"
            )
        if following is not None and following in asked:
            # The next load starts at the top again, where new runs are.
            yield Page(page.runs, replace(watermark, cursor=None, walk=None))
            raise PermanentError(
                "postman: the list's cursor leads back to a page already read "
                f"(page {len(asked) + 1} of this walk); the list never ends, so it is left here"
            )
        if following is None or _is_past(watermark, state, latest, lookback):
            watermark = _closed(watermark, state, whole=following is None and from_top)
            if watermark.known_order == "oldest_first":
                watermark = replace(
                    watermark, cursor=_lookback_begins(watermark, read, lookback, resumed=resumed)
                )
            yield Page(page.runs, watermark)
            return
        asked.add(following)
        cursor = following
        watermark = replace(watermark, cursor=cursor, walk=state)
        yield Page(page.runs, watermark)


class _Count:
    """Runs shown so far against the total that the list tells, where it tells one.

    Runs appear and vanish while a list is read: only what is short by a page counts as cut.
    """

    def __init__(self) -> None:
        self.runs = self._longest_page = 0
        self.total: int | None = None

    def add(self, page: RunPage) -> None:
        """One page more; of the totals told the lowest counts."""
        self.runs += len(page.runs)
        self._longest_page = max(self._longest_page, len(page.runs))
        if page.total is not None:
            self.total = page.total if self.total is None else min(self.total, page.total)

    @property
    def is_cut_short(self) -> bool:
        """Whether the list ended a page or more too early."""
        return self.total is not None and self.total - self.runs >= max(1, self._longest_page)


def _span(runs: list[Any]) -> tuple[datetime | None, datetime | None]:
    """Earliest and latest start on a page; queued runs have none, absurd ones do not count."""
    starts = []
    for run in runs:
        try:
            started_at = (
                plausible_time(instant(run, "startedAt")) if isinstance(run, dict) else None
            )
        except BadFieldError:
            continue
        if started_at is not None:
            starts.append(started_at)
    return (min(starts), max(starts)) if starts else (None, None)


def _seen(
    state: WalkState, earliest: datetime | None, latest: datetime | None, tolerance: timedelta
) -> WalkState:
    """The walk's evidence after one more page.

    Runs may stand in the order in which they were queued, so neighbouring pages may overlap; by
    more than the lookback, and stopping by time would be unsafe: that is no order.
    """
    if earliest is None or latest is None:
        return state
    newest = latest if state.newest_seen is None else max(latest, state.newest_seen)
    order = state.list_order
    if state.page_earliest is not None and state.page_latest is not None and order != "neither":
        falls = latest <= state.page_latest and latest <= state.page_earliest + tolerance
        rises = latest >= state.page_latest and earliest >= state.page_latest - tolerance
        if falls and rises:
            pass  # a page of runs that all started together tells nothing
        elif falls and order != "oldest_first":
            order = "newest_first"
        elif rises and order != "newest_first":
            order = "oldest_first"
        else:
            order = "neither"
    return replace(
        state, newest_seen=newest, page_earliest=earliest, page_latest=latest, list_order=order
    )


def _is_past(
    watermark: Watermark, state: WalkState, latest: datetime | None, lookback: timedelta
) -> bool:
    """Whether everything from this page on is known: it lies wholly before the lookback.

    Trusted only in a list that a whole walk has found to be newest first, that shows no other
    order now, and whose newest known run has been met (or a second page has confirmed the fall).
    """
    if watermark.high_water is None or latest is None or watermark.known_order != "newest_first":
        return False
    met = state.newest_seen is not None and state.newest_seen >= watermark.high_water
    confirmed = state.list_order == "newest_first" or (state.list_order == "unknown" and met)
    return confirmed and latest < watermark.high_water - lookback


def _closed(watermark: Watermark, state: WalkState, *, whole: bool) -> Watermark:
    """The mark after the walk: its newest start, capped at its own beginning, never backwards."""
    reached = None if state.newest_seen is None else min(state.newest_seen, state.started_at)
    known = [moment for moment in (watermark.high_water, reached) if moment is not None]
    order = state.list_order if whole and state.list_order != "unknown" else watermark.known_order
    if state.list_order == "neither":
        order = "neither"
    return Watermark(max(known, default=None), None, None, order)


def _lookback_begins(
    watermark: Watermark,
    read: list[tuple[str | None, datetime | None]],
    lookback: timedelta,
    *,
    resumed: bool,
) -> str | None:
    """The cursor of the first page within the lookback: where the next walk of this list starts.

    A walk that was picked up within the lookback has not read where it begins: from the top.
    """
    if watermark.high_water is None:
        return None
    bound = watermark.high_water - lookback
    within = (at for at, (_, latest) in enumerate(read) if latest is not None and latest >= bound)
    first = next(within, len(read) - 1)
    return None if resumed and first == 0 else read[first][0]
