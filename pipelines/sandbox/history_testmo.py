"""Invented days of Testmo automation runs, with stories that a good report must find.

- Mobile app / Nightly devices fails more and more: some 2 of its 180 tests at first, 14 at the end.
- Platform / Regression by hand begins on Mondays and is completed two to four days later.
- Web shop / Nightly web begins in two configurations at the very same moment.
- One run of Web shop is still open.
"""

from datetime import date, datetime, timedelta

from pipelines.sandbox.catalog_testmo import (
    MILESTONES,
    MOBILE_NIGHTLY,
    REGRESSION,
    SPRINT_DAYS,
    SUITES,
    WEB_CHECKS,
    Suite,
)
from pipelines.sandbox.history_days import Period, at_clock, starts_on
from pipelines.sandbox.testmo_run import Plan, record
from pipelines.sandbox.wire import Json

_LONGEST_CI_RUN = timedelta(minutes=30)
_MORE_FAILURES_BY_THE_END = 12
# No day has as many runs: the number of the day and the place in it make an ID.
_IDS_A_DAY = 25
_FIRST_DAY = date(2019, 1, 1)


def testmo_history(period: Period) -> list[Json]:
    """Give the runs of all projects as the API shows them in detail, oldest first.

    IDs rise with `created_at` over all projects, as one instance gives them out.
    """
    runs = [
        record(run_id, plan, period.dice(f"testmo/{run_id}"))
        for day in period.dates()
        for run_id, plan in enumerate(_plans(period, day), start=_first_id(day))
        if period.holds(plan.created_at, plan.completed_at or plan.created_at + _LONGEST_CI_RUN)
    ]
    open_since = period.before_end(minutes=50)
    open_id = _first_id(open_since.date()) + _IDS_A_DAY - 1
    open_plan = _plan(period, WEB_CHECKS, open_since)
    return [*runs, record(open_id, open_plan, period.dice(f"testmo/{open_id}"), is_open=True)]


def _first_id(day: date) -> int:
    return (day - _FIRST_DAY).days * _IDS_A_DAY + 1


def _plans(period: Period, day: date) -> list[Plan]:
    """Give all that begins on a day, whether or not the period holds it."""
    dice = period.dice(f"testmo/{day}")
    plans = [
        _plan(period, suite, at, config_id)
        for suite in SUITES
        for at in starts_on(day, suite.times, suite.workday_runs, dice)
        for config_id in suite.configs
    ]
    if day.isoweekday() == 1:
        begun = at_clock(day, "09:00", dice)
        over = begun + timedelta(days=dice.randint(2, 4), minutes=dice.randint(20, 400))
        plans.append(_plan(period, REGRESSION, begun)._replace(completed_at=over))
    return sorted(plans, key=lambda plan: plan.created_at)


def _plan(period: Period, suite: Suite, at: datetime, config_id: int | None = None) -> Plan:
    mean_failures = suite.mean_failures
    if suite is MOBILE_NIGHTLY:
        mean_failures += _MORE_FAILURES_BY_THE_END * period.progress(at, days=period.days)
    sprint = (at.date() - _FIRST_DAY).days // SPRINT_DAYS % len(MILESTONES) + 1
    milestone_id = sprint if suite.has_milestone else None
    return Plan(at, suite, config_id, milestone_id, mean_failures)
