"""What the rate limiter makes of single answers: waits, resets, the first request."""

import asyncio
import contextlib
import time
from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import QuotaSpentError
from pipelines.http.limit_store import MemoryStore
from pipelines.http.rate_limiter import RateLimiter
from tests.support.limited_api import (
    STARTED_AT,
    clock,
    in_simulated_time,
)
from tests.support.limiter import request, wait_after


def test_a_program_that_gets_no_answers_goes_on_asking() -> None:
    async def scenario() -> float:
        rate_limiter = RateLimiter(60, clock=clock)
        for _ in range(5):
            with pytest.raises(ConnectionError):
                async with rate_limiter.acquire():
                    raise ConnectionError
        return asyncio.get_running_loop().time()

    assert in_simulated_time(scenario()) == 0


@pytest.mark.parametrize("pause", [0.5, 1.5, 2.5, 4, 10])
def test_a_program_that_gets_no_answers_waits_as_long_as_it_means_to(pause: float) -> None:
    async def scenario() -> float:
        rate_limiter = RateLimiter(60, clock=clock)
        for _ in range(5):
            with pytest.raises(ConnectionError):
                async with rate_limiter.acquire():
                    raise ConnectionError
            await asyncio.sleep(pause)
        return asyncio.get_running_loop().time()

    assert in_simulated_time(scenario()) == 5 * pause


def test_one_request_goes_first_and_its_answer_opens_the_rest() -> None:
    async def scenario() -> list[int]:
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

    assert in_simulated_time(scenario()) == [1, 1, 2, 3, 1, 2]


def test_after_a_pause_one_request_goes_first_again() -> None:
    async def scenario() -> list[int]:
        rate_limiter = RateLimiter(600, clock=clock)
        under_way, seen = 0, []

        async def work(seconds: float) -> None:
            nonlocal under_way
            async with rate_limiter.acquire():
                under_way += 1
                seen.append(under_way)
                await asyncio.sleep(seconds)
                announced = {"ratelimit-limit": "3", "ratelimit-remaining": "99"}
                rate_limiter.answered(200, {**announced, "ratelimit-reset": "250"})
                under_way -= 1

        await asyncio.gather(*(work(1) for _ in range(3)))
        # By the ceiling one may go 61 seconds after the first, the others a second later; but what
        # was announced a minute ago may be the others' by now.
        await asyncio.gather(*(work(9) for _ in range(3)))
        return seen

    assert in_simulated_time(scenario()) == [1, 1, 2, 1, 1, 2]


def test_no_more_is_under_way_than_the_window_has_left() -> None:
    async def scenario() -> int:
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

    assert in_simulated_time(scenario()) == 4


RETRY_AFTER_HEADERS = {
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


@pytest.mark.parametrize("header", RETRY_AFTER_HEADERS)
def test_a_refusal_is_waited_out_and_a_second_more_however_the_wait_is_written(
    header: str,
) -> None:
    headers, seconds = RETRY_AFTER_HEADERS[header]
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


@pytest.mark.parametrize("header", RESETS)
def test_a_spent_window_is_waited_out_however_its_reset_is_written(header: str) -> None:
    reset, seconds = RESETS[header]
    spent = {"RateLimit-Limit": "9", "RateLimit-Remaining": "0", "RateLimit-Reset": reset}
    assert wait_after(spent) == pytest.approx(seconds)


def test_after_a_refusal_a_reset_is_taken_to_be_announced_a_second_early() -> None:
    async def scenario() -> float:
        rate_limiter = RateLimiter(60, clock=clock)
        spent = {"RateLimit-Limit": "9", "RateLimit-Remaining": "0", "RateLimit-Reset": "30"}
        await request(rate_limiter, {**spent, "Retry-After": "5"}, status=429)
        answered_at = await request(rate_limiter, spent)
        return await request(rate_limiter, {}) - answered_at

    assert in_simulated_time(scenario()) == pytest.approx(31)


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


def test_who_waits_for_the_quota_is_notified_and_the_wait_is_counted() -> None:
    waits: list[float] = []

    async def scenario() -> float:
        rate_limiter = RateLimiter(60, clock=clock, waits=waits.append)
        await request(rate_limiter, {"Retry-After": "20"}, status=429)
        await request(rate_limiter, {})
        return rate_limiter.waited_seconds

    assert in_simulated_time(scenario()) == pytest.approx(21)
    assert waits == [pytest.approx(21)]


def test_a_wait_of_more_than_a_day_is_believed_for_a_day_and_then_probed() -> None:
    async def load(store: MemoryStore, seconds: int) -> float | str:
        """One load with a single request, which is refused again: when it went, or why not."""
        limiter = RateLimiter(60, store=store, clock=clock)
        try:
            return await request(limiter, {"Retry-After": str(seconds)}, status=429)
        except QuotaSpentError as spent:
            return str(spent)
        finally:
            await limiter.close()

    async def scenario() -> list[float | str]:
        store = MemoryStore()
        outcomes = []
        for hours, seconds in ((0, 30 * 86_400), (23, 0), (2, 86_400), (1, 0)):
            await asyncio.sleep(hours * 3600)
            outcomes.append(await load(store, seconds))
        return outcomes

    first, too_early, probe, too_early_again = in_simulated_time(scenario())
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
    async def scenario() -> None:
        rate_limiter = RateLimiter(60, monthly_reserve=0, clock=clock)
        for headers, status in answers:
            async with rate_limiter.acquire():
                rate_limiter.answered(status, headers)
            assert min(rate_limiter.quota.as_json().values(), default=0) >= 0

    with contextlib.suppress(QuotaSpentError):
        in_simulated_time(scenario())
