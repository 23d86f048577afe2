"""Postman's lists that end too early, lead in a circle, or announce what cannot be."""

from dataclasses import replace

import pytest

from pipelines.errors import (
    PermanentError,
    TransientError,
)
from pipelines.sources.base import Watermark
from pipelines.sources.postman.api import RunPage
from tests.support.postman_walks import RunList, history, walk, walk_to_end


@pytest.mark.parametrize("back_to", [0, 1, 3])
def test_a_cursor_that_leads_back_is_named_and_not_followed_for_ever(back_to: int) -> None:
    class Circle(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            following = page.next_cursor or str(back_to * 10 + 9)
            return replace(page, next_cursor=following)

    runs = Circle.of(history(45))
    ended = walk(runs)

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
            return replace(page, next_cursor=None) if len(self.requested) == read else page

    runs = Cut.of(history(45))
    ended = walk(runs)
    assert isinstance(ended.error, TransientError)
    assert f"ended after {read * 10} runs and tells of 45" in str(ended.error)
    assert len(ended.ids) == read * 10
    # Nothing was proven: the next load reads the list from its top.
    assert ended.watermark == Watermark()
    assert set(walk_to_end(RunList(runs.places), ended.watermark).ids) == runs.ids


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

    assert set(walk_to_end(runs).ids) == runs.ids
    assert runs.requested.count("19") == 3


@pytest.mark.parametrize("is_announced", [True, False])
def test_an_empty_page_to_which_a_cursor_led_is_never_an_end(*, is_announced: bool) -> None:
    class Lying(Emptied):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            return page if is_announced else replace(page, total=None)

    runs = Lying(RunList.of(history(45)).places)
    runs.times = 1000
    first = walk(runs)
    second = walk(runs, first.watermark)

    assert isinstance(first.error, TransientError)
    assert "empty page" in str(first.error)
    assert isinstance(second.error, TransientError)
    assert second.watermark.high_water is None
    runs.times = 0
    third = walk_to_end(runs, second.watermark)
    assert set(first.ids) | set(second.ids) | set(third.ids) == runs.ids


def test_an_empty_page_behind_the_last_announced_run_is_an_end() -> None:
    class Rounded(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            last = str(len(self.places) - 1)
            return replace(page, next_cursor=page.next_cursor or (last if page.runs else None))

    runs = Rounded.of(history(40))
    ended = walk_to_end(runs)

    assert set(ended.ids) == runs.ids
    assert ended.watermark.walk is None
    assert len(runs.requested) == 5


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
            return replace(page, next_cursor=cursor) if len(self.requested) == 2 else page

    runs = Absurd.of(history(45))
    ended = walk(runs)

    assert isinstance(ended.error, PermanentError)
    assert reason in str(ended.error)
    assert len(str(ended.error)) < 200
    assert len(ended.ids) == 20
    assert set(walk_to_end(runs, ended.watermark).ids) == runs.ids


@pytest.mark.parametrize("total", [-1, 2**63, 10**30])
def test_a_total_that_is_absurd_does_not_count(total: int) -> None:
    class Boasting(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            return replace(await super().fetch(cursor), total=total)

    assert set(walk_to_end(Boasting.of(history(45))).ids) == RunList.of(history(45)).ids


def test_a_list_that_is_short_by_less_than_a_page_is_whole() -> None:
    # Runs vanish while it is read.
    class Churning(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            return replace(page, total=(page.total or 0) + 9)

    runs = Churning.of(history(45))
    assert set(walk_to_end(runs).ids) == runs.ids


def test_a_list_whose_total_shrinks_to_what_it_shows_is_not_taken_for_whole() -> None:
    class Shrinking(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            is_cut = len(self.requested) > 1
            return replace(page, next_cursor=None, total=20) if is_cut else page

    runs = Shrinking.of(history(45))
    ended = walk(runs)
    assert "ended after 20 runs and tells of 45" in str(ended.error)
    assert set(walk_to_end(RunList(runs.places), ended.watermark).ids) == runs.ids


def test_a_total_that_grows_by_runs_above_the_walk_is_no_failure() -> None:
    class Growing(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            return replace(page, total=45 + 10 * len(self.requested) - 10)

    assert walk(Growing.of(history(45))).error is None


def test_a_run_that_is_shown_again_counts_once_against_the_total() -> None:
    class Repeating(RunList):
        """Shows its first page for its last, and ends there."""

        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(None if len(self.requested) == 4 else cursor)
            return replace(page, next_cursor=None) if len(self.requested) == 5 else page

    runs = Repeating.of(history(50))
    ended = walk(runs)
    assert "ended after 40 runs and tells of 50" in str(ended.error)
    assert set(walk_to_end(RunList(runs.places), ended.watermark).ids) == runs.ids


@pytest.mark.parametrize("total", [45, None])
def test_pages_that_mix_what_was_shown_before_end(total: int | None) -> None:
    runs = history(45)

    class Mixing(RunList):
        """Shows its first runs again and again, with others each time."""

        async def fetch(self, cursor: str | None) -> RunPage:
            await super().fetch(None)
            number = int(cursor or 0)
            others = [runs[(number + step) % 45] for step in (0, 11, 29)]
            return RunPage([*runs[:7], *others], str(number + 1), total)

    mixing = Mixing.of(runs)
    ended = walk(mixing)
    assert "the list never ends" in str(ended.error)
    assert mixing.requests() < 200
    assert ended.watermark == Watermark()


@pytest.mark.parametrize(("times", "requests"), [(1, 2), (1000, 3)])
def test_an_empty_list_of_known_runs_is_fetched_again_and_then_believed(
    times: int, requests: int
) -> None:
    class Emptied(RunList):
        async def fetch(self, cursor: str | None) -> RunPage:
            page = await super().fetch(cursor)
            return RunPage([], None, None) if len(self.requested) <= times else page

    known = walk_to_end(RunList.of(history(5))).watermark
    runs = Emptied.of(history(5))
    ended = walk_to_end(runs, known)
    assert bool(ended.ids) is (times == 1)
    assert ended.watermark.high_water == known.high_water
    assert runs.requests() == requests
