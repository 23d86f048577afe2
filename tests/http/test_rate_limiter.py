"""The rate limiter against simulated APIs, hour after hour, and against single answers."""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import QuotaSpentError
from pipelines.http.leases import Rules, Share
from pipelines.http.limit_store import MemoryStore
from pipelines.http.rate_limit_headers import Quota
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


def test_a_limit_below_the_setting_is_found_though_no_wait_is_told() -> None:
    api = Api(FixedWindow(25), as_nothing, tells_wait=False)
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


# --- several processes ----------------------------------------------------------------------

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

    async def story() -> float:
        for _ in range(3):
            rate_limiter = RateLimiter(9, store=store, clock=clock)
            for _ in range(3):
                await ask(rate_limiter, {})
            await rate_limiter.close()
        began_at = clock()
        await ask(RateLimiter(9, store=store, clock=clock), {})
        return clock() - began_at

    assert in_simulated_time(story()) == pytest.approx(61, abs=0.25)


def test_the_announced_limit_is_known_to_the_next_process() -> None:
    store = MemoryStore()

    async def story() -> float:
        told = {"RateLimit-Limit": "40", "RateLimit-Remaining": "30", "RateLimit-Reset": "60"}
        first = RateLimiter(9, store=store, clock=clock)
        for _ in range(20):
            await ask(first, told)
        await first.close()
        began_at = clock()
        return await ask(RateLimiter(9, store=store, clock=clock), told) - began_at

    assert in_simulated_time(story()) == 0


def test_what_a_refusal_told_counts_for_the_next_process() -> None:
    store = MemoryStore()

    async def story() -> float:
        first = RateLimiter(60, store=store, clock=clock)
        refused_at = await ask(first, {"Retry-After": "20"}, status=429)
        await first.close()
        next_one = RateLimiter(60, store=store, clock=clock)
        return await ask(next_one, {}) - refused_at

    assert in_simulated_time(story()) == pytest.approx(21)


def test_permits_of_a_killed_process_count_as_used_and_then_no_more() -> None:
    store = MemoryStore()

    async def story() -> float:
        killed = RateLimiter(30, store=store, clock=clock)
        for _ in range(3):
            await ask(killed, {})
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        other = RateLimiter(30, store=store, clock=clock)
        began_at = clock()
        for _ in range(30):
            sent_at = await ask(other, {})
        return sent_at - began_at

    # Some of its permits may have been used unseen: the minute is waited for, and no more.
    assert in_simulated_time(story()) == pytest.approx(61, abs=1)


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

    async def story() -> float:
        idle = RateLimiter(9, store=store, clock=clock)
        await ask(idle, window)
        await ask(idle, {**window, "RateLimit-Remaining": "14"})
        busy = RateLimiter(9, store=store, clock=clock)
        began_at = clock()
        for left in range(13, -1, -1):
            sent_at = await ask(busy, {**window, "RateLimit-Remaining": str(left)})
        return sent_at - began_at

    assert in_simulated_time(story()) <= 3


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


# --- single answers -------------------------------------------------------------------------


async def ask(rate_limiter: RateLimiter, headers: Mapping[str, str], *, status: int = 200) -> float:
    """One request and its answer, at once; the time at which it went."""
    async with rate_limiter.acquire():
        sent_at = clock()
        told = httpx.Headers(headers)  # names in any case, as on the wire
        rate_limiter.answered(status, told)
    return sent_at


def wait_after(*headers: Mapping[str, str], status: int = 200) -> float:
    """Seconds between the last of these answers and the next request."""

    async def story() -> float:
        rate_limiter = RateLimiter(60, clock=clock)
        for told in headers:
            await ask(rate_limiter, told, status=status)
        answered_at = clock()
        return await ask(rate_limiter, {}) - answered_at

    return in_simulated_time(story())


def test_a_program_that_gets_no_answers_goes_on_asking() -> None:
    async def story() -> float:
        rate_limiter = RateLimiter(60, clock=clock)
        for _ in range(5):
            with pytest.raises(ConnectionError):
                async with rate_limiter.acquire():
                    raise ConnectionError
        return asyncio.get_running_loop().time()

    assert in_simulated_time(story()) == 0


@pytest.mark.parametrize("pause", [0.5, 1.5, 2.5, 4, 10])
def test_a_program_that_gets_no_answers_waits_as_long_as_it_means_to(pause: float) -> None:
    async def story() -> float:
        rate_limiter = RateLimiter(60, clock=clock)
        for _ in range(5):
            with pytest.raises(ConnectionError):
                async with rate_limiter.acquire():
                    raise ConnectionError
            await asyncio.sleep(pause)
        return asyncio.get_running_loop().time()

    assert in_simulated_time(story()) == 5 * pause


def test_one_request_goes_first_and_its_answer_opens_the_rest() -> None:
    async def story() -> list[int]:
        rate_limiter = RateLimiter(600, clock=clock)
        under_way, seen = 0, []

        async def work(seconds: float) -> None:
            nonlocal under_way
            async with rate_limiter.acquire():
                under_way += 1
                seen.append(under_way)
                await asyncio.sleep(seconds)
                rate_limiter.answered(200, {"ratelimit-remaining": "500", "ratelimit-reset": "30"})
                under_way -= 1

        await asyncio.gather(*(work(1) for _ in range(4)))
        await asyncio.gather(*(work(1) for _ in range(2)))
        return seen

    assert in_simulated_time(story()) == [1, 1, 2, 3, 1, 2]


def test_after_a_pause_one_request_goes_first_again() -> None:
    async def story() -> list[int]:
        rate_limiter = RateLimiter(600, clock=clock)
        under_way, seen = 0, []

        async def work(seconds: float) -> None:
            nonlocal under_way
            async with rate_limiter.acquire():
                under_way += 1
                seen.append(under_way)
                await asyncio.sleep(seconds)
                told = {"ratelimit-limit": "3", "ratelimit-remaining": "99"}
                rate_limiter.answered(200, {**told, "ratelimit-reset": "250"})
                under_way -= 1

        await asyncio.gather(*(work(1) for _ in range(3)))
        # By the ceiling one may go 61 seconds after the first, the others a second later; but what
        # was announced a minute ago may be the others' by now.
        await asyncio.gather(*(work(9) for _ in range(3)))
        return seen

    assert in_simulated_time(story()) == [1, 1, 2, 1, 1, 2]


def test_no_more_is_under_way_than_the_window_has_left() -> None:
    async def story() -> int:
        rate_limiter = RateLimiter(600, clock=clock)
        under_way = most = 0

        async def work() -> None:
            nonlocal under_way, most
            async with rate_limiter.acquire():
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(1)
                left = {"ratelimit-limit": "300", "ratelimit-remaining": "4"}
                rate_limiter.answered(200, {**left, "ratelimit-reset": "30"})
                under_way -= 1

        await asyncio.gather(*(work() for _ in range(9)))
        return most

    assert in_simulated_time(story()) == 4


SPELLINGS = {
    "RetryAfter": ({"RetryAfter": "17"}, 17),
    "X-RateLimit-RetryAfter": ({"X-RateLimit-RetryAfter": "17"}, 17),
    "Retry-After": ({"Retry-After": "17"}, 17),
    "a fraction": ({"Retry-After": "0.5"}, 0.5),
    "Retry-After as a date": (
        {"Retry-After": format_datetime(STARTED_AT + timedelta(seconds=17), usegmt=True)},
        17,
    ),
    "an epoch": ({"Retry-After": str(int(STARTED_AT.timestamp()) + 17)}, 17),
    "a date that is past": ({"Retry-After": "Sat, 28 Nov 2020 12:01:14 GMT"}, 0),
    "a negative number": ({"Retry-After": "-5"}, 0),
    "nothing": ({}, 60),
    "no number and no date": ({"Retry-After": "soon"}, 60),
    "not a number": ({"Retry-After": "nan"}, 60),
    "no end": ({"Retry-After": "inf"}, 60),
    "beyond the calendar": ({"Retry-After": "9" * 18}, 60),
    "one unreadable, one not": ({"RetryAfter": "?", "Retry-After": "17"}, 17),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_refusal_is_waited_out_and_a_second_more_however_the_wait_is_spelled(
    spelling: str,
) -> None:
    headers, seconds = SPELLINGS[spelling]
    assert wait_after(headers, status=429) == pytest.approx(seconds + 1)


def test_a_date_without_a_zone_is_in_utc_wherever_we_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        waited = wait_after({"Retry-After": "Sat, 28 Nov 2026 12:01:14"}, status=429)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert waited == pytest.approx(18)


RESETS = {
    "seconds": ("30", 30),
    "an epoch": (str(int(STARTED_AT.timestamp()) + 30), 30),
    "an epoch that is past": (str(int(STARTED_AT.timestamp()) - 5), 0),
    "nothing that can be read": ("soon", 60),
}


@pytest.mark.parametrize("spelling", RESETS)
def test_a_spent_window_is_waited_out_however_its_reset_is_spelled(spelling: str) -> None:
    reset, seconds = RESETS[spelling]
    spent = {"RateLimit-Limit": "9", "RateLimit-Remaining": "0", "RateLimit-Reset": reset}
    assert wait_after(spent) == pytest.approx(seconds)


def test_after_a_refusal_a_reset_is_taken_to_be_told_a_second_early() -> None:
    async def story() -> float:
        rate_limiter = RateLimiter(60, clock=clock)
        spent = {"RateLimit-Limit": "9", "RateLimit-Remaining": "0", "RateLimit-Reset": "30"}
        await ask(rate_limiter, {**spent, "Retry-After": "5"}, status=429)
        answered_at = await ask(rate_limiter, spent)
        return await ask(rate_limiter, {}) - answered_at

    assert in_simulated_time(story()) == pytest.approx(31)


def test_a_late_answer_of_the_window_before_changes_nothing() -> None:
    new = {"RateLimit-Limit": "9", "RateLimit-Remaining": "8", "RateLimit-Reset": "60"}
    old = {"RateLimit-Limit": "9", "RateLimit-Remaining": "0", "RateLimit-Reset": "1"}
    assert wait_after(new, old) == 0


def test_an_answer_of_the_next_window_opens_it() -> None:
    old = {"RateLimit-Limit": "9", "RateLimit-Remaining": "1", "RateLimit-Reset": "1"}
    new = {"RateLimit-Limit": "9", "RateLimit-Remaining": "8", "RateLimit-Reset": "60"}
    assert wait_after(old, new) == 0


def test_a_limit_of_minus_one_is_none() -> None:
    assert wait_after({"RateLimit-Limit": "-1", "RateLimit-Remaining": "-1"}) == 0


def test_the_longest_wait_is_waited_and_a_longer_one_is_not() -> None:
    assert wait_after({"Retry-After": "299"}, status=429) == pytest.approx(300)
    with pytest.raises(QuotaSpentError, match="resumes 2026-11-28 12:05:58 UTC"):
        wait_after({"Retry-After": "300"}, status=429)
    with pytest.raises(QuotaSpentError, match="resumes 2026-11-29 12:00:57 UTC"):
        wait_after({"RateLimit-Remaining": "0", "RateLimit-Reset": "86400"})


def test_who_waits_for_the_quota_is_told_and_the_wait_is_counted() -> None:
    told: list[float] = []

    async def story() -> float:
        rate_limiter = RateLimiter(60, clock=clock, waits=told.append)
        await ask(rate_limiter, {"Retry-After": "20"}, status=429)
        await ask(rate_limiter, {})
        return rate_limiter.waited_seconds

    assert in_simulated_time(story()) == pytest.approx(21)
    assert told == [pytest.approx(21)]


def test_a_wait_of_more_than_a_day_is_believed_for_a_day_and_then_probed() -> None:
    async def load(store: MemoryStore, seconds: int) -> float | str:
        """One load with a single request, which is refused again: when it went, or why not."""
        limiter = RateLimiter(60, store=store, clock=clock)
        try:
            return await ask(limiter, {"Retry-After": str(seconds)}, status=429)
        except QuotaSpentError as spent:
            return str(spent)
        finally:
            await limiter.close()

    async def story() -> list[float | str]:
        store = MemoryStore()
        outcomes = []
        for hours, seconds in ((0, 30 * 86_400), (23, 0), (2, 86_400), (1, 0)):
            await asyncio.sleep(hours * 3600)
            outcomes.append(await load(store, seconds))
        return outcomes

    first, too_early, probe, too_early_again = in_simulated_time(story())
    assert (first, probe) == (STARTED_AT.timestamp(), STARTED_AT.timestamp() + 25 * 3600)
    for outcome in (too_early, too_early_again):
        assert "resumes 2026-12-28 12:00:58 UTC" in str(outcome)  # as announced


ANY_HEADERS = st.dictionaries(
    st.sampled_from([
        "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy",
        "x-ratelimit-limit", "x-ratelimit-remaining", "ratelimit-remaining-month",
        "retryafter", "x-ratelimit-retryafter", "retry-after",
    ]),
    st.text() | st.integers().map(str) | st.floats().map(str) | st.datetimes().map(str)
    | st.from_regex(r"[0-9]{1,4};w=[0-9]{1,9}", fullmatch=True),
)  # fmt: skip


@settings(max_examples=50)
@given(st.lists(st.tuples(ANY_HEADERS, st.sampled_from([200, 429])), max_size=6))
def test_whatever_an_api_announces_a_request_goes_or_the_quota_is_spent(
    answers: list[tuple[dict[str, str], int]],
) -> None:
    async def story() -> None:
        rate_limiter = RateLimiter(60, monthly_reserve=0, clock=clock)
        for headers, status in answers:
            async with rate_limiter.acquire():
                rate_limiter.answered(status, headers)
            assert min(rate_limiter.quota.as_json().values(), default=0) >= 0

    with contextlib.suppress(QuotaSpentError):
        in_simulated_time(story())


# --- the month's budget ---------------------------------------------------------------------

MONTH = {"X-RateLimit-Limit": "10000", "X-RateLimit-Remaining": "9000"}


def month_left(left: int) -> dict[str, str]:
    return {"ratelimit-limit-month": "10000", "ratelimit-remaining-month": str(left)}


def test_what_was_announced_last_is_known() -> None:
    async def story() -> list[Quota]:
        rate_limiter = RateLimiter(60, monthly_reserve=0, clock=clock)
        quotas = [rate_limiter.quota]
        minute = {"RateLimit-Limit": "300, 300;w=60", "RateLimit-Remaining": "299"}
        for headers in ({**minute, **MONTH}, {}, month_left(8998)):
            await ask(rate_limiter, headers)
            quotas.append(rate_limiter.quota)
        return quotas

    nothing, first, unchanged, last = in_simulated_time(story())
    assert nothing.as_json() == {}
    assert first == unchanged == Quota(300, 299, 10_000, 9000)
    assert last == Quota(300, 299, 10_000, 8998)
    assert first.as_json()["month_remaining"] == 9000


def test_an_api_without_a_month_means_its_minute_by_the_same_headers() -> None:
    async def story() -> Quota:
        rate_limiter = RateLimiter(60, clock=clock)
        await ask(rate_limiter, {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0"})
        return rate_limiter.quota

    assert in_simulated_time(story()) == Quota(60, 0)


@pytest.mark.parametrize("reserve", [0, 100])
def test_the_month_is_used_down_to_its_reserve_and_not_one_call_further(reserve: int) -> None:
    chance = random.Random(3)  # noqa: S311
    left = 250

    async def story() -> list[BaseException | None]:
        rate_limiter = RateLimiter(6000, monthly_reserve=reserve, clock=clock)

        async def work() -> None:
            nonlocal left
            while True:
                async with rate_limiter.acquire():
                    await asyncio.sleep(chance.random())
                    left -= 1
                    told = month_left(left)
                    await asyncio.sleep(chance.random())  # answers come in any order
                    rate_limiter.answered(200, told)

        workers = [asyncio.create_task(work()) for _ in range(16)]
        await asyncio.wait(workers)
        return [worker.exception() for worker in workers]

    failures = in_simulated_time(story())
    assert left == reserve
    assert {type(failure) for failure in failures} == {QuotaSpentError}
    message = str(failures[0])
    assert f"{reserve} of 10000 left, {reserve} kept in reserve" in message
    assert "POSTMAN_MONTHLY_RESERVE" in message
    assert "next month" in message


def test_a_month_that_is_refused_says_when_it_resumes_if_the_api_does() -> None:
    async def story() -> None:
        rate_limiter = RateLimiter(60, monthly_reserve=0, clock=clock)
        await ask(rate_limiter, {**month_left(0), "Retry-After": "216000"}, status=429)
        await ask(rate_limiter, {})

    with pytest.raises(
        QuotaSpentError, match=r"^the month.*: 0 of 10000 left.*resumes 2026-12-01 00:00:58"
    ):
        in_simulated_time(story())


def test_a_new_month_brings_a_new_budget() -> None:
    async def story() -> int | None:
        rate_limiter = RateLimiter(60, monthly_reserve=5, clock=clock)
        for left in (7, 6, 9999):
            await ask(rate_limiter, month_left(left))
        return rate_limiter.quota.month_remaining

    assert in_simulated_time(story()) == 9999
