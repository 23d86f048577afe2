"""Requests through a rate limiter, in simulated time."""

from collections.abc import Mapping

import httpx

from pipelines.http.rate_limiter import RateLimiter
from tests.support.limited_api import (
    clock,
    in_simulated_time,
)


async def request(
    rate_limiter: RateLimiter, headers: Mapping[str, str], *, status: int = 200
) -> float:
    """One request and its answer, at once; the time at which it went."""
    async with rate_limiter.acquire():
        sent_at = clock()
        answer_headers = httpx.Headers(headers)  # names in any case, as on the wire
        rate_limiter.answered(status, answer_headers)
    return sent_at


def wait_after(*headers: Mapping[str, str], status: int = 200) -> float:
    """Seconds between the last of these answers and the next request."""

    async def scenario() -> float:
        rate_limiter = RateLimiter(60, clock=clock)
        for answer_headers in headers:
            await request(rate_limiter, answer_headers, status=status)
        answered_at = clock()
        return await request(rate_limiter, {}) - answered_at

    return in_simulated_time(scenario())
