"""Work on a stream a few steps ahead, results in the stream's order; or one step ahead of it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextvars import copy_context
from typing import Any, Generic, TypeVar, cast

from pipelines.http.memory import TURN, Turn

Result = TypeVar("Result")

# Results that need no waiting are cheap, but not free to keep.
_MOST_AHEAD = 64


async def map_ordered(
    steps: AsyncIterator[Result | Coroutine[Any, Any, Result]], width: int
) -> AsyncGenerator[Result, None]:
    """Each step's result in the order of the stream; at most `width` coroutines are under way.

    The stream is read ahead of the results, so what it does itself (fetching the next page)
    goes on beside them. A step that raises ends it; what is under way behind it is cancelled.
    When the stream itself raises, the results before that are given first. However it ends, nothing
    is left under way, and the stream is closed.
    """
    ahead: deque[Result | _Step[Result]] = deque()
    running = 0
    failure: Exception | None = None
    try:
        while True:
            try:
                step = await anext(steps)
            except StopAsyncIteration:
                break
            except Exception as error:  # noqa: BLE001 - raised again below
                failure = error
                break
            if asyncio.iscoroutine(step):
                ahead.append(_Step(step))
                running += 1
            else:
                ahead.append(step)
            while ahead and (running >= width or len(ahead) >= _MOST_AHEAD or _is_ready(ahead[0])):
                running -= isinstance(ahead[0], _Step)
                yield await _result(ahead.popleft())
        while ahead:
            yield await _result(ahead.popleft())
        if failure is not None:
            raise failure
    finally:
        tasks = [step.task for step in ahead if isinstance(step, _Step)]
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:  # even if this is cancelled meanwhile
            if isinstance(steps, AsyncGenerator):
                await steps.aclose()


class _Step(Generic[Result]):
    """A coroutine under way; it knows its turn, for which a large answer waits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Result]) -> None:
        self.turn = Turn()
        context = copy_context()
        context.run(TURN.set, self.turn)
        self.task = asyncio.create_task(coroutine, context=context)


def _is_ready(first: object) -> bool:
    return not isinstance(first, _Step) or first.task.done()


async def _result(first: Result | _Step[Result]) -> Result:
    """The result of the first step, whose turn it is: all before it have been taken."""
    if not isinstance(first, _Step):
        return first
    first.turn.comes.set()
    return await first.task


async def prefetch(stream: AsyncGenerator[Result, None]) -> AsyncGenerator[Result, None]:
    """What the stream gives, while it works on what comes next.

    When it raises, what it gave before is given first. However this ends, the stream is closed.
    """
    following = asyncio.create_task(_next(stream))
    try:
        while (item := await following) is not _END:
            following = asyncio.create_task(_next(stream))
            yield cast("Result", item)
    finally:
        following.cancel()
        try:
            await asyncio.gather(following, return_exceptions=True)
        finally:  # even if this is cancelled meanwhile
            await stream.aclose()


_END = object()


async def _next(stream: AsyncGenerator[Result, None]) -> Result | object:
    # A task cannot raise StopAsyncIteration through itself as an iterator does.
    return await anext(stream, _END)
