"""What is known of the limits of one API key, and how many requests they let through now.

Three limits must all agree. The wait that a refusal announced. The window that the API announces
(Postman: `RateLimit-*` on each answer): what remains of it, less what is under way. And a ceiling
over the last minute's own requests, the announced limit or else the setting: alone it serves for
an API that announces nothing (Testmo), beside a window it makes up for resets that come late.

Processes lease permits, a permit a request. Where nothing is known, at the start, after a pause or
a refusal, one request goes alone, the probe, and its answer opens the rest: were it refused, it
would be one request and not sixteen.

This is arithmetic: all times are seconds since the epoch by one clock, and come as arguments.
"""

import math
from dataclasses import dataclass, field

from pipelines.http.leases import LEASE_SECONDS, Lease, Rules, Share
from pipelines.http.rate_limit_headers import Announcement

WINDOW_SECONDS = 60.0
# How often to ask what other processes have learned.
LOOK_SECONDS = 0.5
# A wait is not believed beyond a day: then a probe finds out.
_DAY_SECONDS = 86_400.0
# By Testmo's documentation: without Retry-After wait at least 60 seconds.
_UNTOLD_WAIT_SECONDS = 60.0
# Waits are announced in whole seconds, and some servers round them down.
_ROUNDING_SECONDS = 1.0
# Our minute is longer than the API's by this share, since requests take their time to arrive.
_MARGIN = 1 / 60
# Requests are counted in slices of a window.
_SLICES = 240
# Unannounced, so many in flight use the ceiling up at two seconds an answer; more would only be
# refused together.
_IN_FLIGHT_PER_CEILING = 1 / 30
# Of a window that others use too, the last calls are theirs: at most this share.
_MOST_SPARED = 0.03
# Answers arrive in any order; a month's budget that rises by more than this is a new month's.
OUT_OF_ORDER = 100
# A probe without an answer by then is lost, with the process that sent it.
_PROBE_SECONDS = 35.0


@dataclass
class RateLimits:
    """The limits of one API key as they stand, for all processes that use it.

    `window_*` are the announced window's, `month_remaining` is what remained of the month when it
    was last announced. `late_seconds`, `spare` and `lowered_limit` were
    learned from a refusal at `learned_at`; nothing goes before `not_before`, which was announced
    at `refused_at`. None: not known. If `must_probe`, one request goes alone, and no other before
    `probe_until`. `sent` are the requests of the last window, by the end of a slice of it.
    """

    not_before: float = 0.0
    refused_at: float = 0.0
    window_seconds: float = WINDOW_SECONDS
    window_limit: int | None = None
    window_remaining: int | None = None
    window_resets_at: float = 0.0
    must_probe: bool = True
    probe_until: float = 0.0
    late_seconds: float = 0.0
    spare: int = 0
    lowered_limit: int | None = None
    learned_at: float = 0.0
    month_remaining: int | None = None
    sent: dict[float, int] = field(default_factory=dict)
    shares: dict[str, Share] = field(default_factory=dict)

    def joined(self, now: float) -> None:
        """A process begins to ask: what nobody watches now is not to be relied on."""
        if now > self.learned_at + _DAY_SECONDS:
            self.late_seconds, self.spare, self.lowered_limit = 0.0, 0, None
        if not self.taken_by_others("", now):
            self.must_probe, self.month_remaining = True, None

    def paused(self, process: str, now: float) -> None:
        """A process without a request in flight has waited: what was announced before is old."""
        if not self.taken_by_others(process, now):
            self.must_probe = True

    def requested(self, at: float, count: int = 1) -> None:
        """So many requests were sent."""
        width = self.window_seconds / _SLICES
        end = (at // width + 1) * width
        self.sent[end] = self.sent.get(end, 0) + count

    def probe_ended(self) -> None:
        """The probe was answered, or came to nothing."""
        self.probe_until = 0.0

    def answered(self, announced: Announcement, at: float) -> None:
        """An answer came at `at`, whatever its status."""
        self.must_probe = False
        quota = announced.quota
        if quota.limit is not None:
            self.window_limit = quota.limit
        month, known = quota.month_remaining, self.month_remaining
        if month is not None:
            is_new_month = known is None or month >= known + OUT_OF_ORDER
            self.month_remaining = month if is_new_month else min(month, known or 0)
        if quota.remaining is not None:
            self._see_window(announced, quota.remaining, at)

    def _see_window(self, announced: Announcement, remaining: int, at: float) -> None:
        seconds = announced.window_seconds or WINDOW_SECONDS
        reset = None if announced.reset is None else min(announced.reset, _DAY_SECONDS)
        self.window_seconds = seconds
        if self.window_remaining is None:
            self.window_remaining = remaining
            self.window_resets_at = at + (seconds if reset is None else reset)
            return
        later = 0.0 if reset is None else at + reset - self.window_resets_at
        if later > seconds / 2:
            self.window_remaining, self.window_resets_at = remaining, self.window_resets_at + later
        elif later > -seconds / 2:  # else it is of the window before
            self.window_remaining = min(self.window_remaining, remaining)
            # Of resets rounded differently the latest counts; by more only slow answers differ.
            self.window_resets_at += min(max(0.0, later), _ROUNDING_SECONDS)

    def refused(
        self,
        announced: Announcement,
        at: float,
        *,
        rules: Rules,
        has_window: bool,
        process: str,
        in_flight: int,
    ) -> None:
        """The answer at `at`, given before to `answered`, was a 429.

        `in_flight` are the requests of this process, the refused one among them.
        """
        if self.sent:
            last = max(self.sent)
            self.sent[last] -= 1  # it does not count
        self.learned_at = at
        if has_window:
            # The window was not over when its reset said so, or others use it too.
            self.late_seconds = _ROUNDING_SECONDS
            self.spare = min(self.spare + 1, int((self.window_limit or 0) * _MOST_SPARED))
        else:
            self._lower(rules, at, in_flight + self.taken_by_others(process, at))
        self._hold(at, _UNTOLD_WAIT_SECONDS if announced.wait is None else announced.wait)

    def unavailable(self, announced: Announcement, at: float) -> None:
        """The answer at `at`, given before to `answered`, was a 503."""
        if announced.wait is not None:
            self._hold(at, announced.wait)

    def _hold(self, at: float, seconds: float) -> None:
        self.not_before = max(self.not_before, at + seconds + _ROUNDING_SECONDS)
        self.refused_at = at
        self.window_remaining, self.must_probe = None, True

    def _lower(self, rules: Rules, at: float, in_flight: int) -> None:
        """An unannounced limit was met: what was let through since the last time is the best guess.

        At least half the ceiling, since others may have used the rest; and as it was, where none
        of ours was let through at all.
        """
        ceiling = self._ceiling(rules)
        since = max(self.not_before, at - self._minute())
        sent = sum(count for end, count in self.sent.items() if end >= since)
        let_through = sent - in_flight + 1
        if let_through > 0 and at >= self.not_before:
            self.lowered_limit = max(1, ceiling // 2, min(let_through, ceiling))

    def lease(self, rules: Rules, process: str, in_flight: int, most: int, now: float) -> Lease:
        """Permits for a process, at most `most`; those that it held are given back before.

        `in_flight` are its requests without an answer. A share of what there is: others may ask.
        """
        self._forget(process, now)
        lease = self.room(rules, process, in_flight, most, now) if most else Lease(0, now)
        if lease.is_probe:
            self.window_remaining, self.must_probe = None, True
            self.probe_until = now + _PROBE_SECONDS
        self.shares[process] = Share(lease.permits, in_flight, now)
        return lease._replace(expires_at=now + LEASE_SECONDS)

    def room(self, rules: Rules, process: str, in_flight: int, most: int, now: float) -> Lease:
        """What `lease` would give; changes nothing."""
        others = self.others(process)
        held = sum(share.held(now) for share in others)
        taken = held + in_flight + sum(share.under_way(now) for share in others)
        next_answer = now + (WINDOW_SECONDS if taken == in_flight > 0 else LOOK_SECONDS)
        if now < self.nothing_before:
            return Lease(0, self.nothing_before)
        ceiling = self._ceiling(rules)
        free = ceiling - held - sum(count for _, count in self._sent_lately(now))
        if free <= 0:
            return Lease(0, next_answer if held else self._below_ceiling_at(1 - free, now))
        if self.month_remaining is not None and rules.monthly_reserve is not None:
            free = min(free, self.month_remaining - rules.monthly_reserve - taken)
            if free <= 0:
                return Lease(0, next_answer)
        window = self.window_remaining
        is_used_up = window is not None and window - self.spare <= taken
        over_at = self.window_resets_at + self.late_seconds
        if is_used_up and now < over_at:
            return Lease(0, min(over_at, next_answer) if held else over_at)
        if self.must_probe or is_used_up:
            is_probing = now < self.probe_until < now + 2 * _PROBE_SECONDS
            return Lease(0, next_answer) if is_probing else Lease(1, now, is_probe=True)
        at_work = 1 + sum(now < share.seen_at + LEASE_SECONDS for share in others)
        most_in_flight = None
        if window is None:
            most_in_flight = max(1, math.ceil(ceiling * _IN_FLIGHT_PER_CEILING) // at_work)
        else:
            free = min(free, window - self.spare - taken)
        return Lease(min(most, max(1, free // at_work)), now, in_flight=most_in_flight)

    def _sent_lately(self, now: float) -> list[tuple[float, int]]:
        """Requests that still count: when they will count no more, and how many."""
        minute = self._minute()
        return [
            (end + minute, count) for end, count in self.sent.items() if abs(now - end) < minute
        ]

    def _below_ceiling_at(self, missing: int, now: float) -> float:
        """When so many of the requests that count now will count no more."""
        look_at = now + LOOK_SECONDS
        for look_at, count in sorted(self._sent_lately(now)):  # noqa: B007
            missing -= count
            if missing <= 0:
                break
        return look_at

    def _ceiling(self, rules: Rules) -> int:
        """The announced limit, else the setting or what refusals have made of it."""
        if self.window_limit:
            return self.window_limit
        return min(rules.per_minute, self.lowered_limit or rules.per_minute)

    def _minute(self) -> float:
        return self.window_seconds * (1 + _MARGIN)

    def others(self, process: str) -> list[Share]:
        """What other processes hold."""
        return [share for name, share in self.shares.items() if name != process]

    def taken_by_others(self, process: str, now: float) -> int:
        """Permits that other processes may still use, and their requests in flight."""
        return sum(share.held(now) + share.under_way(now) for share in self.others(process))

    @property
    def nothing_before(self) -> float:
        """As long as a refusal is believed."""
        return min(self.not_before, self.refused_at + _DAY_SECONDS)

    def _forget(self, process: str, now: float) -> None:
        """Drop requests that count no more, and processes that are gone."""
        for share in self.others(process):
            if share.permits and not share.held(now):
                self.requested(share.seen_at, share.permits)  # they may have been used
                share.permits = 0
        minute = self._minute()
        self.sent = {end: count for end, count in self.sent.items() if abs(now - end) < minute}
        self.shares = {
            name: share
            for name, share in self.shares.items()
            if name != process and not share.is_over(now)
        }
