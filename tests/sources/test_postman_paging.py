"""Which pages of Postman's list a walk reads, and where its high water is."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from pipelines.errors import PermanentError
from pipelines.sources.base import Watermark
from pipelines.sources.postman import paging
from pipelines.sources.postman.api import RunPage
from tests.support.postman_walks import (
    LOOKBACK,
    NOW,
    RunList,
    ago,
    history,
    make_run,
    walk_to_end,
)
from tests.support.walks import WalkResult


def test_the_first_walk_meets_every_run_once_and_marks_the_newest_start() -> None:
    runs = RunList.of(history(35))
    first = walk_to_end(runs)

    assert first.ids == [f"run-{number}" for number in range(35)]
    assert first.watermark == Watermark(ago(0), None, None, "newest_first")
    assert runs.requests() == 4


def test_an_empty_list_has_no_high_water() -> None:
    runs = RunList.of([])
    assert walk_to_end(runs) == WalkResult([], Watermark())
    assert runs.requests() == 1


def test_newest_first_a_walk_ends_at_the_first_page_before_the_lookback() -> None:
    runs = RunList.of(history(100))
    first = walk_to_end(runs)
    runs.requests()
    second = walk_to_end(runs, first.watermark)

    # Eight runs lie within 72 hours, so the second page is the first wholly before them.
    assert second.ids == [f"run-{number}" for number in range(20)]
    assert second.watermark == first.watermark
    assert runs.requests() == 2


def test_what_has_arrived_on_top_is_met_and_moves_the_high_water() -> None:
    runs = RunList.of(history(50))
    first = walk_to_end(runs)
    for number in range(50, 75):
        runs.put_on_top(make_run(number, 50 - number))
    later = NOW + timedelta(days=2)
    second = walk_to_end(runs, first.watermark, now=later)

    assert set(second.ids) >= {f"run-{number}" for number in range(50, 75)}
    assert second.watermark.high_water == ago(50 - 74)


def test_a_run_that_lands_late_is_met_within_the_lookback() -> None:
    runs = RunList.of(history(100))
    first = walk_to_end(runs)
    runs.places[6.5] = make_run(1000, 65)

    assert "run-1000" in walk_to_end(runs, first.watermark).ids


def test_a_run_that_lands_beyond_the_lookback_is_left_to_a_backfill() -> None:
    runs = RunList.of(history(100))
    first = walk_to_end(runs)
    runs.places[80.5] = make_run(1000, 805)

    assert "run-1000" not in walk_to_end(runs, first.watermark).ids


def test_inside_a_page_runs_may_stand_in_the_order_they_were_queued() -> None:
    hours = [hour + (5 if hour % 2 else 0) for hour in range(60)]
    runs = RunList.of(make_run(number, hour) for number, hour in enumerate(hours))
    first = walk_to_end(runs)
    runs.requests()

    assert first.watermark.known_order == "newest_first"
    walk_to_end(runs, first.watermark, lookback=timedelta(hours=20))
    assert runs.requests() == 4


def test_oldest_first_the_next_walk_starts_where_the_lookback_began() -> None:
    runs = RunList.of(reversed(history(100)))
    first = walk_to_end(runs)
    assert (first.watermark.high_water, first.watermark.known_order) == (ago(0), "oldest_first")
    runs.requests()
    for number in range(100, 105):
        runs.put_at_the_end(make_run(number, 100 - number))
    second = walk_to_end(runs, first.watermark, now=NOW + timedelta(days=1))

    within = {f"run-{number}" for number in range(8)}
    new = {f"run-{number}" for number in range(100, 105)}
    assert set(second.ids) >= within | new
    assert second.watermark.high_water == ago(-4)
    assert runs.requests() == 2


def test_in_neither_order_the_whole_list_is_walked_each_time() -> None:
    hours = [(number * 37) % 101 * 10 for number in range(100)]
    runs = RunList.of(make_run(number, hour) for number, hour in enumerate(hours))
    first = walk_to_end(runs)
    assert first.watermark.known_order == "neither"
    runs.requests()
    runs.places[71.5] = make_run(1000, 1)

    assert set(walk_to_end(runs, first.watermark).ids) == runs.ids
    assert runs.requests() == 11


def test_a_list_grouped_by_something_else_is_walked_to_its_end() -> None:
    runs = RunList.of(
        [*history(40), *(make_run(100 + number, number * 10) for number in range(40))]
    )
    first = walk_to_end(runs)
    runs.places[79.5] = make_run(1000, 5)

    assert first.watermark.known_order == "neither"
    assert "run-1000" in walk_to_end(runs, first.watermark).ids


def test_more_than_a_page_of_runs_in_one_second_are_all_met() -> None:
    ties = [make_run(number, 1) for number in range(25)]
    older = [make_run(100 + number, 200 + number) for number in range(40)]
    runs = RunList.of([*ties, *older])
    first = walk_to_end(runs)
    assert (set(first.ids), len(first.ids)) == (runs.ids, 65)
    runs.requests()

    assert set(walk_to_end(runs, first.watermark).ids) >= {f"run-{number}" for number in range(25)}
    assert runs.requests() == 4


def test_queued_runs_have_no_start_and_end_no_walk() -> None:
    queued = [make_run(number, None) for number in range(100, 125)]
    started = history(60)
    runs = RunList.of(
        [
            *queued,
            *started[:30],
            *(make_run(n, None) for n in range(200, 215)),
            *started[30:],
        ]
    )
    first = walk_to_end(runs)
    assert set(first.ids) == runs.ids
    assert (first.watermark.high_water, first.watermark.known_order) == (ago(0), "newest_first")
    runs.requests()

    second = walk_to_end(runs, first.watermark)
    assert set(second.ids) >= {run["id"] for run in [*queued, *started[:8]]}
    assert runs.requests() == 5


def test_a_history_of_queued_runs_alone_has_no_high_water() -> None:
    runs = RunList.of(make_run(number, None) for number in range(25))
    first = walk_to_end(runs)

    assert set(first.ids) == runs.ids
    assert first.watermark == Watermark()


@pytest.mark.parametrize(
    "started_at", [1_772_438_400, "yesterday", "2026-05-01T00:00:00", "10000-01-01T00:00:00Z", []]
)
def test_a_start_that_cannot_be_read_does_not_count(started_at: Any) -> None:
    runs = RunList.of(history(60))
    runs.places[25.5] = {"id": "bad", "startedAt": started_at}
    runs.places[26.5] = {"id": "worse"}
    first = walk_to_end(runs)

    assert set(first.ids) == runs.ids
    assert first.watermark == Watermark(ago(0), None, None, "newest_first")


@pytest.mark.parametrize("started_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("length", [1, 15])
def test_an_absurd_start_is_met_and_moves_no_mark(started_at: str, length: int) -> None:
    absurd = [{"id": f"absurd-{number}", "startedAt": started_at} for number in range(length)]
    for listed in ([*absurd, *history(25)], [*history(25), *absurd], [*absurd]):
        runs = RunList.of(listed)
        first = walk_to_end(runs)
        assert set(first.ids) == runs.ids
        assert first.watermark.high_water == (ago(0) if len(listed) > len(absurd) else None)
        assert (
            set(walk_to_end(runs, first.watermark).ids)
            >= {run["id"] for run in history(8)} & runs.ids
        )


def test_a_record_that_is_no_object_is_handed_on_like_any_other() -> None:
    async def fetch(_cursor: str | None) -> RunPage:
        return RunPage([None, 7, "x", [], make_run(1, 5)], None, 5)

    async def pages() -> list[list[Any]]:
        walking = paging.pages(fetch, Watermark(), lookback=LOOKBACK, now=NOW)
        return [page.runs async for page in walking]

    assert asyncio.run(pages()) == [[None, 7, "x", [], make_run(1, 5)]]


def test_runs_that_arrive_during_the_walk_are_met_by_the_next() -> None:
    runs = RunList.of(history(50))
    for request in (1, 3):
        runs.events[request] = partial(runs.put_on_top, make_run(900 + request, -1))
    first = walk_to_end(runs)
    assert {"run-901", "run-903"}.isdisjoint(first.ids)

    assert {"run-901", "run-903"} <= set(walk_to_end(runs, first.watermark).ids)


def test_runs_that_vanish_during_the_walk_take_no_other_with_them() -> None:
    runs = RunList.of(history(50))
    # Among them the very run that the cursor names.
    for request, number in ((1, 9), (2, 3), (3, 30)):
        runs.events[request] = partial(runs.remove, f"run-{number}")
    first = walk_to_end(runs)

    assert set(first.ids) >= runs.ids


def test_the_high_water_is_capped_at_the_moment_the_walk_began() -> None:
    runs = RunList.of([make_run(1, -5), make_run(2, -1), make_run(3, 2)])

    assert walk_to_end(runs).watermark.high_water == NOW


def test_the_high_water_never_goes_back() -> None:
    runs = RunList.of(history(50))
    first = walk_to_end(runs)
    for number in range(10):
        runs.remove(f"run-{number}")
    second = walk_to_end(runs, first.watermark)

    assert second.watermark.high_water == ago(0)


def test_without_a_lookback_only_the_newest_is_looked_at_again() -> None:
    runs = RunList.of(history(100))
    first = walk_to_end(runs, lookback=timedelta(0))
    runs.requests()
    assert walk_to_end(runs, first.watermark, lookback=timedelta(0)).watermark == first.watermark
    assert runs.requests() == 2
    runs.put_on_top(make_run(1000, -1))

    again = walk_to_end(runs, first.watermark, lookback=timedelta(0), now=NOW + timedelta(hours=2))
    assert again.ids[0] == "run-1000"
    assert again.watermark.high_water == ago(-1)


def test_a_list_of_one_page_is_read_whole_and_says_nothing_of_its_order() -> None:
    runs = RunList.of(history(8))
    first = walk_to_end(runs)
    assert first.watermark == Watermark(ago(0), None, None, "unknown")
    runs.put_at_the_end(make_run(1000, 500))

    assert set(walk_to_end(runs, first.watermark).ids) == runs.ids


def test_a_list_that_turns_round_is_not_left_early() -> None:
    runs = RunList.of(history(60))
    first = walk_to_end(runs)
    turned = RunList.of(reversed([make_run(1000, -1), *history(60)]))
    second = walk_to_end(turned, first.watermark, now=NOW + timedelta(hours=2))

    assert "run-1000" in second.ids


def test_oldest_first_a_list_that_turns_round_is_read_from_its_new_top() -> None:
    runs = RunList.of(reversed(history(60, hours_apart=9)))
    first = walk_to_end(runs)
    turned = RunList.of([make_run(1000, -1), *history(60, hours_apart=9)])
    second = walk_to_end(turned, first.watermark, now=NOW + timedelta(hours=2))

    assert "run-1000" in second.ids


def test_oldest_first_a_start_in_the_future_does_not_shorten_the_lookback() -> None:
    runs = RunList.of([*reversed(history(100)), *(make_run(n, -9000) for n in range(500, 515))])
    first = walk_to_end(runs)
    second = walk_to_end(runs, first.watermark)

    assert set(second.ids) >= {f"run-{number}" for number in range(8)}


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
