"""When TESTRUNS_ALERT_WEBHOOK gets a message, and what it says.

One a night, grouped by scope, and only where something has changed since the last one: the same
failures as last night are no news, and a recovery is a line. What the last message said stands in
tags of the run that it spoke of, in Dagster's own storage; an alert that was not delivered leaves
none and is posted with the next failure. Runs that somebody started by hand are watched by whoever
started them; `testruns nightly` without a terminal counts as scheduled (cron).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

import dagster as dg

from pipelines.orchestration.failures import ScopeProblem, StepFailure
from pipelines.orchestration.owners import read_owners
from pipelines.orchestration.webhook import Alert, post
from pipelines.settings import Settings
from pipelines.sources.redaction import Redactor, visible

_DO_ON_FAILURE = (
    "What is loaded stays loaded, and the next night goes on from there. Mend the cause, then run "
    "`testruns nightly`; `testruns status` shows how far each history is read."
)
_DO_ON_STALE = (
    "Is the schedule `nightly` switched on, and are its runs green? `testruns nightly` loads now; "
    "`testruns status` shows the last error of each scope."
)
# Slack takes 40,000 characters, Teams 28,000 bytes.
_MOST_PLACES = 15
_MOST_LINES = 5
_LONGEST_LINE = 300

_STATE_TAG = "testruns/alert"
_PLACES_TAG = "testruns/alert_places"
# What differs from night to night in one and the same error: times, counts, IDs; but for HTTP's.
_VARYING = re.compile(r"(?<!HTTP )\b[\w.:,-]*\d[\w.:,-]*")

Places = Mapping[str, Sequence[str]]


class Alerts:
    """Messages about one deployment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._webhook = settings.testruns_alert_webhook
        self._page = settings.dagster.url
        self._redactor = Redactor(settings.testruns_redact_params)

    def run_failed(
        self, instance: dg.DagsterInstance, run: dg.DagsterRun, title: str, lines: list[StepFailure]
    ) -> str | None:
        """Post a run that failed unless the last message about its job said the same.

        Why it could not be delivered, or None.
        """
        if self._webhook is None:
            return None
        places = _by_place(lines)
        digests = {place: _digest(problems) for place, problems in places.items()}
        before = last_alert(instance, run.job_name)
        if digests == before:
            return None
        complaint = self._post(failure_alert(title, places, before), run.run_id)
        if complaint is None:
            _remember(instance, run.run_id, digests)
        return complaint

    def run_succeeded(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
        """Post that a job works again if the last message about it said that it had failed."""
        before = last_alert(instance, run.job_name) if self._webhook else {}
        if not before:
            return None
        alert = Alert(f"testruns: {run.job_name} works again: {', '.join(_first(before))}")
        complaint = self._post(alert, run.run_id)
        if complaint is None:
            _remember(instance, run.run_id, {})
        return complaint

    def not_begun(self, lines: Iterable[str]) -> str | None:
        """Post a night that came to no run, and so is remembered nowhere."""
        return self._post(failure_alert("testruns nightly failed", {"did not begin": [*lines]}))

    def scopes_are_late(self, late: Sequence[ScopeProblem]) -> str | None:
        """Post scopes that no command loads any more."""
        return self._post(stale_alert(late))

    def scopes_are_loaded(self, places: Sequence[str]) -> str | None:
        """Post that they are loaded again."""
        return self._post(Alert(f"testruns: loaded again: {', '.join(_first(places))}"))

    def _post(self, alert: Alert, run_id: str | None = None) -> str | None:
        if self._webhook is None:
            return None
        owners = read_owners(self._settings) if alert.places else {}
        places = {
            self._clean(f"{place}{owners.get(place, '')}"): [*map(self._clean, lines)]
            for place, lines in alert.places.items()
        }
        closing, page = [*map(self._clean, alert.closing)], self._page
        if run_id is not None:
            page = page and f"{page.rstrip('/')}/runs/{run_id}"
            closing += [] if page else [f"Dagster run: {run_id}"]
        return post(self._webhook, Alert(self._clean(alert.title), places, closing, page))

    def _clean(self, text: str) -> str:
        """As one visible line without secrets, at a length that people read."""
        line = visible(self._redactor.text(text))
        return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"


def last_alert(instance: dg.DagsterInstance, job_name: str) -> dict[str, str]:
    """What the last message about a job named, each with a digest of its lines.

    Empty where there was none, or where it said that the job works again.
    """
    tagged = dg.RunsFilter(job_name=job_name, tags={_STATE_TAG: ["failed", "works again"]})
    for record in instance.get_run_records(tagged, limit=1):
        places: dict[str, str] = json.loads(record.dagster_run.tags[_PLACES_TAG])
        return places
    return {}


def _remember(instance: dg.DagsterInstance, run_id: str, places: Mapping[str, str]) -> None:
    state = "failed" if places else "works again"
    instance.add_run_tags(run_id, {_STATE_TAG: state, _PLACES_TAG: json.dumps(places)})


def failure_alert(title: str, places: Places, before: Mapping[str, str] | None = None) -> Alert:
    """The message of a failed run; `before` is what the last message named."""
    lines: dict[str, Sequence[str]] = {}
    for place in _first(places):
        more = [f"… and {hidden} more"] if (hidden := len(places[place]) - _MOST_LINES) > 0 else []
        lines[place] = [*places[place][:_MOST_LINES], *more]
    hidden = len(places) - _MOST_PLACES
    new = [place for place in places if place not in before] if before else []
    healed = [place for place in before or {} if place not in places]
    closing = [
        *([f"… and {hidden} more places"] if hidden > 0 else []),
        *([f"New since the last message: {', '.join(_first(new))}."] if new else []),
        *([f"No longer failing: {', '.join(_first(healed))}."] if healed else []),
        _DO_ON_FAILURE,
    ]
    return Alert(f"testruns: {title}", lines, closing)


def stale_alert(late: Sequence[ScopeProblem]) -> Alert:
    """The message of scopes that no command loads any more."""
    places = {problem.place: [problem.problem] for problem in late[:_MOST_PLACES]}
    return Alert("testruns: nothing is loaded any more", places, [_DO_ON_STALE])


def _by_place(failures: Iterable[StepFailure]) -> dict[str, list[str]]:
    """Lines by the scope that they speak of, else by the step."""
    places: dict[str, list[str]] = {}
    for failure in failures:
        if failure.scope is not None:
            place, line = failure.scope.place, failure.scope.problem
        else:
            place, line = failure.step or "the run", failure.message
        places.setdefault(place, []).append(line)
    return places


def _digest(lines: Iterable[str]) -> str:
    """The same for the same errors, whatever times and counts stand in them."""
    same = sorted({_VARYING.sub("#", line[:_LONGEST_LINE]) for line in lines})
    return blake2b("\n".join(same).encode(errors="replace"), digest_size=4).hexdigest()


def _first(places: Iterable[str]) -> list[str]:
    return [*places][:_MOST_PLACES]
