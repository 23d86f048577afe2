"""Work a few steps ahead of its results: order, width, and what is left behind when it fails."""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ingest.concurrency import map_ordered, prefetch

Result = TypeVar("Result")
Step = int | Coroutine[Any, Any, int]


def run(scenario: Coroutine[Any, Any, Result]) -> Result:
    """Run to the end; whatever is left unawaited or unretrieved on the way is a failure."""
    complaints: list[str] = []

    async def watched() -> Result:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: complaints.append(context["message"]))
        result = await scenario
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    result = asyncio.run(watched())
    gc.collect()
    assert complaints == []
    return result


async def turns(count: int) -> None:
    """Let all others run so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def stream(steps: Sequence[Step]) -> AsyncIterator[Step]:
    for step in steps:
        yield step


async def read_to_failure(steps: AsyncIterator[Step]) -> tuple[list[int], str]:
    """Results up to the failure, and its message."""
    results: list[int] = []
    try:
        async for one in map_ordered(steps, 5):
            results.append(one)  # noqa: PERF401 - what came before the failure counts
    except ValueError as failure:
        return results, str(failure)
    return results, "none"


class Work:
    """Steps that last some turns of the loop, watched while they are under way."""

    def __init__(self) -> None:
        self.under_way = self.most = 0
        self.begun: list[int] = []
        self.cancelled: list[int] = []

    async def step(self, number: int, lasts: int, error: Exception | None = None) -> int:
        self.begun.append(number)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await turns(lasts)
            if error:
                raise error
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        finally:
            self.under_way -= 1
        return number


@given(st.lists(st.none() | st.integers(0, 9), max_size=100), st.integers(1, 5))
def test_results_come_in_the_order_of_the_stream_and_never_too_many_are_under_way(
    lasting: list[int | None], width: int
) -> None:
    async def scenario() -> tuple[list[int], int]:
        work = Work()
        steps = [
            number if lasts is None else work.step(number, lasts)
            for number, lasts in enumerate(lasting)
        ]
        return [one async for one in map_ordered(stream(steps), width)], work.most

    results, most = asyncio.run(scenario())
    assert results == list(range(len(lasting)))
    assert most <= width


def test_as_many_are_under_way_as_may_be() -> None:
    async def scenario() -> int:
        work = Work()
        steps = [work.step(number, 5) for number in range(20)]
        assert [one async for one in map_ordered(stream(steps), 4)] == list(range(20))
        return work.most

    assert run(scenario()) == 4


def test_the_stream_goes_on_while_the_first_result_is_waited_for() -> None:
    async def scenario() -> list[int]:
        first_may_end = asyncio.Event()

        async def waits() -> int:
            await first_may_end.wait()
            return 0

        async def steps() -> AsyncIterator[Step]:
            yield waits()
            yield 1
            first_may_end.set()
            yield 2

        return [one async for one in map_ordered(steps(), 2)]

    assert run(scenario()) == [0, 1, 2]


def test_a_stream_of_plain_results_is_not_read_far_ahead() -> None:
    async def scenario() -> int:
        read = 0

        async def steps() -> AsyncIterator[Step]:
            nonlocal read
            yield Work().step(0, 200)
            for number in range(1, 10_000):
                read = number
                yield number

        async with aclosing(map_ordered(steps(), 16)) as results:
            assert await anext(results) == 0
        return read

    assert run(scenario()) < 100


def test_a_step_that_fails_ends_the_work_after_the_results_before_it() -> None:
    async def scenario() -> tuple[tuple[list[int], str], Work]:
        work = Work()
        steps = [
            work.step(0, 5),
            work.step(1, 1, ValueError("one")),
            work.step(2, 99),
            work.step(3, 0, ValueError("three")),
            work.step(4, 99),
        ]
        return await read_to_failure(stream(steps)), work

    (results, failure), work = run(scenario())
    assert results == [0]
    assert failure == "one"
    assert work.cancelled == [2, 4]
    assert work.under_way == 0


def test_a_stream_that_fails_gives_the_results_before_it_first() -> None:
    async def scenario() -> tuple[list[int], str]:
        work = Work()

        async def steps() -> AsyncIterator[Step]:
            for number in range(3):
                yield work.step(number, 9)
            raise ValueError("the stream")

        return await read_to_failure(steps())

    assert run(scenario()) == ([0, 1, 2], "the stream")


def test_a_step_that_fails_is_reported_and_not_the_stream_that_fails_behind_it() -> None:
    async def scenario() -> tuple[list[int], str]:
        async def steps() -> AsyncIterator[Step]:
            yield Work().step(0, 9, ValueError("the step"))
            raise ValueError("the stream")

        return await read_to_failure(steps())

    assert run(scenario()) == ([], "the step")


def test_who_stops_reading_stops_the_work_and_closes_the_stream() -> None:
    async def scenario() -> tuple[Work, bool]:
        work = Work()
        is_closed = False

        async def steps() -> AsyncIterator[Step]:
            nonlocal is_closed
            try:
                yield work.step(0, 1)
                for number in range(1, 10):
                    yield work.step(number, 99)
            finally:
                is_closed = True

        async with aclosing(map_ordered(steps(), 3)) as results:
            assert await anext(results) == 0
        return work, is_closed

    work, is_closed = run(scenario())
    assert is_closed
    assert work.cancelled == work.begun[1:]


def test_a_failure_closes_the_stream_too() -> None:
    async def scenario() -> bool:
        is_closed = False

        async def steps() -> AsyncIterator[Step]:
            nonlocal is_closed
            try:
                yield Work().step(0, 0, ValueError("zero"))
                yield Work().step(1, 0)
            finally:
                is_closed = True

        with pytest.raises(ValueError, match="zero"):
            assert [one async for one in map_ordered(steps(), 1)] == []
        return is_closed

    assert run(scenario())


@pytest.mark.parametrize("turns_before", [0, 1, 2, 3, 5, 8])
def test_who_is_cancelled_leaves_nothing_under_way(turns_before: int) -> None:
    async def scenario() -> Work:
        work = Work()

        async def read() -> None:
            async for _ in map_ordered(stream([work.step(number, 50) for number in range(3)]), 3):
                pass

        reading = asyncio.create_task(read())
        await turns(turns_before + 5)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        return work

    work = run(scenario())
    assert work.under_way == 0
    assert work.cancelled == work.begun == [0, 1, 2]


def test_a_step_that_was_not_begun_when_the_work_failed_never_begins() -> None:
    async def scenario() -> list[int]:
        work = Work()
        steps = [work.step(0, 0, ValueError("zero")), work.step(1, 0)]
        with pytest.raises(ValueError, match="zero"):
            assert [one async for one in map_ordered(stream(steps), 1)] == []
        steps[1].close()
        return work.begun

    assert run(scenario()) == [0]


# --- one ahead ------------------------------------------------------------------------------


def test_what_comes_next_is_under_way_while_a_page_is_worked_on() -> None:
    async def scenario() -> list[tuple[int, int]]:
        begun = 0

        async def pages() -> AsyncGenerator[int, None]:
            nonlocal begun
            for number in range(4):
                begun = number
                await turns(1)
                yield number

        values = []
        async for page in prefetch(pages()):
            await turns(5)
            values.append((page, begun))
        return values

    assert run(scenario()) == [(0, 1), (1, 2), (2, 3), (3, 3)]


def test_a_page_that_fails_does_so_after_those_before_it() -> None:
    async def scenario() -> list[int]:
        async def pages() -> AsyncGenerator[int, None]:
            yield 0
            yield 1
            raise ValueError("the third")

        ahead = prefetch(pages())
        values = [await anext(ahead), await anext(ahead)]
        await turns(5)
        with pytest.raises(ValueError, match="the third"):
            await anext(ahead)
        return values

    assert run(scenario()) == [0, 1]


def test_who_stops_reading_pages_leaves_none_under_way() -> None:
    async def scenario() -> list[str]:
        values = []

        async def pages() -> AsyncGenerator[int, None]:
            try:
                yield 0
                values.append("asks")
                await turns(99)
                values.append("is given")
                yield 1
            finally:
                values.append("is closed")

        async with aclosing(prefetch(pages())) as ahead:
            assert await anext(ahead) == 0
            await turns(3)
        return values

    assert run(scenario()) == ["asks", "is closed"]


@pytest.mark.parametrize("ahead", [map_ordered, prefetch])
def test_who_is_cancelled_while_the_work_is_being_closed_closes_the_stream_too(
    ahead: Any,
) -> None:
    async def scenario() -> list[str]:
        events: list[str] = []
        is_ending = asyncio.Event()

        async def slow_to_end() -> int:
            try:
                await asyncio.Event().wait()
            finally:
                is_ending.set()
                await turns(5)
            return 1

        async def quick() -> int:
            return 0

        async def stream() -> AsyncGenerator[Any, None]:
            try:
                if ahead is prefetch:
                    yield 0
                    await slow_to_end()
                yield quick()
                yield slow_to_end()
                await turns(2)
                yield 2
            finally:
                events.append("is closed")

        async def read_one() -> None:
            arguments = (stream(), 5) if ahead is map_ordered else (stream(),)
            async with aclosing(ahead(*arguments)) as results:
                assert await anext(results) == 0
                await turns(3)

        reading = asyncio.create_task(read_one())
        await is_ending.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        # not only once the loop ends
        return list(events)

    assert run(scenario()) == ["is closed"]
