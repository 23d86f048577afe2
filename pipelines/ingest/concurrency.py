"""Work on a stream a few steps ahead, results in the stream's order; or one step ahead of it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, TypeVar, cast

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
    ahead: deque[Result | asyncio.Task[Result]] = deque()
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
                ahead.append(asyncio.create_task(step))
                running += 1
            else:
                ahead.append(step)
            while ahead and (running >= width or len(ahead) >= _MOST_AHEAD or _is_ready(ahead[0])):
                running -= isinstance(ahead[0], asyncio.Task)
                yield await _result(ahead.popleft())
        while ahead:
            yield await _result(ahead.popleft())
        if failure is not None:
            raise failure
    finally:
        tasks = [step for step in ahead if isinstance(step, asyncio.Task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(steps, AsyncGenerator):
            await steps.aclose()


def _is_ready(first: object) -> bool:
    return not isinstance(first, asyncio.Task) or first.done()


async def _result(first: Result | asyncio.Task[Result]) -> Result:
    return await first if isinstance(first, asyncio.Task) else first


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
        await asyncio.gather(following, return_exceptions=True)
        await stream.aclose()


_END = object()


async def _next(stream: AsyncGenerator[Result, None]) -> Result | object:
    # A task cannot raise StopAsyncIteration through itself as an iterator does.
    return await anext(stream, _END)
