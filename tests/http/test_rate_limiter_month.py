"""The rate limiter and the budget of a month."""

import asyncio
import random

import pytest

from pipelines.errors import QuotaSpentError
from pipelines.http.rate_limit_headers import Quota
from pipelines.http.rate_limiter import RateLimiter
from tests.support.limited_api import (
    clock,
    in_simulated_time,
)
from tests.support.limiter import request

MONTH = {"X-RateLimit-Limit": "10000", "X-RateLimit-Remaining": "9000"}


def month_left(left: int) -> dict[str, str]:
    return {"ratelimit-limit-month": "10000", "ratelimit-remaining-month": str(left)}


def test_what_was_announced_last_is_known() -> None:
    async def scenario() -> list[Quota]:
        rate_limiter = RateLimiter(60, monthly_reserve=0, clock=clock)
        quotas = [rate_limiter.quota]
        minute = {"RateLimit-Limit": "300, 300;w=60", "RateLimit-Remaining": "299"}
        for headers in ({**minute, **MONTH}, {}, month_left(8998)):
            await request(rate_limiter, headers)
            quotas.append(rate_limiter.quota)
        return quotas

    nothing, first, unchanged, last = in_simulated_time(scenario())
    assert nothing.as_json() == {}
    assert first == unchanged == Quota(300, 299, 10_000, 9000)
    assert last == Quota(300, 299, 10_000, 8998)
    assert first.as_json()["month_remaining"] == 9000


def test_an_api_without_a_month_means_its_minute_by_the_same_headers() -> None:
    async def scenario() -> Quota:
        rate_limiter = RateLimiter(60, clock=clock)
        await request(rate_limiter, {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0"})
        return rate_limiter.quota

    assert in_simulated_time(scenario()) == Quota(60, 0)


@pytest.mark.parametrize("reserve", [0, 100])
def test_the_month_is_used_down_to_its_reserve_and_not_one_call_further(reserve: int) -> None:
    chance = random.Random(3)  # noqa: S311
    left = 250

    async def scenario() -> list[BaseException | None]:
        rate_limiter = RateLimiter(
            6000, monthly_reserve=reserve, reserve_setting="MONTHLY_RESERVE", clock=clock
        )

        async def work() -> None:
            nonlocal left
            while True:
                async with rate_limiter.acquire():
                    await asyncio.sleep(chance.random())
                    left -= 1
                    announced = month_left(left)
                    await asyncio.sleep(chance.random())  # answers come in any order
                    rate_limiter.answered(200, announced)

        workers = [asyncio.create_task(work()) for _ in range(16)]
        await asyncio.wait(workers)
        return [worker.exception() for worker in workers]

    failures = in_simulated_time(scenario())
    assert left == reserve
    assert {type(failure) for failure in failures} == {QuotaSpentError}
    message = str(failures[0])
    assert f"{reserve} of 10000 left, {reserve} kept in reserve" in message
    assert "(MONTHLY_RESERVE)" in message
    assert "next month" in message


def test_a_month_that_is_refused_says_when_it_resumes_if_the_api_does() -> None:
    async def scenario() -> None:
        rate_limiter = RateLimiter(60, monthly_reserve=0, clock=clock)
        await request(rate_limiter, {**month_left(0), "Retry-After": "216000"}, status=429)
        await request(rate_limiter, {})

    with pytest.raises(
        QuotaSpentError, match=r"^the month.*: 0 of 10000 left.*resumes 2026-12-01 00:00:58"
    ):
        in_simulated_time(scenario())


def test_a_new_month_brings_a_new_budget() -> None:
    async def scenario() -> int | None:
        rate_limiter = RateLimiter(60, monthly_reserve=5, clock=clock)
        for left in (7, 6, 9999):
            await request(rate_limiter, month_left(left))
        return rate_limiter.quota.month_remaining

    assert in_simulated_time(scenario()) == 9999
