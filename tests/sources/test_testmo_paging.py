"""The walk up Testmo's list by time, on scripted lists that lose and gain runs while it goes on.

What it promises, and `test_whatever_happens_…` holds it to: a run that stands in the list from a
load's beginning to its end is met, whether the API counts the bound of `created_after` in or not,
if it was created within the lookback before the high water, or later. Where more than a page of
runs share a second, the API can only be asked for page numbers: a run that a deletion pushes over
such a page's edge at the very moment may be met by the next load only.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ApiError, PermanentError, TransientError
from pipelines.sources.base import NO_REFERENCES, Watermark
from pipelines.sources.redaction import Redactor
from pipelines.sources.testmo import paging
from pipelines.sources.testmo.api import RunPage
from pipelines.sources.testmo.expands import ExpandsFlattener

Json = dict[str, Any]

walk_pages = partial(paging.pages, references=lambda _: NO_REFERENCES)

BEGIN = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = BEGIN + timedelta(days=30)
SECOND = timedelta(seconds=1)


def a_run(number: int, seconds: float) -> Json:
    """A run created so many seconds after the beginning."""
    created_at = (BEGIN + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return {"id": number, "created_at": created_at}


@dataclass
class RunList:
    """A list sorted by creation and filtered by whole seconds, as the API's page describes it.

    `events` happen before the request of that number, counted from 0; `is_inclusive`: runs of the
    very second that was asked for are shown.
    """

    runs: dict[int, Json]
    page_size: int = 10
    is_inclusive: bool = False
    events: dict[int, Callable[[], None]] = field(default_factory=dict)
    asked: list[tuple[datetime | None, int]] = field(default_factory=list)

    @classmethod
    def of(cls, runs: Iterable[Json], page_size: int = 10, **more: Any) -> "RunList":
        return cls({run["id"]: run for run in runs}, page_size, **more)

    async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
        self.events.pop(len(self.asked), lambda: None)()
        self.asked.append((created_after, page))
        assert len(self.asked) < 1000, "walked for ever"
        bound = created_after and created_after.replace(microsecond=0)
        found = sorted(
            (run for run in self.runs.values() if bound is None or self._is_after(run, bound)),
            key=lambda run: (datetime.fromisoformat(run["created_at"]), run["id"]),
        )
        shown = found[(page - 1) * self.page_size : page * self.page_size]
        return RunPage(shown, [], has_next=len(found) > page * self.page_size)

    def _is_after(self, run: Json, bound: datetime) -> bool:
        created_at = datetime.fromisoformat(run["created_at"])
        return created_at >= bound if self.is_inclusive else created_at > bound

    def put(self, run: Json) -> None:
        self.runs[run["id"]] = run

    def remove(self, number: int) -> None:
        self.runs.pop(number, None)

    def requests(self) -> int:
        """How many there were since this was asked last."""
        asked, self.asked = self.asked, []
        return len(asked)


@dataclass(frozen=True)
class Walked:
    """IDs of the runs met, in order; the mark of the last page; what ended the walk too early."""

    ids: list[int]
    watermark: Watermark
    error: ApiError | None = None


def put_down(
    runs: RunList,
    watermark: Watermark | None = None,
    *,
    pages: int | None = None,
    lookback: timedelta = timedelta(hours=72),
    now: datetime = NOW,
) -> Walked:
    """Walk for so many requests (None: to the end) or until it fails; killed after a mark."""

    async def step_by_step() -> Walked:
        ids: list[int] = []
        last = watermark or Watermark()
        since = None if last.high_water is None else last.high_water - lookback
        steps = walk_pages(runs.fetch, last, since=since, now=now)
        try:
            while pages is None or len(runs.asked) < pages:
                page = await anext(steps, None)
                if page is None:
                    break
                ids += [run["id"] for run in page.runs]
                last = page.watermark
        except ApiError as error:
            return Walked(ids, last, error)
        return Walked(ids, last)

    return asyncio.run(step_by_step())


def walked(
    runs: RunList,
    watermark: Watermark | None = None,
    *,
    lookback: timedelta = timedelta(hours=72),
    now: datetime = NOW,
) -> Walked:
    """Walk to the end, which is reached."""
    whole = put_down(runs, watermark, lookback=lookback, now=now)
    assert whole.error is None
    return whole


def history(length: int, *, seconds_apart: float = 600.0) -> list[Json]:
    return [a_run(number, number * seconds_apart) for number in range(length)]


both_readings = pytest.mark.parametrize("is_inclusive", [False, True])


@both_readings
def test_the_first_walk_meets_every_run_once_oldest_first(*, is_inclusive: bool) -> None:
    runs = RunList.of(history(35), is_inclusive=is_inclusive)
    first = walked(runs)

    assert first.ids == list(range(35))
    assert first.watermark == Watermark(BEGIN + timedelta(seconds=34 * 600))
    assert runs.requests() == 4


def test_an_empty_list_is_one_request_and_leaves_no_mark() -> None:
    runs = RunList.of([])
    assert walked(runs) == Walked([], Watermark())
    assert runs.requests() == 1


def test_each_page_is_asked_for_from_a_second_before_the_last_run_seen() -> None:
    runs = RunList.of(history(25))
    walked(runs)

    assert runs.asked == [
        (None, 1),
        (BEGIN + timedelta(seconds=9 * 600) - SECOND, 1),
        (BEGIN + timedelta(seconds=18 * 600) - SECOND, 1),
    ]


@both_readings
def test_the_next_walk_looks_again_at_the_lookback_only(*, is_inclusive: bool) -> None:
    runs = RunList.of(history(100, seconds_apart=3600), is_inclusive=is_inclusive)
    first = walked(runs)
    runs.requests()
    second = walked(runs, first.watermark, lookback=timedelta(hours=12))

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
        [a_run(*one) for one in enumerate(sorted(seconds))], is_inclusive=is_inclusive
    )
    assert sorted(walked(runs).ids) == list(range(len(seconds)))


@both_readings
@pytest.mark.parametrize("ties", [9, 10, 11, 20, 21, 45])
def test_more_than_a_page_of_runs_in_one_second_are_all_met(
    ties: int, *, is_inclusive: bool
) -> None:
    seconds = [*range(5), *([20] * ties), *range(30, 45)]
    runs = RunList.of([a_run(*one) for one in enumerate(seconds)], is_inclusive=is_inclusive)
    first = walked(runs)

    assert sorted(first.ids) == list(range(len(seconds)))
    assert first.watermark.high_water == BEGIN + timedelta(seconds=44)
    runs.requests()
    assert walked(runs, first.watermark).watermark == first.watermark


@pytest.mark.parametrize("gone", range(0, 45, 4))
@pytest.mark.parametrize("request_number", range(1, 5))
def test_a_run_that_vanishes_during_the_walk_takes_no_other_with_it(
    gone: int, request_number: int
) -> None:
    runs = RunList.of(history(45))
    runs.events[request_number] = partial(runs.remove, gone)
    first = walked(runs)

    assert set(first.ids) >= set(runs.runs)
    assert len(first.ids) == len(set(first.ids))


def test_runs_created_during_the_walk_are_met_as_well() -> None:
    runs = RunList.of(history(35))
    runs.events[2] = lambda: runs.put(a_run(900, 40 * 600))
    runs.events[4] = lambda: runs.put(a_run(901, 41 * 600))

    assert {*range(35), 900} <= set(walked(runs).ids)


@both_readings
def test_a_run_that_lands_late_is_met_within_the_lookback(*, is_inclusive: bool) -> None:
    runs = RunList.of(history(100, seconds_apart=3600), is_inclusive=is_inclusive)
    first = walked(runs)
    runs.put(a_run(1000, 98 * 3600 + 1 - 72 * 3600 + 3600))

    assert 1000 in walked(runs, first.watermark).ids


@both_readings
def test_without_a_lookback_a_run_of_the_very_second_of_the_mark_is_not_lost(
    *, is_inclusive: bool
) -> None:
    runs = RunList.of(history(10), is_inclusive=is_inclusive)
    first = walked(runs, lookback=timedelta(0))
    runs.put(a_run(1000, 9 * 600))
    second = walked(runs, first.watermark, lookback=timedelta(0))

    assert 1000 in second.ids
    assert runs.requests() == 2


@pytest.mark.parametrize("pages", range(1, 6))
def test_a_walk_put_down_after_any_page_goes_on_from_its_mark(pages: int) -> None:
    runs = RunList.of(history(55, seconds_apart=36_000))
    first = put_down(runs, pages=pages)
    runs.requests()
    second = walked(runs, first.watermark)

    assert set(first.ids) | set(second.ids) == set(range(55))
    assert second.watermark.high_water == BEGIN + timedelta(hours=540)
    # A page of ten spans four days here, more than the lookback goes back over.
    assert runs.requests() <= 6 - pages + 2


def test_a_walk_put_down_at_every_page_still_ends() -> None:
    runs = RunList.of(history(95, seconds_apart=18_000))
    watermark, met = Watermark(), set[int]()
    for _load in range(20):
        one = put_down(runs, watermark, pages=1, lookback=timedelta(hours=10))
        runs.requests()
        watermark, met = one.watermark, met | set(one.ids)

    assert met == set(range(95))


def test_an_error_of_the_api_ends_the_walk_where_it_can_be_picked_up() -> None:
    class Failing(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            if len(self.asked) == 3:
                raise TransientError("HTTP 503")
            return await super().fetch(created_after, page)

    runs = Failing.of(history(55))
    ended = put_down(runs)
    assert isinstance(ended.error, TransientError)

    second = walked(RunList(runs.runs), ended.watermark)
    assert set(ended.ids) | set(second.ids) == set(range(55))


@pytest.mark.parametrize("times", [2, 1000])
def test_an_empty_page_that_was_announced_is_fetched_again_and_is_no_end(times: int) -> None:
    class Emptied(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            whole = await super().fetch(created_after, page)
            is_emptied = 3 <= len(self.asked) < 3 + times
            return RunPage([], [], has_next=False) if is_emptied else whole

    runs = Emptied.of(history(45))
    ended = put_down(runs)

    assert isinstance(ended.error, TransientError) is (times > 2)
    assert runs.requests() == (5 if times > 2 else 7)
    second = walked(RunList(runs.runs), ended.watermark)
    assert {*ended.ids, *second.ids} == {*runs.runs}


def test_the_high_water_is_capped_at_the_moment_the_walk_began() -> None:
    runs = RunList.of(history(25))
    now = BEGIN + timedelta(seconds=5000)

    assert walked(runs, now=now).watermark.high_water == now


def test_the_high_water_never_goes_back() -> None:
    runs = RunList.of(history(25))
    first = walked(runs)
    for gone in range(20, 25):
        del runs.runs[gone]

    assert walked(runs, first.watermark).watermark == first.watermark


@pytest.mark.parametrize("created_at", [None, 1_772_438_400, "soon", "2026-05-01T12:00:00", {}])
def test_a_creation_that_cannot_be_read_is_handed_on_and_holds_nothing_up(created_at: Any) -> None:
    bad = [{"id": 1000 + number, "created_at": created_at} for number in range(3)]

    class WithBad(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            answer = await super().fetch(created_after, page)
            return RunPage([*bad, *answer.runs], answer.expands, answer.has_next)

    first = walked(WithBad.of(history(25)))
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
        return RunPage([a_run(1, 0), a_run(1, 0)], [], has_next=False)

    async def through() -> list[list[Any]]:
        walking = walk_pages(fetch, Watermark(), since=None, now=NOW)
        return [page.runs async for page in walking]

    assert asyncio.run(through()) == [[a_run(1, 0), a_run(1, 0)]]


def test_a_list_in_another_order_than_asked_for_is_named() -> None:
    class NewestFirst(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            answer = await super().fetch(created_after, page)
            return RunPage(answer.runs[::-1], [], answer.has_next)

    ended = put_down(NewestFirst.of(history(25)))

    assert isinstance(ended.error, PermanentError)
    assert "not in the order asked for" in str(ended.error)
    assert ended.watermark == Watermark()


def test_an_api_that_does_not_filter_by_creation_is_named_and_not_walked_for_ever() -> None:
    class Unfiltered(RunList):
        async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
            answer = await super().fetch(None, page)
            self.asked[-1] = (created_after, page)
            return answer

    runs = Unfiltered.of(history(35, seconds_apart=18_000))
    ended = put_down(runs)

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
    first = walked(runs)

    assert sorted(first.ids) == list(range(95))


@pytest.mark.parametrize("created_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("length", [1, 15])
def test_an_absurd_creation_is_met_and_moves_no_mark(created_at: str, length: int) -> None:
    absurd = [{"id": 1000 + number, "created_at": created_at} for number in range(length)]
    runs = RunList.of([*absurd, *history(25)])
    first = walked(runs)
    assert set(first.ids) == set(runs.runs)
    assert first.watermark.high_water == BEGIN + timedelta(seconds=24 * 600)

    assert walked(RunList.of(absurd)).watermark.high_water is None


def test_what_a_page_refers_to_comes_with_it() -> None:
    async def fetch(_created_after: datetime | None, _page: int) -> RunPage:
        return RunPage([a_run(1, 0)], {"users": [{"id": 4, "name": "Ada"}]}, has_next=False)

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
        [a_run(*one) for one in enumerate(sorted(seconds))], page_size, is_inclusive=is_inclusive
    )
    lookback = timedelta(seconds=lookback_seconds)
    watermark, met, latest = Watermark(), set[int](), max(seconds)
    for arrivals, requests in [*loads, ([], None)]:
        for pause in arrivals:
            latest += pause
            runs.put(a_run(len(runs.runs), latest))
        one = put_down(runs, watermark, pages=requests, lookback=lookback)
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
        [a_run(*one) for one in enumerate(seconds)], page_size, is_inclusive=is_inclusive
    )
    for request, number in gone:
        runs.events[request] = partial(runs.remove, number)
    first = walked(runs)

    assert set(first.ids) >= set(runs.runs)
    # Two runs a page at least are new, since no two share a second.
    assert runs.requests() <= ceil(len(pauses) / (page_size - 1)) + 1
