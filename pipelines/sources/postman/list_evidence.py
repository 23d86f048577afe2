"""What a walk has seen of Postman's list: how many runs, up to which time, in which order.

A list documents none of this, so each answer is drawn from the pages that came (`WalkState`).
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pipelines.sources.base import WalkState, Watermark
from pipelines.sources.fields import BadFieldError, instant, plausible_time
from pipelines.sources.postman.api import RunPage

# Some 20 MB of them.
_MOST_REMEMBERED = 200_000


class ShownRuns:
    """Which runs a walk has been shown, by their IDs; of a very long list, the first of them."""

    def __init__(self) -> None:
        self._ids: set[int] = set()

    def add(self, runs: list[Any]) -> int:
        """How many of a page's runs were not shown before; those without an ID never were."""
        ids = [run.get("id") if isinstance(run, dict) else None for run in runs]
        known = {hash(str(run_id)) for run_id in ids if run_id is not None}
        new = known - self._ids
        if len(self._ids) < _MOST_REMEMBERED:
            self._ids |= new
        return len(new) + ids.count(None)


def with_count(state: WalkState, page: RunPage, new_runs: int) -> WalkState:
    """The walk's count of runs after one more page, `new_runs` of which were not shown before.

    The first total counts: it grows by runs that appear above, which this walk does not read, and
    a list that shrinks by more than a page while it is read is rather one that ends too early.
    """
    total = state.announced_total
    return replace(
        state,
        runs_listed=None if state.runs_listed is None else state.runs_listed + new_runs,
        longest_page=max(state.longest_page or 0, len(page.runs)),
        announced_total=_total(page) if total is None else total,
    )


def is_cut_short(state: WalkState) -> bool:
    """Whether a walk from the top ended a page or more before the total.

    Runs appear and vanish while a list is read, so that less proves nothing.
    """
    if state.runs_listed is None or state.announced_total is None:
        return False
    return state.announced_total - state.runs_listed >= max(1, state.longest_page or 0)


def is_complete(state: WalkState, page: RunPage) -> bool:
    """Whether a walk from the top has shown as many runs as the list announces on this page."""
    total = state.announced_total if _total(page) is None else _total(page)
    if state.runs_listed is None or total is None:
        return False
    return state.runs_listed >= total


def _total(page: RunPage) -> int | None:
    """The total that the page announces, unless it is absurd."""
    return page.total if page.total is not None and 0 <= page.total < 2**63 else None


def span(runs: list[Any]) -> tuple[datetime | None, datetime | None]:
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


def with_order(
    state: WalkState, earliest: datetime | None, latest: datetime | None, tolerance: timedelta
) -> WalkState:
    """The walk's evidence of the list's order after one more page.

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
            pass  # a page of runs that all started together shows no order
        elif falls and order != "oldest_first":
            order = "newest_first"
        elif rises and order != "newest_first":
            order = "oldest_first"
        else:
            order = "neither"
    return replace(
        state, newest_seen=newest, page_earliest=earliest, page_latest=latest, list_order=order
    )


def is_past(
    watermark: Watermark, state: WalkState, latest: datetime | None, lookback: timedelta
) -> bool:
    """Whether everything from this page on is known: it lies wholly before the lookback.

    Trusted only in a list that a whole walk has found to be newest first, that shows no other
    order now, and whose newest known run has been seen (or a second page has confirmed the fall).
    """
    if watermark.high_water is None or latest is None or watermark.known_order != "newest_first":
        return False
    is_seen = state.newest_seen is not None and state.newest_seen >= watermark.high_water
    confirmed = state.list_order == "newest_first" or (state.list_order == "unknown" and is_seen)
    return confirmed and latest < watermark.high_water - lookback


def is_end(watermark: Watermark, state: WalkState) -> bool:
    """Whether the end of a list that was oldest first still shows the newest run that is known.

    If not, the list has turned round, and what is new stands at its top.
    """
    if watermark.high_water is None:
        return True
    return state.newest_seen is not None and state.newest_seen >= watermark.high_water
