"""A walk down Postman's list that was put down is picked up where it stood."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipelines.errors import (
    ApiError,
    BadRequestError,
    NotFoundError,
    PermanentError,
    QuotaSpentError,
    TransientError,
    UnauthorizedError,
)
from pipelines.sources.base import WalkState, Watermark
from pipelines.sources.postman import paging
from pipelines.sources.postman.api import RunPage
from tests.support.postman_walks import (
    LOOKBACK,
    NOW,
    RunList,
    ago,
    history,
    make_run,
    walk,
    walk_to_end,
)


@pytest.mark.parametrize("pages", range(1, 7))
def test_a_walk_put_down_after_any_page_is_picked_up_there(pages: int) -> None:
    runs = RunList.of(history(55))
    first = walk(runs, pages=pages)
    runs.requests()
    second = walk_to_end(runs, first.watermark)

    assert set(first.ids) | set(second.ids) == runs.ids
    assert second.watermark == Watermark(ago(0), None, None, "newest_first")
    # What is left of the first walk, then from the top down to the lookback.
    assert runs.requests() == 6 - pages + 2


@pytest.mark.parametrize("pages", range(1, 6))
def test_the_high_water_does_not_move_before_the_gap_is_closed(pages: int) -> None:
    runs = RunList.of(history(60))
    first = walk(runs, pages=pages)

    assert first.watermark.high_water is None
    assert first.watermark.walk is not None
    assert first.watermark.walk.newest_seen == ago(0)


def test_a_walk_put_down_at_every_page_still_ends() -> None:
    runs = RunList.of(history(95))
    watermark, met = Watermark(), set[str]()
    for _load in range(30):
        one = walk(runs, watermark, pages=1)
        runs.requests()
        watermark, met = one.watermark, met | set(one.ids)

    assert met == runs.ids
    assert watermark.high_water == ago(0)


def test_what_arrived_while_a_walk_was_put_down_is_met_after_it_has_closed() -> None:
    runs = RunList.of(history(55))
    first = walk(runs, pages=2)
    runs.requests()
    for number in range(100, 140):
        runs.put_on_top(make_run(number, 100 - number))
    second = walk_to_end(runs, first.watermark, now=NOW + timedelta(days=5))

    assert set(first.ids) | set(second.ids) == runs.ids
    assert second.watermark.high_water == ago(-39)


def test_a_cursor_that_has_expired_means_from_the_top() -> None:
    runs = RunList.of(history(55))
    first = walk(runs, pages=3)

    class Expired(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            if cursor == first.watermark.cursor and not self.requested:
                self.requested.append(cursor)
                raise BadRequestError("HTTP 400")
            return await super().fetch(cursor)

    forgetful = Expired(runs.places)
    second = walk_to_end(forgetful, first.watermark)

    assert forgetful.requested[:2] == [first.watermark.cursor, None]
    assert set(second.ids) == runs.ids
    assert second.watermark == Watermark(ago(0), None, None, "newest_first")


REFUSALS = [
    BadRequestError("HTTP 400"),
    NotFoundError("HTTP 404"),
    PermanentError("HTTP 410"),
    PermanentError("HTTP 414"),
    BadRequestError("HTTP 422"),
    TransientError("HTTP 500; tried 5 times"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_a_stored_cursor_that_is_refused_for_ever_leads_to_the_top_once_a_load(
    refusal: ApiError,
) -> None:
    runs = RunList.of(history(55))
    first = walk(runs, pages=3)

    class Refusing(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            if cursor == first.watermark.cursor:
                self.requested.append(cursor)
                raise refusal
            return await super().fetch(cursor)

    refusing = Refusing(runs.places)
    second = walk(refusing, first.watermark)

    assert second.error is refusal
    assert refusing.requested[:2] == [first.watermark.cursor, None]
    assert refusing.requested.count(first.watermark.cursor) == 2
    assert second.ids[:30] == first.ids
    # As soon as the API takes its cursors again, the walk closes.
    third = walk_to_end(RunList(refusing.places), second.watermark)
    assert set(second.ids) | set(third.ids) == refusing.ids
    assert third.watermark.walk is None


@pytest.mark.parametrize("failure", [UnauthorizedError("401"), QuotaSpentError("spent")], ids=str)
def test_what_is_not_the_cursors_fault_keeps_it(failure: ApiError) -> None:
    runs = RunList.of(history(55))
    first = walk(runs, pages=3)

    class Failing(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            self.requested.append(cursor)
            raise failure

    failing = Failing(runs.places)
    second = walk(failing, first.watermark)

    assert second.error is failure
    assert failing.requested == [first.watermark.cursor]
    assert second.watermark == first.watermark


def test_an_api_that_takes_no_cursor_at_all_is_given_up() -> None:
    class Forgetful(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            if cursor is not None:
                self.requested.append(cursor)
                raise BadRequestError("HTTP 400")
            return await super().fetch(cursor)

    runs = Forgetful.of(history(55))
    ended = walk(runs)

    assert isinstance(ended.error, BadRequestError)
    assert len(runs.requested) == 4
    assert ended.watermark.high_water is None


def test_a_400_on_the_first_page_is_no_expired_cursor() -> None:
    async def fetch(_cursor: str | None) -> RunPage:
        raise BadRequestError("HTTP 400")

    async def first_page() -> None:
        await anext(paging.pages(fetch, Watermark(), lookback=LOOKBACK, now=NOW))

    with pytest.raises(BadRequestError):
        asyncio.run(first_page())


@pytest.mark.parametrize("killed_after", [1, 2])
def test_the_total_is_kept_with_a_walk_that_is_put_down(killed_after: int) -> None:
    runs = RunList.of(history(45))
    first = walk(runs, pages=killed_after)

    class Cut(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            # It shows no total any more, and ends.
            return replace(page, next_cursor=None, total=None)

    second = walk(Cut(runs.places), first.watermark)

    assert isinstance(second.error, TransientError)
    # From the cursor on it ends too early, and from the top as well.
    assert len(second.ids) == 20
    assert "ended after 10 runs and tells of 45" in str(second.error)
    assert second.watermark == Watermark()
    assert set(walk_to_end(RunList(runs.places), second.watermark).ids) == runs.ids


def test_a_circle_that_is_met_on_resuming_is_named_as_well() -> None:
    async def fetch(cursor: str | None) -> RunPage:
        await asyncio.sleep(0)
        following = {None: "a", "a": "b", "b": "a"}[cursor]
        return RunPage([make_run(1, 5)], following, None)

    async def resumed() -> list[Any]:
        watermark = Watermark(cursor="b", walk=WalkState(started_at=NOW))
        return [page async for page in paging.pages(fetch, watermark, lookback=LOOKBACK, now=NOW)]

    with pytest.raises(PermanentError, match="leads back"):
        asyncio.run(asyncio.wait_for(resumed(), 10))


def test_an_error_of_the_api_ends_the_walk_where_it_can_be_picked_up() -> None:
    class Failing(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            if len(self.requested) == 3:
                raise TransientError("HTTP 503")
            return await super().fetch(cursor)

    runs = Failing.of(history(55))
    ended = walk(runs)
    assert isinstance(ended.error, TransientError)

    second = walk_to_end(RunList(runs.places), ended.watermark)
    assert set(ended.ids) | set(second.ids) == runs.ids


def test_a_resumed_walk_is_capped_at_its_own_beginning() -> None:
    runs = RunList.of([make_run(100, -5), *history(25)])
    first = walk(runs, pages=1)
    watermark = first.watermark
    runs.requests()
    resumed = walk(runs, watermark, pages=2, now=NOW + timedelta(days=2))

    assert resumed.watermark.walk is None
    assert resumed.watermark.high_water == NOW


@pytest.mark.parametrize("pages", range(1, 10))
def test_oldest_first_a_walk_that_was_put_down_still_covers_the_lookback_next_time(
    pages: int,
) -> None:
    runs = RunList.of(reversed(history(100, hours_apart=2)))
    first = walk(runs, pages=pages)
    runs.requests()
    second = walk_to_end(runs, first.watermark)
    third = walk_to_end(runs, second.watermark)

    assert set(first.ids) | set(second.ids) == runs.ids
    assert set(third.ids) >= {f"run-{number}" for number in range(37)}
