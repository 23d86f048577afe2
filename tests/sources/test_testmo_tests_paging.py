"""The walk over the pages of a run's test results, on pages that contradict themselves."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ApiError, PermanentError, TransientError
from pipelines.sources.testmo.api import TestsPage
from pipelines.sources.testmo.tests_paging import result_pages


def results(first: int, last: int) -> list[dict[str, Any]]:
    return [{"automation_test_id": number} for number in range(first, last + 1)]


def walk(
    answer: Callable[[int, int], TestsPage], *, is_expected: bool = False
) -> tuple[list[int], list[int], ApiError | None]:
    """The IDs that were given, the pages that were requested, and how it failed.

    `answer(page, number)` is the page; `number` counts the requests from 1.
    """
    requested: list[int] = []
    given_ids: list[int] = []

    async def fetch(page: int) -> TestsPage:
        requested.append(page)
        return answer(page, len(requested))

    async def all_pages() -> None:
        async for page in result_pages(fetch, "7", is_expected=is_expected):
            given_ids.extend(result["automation_test_id"] for result in page.results)

    try:
        asyncio.run(all_pages())
    except ApiError as error:
        return given_ids, requested, error
    return given_ids, requested, None


@given(
    number=st.integers(0, 35),
    has_next=st.booleans(),
    has_last=st.booleans(),
    has_total=st.booleans(),
)
def test_any_of_next_page_last_page_and_total_leads_to_the_end(
    number: int, *, has_next: bool, has_last: bool, has_total: bool
) -> None:
    last_page = -(-number // 10)

    def answer(page: int, _number: int) -> TestsPage:
        return TestsPage(
            results(10 * page - 9, min(10 * page, number)),
            [],
            has_next and page < last_page,
            last_page if has_last and number else None,
            number if has_total else None,
        )

    results_seen, requested, error = walk(answer)
    assert error is None
    is_led = has_next or has_last or has_total
    assert results_seen == list(range(1, number + 1))[: None if is_led else 10]
    assert requested == list(range(1, len(requested) + 1))
    assert len(requested) == (max(last_page, 1) if is_led else 1)


def test_an_empty_page_that_was_announced_is_fetched_again() -> None:
    def answer(page: int, number: int) -> TestsPage:
        if page == 1:
            return TestsPage(results(1, 10), has_next=True)
        return TestsPage(results(11, 12) if number > 2 else [])

    assert walk(answer) == (list(range(1, 13)), [1, 2, 2], None)


@pytest.mark.parametrize(
    "first", [TestsPage(results(1, 10), has_next=True), TestsPage(results(1, 10), last_page=2),
              TestsPage(results(1, 10), total=12)]
)  # fmt: skip
def test_an_announced_page_that_stays_empty_is_no_end(first: TestsPage) -> None:
    _, requested, error = walk(
        lambda page, _: first if page == 1 else TestsPage([], total=first.total)
    )
    assert requested == [1, 2, 2, 2]
    assert isinstance(error, TransientError)
    more = "12" if first.total else "more"
    assert str(error) == (
        f"testmo: page 2 of a run's test results is empty, where 10 of {more} have been shown "
        "(3 attempts); a later load reads them again"
    )


def test_the_first_page_may_not_be_empty_where_the_total_or_a_next_page_says_otherwise() -> None:
    for page in (TestsPage([], total=3), TestsPage([], has_next=True)):
        _, requested, error = walk(lambda *_, page=page: page)
        assert requested == [1, 1, 1]
        assert isinstance(error, TransientError)


def test_an_empty_first_page_of_a_run_that_counts_tests_is_believed_if_it_says_so_or_stays() -> (
    None
):
    def late(_page: int, number: int) -> TestsPage:
        return TestsPage(results(1, 3) if number > 1 else [])

    assert walk(late) == ([], [1], None)
    assert walk(late, is_expected=True) == ([1, 2, 3], [1, 1], None)
    assert walk(lambda *_: TestsPage([]), is_expected=True) == ([], [1, 1, 1], None)
    assert walk(lambda *_: TestsPage([], total=0), is_expected=True) == ([], [1], None)


def test_a_page_too_many_is_no_harm_where_the_total_has_been_seen() -> None:
    def answer(page: int, _number: int) -> TestsPage:
        on_page = results(1, 10) if page == 1 else []
        return TestsPage(on_page, has_next=page == 1, last_page=5, total=10)

    assert walk(answer) == (list(range(1, 11)), [1, 2], None)


def test_a_page_that_comes_again_for_ever_is_left() -> None:
    results_seen, requested, error = walk(lambda *_: TestsPage(results(1, 10), has_next=True))
    assert (results_seen, requested) == (list(range(1, 11)), [1, 2])
    assert isinstance(error, PermanentError)
    assert "brings nothing new" in str(error)


def test_results_that_stand_on_two_pages_hide_others_that_the_total_misses() -> None:
    on_page = {1: results(1, 10), 2: results(6, 15)}

    def answer(page: int, _number: int) -> TestsPage:
        return TestsPage(on_page.get(page, []), has_next=page < 2, total=20)

    results_seen, _, error = walk(answer)
    assert results_seen == list(range(1, 16))
    assert isinstance(error, TransientError)
    assert "15 of 20" in str(error)


def test_a_result_that_stands_twice_on_a_page_is_given_once() -> None:
    page = TestsPage([*results(1, 3), *results(3, 3)], total=4)
    assert walk(lambda *_: page) == ([1, 2, 3], [1], None)


def test_results_that_go_missing_while_they_are_read_are_read_again_later() -> None:
    def answer(page: int, _number: int) -> TestsPage:
        return TestsPage(results(10 * page - 9, 10 * page), has_next=page < 3, total=31 - page)

    _, requested, error = walk(answer)
    assert requested == [1, 2]
    assert str(error) == (
        "testmo: run 7 had 30 test results and has 29 while they are read; a later load reads them"
        " again"
    )


def test_results_that_are_added_while_they_are_read_are_given_as_well() -> None:
    def answer(page: int, number: int) -> TestsPage:
        total = 10 + number * 3
        return TestsPage(results(10 * page - 9, min(10 * page, total)), total=total)

    assert walk(answer)[0] == list(range(1, 17))
