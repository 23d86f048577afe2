"""429 with every spelling of the wait, and a month's budget that is spent."""

from collections.abc import Callable
from email.utils import formatdate

from pipelines.sandbox.faults.fault import (
    ANYWHERE,
    POSTMAN,
    Exchange,
    Fault,
    Strike,
    description_of,
    name_of,
)
from pipelines.sandbox.wire import Answer, encode

FAULTS: list[Fault] = []

_WAIT_SECONDS = 2
_LONGEST_WAIT_SECONDS = 60
_TEN_DAYS_SECONDS = 864_000
_BODY = encode({"error": "rateLimited", "message": "Too Many Attempts."})

Headers = dict[str, str]
Announce = Callable[[int, float], Headers]


def _limit(where: str) -> Callable[[Announce], Announce]:
    """A 429 whose headers are made from the number of times that it was given, and the time."""

    def add(headers: Announce) -> Announce:
        def change(exchange: Exchange, strike: Strike) -> None:
            announced = {**exchange.answer.headers, **headers(strike.number, exchange.now)}
            exchange.answer = Answer(429, _BODY, announced)

        FAULTS.append(Fault(name_of(headers), description_of(headers), where, change))
        return headers

    return add


@_limit(ANYWHERE)
def limit_in_seconds(_number: int, _now: float) -> Headers:
    """429 with Retry-After in seconds: 2."""
    return {"Retry-After": str(_WAIT_SECONDS)}


@_limit(ANYWHERE)
def limit_as_date(_number: int, now: float) -> Headers:
    """429 with Retry-After as an HTTP date, 2 seconds ahead."""
    return {"Retry-After": formatdate(now + _WAIT_SECONDS, usegmt=True)}


@_limit(ANYWHERE)
def limit_in_retryafter(_number: int, _now: float) -> Headers:
    """429 with the wait in RetryAfter alone, as Postman's documentation spells it."""
    return {"RetryAfter": str(_WAIT_SECONDS)}


@_limit(ANYWHERE)
def limit_untold(_number: int, _now: float) -> Headers:
    """429 that announces no wait."""
    return {}


@_limit(ANYWHERE)
def limit_storm(number: int, _now: float) -> Headers:
    """429 again and again, each wait twice the last: 1, 2, 4 … 60 seconds."""
    return {"Retry-After": str(min(2 ** min(number - 1, 10), _LONGEST_WAIT_SECONDS))}


@_limit(ANYWHERE)
def limit_of_an_hour(_number: int, _now: float) -> Headers:
    """429 with a wait that no load sits out: an hour."""
    return {"Retry-After": "3600"}


@_limit(ANYWHERE)
def limit_of_a_year(_number: int, _now: float) -> Headers:
    """429 with a wait of a year."""
    return {"Retry-After": "31536000"}


@_limit(POSTMAN)
def reset_in_2055(_number: int, _now: float) -> Headers:
    """429 with a window that is spent until the year 2055."""
    return {"RateLimit-Limit": "300", "RateLimit-Remaining": "0", "RateLimit-Reset": "2700000000"}


@_limit(POSTMAN)
def month_spent(_number: int, _now: float) -> Headers:
    """429 since the month's budget of calls is spent; it is fresh in ten days."""
    wait = str(_TEN_DAYS_SECONDS)
    nothing_left = {"X-RateLimit-Remaining": "0", "RateLimit-Remaining-Month": "0"}
    return {**nothing_left, "RetryAfter": wait, "Retry-After": wait}
