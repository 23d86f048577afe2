"""The walk up Testmo's list by time, on scripted lists that lose and gain runs while it goes on.

What it promises, and `test_whatever_happens_…` holds it to: a run that stands in the list from a
load's beginning to its end is met, whether the API counts the bound of `created_after` in or not,
if it was created within the lookback before the high water, or later. Where more than a page of
runs share a second, the API takes page numbers only: a run that a deletion pushes over
such a page's edge at the very moment may be met by the next load only.
"""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.base import Watermark
from pipelines.sources.redaction import Redactor
from pipelines.sources.testmo import paging
from pipelines.sources.testmo.api import RunPage
from pipelines.sources.testmo.expands import ExpandsFlattener
from tests.support.testmo_walks import (
    BEGIN,
    NOW,
    SECOND,
    RunList,
    both_readings,
    history,
    make_run,
    walk,
    walk_to_end,
)
from tests.support.walks import WalkResult


@both_readings
def test_the_first_walk_meets_every_run_once_oldest_first(*, is_inclusive: bool) -> None:
    runs = RunList.of(history(35), is_inclusive=is_inclusive)
    first = walk_to_end(runs)

    assert first.ids == list(range(35))
    assert first.watermark == Watermark(BEGIN + timedelta(seconds=34 * 600))
    assert runs.requests() == 4


def test_an_empty_list_is_one_request_and_leaves_no_mark() -> None:
    runs = RunList.of([])
    assert walk_to_end(runs) == WalkResult([], Watermark())
    assert runs.requests() == 1


def test_each_page_is_requested_from_a_second_before_the_last_run_seen() -> None:
    runs = RunList.of(history(25))
    walk_to_end(runs)

    assert runs.requested == [
        (None, 1),
        (BEGIN + timedelta(seconds=9 * 600) - SECOND, 1),
        (BEGIN + timedelta(seconds=18 * 600) - SECOND, 1),
    ]


@both_readings
def test_the_next_walk_looks_again_at_the_lookback_only(*, is_inclusive: bool) -> None:
    runs = RunList.of(history(100, seconds_apart=3600), is_inclusive=is_inclusive)
    first = walk_to_end(runs)
    runs.requests()
    second = walk_to_end(runs, first.watermark, lookback=timedelta(hours=12))

    assert {87, 88, *range(88, 100)} >= set(second.ids) >= set(range(88, 100))
    assert second.watermark == first.watermark
    assert runs.requests() == 2


@pytest.mark.parametrize("fraction", [0.0, 0.4, 0.999])
@both_readings
def test_runs_of_one_second_across_a_page_are_all_met(
    fraction: float, *, is_inclusive: bool
) -> None:
    seconds = [*range(8), 8, 8, 8, 8 + fraction, 8 + fraction, 9, 9, *range(10, 25)]
    runs = RunList.of(
        [make_run(*one) for one in enumerate(sorted(seconds))], is_inclusive=is_inclusive
    )
    assert sorted(walk_to_end(runs).ids) == list(range(len(seconds)))


@both_readings
@pytest.mark.parametrize("ties", [9, 10, 11, 20, 21, 45])
def test_more_than_a_page_of_runs_in_one_second_are_all_met(
    ties: int, *, is_inclusive: bool
) -> None:
    seconds = [*range(5), *([20] * ties), *range(30, 45)]
    runs = RunList.of([make_run(*one) for one in enumerate(seconds)], is_inclusive=is_inclusive)
    first = walk_to_end(runs)

    assert sorted(first.ids) == list(range(len(seconds)))
    assert first.watermark.high_water == BEGIN + timedelta(seconds=44)
    runs.requests()
    assert walk_to_end(runs, first.watermark).watermark == first.watermark


@pytest.mark.parametrize("gone", range(0, 45, 4))
@pytest.mark.parametrize("request_number", range(1, 5))
def test_a_run_that_vanishes_during_the_walk_takes_no_other_with_it(
    gone: int, request_number: int
) -> None:
    runs = RunList.of(history(45))
    runs.events[request_number] = partial(runs.remove, gone)
    first = walk_to_end(runs)

    assert set(first.ids) >= set(runs.runs)
    assert len(first.ids) == len(set(first.ids))


def test_runs_created_during_the_walk_are_met_as_well() -> None:
    runs = RunList.of(history(35))
    runs.events[2] = lambda: runs.put(make_run(900, 40 * 600))
    runs.events[4] = lambda: runs.put(make_run(901, 41 * 600))

    assert {*range(35), 900} <= set(walk_to_end(runs).ids)


@both_readings
def test_a_run_that_lands_late_is_met_within_the_lookback(*, is_inclusive: bool) -> None:
    runs = RunList.of(history(100, seconds_apart=3600), is_inclusive=is_inclusive)
    first = walk_to_end(runs)
    runs.put(make_run(1000, 98 * 3600 + 1 - 72 * 3600 + 3600))

    assert 1000 in walk_to_end(runs, first.watermark).ids


@both_readings
def test_without_a_lookback_a_run_of_the_very_second_of_the_mark_is_not_lost(
    *, is_inclusive: bool
) -> None:
    runs = RunList.of(history(10), is_inclusive=is_inclusive)
    first = walk_to_end(runs, lookback=timedelta(0))
    runs.put(make_run(1000, 9 * 600))
    second = walk_to_end(runs, first.watermark, lookback=timedelta(0))

    assert 1000 in second.ids
    assert runs.requests() == 2


@pytest.mark.parametrize("pages", range(1, 6))
def test_a_walk_put_down_after_any_page_goes_on_from_its_mark(pages: int) -> None:
    runs = RunList.of(history(55, seconds_apart=36_000))
    first = walk(runs, pages=pages)
    runs.requests()
    second = walk_to_end(runs, first.watermark)

    assert set(first.ids) | set(second.ids) == set(range(55))
    assert second.watermark.high_water == BEGIN + timedelta(hours=540)
    # A page of ten spans four days here, more than the lookback goes back over.
    assert runs.requests() <= 6 - pages + 2


def test_a_walk_put_down_at_every_page_still_ends() -> None:
    runs = RunList.of(history(95, seconds_apart=18_000))
    watermark, met = Watermark(), set[int]()
    for _load in range(20):
        one = walk(runs, watermark, pages=1, lookback=timedelta(hours=10))
        runs.requests()
        watermark, met = one.watermark, met | set(one.ids)

    assert met == set(range(95))


def test_the_high_water_is_capped_at_the_moment_the_walk_began() -> None:
    runs = RunList.of(history(25))
    now = BEGIN + timedelta(seconds=5000)

    assert walk_to_end(runs, now=now).watermark.high_water == now


def test_the_high_water_never_goes_back() -> None:
    runs = RunList.of(history(25))
    first = walk_to_end(runs)
    for gone in range(20, 25):
        del runs.runs[gone]

    assert walk_to_end(runs, first.watermark).watermark == first.watermark


def test_what_a_page_refers_to_comes_with_it() -> None:
    async def fetch(_created_after: datetime | None, _page: int) -> RunPage:
        return RunPage([make_run(1, 0)], {"users": [{"id": 4, "name": "Ada"}]}, has_next=False)

    async def through() -> list[Any]:
        expands = ExpandsFlattener(Redactor([])).flatten
        walking = paging.pages(fetch, Watermark(), since=None, now=NOW, references=expands)
        return [page.references async for page in walking]

    [references] = asyncio.run(through())
    assert references.rows == {"raw_testmo.users": [(4, "Ada", None)]}


@given(
    seconds=st.lists(
        st.one_of(st.integers(0, 40), st.floats(0, 40).map(lambda at: round(at, 3))),
        min_size=1,
        max_size=50,
    ),
    page_size=st.integers(1, 8),
    lookback_seconds=st.sampled_from([0, 1, 30]),
    is_inclusive=st.booleans(),
    loads=st.lists(
        st.tuples(
            st.lists(st.integers(0, 3), max_size=4),  # seconds between the runs that arrive
            st.one_of(st.none(), st.integers(1, 6)),  # after how many requests it is killed
        ),
        max_size=5,
    ),
)
@settings(max_examples=150)
def test_whatever_happens_every_run_that_was_there_is_met(
    seconds: list[float],
    page_size: int,
    lookback_seconds: int,
    is_inclusive: bool,  # noqa: FBT001 - hypothesis names it
    loads: list[tuple[list[int], int | None]],
) -> None:
    runs = RunList.of(
        [make_run(*one) for one in enumerate(sorted(seconds))], page_size, is_inclusive=is_inclusive
    )
    lookback = timedelta(seconds=lookback_seconds)
    watermark, met, latest = Watermark(), set[int](), max(seconds)
    for arrivals, requests in [*loads, ([], None)]:
        for pause in arrivals:
            latest += pause
            runs.put(make_run(len(runs.runs), latest))
        one = walk(runs, watermark, pages=requests, lookback=lookback)
        runs.requests()
        assert one.error is None
        if watermark.high_water is not None:
            assert one.watermark.high_water is not None
            assert one.watermark.high_water >= watermark.high_water
        watermark, met = one.watermark, met | set(one.ids)

    assert met == set(runs.runs)
    assert watermark.high_water == BEGIN + timedelta(seconds=latest)


@given(
    pauses=st.lists(st.integers(2, 9), min_size=1, max_size=40),
    page_size=st.integers(2, 8),
    is_inclusive=st.booleans(),
    gone=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 39)), max_size=8),
)
@settings(max_examples=150)
def test_deletions_at_any_moment_lose_no_other_run(
    pauses: list[int],
    page_size: int,
    is_inclusive: bool,  # noqa: FBT001 - hypothesis names it
    gone: list[tuple[int, int]],
) -> None:
    seconds = [sum(pauses[:number]) for number in range(len(pauses))]
    runs = RunList.of(
        [make_run(*one) for one in enumerate(seconds)], page_size, is_inclusive=is_inclusive
    )
    for request, number in gone:
        runs.events[request] = partial(runs.remove, number)
    first = walk_to_end(runs)

    assert set(first.ids) >= set(runs.runs)
    # Two runs a page at least are new, since no two share a second.
    assert runs.requests() <= ceil(len(pauses) / (page_size - 1)) + 1
