"""The pacer against simulated APIs, hour after hour, in a time that passes only when all wait."""

import asyncio
import contextlib
import math
import random
import selectors
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import QuotaSpentError, SettingsError
from pipelines.http.rate_limit_headers import Quota
from pipelines.http.rate_limiter import RateLimiter

Result = TypeVar("Result")

STARTED_AT = datetime(2026, 11, 28, 12, 0, 57, tzinfo=UTC)


class ToldSelector(selectors.SelectSelector):
    """Waits for nothing: where a loop would sleep, its time is moved on instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "everything waits for ever"
        self.now += timeout
        return []


class ToldLoop(asyncio.SelectorEventLoop):
    """An event loop whose hours pass at once."""

    def __init__(self) -> None:
        self.told = ToldSelector()
        super().__init__(self.told)

    def time(self) -> float:
        return self.told.now


def clock() -> float:
    return STARTED_AT.timestamp() + asyncio.get_running_loop().time()


def in_told_time(story: Coroutine[Any, Any, Result]) -> Result:
    with asyncio.Runner(loop_factory=ToldLoop) as runner:
        return runner.run(story)


# --- simulated APIs -------------------------------------------------------------------------


class Window(Protocol):
    """How an API counts: requests left now, one more of them, seconds until there are more."""

    limit: int
    seconds: int

    def left(self, now: float) -> int: ...
    def spend(self, now: float) -> None: ...
    def reset(self, now: float) -> float: ...


@dataclass
class FixedWindow:
    """So many requests from one reset to the next: at full minutes, or after the first request."""

    limit: int
    seconds: int = 60
    by_the_clock: bool = True
    used: int = 0
    ends_at: float = -math.inf

    def left(self, now: float) -> int:
        if now >= self.ends_at:
            begun_at = now // self.seconds * self.seconds if self.by_the_clock else now
            self.ends_at, self.used = begun_at + self.seconds, 0
        return self.limit - self.used

    def spend(self, now: float) -> None:
        assert self.left(now) > 0
        self.used += 1

    def reset(self, now: float) -> float:
        return self.ends_at - now


@dataclass
class SlidingWindow:
    """So many requests in any 60 seconds; the reset told is when the oldest falls out."""

    limit: int
    seconds: int = 60
    sent: deque[float] = field(default_factory=deque)

    def left(self, now: float) -> int:
        while self.sent and self.sent[0] <= now - self.seconds:
            self.sent.popleft()
        return self.limit - len(self.sent)

    def spend(self, now: float) -> None:
        assert self.left(now) > 0
        self.sent.append(now)

    def reset(self, now: float) -> float:
        return self.sent[0] + self.seconds - now


Headers = Callable[[Window, float, Callable[[float], float]], dict[str, str]]


def as_postman(window: Window, now: float, rounded: Callable[[float], float]) -> dict[str, str]:
    return {
        "ratelimit-limit": str(window.limit),
        "ratelimit-remaining": str(window.left(now)),
        "ratelimit-reset": str(rounded(window.reset(now))),
        "ratelimit-policy": f"{window.limit};w={window.seconds}",
    }


def as_epochs(window: Window, now: float, rounded: Callable[[float], float]) -> dict[str, str]:
    told = as_postman(window, now, rounded)
    return {**told, "ratelimit-reset": str(rounded(now + window.reset(now)))}


def as_laravel(window: Window, now: float, _: Callable[[float], float]) -> dict[str, str]:
    return {
        "x-ratelimit-limit": str(window.limit),
        "x-ratelimit-remaining": str(window.left(now)),
    }


def as_nothing(_window: Window, _now: float, _rounded: Callable[[float], float]) -> dict[str, str]:
    return {}


@dataclass
class Api:
    """An API as seen from afar: requests take time to arrive, and so do answers.

    `latency` is the range of seconds for each way; `lost` the share of answers that never come.
    """

    window: Window
    announces: Headers = as_postman
    rounded: Callable[[float], float] = math.ceil
    latency: tuple[float, float] = (0.05, 0.25)
    lost: float = 0.0
    tells_wait: bool = True
    accepted: int = 0
    accepted_of_others: int = 0
    refused: int = 0
    sent_into_refusal: int = 0
    _refuses_until: float = 0.0
    _chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311

    async def asked_by(self, rate_limiter: RateLimiter) -> None:
        """One request, its answer reported to the pacer as the client does."""
        async with rate_limiter.turn():
            self.sent_into_refusal += clock() < self._refuses_until - 1e-6
            await asyncio.sleep(self._chance.uniform(*self.latency))
            now = clock()
            is_refused = not self._take(now)
            self.refused += is_refused
            self.accepted += not is_refused
            headers = self.announces(self.window, now, self.rounded)
            reset = self.window.reset(now)
            if is_refused and self.tells_wait:
                headers["retry-after"] = str(self.rounded(reset))
            await asyncio.sleep(self._chance.uniform(*self.latency))
            if self._chance.random() < self.lost:
                return
            if "retry-after" in headers or headers.get("ratelimit-remaining") == "0":
                told_until = clock() + self.rounded(reset)
                self._refuses_until = max(self._refuses_until, min(told_until, now + reset))
            rate_limiter.answered(headers)
            if is_refused:
                rate_limiter.refused(headers)

    async def asked_by_others(self, per_minute: float) -> None:
        """Other users of the same key, at random; they take what they get."""
        while True:
            await asyncio.sleep(self._chance.expovariate(per_minute / 60))
            self.accepted_of_others += self._take(clock())

    def _take(self, now: float) -> bool:
        has_room = self.window.left(now) > 0
        if has_room:
            self.window.spend(now)
        return has_room


def simulate(
    api: Api,
    *,
    hours: float = 1,
    ceiling: int = 300,
    others: float = 0,
    workers: int = 16,
    processes: int = 1,
    shared: Path | None = None,
    after_hours: float = 0,
) -> None:
    """Let the workers of each process ask for all they can get, for hours."""

    async def ask_on(rate_limiter: RateLimiter) -> None:
        while True:
            await api.asked_by(rate_limiter)

    async def story() -> None:
        await asyncio.sleep(after_hours * 3600)
        pacers = [RateLimiter(ceiling, shared=shared, clock=clock) for _ in range(processes)]
        tasks = [asyncio.create_task(ask_on(one)) for one in pacers for _ in range(workers)]
        if others:
            tasks.append(asyncio.create_task(api.asked_by_others(others)))
        ended, _ = await asyncio.wait(tasks, timeout=hours * 3600)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert not [task.exception() for task in ended]

    in_told_time(story())


def used(api: Api, hours: float = 1) -> float:
    """Share of all that the limit allows in so many hours."""
    allowed = api.window.limit * 3600 / api.window.seconds * hours
    return (api.accepted + api.accepted_of_others) / allowed


LIMITS: dict[str, Callable[[], Api]] = {
    "a minute by the clock": lambda: Api(FixedWindow(300)),
    "from the first request": lambda: Api(FixedWindow(30, by_the_clock=False)),
    "a reset rounded down": lambda: Api(FixedWindow(30), rounded=math.floor),
    "from the first request, rounded down": lambda: Api(
        FixedWindow(30, by_the_clock=False), rounded=math.floor
    ),
    "a reset rounded to the nearest": lambda: Api(
        FixedWindow(30, by_the_clock=False), rounded=round
    ),
    "a reset in fractions": lambda: Api(FixedWindow(30), rounded=float),
    "a reset as an epoch": lambda: Api(FixedWindow(30), as_epochs),
    "a reset as an epoch, rounded down": lambda: Api(
        FixedWindow(30), as_epochs, rounded=math.floor
    ),
    "one request": lambda: Api(FixedWindow(1)),
    "fewer than may be under way": lambda: Api(FixedWindow(5), rounded=math.floor),
    "any sixty seconds": lambda: Api(SlidingWindow(30)),
    "any sixty seconds, rounded down": lambda: Api(SlidingWindow(80), rounded=math.floor),
    "ten seconds": lambda: Api(FixedWindow(5, seconds=10)),
    "nothing announced": lambda: Api(FixedWindow(40), as_nothing),
    "nothing announced, from the first": lambda: Api(
        FixedWindow(40, by_the_clock=False), as_nothing
    ),
    "nothing announced, any sixty seconds": lambda: Api(SlidingWindow(40), as_nothing),
    "no reset announced": lambda: Api(FixedWindow(30), as_laravel),
    "no reset announced, from the first": lambda: Api(
        FixedWindow(30, by_the_clock=False), as_laravel
    ),
    "answers at once": lambda: Api(FixedWindow(30), latency=(0.0005, 0.001)),
    "an answer in twenty lost": lambda: Api(FixedWindow(60), lost=0.05),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_used_up_and_hardly_ever_met(name: str) -> None:
    api = LIMITS[name]()
    simulate(api, ceiling=api.window.limit)
    assert api.refused <= 2
    assert api.sent_into_refusal == 0
    assert used(api) >= 0.95


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
        assert used(api) >= 0.95


def test_a_limit_below_the_setting_is_found_where_nothing_announces_it() -> None:
    api = Api(FixedWindow(25), as_nothing)
    simulate(api, ceiling=30, hours=2)
    assert 1 <= api.refused <= 3
    assert used(api, hours=2) >= 0.95


def test_a_limit_below_the_setting_is_found_though_no_wait_is_told() -> None:
    api = Api(FixedWindow(25), as_nothing, tells_wait=False)
    simulate(api, ceiling=30, hours=2)
    assert 1 <= api.refused <= 3
    assert used(api, hours=2) >= 0.95


@pytest.mark.parametrize("rounded", [math.ceil, math.floor])
def test_a_key_that_others_use_too_is_shared_with_few_refusals(
    rounded: Callable[[float], float],
) -> None:
    api = Api(FixedWindow(60), rounded=rounded)
    simulate(api, others=20)
    assert api.refused <= 2
    assert api.sent_into_refusal == 0
    assert used(api) >= 0.95


def test_a_limit_that_others_have_used_up_leaves_the_ceiling_as_it_was() -> None:
    api = Api(FixedWindow(40), as_nothing)
    for _ in range(api.window.limit):
        api.window.spend(STARTED_AT.timestamp())
    simulate(api, ceiling=40)
    assert api.refused == 1
    assert used(api) >= 0.95


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
    name: str, tmp_path: Path
) -> None:
    api = LIMITS[name]()
    simulate(api, ceiling=api.window.limit, processes=3, shared=tmp_path / "gauges")
    assert api.refused <= 2
    assert api.sent_into_refusal == 0
    assert used(api) >= 0.95


def test_a_process_goes_on_in_the_minute_of_the_one_before(tmp_path: Path) -> None:
    async def story() -> float:
        for _ in range(3):
            rate_limiter = RateLimiter(9, shared=tmp_path / "gauges", clock=clock)
            for _ in range(3):
                await ask(rate_limiter, {})
        began_at = clock()
        await ask(RateLimiter(9, shared=tmp_path / "gauges", clock=clock), {})
        return clock() - began_at

    assert in_told_time(story()) == pytest.approx(61)


def test_the_announced_limit_is_known_to_the_next_process(tmp_path: Path) -> None:
    async def story() -> float:
        told = {"RateLimit-Limit": "40", "RateLimit-Remaining": "30", "RateLimit-Reset": "60"}
        first = RateLimiter(9, shared=tmp_path / "gauges", clock=clock)
        for _ in range(20):
            await ask(first, told)
        began_at = clock()
        return await ask(RateLimiter(9, shared=tmp_path / "gauges", clock=clock), told) - began_at

    assert in_told_time(story()) == 0


def test_what_a_refusal_told_counts_for_the_next_process(tmp_path: Path) -> None:
    async def story() -> float:
        first = RateLimiter(60, shared=tmp_path / "gauges", clock=clock)
        refused_at = await ask(first, {"Retry-After": "20"}, status=429)
        next_one = RateLimiter(60, shared=tmp_path / "gauges", clock=clock)
        return await ask(next_one, {}) - refused_at

    assert in_told_time(story()) == pytest.approx(21)


def test_what_a_killed_process_had_under_way_is_forgotten(tmp_path: Path) -> None:
    async def story() -> float:
        # Of 30 a minute that nothing announces, one goes at a time.
        killed = RateLimiter(30, shared=tmp_path / "gauges", clock=clock)
        await ask(killed, {})
        async with contextlib.AsyncExitStack() as never_left:
            await never_left.enter_async_context(killed.turn())
            other = RateLimiter(30, shared=tmp_path / "gauges", clock=clock)
            began_at = clock()
            sent_at = await ask(other, {})
            never_left.pop_all()
        return sent_at - began_at

    assert in_told_time(story()) == pytest.approx(150, abs=1)


def test_what_refusals_taught_is_kept_for_a_day(tmp_path: Path) -> None:
    api = Api(FixedWindow(25), as_nothing)
    simulate(api, ceiling=30, hours=2, shared=tmp_path / "gauges")
    refused = api.refused
    assert 1 <= refused <= 3
    simulate(api, ceiling=30, after_hours=3, shared=tmp_path / "gauges")
    assert api.refused == refused
    simulate(api, ceiling=30, after_hours=30, shared=tmp_path / "gauges")
    assert api.refused > refused


@pytest.mark.parametrize("held", [b"", b"not ours", b"\xff" * 40_000])
def test_a_file_that_holds_something_else_is_begun_anew(tmp_path: Path, held: bytes) -> None:
    file = tmp_path / "gauges"
    file.write_bytes(held)

    async def story() -> float:
        return await ask(RateLimiter(60, shared=file, clock=clock), {}) - clock()

    assert in_told_time(story()) == 0


def test_a_file_that_cannot_be_kept_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, not a folder")
    with pytest.raises(SettingsError, match=r"^TESTRUNS_HOME: cannot write .*home/pace"):
        RateLimiter(60, shared=tmp_path / "home" / "pace")


# --- single answers -------------------------------------------------------------------------


async def ask(rate_limiter: RateLimiter, headers: Mapping[str, str], *, status: int = 200) -> float:
    """One request and its answer, at once; the time at which it went."""
    async with rate_limiter.turn():
        sent_at = clock()
        told = httpx.Headers(headers)  # names in any case, as on the wire
        rate_limiter.answered(told)
        if status == 429:
            rate_limiter.refused(told)
    return sent_at


def wait_after(*headers: Mapping[str, str], status: int = 200) -> float:
    """Seconds between the last of these answers and the next request."""

    async def story() -> float:
        rate_limiter = RateLimiter(60, clock=clock)
        for told in headers:
            await ask(rate_limiter, told, status=status)
        answered_at = clock()
        return await ask(rate_limiter, {}) - answered_at

    return in_told_time(story())


def test_a_program_that_gets_no_answers_goes_on_asking() -> None:
    async def story() -> float:
        rate_limiter = RateLimiter(60, clock=clock)
        for _ in range(5):
            with pytest.raises(ConnectionError):
                async with rate_limiter.turn():
                    raise ConnectionError
        return asyncio.get_running_loop().time()

    assert in_told_time(story()) == 0


def test_one_request_goes_first_and_its_answer_opens_the_rest() -> None:
    async def story() -> list[int]:
        rate_limiter = RateLimiter(600, clock=clock)
        under_way, seen = 0, []

        async def work(seconds: float) -> None:
            nonlocal under_way
            async with rate_limiter.turn():
                under_way += 1
                seen.append(under_way)
                await asyncio.sleep(seconds)
                rate_limiter.answered({"ratelimit-remaining": "500", "ratelimit-reset": "30"})
                under_way -= 1

        await asyncio.gather(*(work(1) for _ in range(4)))
        await asyncio.gather(*(work(1) for _ in range(2)))
        return seen

    assert in_told_time(story()) == [1, 1, 2, 3, 1, 2]


def test_after_a_pause_one_request_goes_first_again() -> None:
    async def story() -> list[int]:
        rate_limiter = RateLimiter(600, clock=clock)
        under_way, seen = 0, []

        async def work(seconds: float) -> None:
            nonlocal under_way
            async with rate_limiter.turn():
                under_way += 1
                seen.append(under_way)
                await asyncio.sleep(seconds)
                told = {"ratelimit-limit": "3", "ratelimit-remaining": "99"}
                rate_limiter.answered({**told, "ratelimit-reset": "250"})
                under_way -= 1

        await asyncio.gather(*(work(1) for _ in range(3)))
        # By the ceiling one may go 61 seconds after the first, the others a second later; but what
        # was announced a minute ago may be the others' by now.
        await asyncio.gather(*(work(9) for _ in range(3)))
        return seen

    assert in_told_time(story()) == [1, 1, 2, 1, 1, 2]


def test_no_more_is_under_way_than_the_window_has_left() -> None:
    async def story() -> int:
        rate_limiter = RateLimiter(600, clock=clock)
        under_way = most = 0

        async def work() -> None:
            nonlocal under_way, most
            async with rate_limiter.turn():
                under_way += 1
                most = max(most, under_way)
                await asyncio.sleep(1)
                left = {"ratelimit-limit": "300", "ratelimit-remaining": "4"}
                rate_limiter.answered({**left, "ratelimit-reset": "30"})
                under_way -= 1

        await asyncio.gather(*(work() for _ in range(9)))
        return most

    assert in_told_time(story()) == 4


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

    assert in_told_time(story()) == pytest.approx(31)


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

    assert in_told_time(story()) == pytest.approx(21)
    assert told == [pytest.approx(21)]


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
            async with rate_limiter.turn():
                rate_limiter.answered(headers)
                if status == 429:
                    rate_limiter.refused(headers)
            assert min(rate_limiter.quota.as_json().values(), default=0) >= 0

    with contextlib.suppress(QuotaSpentError):
        in_told_time(story())


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

    nothing, first, unchanged, last = in_told_time(story())
    assert nothing.as_json() == {}
    assert first == unchanged == Quota(300, 299, 10_000, 9000)
    assert last == Quota(300, 299, 10_000, 8998)
    assert first.as_json()["month_remaining"] == 9000


def test_an_api_without_a_month_means_its_minute_by_the_same_headers() -> None:
    async def story() -> Quota:
        rate_limiter = RateLimiter(60, clock=clock)
        await ask(rate_limiter, {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "0"})
        return rate_limiter.quota

    assert in_told_time(story()) == Quota(60, 0)


@pytest.mark.parametrize("reserve", [0, 100])
def test_the_month_is_used_down_to_its_reserve_and_not_one_call_further(reserve: int) -> None:
    chance = random.Random(3)  # noqa: S311
    left = 250

    async def story() -> list[BaseException | None]:
        rate_limiter = RateLimiter(6000, monthly_reserve=reserve, clock=clock)

        async def work() -> None:
            nonlocal left
            while True:
                async with rate_limiter.turn():
                    await asyncio.sleep(chance.random())
                    left -= 1
                    told = month_left(left)
                    await asyncio.sleep(chance.random())  # answers come in any order
                    rate_limiter.answered(told)

        workers = [asyncio.create_task(work()) for _ in range(16)]
        await asyncio.wait(workers)
        return [worker.exception() for worker in workers]

    failures = in_told_time(story())
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
        in_told_time(story())


def test_a_new_month_brings_a_new_budget() -> None:
    async def story() -> int | None:
        rate_limiter = RateLimiter(60, monthly_reserve=5, clock=clock)
        for left in (7, 6, 9999):
            await ask(rate_limiter, month_left(left))
        return rate_limiter.quota.month_remaining

    assert in_told_time(story()) == 9999
