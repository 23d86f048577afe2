"""Can last night's green be trusted? One answer, and all that speaks against it.

Last night is the 24 hours before the report. A collection or project is red if the last of its
runs that ended in them failed; a doubt is whatever makes a green say less than it seems.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pipelines.report.data import ReportData, Row
from pipelines.report.formats import format_duration, pluralize, visible
from pipelines.report.sections import outages

TITLE = "Last night"

Answer = Literal["no", "doubtful", "yes", "unknown"]
State = Literal["red", "silent", "undecided", "green"]
_ORDER: tuple[State, ...] = ("red", "silent", "undecided", "green")

# A nightly load may start late and take its time; a day and two hours say that one is missing.
_LOADED_WITHIN = timedelta(hours=26)
# Ran on each of the seven days before: that it did not last night is no weekend.
_EVERY_DAY = 7


@dataclass(frozen=True)
class ScopeNight:
    """A collection or project last night; the numbers are of its runs."""

    name: str
    system: str
    owner: str | None
    state: State
    runs: int
    passed: int
    failed: int
    unfinished: int
    red_since: datetime | None
    last_ran_at: datetime | None
    doubts: list[str]

    @property
    def summary(self) -> str:
        """How its runs ended: `2 green, 1 red`; one may have ended without a verdict."""
        rest = self.runs - self.passed - self.failed - self.unfinished
        ends = (
            (self.passed, "green"),
            (self.failed, "red"),
            (self.unfinished, "not ended"),
            (rest, "without a verdict"),
        )
        return ", ".join(f"{number:,} {end}" for number, end in ends if number)


@dataclass(frozen=True)
class Night:
    """Last night as a whole; `doubts` are sentences, those of a scope begin with its name."""

    answer: Answer
    headline: str
    scopes: list[ScopeNight]
    doubts: list[str]

    def in_state(self, state: State) -> list[ScopeNight]:
        """The scopes that are in a state."""
        return [scope for scope in self.scopes if scope.state == state]


def view(data: ReportData) -> dict[str, Any]:
    """The answer, the runs that failed, and the outages."""
    return {
        "night": last_night(data),
        "failures": data.rows("night_failures"),
        "outages": outages.lines(data, since=data.period.as_of - timedelta(days=1)),
    }


def last_night(data: ReportData) -> Night:
    """The answer, from the rows of the marts and of the loads."""
    known = {(row["system"], row["scope"]): row for row in data.rows("scopes")}
    scopes = [
        _scope_night(row, known.get((row["system"], row["scope"]), {}), data)
        for row in data.rows("night")
    ]
    scopes.sort(key=lambda scope: _ORDER.index(scope.state))
    doubts = [f"{scope.name}: {doubt}" for scope in scopes for doubt in scope.doubts]
    doubts += _doubts_about_loads(data)
    newest = data.rows("newest_run")[0]["ran_at"]
    answer, headline = _answer(scopes, doubts, newest, data.period.as_of)
    return Night(answer, headline, scopes, doubts)


def _answer(
    scopes: list[ScopeNight], doubts: list[str], newest: datetime | None, as_of: datetime
) -> tuple[Answer, str]:
    """What is red outweighs every doubt; what has no verdict is no answer."""
    ran = [scope for scope in scopes if scope.runs]
    red = [scope for scope in ran if scope.state == "red"]
    green = [scope for scope in ran if scope.state == "green"]
    if newest is None:
        return "unknown", "Cannot tell: there is no run."
    if not ran:
        age = format_duration((as_of - newest).total_seconds())
        return "unknown", f"Cannot tell: no run in the last 24 hours; the newest is {age} old."
    if red:
        verb = "is" if len(red) == 1 else "are"
        return "no", f"No: {len(red):,} of {_pluralize_scopes(len(ran))} {verb} red."
    if not green:
        return "unknown", f"Cannot tell: none of {_pluralize_scopes(len(ran))} has a verdict."
    if doubts:
        things = "1 thing speaks" if len(doubts) == 1 else f"{len(doubts):,} things speak"
        return "doubtful", f"Only in part: nothing is red, but {things} against the green."
    return "yes", f"Yes: {_pluralize_scopes(len(green))} ended green and whole."


def _pluralize_scopes(number: int) -> str:
    return pluralize(number, "collection or project", "collections and projects")


def _scope_night(row: Row, known: Row, data: ReportData) -> ScopeNight:
    """Of its runs last night, and what is `known` of it now: owner, red since when."""
    state: State = "undecided"
    if not row["runs"]:
        state = "silent"
    elif row["last_is_success"] is not None:
        state = "green" if row["last_is_success"] else "red"
    doubts = [
        f"{pluralize(row[name], 'green run')} {reason}"
        for name, reason in (
            ("runs_truncated", "did less than usual"),
            ("runs_suspect", "with errors in scripts"),
            ("runs_lacking_rows", "of which less was loaded than announced"),
            ("runs_without_tests", "that decided no test"),
        )
        if row[name]
    ]
    if state == "silent" and row["days_before"] >= _EVERY_DAY:
        doubts.append("did not run, as it does every day")
    # The marts know since when it is red now, not since when it was red at an earlier time.
    red_since = known.get("red_since")
    is_red_since = state == "red" and red_since is not None and red_since <= data.period.as_of
    return ScopeNight(
        name=data.scope_name(row["system"], row["scope"]),
        system=row["system"],
        owner=visible(known["owner"]) if known.get("owner") else None,
        state=state,
        runs=row["runs"],
        passed=row["runs_passed"],
        failed=row["runs_failed"],
        unfinished=row["runs_open"],
        red_since=red_since if is_red_since else None,
        last_ran_at=row["last_ran_at"],
        doubts=doubts,
    )


def _doubts_about_loads(data: ReportData) -> list[str]:
    """What may be missing here altogether."""
    doubts = []
    as_of = data.period.as_of
    for load in data.rows("freshness"):
        name = data.scope_name(load["system"], load["scope"])
        if load["outcome"] not in ("succeeded", "running"):
            why = visible(load["error"] or load["outcome"])
            doubts.append(f"{name}: its last load did not succeed ({why})")
        elif load["succeeded_at"] is None:
            doubts.append(f"{name}: loaded never")
        elif load["succeeded_at"] < as_of - _LOADED_WITHIN:
            age = format_duration((as_of - load["succeeded_at"]).total_seconds())
            doubts.append(f"{name}: loaded not for {age}")
    doubts += [
        f"{row['system'].capitalize()}: runs were loaded after the marts were built; "
        "run testruns transform"
        for row in data.rows("behind")
        if row["raw_loaded_at"] is not None
        and (row["marts_loaded_at"] is None or row["marts_loaded_at"] < row["raw_loaded_at"])
    ]
    doubts += [
        f"{row['system'].capitalize()}: {pluralize(row['records'], 'record')} could not be read "
        "and are not in here; see testruns status"
        for row in data.rows("rejected")
    ]
    return doubts
