"""Invented days of Testmo automation runs, with stories that a good report must find.

- Few tests fail, each for a reason of its own: see `testmo_stories`.
- Mobile app / Nightly devices gets worse: three of its 180 tests break one after another, and its
  devices were out for two nights.
- Platform / Nightly integration has a test that has begun to fail in the last two nights.
- Platform / Regression by hand begins on Mondays and is completed two to four days later.
- Web shop / Nightly web begins in two configurations at the very same moment.
- One run of Web shop is still open.
"""

from datetime import date, datetime, timedelta

from pipelines.sandbox.catalog_testmo import (
    MILESTONES,
    REGRESSION,
    SPRINT_DAYS,
    SUITES,
    WEB_CHECKS,
    Suite,
)
from pipelines.sandbox.history_days import Period, at_clock, iso, starts_on
from pipelines.sandbox.testmo_run import Plan, record
from pipelines.sandbox.testmo_stories import failing_tests
from pipelines.sandbox.wire import Json

_LONGEST_CI_RUN = timedelta(minutes=30)
# No day has as many runs: the number of the day and the place in it make an ID.
_IDS_A_DAY = 25
_FIRST_DAY = date(2019, 1, 1)


def testmo_history(period: Period) -> list[Json]:
    """Give the runs of all projects as the API shows them in detail, oldest first.

    IDs rise with `created_at` over all projects, as one instance gives them out.
    """
    runs = [
        _record(period, run_id, plan)
        for day in period.dates()
        for run_id, plan in enumerate(_plans(period, day), start=_first_id(day))
        if period.holds(plan.created_at, plan.completed_at or plan.created_at + _LONGEST_CI_RUN)
    ]
    open_since = period.before_end(minutes=50)
    open_id = _first_id(open_since.date()) + _IDS_A_DAY - 1
    return [*runs, _record(period, open_id, _plan(WEB_CHECKS, open_since), is_open=True)]


def _first_id(day: date) -> int:
    return (day - _FIRST_DAY).days * _IDS_A_DAY + 1


def _record(period: Period, run_id: int, plan: Plan, *, is_open: bool = False) -> Json:
    failing = failing_tests(period, plan.suite, run_id, iso(plan.created_at))
    plan = plan._replace(failing=failing)
    return record(run_id, plan, period.dice(f"testmo/{run_id}"), is_open=is_open)


def _plans(period: Period, day: date) -> list[Plan]:
    """Give all that begins on a day, whether or not the period holds it."""
    dice = period.dice(f"testmo/{day}")
    plans = [
        _plan(suite, at, config_id)
        for suite in SUITES
        for at in starts_on(day, suite.times, suite.workday_runs, dice)
        for config_id in suite.configs
    ]
    if day.isoweekday() == 1:
        begun = at_clock(day, "09:00", dice)
        over = begun + timedelta(days=dice.randint(2, 4), minutes=dice.randint(20, 400))
        plans.append(_plan(REGRESSION, begun)._replace(completed_at=over))
    return sorted(plans, key=lambda plan: plan.created_at)


def _plan(suite: Suite, at: datetime, config_id: int | None = None) -> Plan:
    sprint = (at.date() - _FIRST_DAY).days // SPRINT_DAYS % len(MILESTONES) + 1
    return Plan(at, suite, config_id, sprint if suite.has_milestone else None)
