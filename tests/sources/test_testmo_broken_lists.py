"""Testmo's lists in another order or zone than requested, with empty pages and absurd times."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from pipelines.errors import PermanentError, TransientError
from pipelines.sources.base import Watermark
from pipelines.sources.testmo.api import RunPage
from tests.support.testmo_walks import (
    BEGIN,
    NOW,
    SECOND,
    RunList,
    history,
    make_run,
    walk,
    walk_pages,
    walk_to_end,
)


def test_an_error_of_the_api_ends_the_walk_where_it_can_be_picked_up() -> None:
    class Failing(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            if len(self.requested) == 3:
                raise TransientError("HTTP 503")
            return await super().fetch(created_after, page)

    runs = Failing.of(history(55))
    ended = walk(runs)
    assert isinstance(ended.error, TransientError)

    second = walk_to_end(RunList(runs.runs), ended.watermark)
    assert set(ended.ids) | set(second.ids) == set(range(55))


@pytest.mark.parametrize("times", [2, 1000])
def test_an_empty_page_that_was_announced_is_fetched_again_and_is_no_end(times: int) -> None:
    class Emptied(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            whole = await super().fetch(created_after, page)
            is_emptied = 3 <= len(self.requested) < 3 + times
            return RunPage([], [], has_next=False) if is_emptied else whole

    runs = Emptied.of(history(45))
    ended = walk(runs)

    assert isinstance(ended.error, TransientError) is (times > 2)
    assert runs.requests() == (5 if times > 2 else 7)
    second = walk_to_end(RunList(runs.runs), ended.watermark)
    assert {*ended.ids, *second.ids} == {*runs.runs}


@pytest.mark.parametrize("times", [1, 2, 1000])
@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("contradiction", [{"has_next": True}, {"has_next": False, "total": 45}])
def test_an_empty_page_that_tells_of_runs_costs_none(
    contradiction: dict[str, Any], at: int, times: int
) -> None:
    class Emptied(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            is_emptied = at <= len(self.requested) < at + times
            whole = await super().fetch(created_after, page)
            return RunPage([], [], **contradiction) if is_emptied else whole

    runs = Emptied.of(history(45))
    ended = walk(runs)

    assert isinstance(ended.error, TransientError) is (times > 2)
    second = walk_to_end(RunList(runs.runs), ended.watermark, lookback=timedelta(0))
    assert {*ended.ids, *second.ids} == {*runs.runs}


@pytest.mark.parametrize("created_at", [None, 1_772_438_400, "soon", "2026-05-01T12:00:00", {}])
def test_a_creation_that_cannot_be_read_is_handed_on_and_holds_nothing_up(created_at: Any) -> None:
    bad = [{"id": 1000 + number, "created_at": created_at} for number in range(3)]

    class WithBad(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            answer = await super().fetch(created_after, page)
            return RunPage([*bad, *answer.runs], answer.expands, answer.has_next)

    first = walk_to_end(WithBad.of(history(25)))
    assert set(first.ids) == {*range(25), 1000, 1001, 1002}
    assert first.watermark.high_water == BEGIN + timedelta(seconds=24 * 600)


def test_a_page_of_nothing_but_records_that_cannot_be_read_is_passed() -> None:
    async def fetch(_created_after: datetime | None, page: int) -> RunPage:
        await asyncio.sleep(0)
        pages: list[list[Any]] = [[None, 7, "x", [], {"id": "9"}, {}], [{"id": 5}], [{"id": 5}]]
        return RunPage(pages[page - 1], [], has_next=page < 3)

    async def through() -> list[list[Any]]:
        walking = walk_pages(fetch, Watermark(), since=None, now=NOW)
        return [page.runs async for page in walking]

    assert asyncio.run(asyncio.wait_for(through(), 10)) == [
        [None, 7, "x", [], {"id": "9"}, {}],
        [{"id": 5}],
    ]


def test_a_run_shown_twice_on_a_page_is_handed_on_twice() -> None:
    async def fetch(_created_after: datetime | None, _page: int) -> RunPage:
        return RunPage([make_run(1, 0), make_run(1, 0)], [], has_next=False)

    async def through() -> list[list[Any]]:
        walking = walk_pages(fetch, Watermark(), since=None, now=NOW)
        return [page.runs async for page in walking]

    assert asyncio.run(through()) == [[make_run(1, 0), make_run(1, 0)]]


def test_a_list_in_another_order_than_requested_is_named() -> None:
    class NewestFirst(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            answer = await super().fetch(created_after, page)
            return RunPage(answer.runs[::-1], [], answer.has_next)

    ended = walk(NewestFirst.of(history(25)))

    assert isinstance(ended.error, PermanentError)
    assert "not in the order asked for" in str(ended.error)
    assert ended.watermark == Watermark()


def test_an_api_that_does_not_filter_by_creation_is_named_and_not_walked_for_ever() -> None:
    class Unfiltered(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            answer = await super().fetch(None, page)
            self.requested[-1] = (created_after, page)
            return answer

    runs = Unfiltered.of(history(35, seconds_apart=18_000))
    ended = walk(runs)

    assert isinstance(ended.error, PermanentError)
    assert "created_after" in str(ended.error)
    assert runs.requests() == 2


@pytest.mark.parametrize("hours_off", [1, 14])
def test_an_api_that_filters_in_another_time_zone_is_still_read_whole(hours_off: int) -> None:
    class Elsewhere(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            earlier = created_after and created_after - timedelta(hours=hours_off)
            return await super().fetch(earlier, page)

    runs = Elsewhere.of(history(95, seconds_apart=1200))
    first = walk_to_end(runs)

    assert sorted(first.ids) == list(range(95))


@pytest.mark.parametrize("created_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("length", [1, 15])
def test_an_absurd_creation_is_met_and_moves_no_mark(created_at: str, length: int) -> None:
    absurd = [{"id": 1000 + number, "created_at": created_at} for number in range(length)]
    runs = RunList.of([*absurd, *history(25)])
    first = walk_to_end(runs)
    assert set(first.ids) == set(runs.runs)
    assert first.watermark.high_water == BEGIN + timedelta(seconds=24 * 600)

    assert walk_to_end(RunList.of(absurd)).watermark.high_water is None


@pytest.mark.parametrize("more", [0, 1, 1000])
def test_a_list_goes_on_where_only_its_total_says_so_and_ends_whatever_that_says(more: int) -> None:
    class Silent(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            whole = await super().fetch(created_after, page)
            after = created_after or BEGIN - SECOND
            matching = [
                run
                for run in runs.runs.values()
                if datetime.fromisoformat(run["created_at"]) > after
            ]
            return RunPage(whole.runs, [], has_next=False, total=len(matching) + more)

    runs = Silent.of(history(45))
    assert sorted(walk_to_end(runs).ids) == [*range(45)]
    assert runs.requests() <= 8


def test_a_page_of_times_to_come_moves_no_mark_past_the_runs_behind_it() -> None:
    years_ahead = timedelta(days=5 * 365)

    class Ahead(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            whole = await super().fetch(created_after, page)
            moved = [
                {
                    **run,
                    "created_at": (
                        datetime.fromisoformat(run["created_at"]) + years_ahead
                    ).isoformat(),
                }
                for run in whole.runs
            ]
            return RunPage(moved, [], whole.has_next)

    ended = walk(Ahead.of(history(45, seconds_apart=36_000)))
    assert ended.error is None
    assert {*ended.ids} == {*range(45)}
    assert ended.watermark.high_water is None
