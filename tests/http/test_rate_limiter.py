"""The rate limiter against simulated APIs, hour after hour, one process or several."""

import asyncio
import math
from collections.abc import Callable

import pytest

from pipelines.http.leases import Rules, Share
from pipelines.http.limit_store import MemoryStore
from pipelines.http.rate_limiter import RateLimiter
from pipelines.http.rate_limits import RateLimits
from tests.support.limited_api import (
    LIMITS,
    STARTED_AT,
    Api,
    FixedWindow,
    Headers,
    as_laravel,
    as_nothing,
    as_postman,
    clock,
    in_simulated_time,
    simulate,
    used,
)
from tests.support.limiter import request


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_used_up_and_hardly_ever_met(name: str) -> None:
    api = LIMITS[name]()
    simulate(api, ceiling=api.window.limit)
    assert api.refused <= 2
    assert api.sent_into_refusal == 0
    assert used(api) >= 0.97


def test_answers_that_come_slowly_and_in_any_order_do_not_keep_a_limit_from_being_used() -> None:
    # Four at a time take nearly a window for its requests: many are answered in the next one.
    api = Api(FixedWindow(60), latency=(0.1, 3.5))
    simulate(api, workers=4)
    assert api.refused == 0
    assert used(api) >= 0.95


@pytest.mark.parametrize("announces", [as_postman, as_laravel])
def test_an_announced_limit_counts_and_not_the_setting(announces: Headers) -> None:
    for ceiling in (10, 1000):
        api = Api(FixedWindow(20), announces)
        simulate(api, ceiling=ceiling)
        assert api.refused == 0
        assert used(api) >= 0.97


def test_a_limit_below_the_setting_is_found_where_nothing_announces_it() -> None:
    api = Api(FixedWindow(25), as_nothing)
    simulate(api, ceiling=30, hours=2)
    assert 1 <= api.refused <= 3
    assert used(api, hours=2) >= 0.97


def test_a_limit_below_the_setting_is_found_though_no_wait_is_announced() -> None:
    api = Api(FixedWindow(25), as_nothing, announces_wait=False)
    simulate(api, ceiling=30, hours=2)
    assert 1 <= api.refused <= 3
    assert used(api, hours=2) >= 0.97


@pytest.mark.parametrize("rounded", [math.ceil, math.floor])
def test_a_key_that_others_use_too_is_shared_with_few_refusals(
    rounded: Callable[[float], float],
) -> None:
    api = Api(FixedWindow(60), rounded=rounded)
    simulate(api, others=20)
    assert api.refused <= 3
    assert api.sent_into_refusal == 0
    assert used(api) >= 0.97


def test_a_limit_that_others_have_used_up_leaves_the_ceiling_as_it_was() -> None:
    api = Api(FixedWindow(40), as_nothing)
    for _ in range(api.window.limit):
        api.window.spend(STARTED_AT.timestamp())
    simulate(api, ceiling=40)
    assert api.refused == 1
    assert used(api) >= 0.97


SHARED_LIMITS = (
    "a minute by the clock",
    "from the first request, rounded down",
    "fewer than may be under way",
    "any sixty seconds, rounded down",
    "nothing announced",
    "no reset announced",
)


@pytest.mark.parametrize("name", SHARED_LIMITS)
def test_processes_that_ask_at_once_share_a_limit_as_if_they_were_one(
    name: str,
) -> None:
    api = LIMITS[name]()
    simulate(api, ceiling=api.window.limit, stores=[MemoryStore()] * 3)
    assert api.refused <= 2
    assert api.sent_into_refusal == 0
    assert used(api) >= 0.97


def test_a_process_goes_on_in_the_minute_of_the_one_before() -> None:
    store = MemoryStore()

    async def scenario() -> float:
        for _ in range(3):
            rate_limiter = RateLimiter(9, store=store, clock=clock)
            for _ in range(3):
                await request(rate_limiter, {})
            await rate_limiter.close()
        began_at = clock()
        await request(RateLimiter(9, store=store, clock=clock), {})
        return clock() - began_at

    assert in_simulated_time(scenario()) == pytest.approx(61, abs=0.25)


def test_the_announced_limit_is_known_to_the_next_process() -> None:
    store = MemoryStore()

    async def scenario() -> float:
        headers = {"RateLimit-Limit": "40", "RateLimit-Remaining": "30", "RateLimit-Reset": "60"}
        first = RateLimiter(9, store=store, clock=clock)
        for _ in range(20):
            await request(first, headers)
        await first.close()
        began_at = clock()
        return await request(RateLimiter(9, store=store, clock=clock), headers) - began_at

    assert in_simulated_time(scenario()) == 0


def test_what_a_refusal_announced_counts_for_the_next_process() -> None:
    store = MemoryStore()

    async def scenario() -> float:
        first = RateLimiter(60, store=store, clock=clock)
        refused_at = await request(first, {"Retry-After": "20"}, status=429)
        await first.close()
        next_one = RateLimiter(60, store=store, clock=clock)
        return await request(next_one, {}) - refused_at

    assert in_simulated_time(scenario()) == pytest.approx(21)


def test_permits_of_a_killed_process_count_as_used_and_then_no_more() -> None:
    store = MemoryStore()

    async def scenario() -> float:
        killed = RateLimiter(30, store=store, clock=clock)
        for _ in range(3):
            await request(killed, {})
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        other = RateLimiter(30, store=store, clock=clock)
        began_at = clock()
        for _ in range(30):
            sent_at = await request(other, {})
        return sent_at - began_at

    # Some of its permits may have been used unseen: the minute is waited for, and no more.
    assert in_simulated_time(scenario()) == pytest.approx(61, abs=1)


def test_requests_of_a_killed_process_are_in_flight_until_no_answer_can_come() -> None:
    window = RateLimits(
        must_probe=False,
        window_remaining=4,
        window_resets_at=9e9,
        shares={"killed": Share(0, 4, 0)},
    )
    permits = [window.room(Rules(60), "other", 0, 16, now).permits for now in (0, 149, 151)]
    assert permits == [0, 0, 4]


def test_what_a_process_holds_and_does_not_use_is_the_others_within_seconds() -> None:
    store = MemoryStore()
    window = {"RateLimit-Limit": "16", "RateLimit-Remaining": "15", "RateLimit-Reset": "60"}

    async def scenario() -> float:
        idle = RateLimiter(9, store=store, clock=clock)
        await request(idle, window)
        await request(idle, {**window, "RateLimit-Remaining": "14"})
        busy = RateLimiter(9, store=store, clock=clock)
        began_at = clock()
        for left in range(13, -1, -1):
            sent_at = await request(busy, {**window, "RateLimit-Remaining": str(left)})
        return sent_at - began_at

    assert in_simulated_time(scenario()) <= 3


def test_what_refusals_taught_is_kept_for_a_day() -> None:
    store = MemoryStore()
    api = Api(FixedWindow(25), as_nothing)
    simulate(api, ceiling=30, hours=2, stores=[store])
    refused = api.refused
    assert 1 <= refused <= 3
    simulate(api, ceiling=30, after_hours=3, stores=[store])
    assert api.refused == refused
    simulate(api, ceiling=30, after_hours=30, stores=[store])
    assert api.refused > refused
