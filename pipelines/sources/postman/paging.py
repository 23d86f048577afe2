"""A walk down Postman's run list that can be put down and picked up (design: "Postman: a walk").

The list pages by an opaque cursor and filters by no time; its order is not documented, so it is
judged on what arrives. Newest first, the walk stops at the first page that lies wholly before the
lookback; oldest first, it starts where the lookback did last time; neither, it reads to the end.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from pipelines.errors import (
    BadRequestError,
    PermanentError,
    QuotaSpentError,
    TransientError,
    UnauthorizedError,
    UnreachableError,
)
from pipelines.sources.base import Page, WalkState, Watermark
from pipelines.sources.postman.api import RunPage
from pipelines.sources.postman.list_evidence import (
    ShownRuns,
    is_complete,
    is_cut_short,
    is_end,
    is_past,
    span,
    with_count,
    with_order,
)

Fetch = Callable[[str | None], Awaitable[RunPage]]

_MOST_CURSOR_BYTES = 4096
_EMPTY_ATTEMPTS = 3
# Pages in a row that bring nothing new: a filter may hide 10,000 runs, no list is that restless.
_MOST_WITHOUT_NEWS = 100
# Failures that have nothing to do with the cursor.
_NOT_THE_CURSOR = (UnauthorizedError, UnreachableError, QuotaSpentError)


class CutShortError(TransientError):
    """The list ended a page or more before the total that it announces."""


async def pages(
    fetch: Fetch, watermark: Watermark, *, lookback: timedelta, now: datetime
) -> AsyncIterator[Page]:
    """Pages from where `watermark` stands until the gap to its high water is closed.

    `fetch(cursor)` gives one page of the list. An interrupted walk is closed first, from its
    cursor; then what has arrived on top since is walked. A stored cursor that the API no longer
    takes, however it says so, or from which the list ends too early means: from the top, once; what
    is loaded is not fetched again.

    Raises PermanentError for a cursor that comes back or cannot be sent and for pages that bring
    nothing new without an end, CutShortError for a list that ends too early, TransientError for one
    that ends with an empty page, and what `fetch` raises.
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
    """From the watermark's cursor to the point where the walk closes."""
    resumed = watermark.walk is not None
    stored = watermark.cursor if resumed or watermark.known_order == "oldest_first" else None
    cursor = stored
    state = watermark.walk or WalkState(started_at=now, runs_listed=None if stored else 0)
    restarted = False
    # Pages read: their cursors and latest starts.
    read: list[tuple[str | None, datetime | None]] = []
    shown = ShownRuns()
    without_news = 0

    def restart(announced_total: int | None = None) -> None:
        nonlocal cursor, state, restarted, resumed, shown, without_news
        cursor, restarted, resumed, shown, without_news = None, True, False, ShownRuns(), 0
        state = WalkState(started_at=now, runs_listed=0, announced_total=announced_total)
        read.clear()

    while True:
        try:
            page = await _page(fetch, cursor, state, is_expected=watermark.high_water is not None)
        except (PermanentError, TransientError) as error:
            is_refused = isinstance(error, BadRequestError) or (cursor == stored and not read)
            if cursor is None or restarted or not is_refused or isinstance(error, _NOT_THE_CURSOR):
                raise
            restart()
            continue
        earliest, latest = span(page.runs)
        new_runs = shown.add(page.runs)
        state = with_count(with_order(state, earliest, latest, lookback), page, new_runs)
        following = page.next_cursor
        read.append((cursor, latest))
        without_news = 0 if new_runs else without_news + 1
        broken = _what_is_broken(state, following, [cursor for cursor, _ in read], without_news)
        if broken is not None:
            # Nothing is proven: the next load starts at the top again, where new runs are.
            watermark = replace(watermark, cursor=None, walk=None)
            yield Page(page.runs, watermark)
            if not isinstance(broken, CutShortError) or not stored or restarted:
                raise broken
            restart(state.announced_total)
            continue
        if following is None and stored and not (resumed or restarted or is_end(watermark, state)):
            restart()
            continue
        if following is None or is_past(watermark, state, latest, lookback):
            is_whole = following is None and (resumed or read[0][0] is None)
            watermark = _closed(watermark, state, whole=is_whole)
            if watermark.known_order == "oldest_first":
                watermark = replace(
                    watermark, cursor=_lookback_begins(watermark, read, lookback, resumed=resumed)
                )
            yield Page(page.runs, watermark)
            return
        cursor = following
        watermark = replace(watermark, cursor=cursor, walk=state)
        yield Page(page.runs, watermark)


async def _page(
    fetch: Fetch, cursor: str | None, state: WalkState, *, is_expected: bool
) -> RunPage:
    """The page at `cursor`. An empty one to which a cursor led is fetched again.

    So is an empty first page where runs are known (`is_expected`); it may be true all the same.
    Raises TransientError where another stays empty and is the last, unless all runs of the
    announced total have been shown before.
    """
    for _attempt in range(_EMPTY_ATTEMPTS):
        page = await fetch(cursor)
        may_be_empty = not is_expected if cursor is None else is_complete(state, page)
        if page.runs or may_be_empty:
            return page
    if page.next_cursor is not None or cursor is None:
        return page
    raise TransientError(
        "postman: the list's cursor led to an empty page, which is no end of a list "
        f"({_EMPTY_ATTEMPTS} attempts); a later load fetches it again"
    )


def _what_is_broken(
    state: WalkState, following: str | None, visited: list[str | None], without_news: int
) -> PermanentError | TransientError | None:
    """What shows that the list cannot be walked to its end from here, if anything does."""
    if following is None:
        if not is_cut_short(state):
            return None
        return CutShortError(
            f"postman: the list ended after {state.runs_listed:,} runs and tells of "
            f"{state.announced_total:,}; what it showed is loaded, and a later load starts at its "
            "top again"
        )
    # Half a character counts as the three bytes that it would take.
    size = len(following.encode(errors="surrogatepass"))
    if size > _MOST_CURSOR_BYTES or "\0" in following or not _is_text(following):
        return PermanentError(
            f"postman: the list's next cursor cannot be sent ({size:,} bytes"
            f"{'' if size > _MOST_CURSOR_BYTES else ' with a broken character'}); what the list "
            "showed is loaded"
        )
    if without_news >= _MOST_WITHOUT_NEWS:
        return PermanentError(
            f"postman: {without_news} pages of the list in a row bring no run that was not shown "
            "before, each with another cursor; the list never ends, so it is left here"
        )
    if following in visited:
        return PermanentError(
            "postman: the list's cursor leads back to a page already read "
            f"(page {len(visited)} of this walk); the list never ends, so it is left here"
        )
    return None


def _is_text(cursor: str) -> bool:
    try:
        cursor.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _closed(watermark: Watermark, state: WalkState, *, whole: bool) -> Watermark:
    """The watermark after the walk: its newest start, at most its own beginning, never back."""
    reached = None if state.newest_seen is None else min(state.newest_seen, state.started_at)
    moments = [moment for moment in (watermark.high_water, reached) if moment is not None]
    order = state.list_order if whole and state.list_order != "unknown" else watermark.known_order
    if state.list_order == "neither":
        order = "neither"
    return Watermark(max(moments, default=None), None, None, order)


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
