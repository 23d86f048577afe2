"""What an API's headers announce of its limits: counts, waits, the window of a policy."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

# A reset below this is a number of seconds, above it an epoch (design: quota spent).
_EPOCH = 1_000_000_000
_YEAR_9999 = 253_370_764_800
_WAITS = ("retryafter", "x-ratelimit-retryafter", "retry-after")


@dataclass(frozen=True)
class Quota:
    """What the API last announced; None where it announced nothing.

    `limit` and `remaining` are of the current window of `RateLimit-Policy` (a minute), the month's
    are calls of the whole account.
    """

    limit: int | None = None
    remaining: int | None = None
    month_limit: int | None = None
    month_remaining: int | None = None

    def as_json(self) -> dict[str, int]:
        """Only what was announced; empty when nothing was."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Announcement:
    """All that one answer announces; seconds, None where it does not say.

    `window_seconds` is the window's length, `reset` the time until it is over, `wait` the time
    for which a refusal asks.
    """

    quota: Quota
    window_seconds: float | None
    reset: float | None
    wait: float | None


def announcement(headers: Mapping[str, str], now: float, *, has_month: bool) -> Announcement:
    """Read an answer's headers, by lower-case name; `now` is in epoch seconds.

    `has_month`: the API has a monthly budget, and `X-RateLimit-*` are of the month.
    """
    quota = _quota(headers, has_month=has_month)
    return Announcement(
        quota,
        _window_seconds(headers, quota.limit),
        _seconds(headers.get("ratelimit-reset"), now),
        _wait(headers, now),
    )


def _quota(headers: Mapping[str, str], *, has_month: bool) -> Quota:
    """The counts; `X-RateLimit-*` are the month's, or the window's of an API that has no month."""
    limit, remaining = headers.get("ratelimit-limit"), headers.get("ratelimit-remaining")
    x_limit, x_remaining = headers.get("x-ratelimit-limit"), headers.get("x-ratelimit-remaining")
    if not has_month:
        return Quota(_whole(limit or x_limit), _whole(remaining or x_remaining))
    return Quota(
        _whole(limit),
        _whole(remaining),
        _whole(headers.get("ratelimit-limit-month") or x_limit),
        _whole(headers.get("ratelimit-remaining-month") or x_remaining),
    )


def _window_seconds(headers: Mapping[str, str], limit: int | None) -> float | None:
    """The length of the window with this limit; None where no policy tells it."""
    policy = re.search(rf"\b{limit};w=(\d{{1,6}})\b", headers.get("ratelimit-policy", ""))
    return float(policy[1]) if policy else None


def _wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a refusal asks to wait, in whichever spelling; None where it does not tell."""
    waits = (_seconds(headers[name], now) for name in _WAITS if name in headers)
    return next((wait for wait in waits if wait is not None), None)


def _whole(value: str | None) -> int | None:
    """A count; None for what is none, as the -1 that some APIs say for "no limit"."""
    try:
        number = -1 if value is None else int(float(value.split(",")[0].split(";")[0]))
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 2**63 else None


def _seconds(value: str | None, now: float) -> float | None:
    """A wait as seconds, from a number of seconds, an epoch (above 1e9) or an HTTP date.

    None for what is none of them, or beyond the calendar.
    """
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
            number = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
        except (ValueError, TypeError, OverflowError):
            return None
    if not number < _YEAR_9999:  # NaN is below nothing
        return None
    return max(0.0, number - now if number > _EPOCH else number)
