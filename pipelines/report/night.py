"""Can last night's green be trusted? One answer, and all that speaks against it.

Last night is the 24 hours before the report. A collection or project is red if the last of its
runs that ended in them failed; a doubt is whatever makes a green say less than it seems.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from pipelines.report.formats import counted, lasted, seen
from pipelines.report.period import Period
from pipelines.report.reading import Row, Rows
from pipelines.report.scopes import Scopes

Answer = Literal["no", "doubtful", "yes", "unknown"]
State = Literal["red", "green", "undecided", "silent"]

# A nightly load may start late and take its time; a day and two hours say that one is missing.
_LOADED_WITHIN = timedelta(hours=26)
# Ran on each of the seven days before: that it did not last night is no weekend.
_EVERY_DAY = 7


@dataclass(frozen=True)
class ScopeNight:
    """A collection or project last night."""

    name: str
    system: str
    state: State
    runs: int
    passed: int
    failed: int
    unfinished: int
    red_since: datetime | None
    last_ran_at: datetime | None
    doubts: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
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

    @property
    def runs(self) -> int:
        """How many runs began."""
        return sum(scope.runs for scope in self.scopes)

    @property
    def passed(self) -> int:
        """How many of them passed."""
        return sum(scope.passed for scope in self.scopes)

    @property
    def failed(self) -> int:
        """How many of them failed."""
        return sum(scope.failed for scope in self.scopes)

    @property
    def unfinished(self) -> int:
        """How many of them have not ended."""
        return sum(scope.unfinished for scope in self.scopes)

    def in_state(self, state: State) -> list[ScopeNight]:
        """The scopes that are in a state."""
        return [scope for scope in self.scopes if scope.state == state]


def last_night(rows: Rows, scopes: Scopes, period: Period) -> Night:
    """The answer, from the rows of the marts and of the loads."""
    health = {(row["system"], row["scope"]): row for row in rows["scopes"]}
    nights = [
        _scope_night(row, health.get((row["system"], row["scope"])), scopes, period)
        for row in rows["night"]
    ]
    nights.sort(key=lambda one: ["red", "silent", "undecided", "green"].index(one.state))
    doubts = [
        *(f"{scope.name}: {doubt}" for scope in nights for doubt in scope.doubts),
        *_of_loads(rows, scopes, period),
    ]
    answer, headline = _answer(nights, doubts, rows["newest_run"][0]["ran_at"], period.as_of)
    return Night(answer, headline, nights, doubts)


def _answer(
    nights: list[ScopeNight], doubts: list[str], newest: datetime | None, as_of: datetime
) -> tuple[Answer, str]:
    """What is red outweighs every doubt; what has no verdict is no answer."""
    ran = [scope for scope in nights if scope.runs]
    red = [scope for scope in ran if scope.state == "red"]
    green = [scope for scope in ran if scope.state == "green"]
    if newest is None:
        return "unknown", "Cannot tell: there is no run."
    if not ran:
        age = lasted((as_of - newest).total_seconds())
        return "unknown", f"Cannot tell: no run in the last 24 hours; the newest is {age} old."
    if red:
        verb = "is" if len(red) == 1 else "are"
        return "no", f"No: {len(red):,} of {_named(len(ran))} {verb} red."
    if not green:
        return "unknown", f"Cannot tell: none of {_named(len(ran))} has a verdict."
    if doubts:
        things = "1 thing speaks" if len(doubts) == 1 else f"{len(doubts):,} things speak"
        return "doubtful", f"Only in part: nothing is red, but {things} against the green."
    return "yes", f"Yes: {_named(len(green))} ended green and whole."


def _named(number: int) -> str:
    return counted(number, "collection or project", "collections and projects")


def _scope_night(row: Row, health: Row | None, scopes: Scopes, period: Period) -> ScopeNight:
    state: State = "undecided"
    if not row["runs"]:
        state = "silent"
    elif row["last_is_success"] is not None:
        state = "green" if row["last_is_success"] else "red"
    doubts = [
        f"{counted(row[name], 'green run')} {reason}"
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
    red_since = health["red_since"] if health and state == "red" else None
    if red_since is not None and red_since > period.as_of:
        # The marts know since when it is red now, not since when it was then.
        red_since = None
    return ScopeNight(
        name=scopes.name(row["system"], row["scope"]),
        system=row["system"],
        state=state,
        runs=row["runs"],
        passed=row["runs_passed"],
        failed=row["runs_failed"],
        unfinished=row["runs_open"],
        red_since=red_since,
        last_ran_at=row["last_ran_at"],
        doubts=doubts,
    )


def _of_loads(rows: Rows, scopes: Scopes, period: Period) -> list[str]:
    """What may be missing here altogether."""
    doubts = []
    for load in rows["freshness"]:
        name = scopes.name(load["system"], load["scope"])
        if load["outcome"] not in ("succeeded", "running"):
            told = seen(load["error"] or load["outcome"])
            doubts.append(f"{name}: its last load did not succeed ({told})")
        elif load["succeeded_at"] is None or load["succeeded_at"] < period.as_of - _LOADED_WITHIN:
            since = (
                "never"
                if load["succeeded_at"] is None
                else "not for " + lasted((period.as_of - load["succeeded_at"]).total_seconds())
            )
            doubts.append(f"{name}: loaded {since}")
    doubts += [
        f"{row['system'].capitalize()}: runs were loaded after the marts were built; "
        "run testruns transform"
        for row in rows["behind"]
        if row["raw_loaded_at"] is not None
        and (row["marts_loaded_at"] is None or row["marts_loaded_at"] < row["raw_loaded_at"])
    ]
    doubts += [
        f"{row['system'].capitalize()}: {counted(row['records'], 'record')} could not be read and "
        "is not in here; see testruns status"
        for row in rows["rejected"]
    ]
    return doubts
