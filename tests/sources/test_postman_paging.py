"""The walk down Postman's list, on scripted lists: any order, put down anywhere and picked up.

What it promises, and `test_whatever_happens_…` holds it to: a run that stands in the list from a
load's beginning to its end is met, however often walks are put down before, if

- no walk of this list has closed yet,
- or the list is newest first, and the run began later than the lookback before the high water,
- or the list is oldest first, and the run stands behind the place where the lookback began,
- or the list shows itself to be in neither order.

It does not promise to meet a run that lands further back in an ordered list than the lookback
reaches; nor one that pages by offset push across a page's edge while they are read, since only the
API knows what its cursors mean (the next walk meets that one within the lookback).
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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

Json = dict[str, Any]

NOW = datetime(2026, 5, 1, tzinfo=UTC)
LOOKBACK = timedelta(hours=72)


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def a_run(number: int, hours_ago: float | None) -> Json:
    """A summary; None: it is queued, and has no start."""
    if hours_ago is None:
        return {"id": f"run-{number}", "status": "queued"}
    started_at = ago(hours_ago).isoformat()
    return {"id": f"run-{number}", "status": "finished", "startedAt": started_at}


def history(length: int, *, hours_apart: float = 10.0) -> list[Json]:
    """Runs newest first, the last of them begun right now."""
    return [a_run(number, number * hours_apart) for number in range(length)]


@dataclass
class RunList:
    """A list that pages by the last place shown; what arrives or vanishes moves no other run.

    `events` happen before the request of that number, counted from 0.
    """

    places: dict[float, Json]
    page_size: int = 10
    events: dict[int, Callable[[], None]] = field(default_factory=dict)
    asked: list[str | None] = field(default_factory=list)

    @classmethod
    def of(cls, runs: Iterable[Json], page_size: int = 10) -> "RunList":
        return cls(dict(enumerate(runs)), page_size)

    async def fetch(self, cursor: str | None) -> RunPage:
        self.events.pop(len(self.asked), lambda: None)()
        self.asked.append(cursor)
        assert len(self.asked) < 1000, "walked for ever"
        after = float("-inf") if cursor is None else float(cursor)
        behind = sorted(place for place in self.places if place > after)
        shown = behind[: self.page_size]
        following = str(shown[-1]) if len(behind) > len(shown) else None
        return RunPage([self.places[place] for place in shown], following, len(self.places))

    def put_on_top(self, run: Json) -> None:
        self.places[min(self.places, default=0) - 1] = run

    def put_at_the_end(self, run: Json) -> None:
        self.places[max(self.places, default=0) + 1] = run

    def remove(self, run_id: str) -> None:
        self.places = {at: run for at, run in self.places.items() if run["id"] != run_id}

    @property
    def ids(self) -> set[str]:
        return {run["id"] for run in self.places.values()}

    def requests(self) -> int:
        """How many there were since this was asked last."""
        asked, self.asked = self.asked, []
        return len(asked)


@dataclass(frozen=True)
class Walked:
    """The runs met, in order; the mark of the last page; what ended it before its end."""

    ids: list[str]
    watermark: Watermark
    error: ApiError | None = None


def put_down(
    runs: RunList,
    watermark: Watermark | None = None,
    *,
    pages: int | None = None,
    lookback: timedelta = LOOKBACK,
    now: datetime = NOW,
) -> Walked:
    """Walk for so many pages (None: to the end) or until it fails; killed after its last mark."""

    async def step_by_step() -> Walked:
        ids: list[str] = []
        last = watermark or Watermark()
        steps = paging.pages(runs.fetch, last, lookback=lookback, now=now)
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
    lookback: timedelta = LOOKBACK,
    now: datetime = NOW,
) -> Walked:
    """Walk to the end, which is reached."""
    whole = put_down(runs, watermark, lookback=lookback, now=now)
    assert whole.error is None
    return whole


def test_the_first_walk_meets_every_run_once_and_marks_the_newest_start() -> None:
    runs = RunList.of(history(35))
    first = walked(runs)

    assert first.ids == [f"run-{number}" for number in range(35)]
    assert first.watermark == Watermark(ago(0), None, None, "newest_first")
    assert runs.requests() == 4


def test_an_empty_list_has_no_high_water() -> None:
    runs = RunList.of([])
    assert walked(runs) == Walked([], Watermark())
    assert runs.requests() == 1


def test_newest_first_a_walk_ends_at_the_first_page_before_the_lookback() -> None:
    runs = RunList.of(history(100))
    first = walked(runs)
    runs.requests()
    second = walked(runs, first.watermark)

    # Eight runs lie within 72 hours, so the second page is the first wholly before them.
    assert second.ids == [f"run-{number}" for number in range(20)]
    assert second.watermark == first.watermark
    assert runs.requests() == 2


def test_what_has_arrived_on_top_is_met_and_moves_the_high_water() -> None:
    runs = RunList.of(history(50))
    first = walked(runs)
    for number in range(50, 75):
        runs.put_on_top(a_run(number, 50 - number))
    later = NOW + timedelta(days=2)
    second = walked(runs, first.watermark, now=later)

    assert set(second.ids) >= {f"run-{number}" for number in range(50, 75)}
    assert second.watermark.high_water == ago(50 - 74)


def test_a_run_that_lands_late_is_met_within_the_lookback() -> None:
    runs = RunList.of(history(100))
    first = walked(runs)
    runs.places[6.5] = a_run(1000, 65)

    assert "run-1000" in walked(runs, first.watermark).ids


def test_a_run_that_lands_beyond_the_lookback_is_left_to_a_backfill() -> None:
    runs = RunList.of(history(100))
    first = walked(runs)
    runs.places[80.5] = a_run(1000, 805)

    assert "run-1000" not in walked(runs, first.watermark).ids


def test_inside_a_page_runs_may_stand_in_the_order_they_were_queued() -> None:
    hours = [hour + (5 if hour % 2 else 0) for hour in range(60)]
    runs = RunList.of(a_run(number, hour) for number, hour in enumerate(hours))
    first = walked(runs)
    runs.requests()

    assert first.watermark.known_order == "newest_first"
    walked(runs, first.watermark, lookback=timedelta(hours=20))
    assert runs.requests() == 4


def test_oldest_first_the_next_walk_starts_where_the_lookback_began() -> None:
    runs = RunList.of(reversed(history(100)))
    first = walked(runs)
    assert (first.watermark.high_water, first.watermark.known_order) == (ago(0), "oldest_first")
    runs.requests()
    for number in range(100, 105):
        runs.put_at_the_end(a_run(number, 100 - number))
    second = walked(runs, first.watermark, now=NOW + timedelta(days=1))

    within = {f"run-{number}" for number in range(8)}
    new = {f"run-{number}" for number in range(100, 105)}
    assert set(second.ids) >= within | new
    assert second.watermark.high_water == ago(-4)
    assert runs.requests() == 2


def test_in_neither_order_the_whole_list_is_walked_each_time() -> None:
    hours = [(number * 37) % 101 * 10 for number in range(100)]
    runs = RunList.of(a_run(number, hour) for number, hour in enumerate(hours))
    first = walked(runs)
    assert first.watermark.known_order == "neither"
    runs.requests()
    runs.places[71.5] = a_run(1000, 1)

    assert set(walked(runs, first.watermark).ids) == runs.ids
    assert runs.requests() == 11


def test_a_list_grouped_by_something_else_is_walked_to_its_end() -> None:
    runs = RunList.of([*history(40), *(a_run(100 + number, number * 10) for number in range(40))])
    first = walked(runs)
    runs.places[79.5] = a_run(1000, 5)

    assert first.watermark.known_order == "neither"
    assert "run-1000" in walked(runs, first.watermark).ids


def test_more_than_a_page_of_runs_in_one_second_are_all_met() -> None:
    ties = [a_run(number, 1) for number in range(25)]
    older = [a_run(100 + number, 200 + number) for number in range(40)]
    runs = RunList.of([*ties, *older])
    first = walked(runs)
    assert (set(first.ids), len(first.ids)) == (runs.ids, 65)
    runs.requests()

    assert set(walked(runs, first.watermark).ids) >= {f"run-{number}" for number in range(25)}
    assert runs.requests() == 4


def test_queued_runs_have_no_start_and_end_no_walk() -> None:
    queued = [a_run(number, None) for number in range(100, 125)]
    started = history(60)
    runs = RunList.of(
        [
            *queued,
            *started[:30],
            *(a_run(n, None) for n in range(200, 215)),
            *started[30:],
        ]
    )
    first = walked(runs)
    assert set(first.ids) == runs.ids
    assert (first.watermark.high_water, first.watermark.known_order) == (ago(0), "newest_first")
    runs.requests()

    second = walked(runs, first.watermark)
    assert set(second.ids) >= {run["id"] for run in [*queued, *started[:8]]}
    assert runs.requests() == 5


def test_a_history_of_queued_runs_alone_has_no_high_water() -> None:
    runs = RunList.of(a_run(number, None) for number in range(25))
    first = walked(runs)

    assert set(first.ids) == runs.ids
    assert first.watermark == Watermark()


@pytest.mark.parametrize(
    "started_at", [1_772_438_400, "yesterday", "2026-05-01T00:00:00", "10000-01-01T00:00:00Z", []]
)
def test_a_start_that_cannot_be_read_does_not_count(started_at: Any) -> None:
    runs = RunList.of(history(60))
    runs.places[25.5] = {"id": "bad", "startedAt": started_at}
    runs.places[26.5] = {"id": "worse"}
    first = walked(runs)

    assert set(first.ids) == runs.ids
    assert first.watermark == Watermark(ago(0), None, None, "newest_first")


@pytest.mark.parametrize("started_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("length", [1, 15])
def test_an_absurd_start_is_met_and_moves_no_mark(started_at: str, length: int) -> None:
    absurd = [{"id": f"absurd-{number}", "startedAt": started_at} for number in range(length)]
    for listed in ([*absurd, *history(25)], [*history(25), *absurd], [*absurd]):
        runs = RunList.of(listed)
        first = walked(runs)
        assert set(first.ids) == runs.ids
        assert first.watermark.high_water == (ago(0) if len(listed) > len(absurd) else None)
        assert (
            set(walked(runs, first.watermark).ids) >= {run["id"] for run in history(8)} & runs.ids
        )


def test_a_record_that_is_no_object_is_handed_on_like_any_other() -> None:
    async def fetch(_cursor: str | None) -> RunPage:
        return RunPage([None, 7, "x", [], a_run(1, 5)], None, 5)

    async def pages() -> list[list[Any]]:
        walking = paging.pages(fetch, Watermark(), lookback=LOOKBACK, now=NOW)
        return [page.runs async for page in walking]

    assert asyncio.run(pages()) == [[None, 7, "x", [], a_run(1, 5)]]


def test_runs_that_arrive_during_the_walk_are_met_by_the_next() -> None:
    runs = RunList.of(history(50))
    for request in (1, 3):
        runs.events[request] = partial(runs.put_on_top, a_run(900 + request, -1))
    first = walked(runs)
    assert {"run-901", "run-903"}.isdisjoint(first.ids)

    assert {"run-901", "run-903"} <= set(walked(runs, first.watermark).ids)


def test_runs_that_vanish_during_the_walk_take_no_other_with_them() -> None:
    runs = RunList.of(history(50))
    # Among them the very run that the cursor names.
    for request, number in ((1, 9), (2, 3), (3, 30)):
        runs.events[request] = partial(runs.remove, f"run-{number}")
    first = walked(runs)

    assert set(first.ids) >= runs.ids


@pytest.mark.parametrize("pages", range(1, 7))
def test_a_walk_put_down_after_any_page_is_picked_up_there(pages: int) -> None:
    runs = RunList.of(history(55))
    first = put_down(runs, pages=pages)
    runs.requests()
    second = walked(runs, first.watermark)

    assert set(first.ids) | set(second.ids) == runs.ids
    assert second.watermark == Watermark(ago(0), None, None, "newest_first")
    # What is left of the first walk, then from the top down to the lookback.
    assert runs.requests() == 6 - pages + 2


@pytest.mark.parametrize("pages", range(1, 6))
def test_the_high_water_does_not_move_before_the_gap_is_closed(pages: int) -> None:
    runs = RunList.of(history(60))
    first = put_down(runs, pages=pages)

    assert first.watermark.high_water is None
    assert first.watermark.walk is not None
    assert first.watermark.walk.newest_seen == ago(0)


def test_a_walk_put_down_at_every_page_still_ends() -> None:
    runs = RunList.of(history(95))
    watermark, met = Watermark(), set[str]()
    for _load in range(30):
        one = put_down(runs, watermark, pages=1)
        runs.requests()
        watermark, met = one.watermark, met | set(one.ids)

    assert met == runs.ids
    assert watermark.high_water == ago(0)


def test_what_arrived_while_a_walk_was_put_down_is_met_after_it_has_closed() -> None:
    runs = RunList.of(history(55))
    first = put_down(runs, pages=2)
    runs.requests()
    for number in range(100, 140):
        runs.put_on_top(a_run(number, 100 - number))
    second = walked(runs, first.watermark, now=NOW + timedelta(days=5))

    assert set(first.ids) | set(second.ids) == runs.ids
    assert second.watermark.high_water == ago(-39)


def test_a_cursor_that_has_expired_means_from_the_top() -> None:
    runs = RunList.of(history(55))
    first = put_down(runs, pages=3)

    class Expired(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            if cursor == first.watermark.cursor and not self.asked:
                self.asked.append(cursor)
                raise BadRequestError("HTTP 400")
            return await super().fetch(cursor)

    forgetful = Expired(runs.places)
    second = walked(forgetful, first.watermark)

    assert forgetful.asked[:2] == [first.watermark.cursor, None]
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
    first = put_down(runs, pages=3)

    class Refusing(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            if cursor == first.watermark.cursor:
                self.asked.append(cursor)
                raise refusal
            return await super().fetch(cursor)

    refusing = Refusing(runs.places)
    second = put_down(refusing, first.watermark)

    assert second.error is refusal
    assert refusing.asked[:2] == [first.watermark.cursor, None]
    assert refusing.asked.count(first.watermark.cursor) == 2
    assert second.ids[:30] == first.ids
    # As soon as the API takes its cursors again, the walk closes.
    third = walked(RunList(refusing.places), second.watermark)
    assert set(second.ids) | set(third.ids) == refusing.ids
    assert third.watermark.walk is None


@pytest.mark.parametrize("failure", [UnauthorizedError("401"), QuotaSpentError("spent")], ids=str)
def test_what_is_not_the_cursors_fault_keeps_it(failure: ApiError) -> None:
    runs = RunList.of(history(55))
    first = put_down(runs, pages=3)

    class Failing(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            self.asked.append(cursor)
            raise failure

    failing = Failing(runs.places)
    second = put_down(failing, first.watermark)

    assert second.error is failure
    assert failing.asked == [first.watermark.cursor]
    assert second.watermark == first.watermark


def test_an_api_that_takes_no_cursor_at_all_is_given_up() -> None:
    class Forgetful(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            if cursor is not None:
                self.asked.append(cursor)
                raise BadRequestError("HTTP 400")
            return await super().fetch(cursor)

    runs = Forgetful.of(history(55))
    ended = put_down(runs)

    assert isinstance(ended.error, BadRequestError)
    assert len(runs.asked) == 4
    assert ended.watermark.high_water is None


def test_a_400_on_the_first_page_is_no_expired_cursor() -> None:
    async def fetch(_cursor: str | None) -> RunPage:
        raise BadRequestError("HTTP 400")

    async def first_page() -> None:
        await anext(paging.pages(fetch, Watermark(), lookback=LOOKBACK, now=NOW))

    with pytest.raises(BadRequestError):
        asyncio.run(first_page())


@pytest.mark.parametrize("back_to", [0, 1, 3])
def test_a_cursor_that_leads_back_is_named_and_not_followed_for_ever(back_to: int) -> None:
    class Circle(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            following = page.next_cursor or str(back_to * 10 + 9)
            return replace(page, next_cursor=following)

    runs = Circle.of(history(45))
    ended = put_down(runs)

    assert isinstance(ended.error, PermanentError)
    assert "cursor leads back to a page already read" in str(ended.error)
    assert set(ended.ids) == runs.ids
    assert runs.requests() <= 10
    # Nothing was proven, and the next load looks at the top again, where new runs are.
    assert ended.watermark == Watermark()


@pytest.mark.parametrize("read", [1, 3])
def test_a_list_that_ends_long_before_its_total_is_not_taken_for_whole(read: int) -> None:
    class Cut(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            return replace(page, next_cursor=None) if len(self.asked) == read else page

    runs = Cut.of(history(45))
    ended = put_down(runs)
    assert isinstance(ended.error, TransientError)
    assert f"ended after {read * 10} runs and tells of 45" in str(ended.error)
    assert len(ended.ids) == read * 10
    # Nothing was proven: the next load reads the list from its top.
    assert ended.watermark == Watermark()
    assert set(walked(RunList(runs.places), ended.watermark).ids) == runs.ids


@pytest.mark.parametrize("killed_after", [1, 2])
def test_the_total_is_kept_with_a_walk_that_is_put_down(killed_after: int) -> None:
    runs = RunList.of(history(45))
    first = put_down(runs, pages=killed_after)

    class Cut(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            # It shows no total any more, and ends.
            return replace(page, next_cursor=None, total=None)

    second = put_down(Cut(runs.places), first.watermark)

    assert isinstance(second.error, TransientError)
    assert f"ended after {10 * (killed_after + 1)} runs and tells of 45" in str(second.error)
    assert second.watermark == Watermark()
    assert set(walked(RunList(runs.places), second.watermark).ids) == runs.ids


class Emptied(RunList):
    """A list whose page at `at` is empty so many times, and without a total or a next cursor."""

    at = "19"
    times = 0

    async def fetch(self, cursor: str | None) -> RunPage:
        page = await super().fetch(cursor)
        if cursor == self.at and self.times:
            self.times -= 1
            return RunPage([], None, None)
        return page


def test_an_empty_page_to_which_a_cursor_led_is_fetched_again() -> None:
    runs = Emptied(RunList.of(history(45)).places)
    runs.times = 2

    assert set(walked(runs).ids) == runs.ids
    assert runs.asked.count("19") == 3


@pytest.mark.parametrize("is_announced", [True, False])
def test_an_empty_page_to_which_a_cursor_led_is_never_an_end(*, is_announced: bool) -> None:
    class Lying(Emptied):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            return page if is_announced else replace(page, total=None)

    runs = Lying(RunList.of(history(45)).places)
    runs.times = 1000
    first = put_down(runs)
    second = put_down(runs, first.watermark)

    assert isinstance(first.error, TransientError)
    assert "empty page" in str(first.error)
    assert isinstance(second.error, TransientError)
    assert second.watermark.high_water is None
    runs.times = 0
    third = walked(runs, second.watermark)
    assert set(first.ids) | set(second.ids) | set(third.ids) == runs.ids


def test_an_empty_page_behind_the_last_announced_run_is_an_end() -> None:
    class Rounded(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            last = str(len(self.places) - 1)
            return replace(page, next_cursor=page.next_cursor or (last if page.runs else None))

    runs = Rounded.of(history(40))
    ended = walked(runs)

    assert set(ended.ids) == runs.ids
    assert ended.watermark.walk is None
    assert len(runs.asked) == 5


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [
        ("x" * 4097, "4,097 bytes"),
        ("x" * 1_000_000, "1,000,000 bytes"),
        ("half a \ud83d", "with a broken character"),
        ("nul \0", "with a broken character"),
    ],
    ids=["long", "very long", "half a character", "NUL"],
)
def test_a_cursor_that_cannot_be_sent_is_a_broken_answer(cursor: str, reason: str) -> None:
    class Absurd(RunList):
        async def fetch(self, cursor_: str | None) -> RunPage:
            page = await super().fetch(cursor_)
            return replace(page, next_cursor=cursor) if len(self.asked) == 2 else page

    runs = Absurd.of(history(45))
    ended = put_down(runs)

    assert isinstance(ended.error, PermanentError)
    assert reason in str(ended.error)
    assert len(str(ended.error)) < 200
    assert len(ended.ids) == 20
    assert set(walked(runs, ended.watermark).ids) == runs.ids


@pytest.mark.parametrize("total", [-1, 2**63, 10**30])
def test_a_total_that_is_absurd_does_not_count(total: int) -> None:
    class Boasting(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            return replace(await super().fetch(cursor), total=total)

    assert set(walked(Boasting.of(history(45))).ids) == RunList.of(history(45)).ids


def test_a_list_that_is_short_by_less_than_a_page_is_whole() -> None:
    # Runs vanish while it is read.
    class Churning(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            return replace(page, total=(page.total or 0) + 9)

    runs = Churning.of(history(45))
    assert set(walked(runs).ids) == runs.ids


def test_a_circle_that_is_met_on_resuming_is_named_as_well() -> None:
    async def fetch(cursor: str | None) -> RunPage:
        await asyncio.sleep(0)
        following = {None: "a", "a": "b", "b": "a"}[cursor]
        return RunPage([a_run(1, 5)], following, None)

    async def resumed() -> list[Any]:
        watermark = Watermark(cursor="b", walk=WalkState(started_at=NOW))
        return [page async for page in paging.pages(fetch, watermark, lookback=LOOKBACK, now=NOW)]

    with pytest.raises(PermanentError, match="leads back"):
        asyncio.run(asyncio.wait_for(resumed(), 10))


def test_an_error_of_the_api_ends_the_walk_where_it_can_be_picked_up() -> None:
    class Failing(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            if len(self.asked) == 3:
                raise TransientError("HTTP 503")
            return await super().fetch(cursor)

    runs = Failing.of(history(55))
    ended = put_down(runs)
    assert isinstance(ended.error, TransientError)

    second = walked(RunList(runs.places), ended.watermark)
    assert set(ended.ids) | set(second.ids) == runs.ids


def test_the_high_water_is_capped_at_the_moment_the_walk_began() -> None:
    runs = RunList.of([a_run(1, -5), a_run(2, -1), a_run(3, 2)])

    assert walked(runs).watermark.high_water == NOW


def test_a_resumed_walk_is_capped_at_its_own_beginning() -> None:
    runs = RunList.of([a_run(100, -5), *history(25)])
    first = put_down(runs, pages=1)
    watermark = first.watermark
    runs.requests()
    resumed = put_down(runs, watermark, pages=2, now=NOW + timedelta(days=2))

    assert resumed.watermark.walk is None
    assert resumed.watermark.high_water == NOW


def test_the_high_water_never_goes_back() -> None:
    runs = RunList.of(history(50))
    first = walked(runs)
    for number in range(10):
        runs.remove(f"run-{number}")
    second = walked(runs, first.watermark)

    assert second.watermark.high_water == ago(0)


def test_without_a_lookback_only_the_newest_is_looked_at_again() -> None:
    runs = RunList.of(history(100))
    first = walked(runs, lookback=timedelta(0))
    runs.requests()
    assert walked(runs, first.watermark, lookback=timedelta(0)).watermark == first.watermark
    assert runs.requests() == 2
    runs.put_on_top(a_run(1000, -1))

    again = walked(runs, first.watermark, lookback=timedelta(0), now=NOW + timedelta(hours=2))
    assert again.ids[0] == "run-1000"
    assert again.watermark.high_water == ago(-1)


def test_a_list_of_one_page_is_read_whole_and_says_nothing_of_its_order() -> None:
    runs = RunList.of(history(8))
    first = walked(runs)
    assert first.watermark == Watermark(ago(0), None, None, "unknown")
    runs.put_at_the_end(a_run(1000, 500))

    assert set(walked(runs, first.watermark).ids) == runs.ids


def test_a_list_that_turns_round_is_not_left_early() -> None:
    runs = RunList.of(history(60))
    first = walked(runs)
    turned = RunList.of(reversed([a_run(1000, -1), *history(60)]))
    second = walked(turned, first.watermark, now=NOW + timedelta(hours=2))

    assert "run-1000" in second.ids


def test_oldest_first_a_start_in_the_future_does_not_shorten_the_lookback() -> None:
    runs = RunList.of([*reversed(history(100)), *(a_run(n, -9000) for n in range(500, 515))])
    first = walked(runs)
    second = walked(runs, first.watermark)

    assert set(second.ids) >= {f"run-{number}" for number in range(8)}


@pytest.mark.parametrize("pages", range(1, 10))
def test_oldest_first_a_walk_that_was_put_down_still_covers_the_lookback_next_time(
    pages: int,
) -> None:
    runs = RunList.of(reversed(history(100, hours_apart=2)))
    first = put_down(runs, pages=pages)
    runs.requests()
    second = walked(runs, first.watermark)
    third = walked(runs, second.watermark)

    assert set(first.ids) | set(second.ids) == runs.ids
    assert set(third.ids) >= {f"run-{number}" for number in range(37)}


ORDERS = ("newest_first", "oldest_first", "neither")


@st.composite
def stories(draw: st.DrawFn) -> dict[str, Any]:
    """A history in some order, and what happens between loads; hours count up, 0 is long ago."""
    order = draw(st.sampled_from(ORDERS))
    hours = draw(st.lists(st.integers(0, 400), min_size=1, max_size=40))
    return {
        "order": order,
        "hours": hours,
        "page_size": draw(st.integers(1, 7)),
        "lookback": draw(st.sampled_from([0, 24, 72])),
        "loads": draw(
            st.lists(
                st.tuples(
                    st.integers(0, 6),  # how many runs arrive before it
                    st.one_of(st.none(), st.integers(1, 5)),  # after how many pages it is killed
                ),
                max_size=6,
            )
        ),
    }


@given(stories())
@settings(max_examples=150)
def test_whatever_happens_every_run_that_was_there_is_met(story: dict[str, Any]) -> None:
    base = ago(1000)

    def made(number: int, hour: float) -> Json:
        started_at = (base + timedelta(hours=hour)).isoformat()
        return {"id": f"run-{number}", "status": "finished", "startedAt": started_at}

    hours = story["hours"]
    if story["order"] != "neither":
        hours = sorted(hours, reverse=story["order"] == "newest_first")
    else:
        # Far apart in turn, so that any two pages show that there is no order.
        hours = [(number * 2 % 3) * 200 + number for number in range(len(hours))]
    runs = RunList.of((made(*one) for one in enumerate(hours)), story["page_size"])
    lookback = timedelta(hours=story["lookback"])
    watermark, met, latest = Watermark(), set[str](), 700
    for arrivals, pages in [*story["loads"], (0, None)]:
        for _run in range(arrivals):
            latest += 1
            put = runs.put_on_top if story["order"] == "newest_first" else runs.put_at_the_end
            put(made(latest, latest))
        one = put_down(runs, watermark, pages=pages, lookback=lookback)
        runs.requests()
        assert one.error is None
        if watermark.high_water is not None:
            assert one.watermark.high_water is not None
            assert one.watermark.high_water >= watermark.high_water
        watermark, met = one.watermark, met | set(one.ids)

    assert met == runs.ids
    assert watermark.walk is None
    assert watermark.high_water is not None
    since = watermark.high_water - lookback
    within = {
        run["id"]
        for run in runs.places.values()
        if datetime.fromisoformat(run["startedAt"]) >= since
    }
    assert set(walked(runs, watermark, lookback=lookback).ids) >= within


@given(
    hours=st.lists(st.integers(0, 1000), min_size=1, max_size=60),
    page_size=st.integers(1, 10),
    lookback_hours=st.integers(0, 200),
)
@settings(max_examples=150)
def test_newest_first_a_walk_with_nothing_new_asks_for_little_more_than_the_lookback(
    hours: list[int], page_size: int, lookback_hours: int
) -> None:
    runs = RunList.of((a_run(number, hour) for number, hour in enumerate(sorted(hours))), page_size)
    lookback = timedelta(hours=lookback_hours)
    first = walked(runs, lookback=lookback)
    whole = runs.requests()
    second = walked(runs, first.watermark, lookback=lookback)

    within = sum(hour <= min(hours) + lookback_hours for hour in hours)
    assert second.watermark == first.watermark
    assert runs.requests() <= min(whole, ceil(within / page_size) + 2)
    assert set(second.ids) >= {run["id"] for run in list(runs.places.values())[:within]}


@pytest.mark.parametrize("shown", [0, 10])
def test_pages_that_bring_nothing_new_under_ever_new_cursors_are_no_list_without_an_end(
    shown: int,
) -> None:
    requests: list[str | None] = []

    async def fetch(cursor: str | None) -> RunPage:
        requests.append(cursor)
        return RunPage(history(10)[:shown], f"cursor-{len(requests)}", None)

    last = Watermark()

    async def walk() -> None:
        nonlocal last
        async for page in paging.pages(fetch, Watermark(), lookback=LOOKBACK, now=NOW):
            last = page.watermark

    with pytest.raises(PermanentError, match="the list never ends"):
        asyncio.run(walk())
    assert len(requests) < 350
    # The next load begins at the top again.
    assert last == Watermark()
