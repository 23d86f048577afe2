"""What a walk over a scripted list came to, whichever source's list it is."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from pipelines.errors import ApiError
from pipelines.sources.base import Page, Watermark


@dataclass(frozen=True)
class WalkResult:
    """IDs of the runs met, in order; the watermark of the last page; what ended it too early."""

    ids: list[Any]
    watermark: Watermark
    error: ApiError | None = None


def collect(
    pages: AsyncIterator[Page], begins_at: Watermark, goes_on: Callable[[], bool]
) -> WalkResult:
    """Read pages for as long as `goes_on`, to the end or until one fails."""

    async def walk() -> WalkResult:
        ids: list[Any] = []
        last = begins_at
        try:
            while goes_on() and (page := await anext(pages, None)) is not None:
                ids += [run["id"] for run in page.runs]
                last = page.watermark
        except ApiError as error:
            return WalkResult(ids, last, error)
        return WalkResult(ids, last)

    return asyncio.run(walk())
