"""Invented days of Postman runs, with stories that a good report must find.

- Search / Filter by price / "Results are sorted by price" is flaky: it fails in about 15 % of the
  runs, and always passes in the next.
- Payments / List transactions grows slower over the last three weeks, to 2.5 times its median.
- Payments is down for five hours of a workday, some twelve days before the end: 503, or nothing.
- Accounts / Create account / "Verification link is sent" fails in every run of the last four days.
- One green Shop checkout run, six days before the end, stopped after 6 of its 15 requests.
- One Accounts run, nine days before the end, failed without statistics or executions.
- One Payments run is still open.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from functools import partial
from random import Random

from pipelines.sandbox.catalog import (
    ACCOUNTS,
    COLLECTIONS,
    PAYMENTS,
    SEARCH,
    SHOP_CHECKOUT,
    Call,
    Collection,
    Trigger,
)
from pipelines.sandbox.history_days import Period, is_workday, starts_on
from pipelines.sandbox.postman_run import Outcome, Recorder, answered, unanswered
from pipelines.sandbox.wire import Json

# It never fails twice in a row, so that 15 of 100 runs are 15 of the 85 that follow a pass.
_FLAKY_CHANCE = 15 / 85
_NO_RESPONSE_CHANCE, _BAD_GATEWAY_CHANCE = 0.0002, 0.0004
_BY_HAND = Trigger("collection_runner", "production")

_Starts = list[tuple[datetime, Trigger]]


def postman_history(period: Period) -> list[Json]:
    """Give the runs of all collections as the API shows them in detail, oldest first."""
    runs = [run for collection in COLLECTIONS for run in _Past(period, collection).runs()]
    return sorted(runs, key=lambda run: (run["startedAt"], run["id"]))


class _Past:
    """One collection's past, told in the order of time, as a run may depend on the one before."""

    def __init__(self, period: Period, collection: Collection) -> None:
        self._period = period
        self._collection = collection
        self._outage = _outage(period)
        self._flaky_fails = False

    def runs(self) -> Iterator[Json]:
        starts = sorted(self._starts())
        cut_short = self._one_of(starts, SHOP_CHECKOUT, "monitor", days=6)
        without_results = self._one_of(starts, ACCOUNTS, "newman", days=9)
        for start in starts:
            at, trigger = start
            dice = self._dice(at)
            recorder = Recorder(self._collection, at, trigger, dice)
            self._flaky_fails = not self._flaky_fails and dice.random() < _FLAKY_CHANCE
            if start == without_results:
                yield recorder.failed()
            elif start == cut_short:
                yield recorder.finished(partial(self._usual_outcome, at, dice), request_count=6)
            else:
                yield recorder.finished(partial(self._outcome, at, dice))
        if self._collection is PAYMENTS:
            at = self._period.before_end(minutes=25)
            yield Recorder(self._collection, at, _BY_HAND, self._dice(at)).running()

    def _dice(self, when: object) -> Random:
        return self._period.dice(f"{self._collection.name}/{when}")

    def _starts(self) -> Iterator[tuple[datetime, Trigger]]:
        for day in self._period.dates():
            dice = self._dice(day)
            for trigger in self._collection.triggers:
                for at in starts_on(day, trigger.times, trigger.workday_runs, dice):
                    if self._period.holds(at, at):
                        yield at, trigger
        if self._collection is PAYMENTS:
            yield from ((at, _BY_HAND) for at in self._looks_at_outage())

    def _looks_at_outage(self) -> Iterator[datetime]:
        """While it is down, people start the collection again and again."""
        begin, end = self._outage
        dice = self._dice(begin)
        at = begin + timedelta(minutes=dice.uniform(5, 15))
        while at < end and self._period.holds(at, at):
            yield at
            at += timedelta(minutes=dice.uniform(20, 50))

    def _one_of(
        self, starts: _Starts, collection: Collection, source: str, *, days: float
    ) -> tuple[datetime, Trigger] | None:
        """Give that collection's first start of that source in the last so many days."""
        since = self._period.before_end(days=days)
        of_source = (s for s in starts if s[0] >= since and s[1].source == source)
        return next(of_source, None) if self._collection is collection else None

    def _outcome(self, at: datetime, dice: Random, call: Call) -> Outcome:
        begin, end = self._outage
        chance = dice.random()
        if self._collection is PAYMENTS and begin <= at < end:
            return unanswered(call) if chance < 0.4 else answered(call, 503, call.median_ms)
        if chance < _NO_RESPONSE_CHANCE:
            return unanswered(call)
        if chance < _NO_RESPONSE_CHANCE + _BAD_GATEWAY_CHANCE:
            return answered(call, 502, call.median_ms)
        return self._usual_outcome(at, dice, call)

    def _usual_outcome(self, at: datetime, dice: Random, call: Call) -> Outcome:
        elapsed_ms = call.median_ms * dice.lognormvariate(0, 0.15)
        if self._is(call, PAYMENTS, "List transactions"):
            elapsed_ms *= 1 + 1.5 * self._period.progress(at, days=21)
        return answered(call, call.status_code, round(elapsed_ms), self._own_errors(call, at))

    def _own_errors(self, call: Call, at: datetime) -> dict[str, str]:
        if self._flaky_fails and self._is(call, SEARCH, "Filter by price"):
            return {"Results are sorted by price": "expected [ 1295, 1190, 1490 ] to be sorted"}
        broken = at >= self._period.before_end(days=4)
        if broken and self._is(call, ACCOUNTS, "Create account"):
            return {"Verification link is sent": "expected null to be a string"}
        return {}

    def _is(self, call: Call, collection: Collection, name: str) -> bool:
        return self._collection is collection and call.name == name


def _outage(period: Period) -> tuple[datetime, datetime]:
    day = period.before_end(days=12).date()
    while not is_workday(day):
        day -= timedelta(days=1)
    begin = datetime.combine(day, time(9, 40), UTC)
    return begin, begin + timedelta(hours=5)
