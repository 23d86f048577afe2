"""The last outcomes of a test or request as a strip of letters, and what they say in words."""

from collections import Counter
from dataclasses import dataclass
from itertools import groupby

from pipelines.report.data import Row
from pipelines.report.formats import format_milliseconds, format_time, pluralize, run_id

PASSED, FAILED, EPISODE, OUTAGE = "·", "F", "E", "O"
QUICK, SLOW, UNANSWERED = "·", "S", "N"


@dataclass(frozen=True)
class Outcome:
    """One place of a strip: its letter, and what stands behind it."""

    letter: str
    title: str


def outcome(row: Row, zone: str) -> Outcome:
    """Of a row of the query `outcomes`."""
    if row["outcome"] == "passed":
        return Outcome(PASSED, f"{format_time(row['run_started_at'], zone)} passed")
    letter, words = FAILED, "failed"
    if row["is_outage"]:
        letter, words = OUTAGE, "failed in an outage"
    elif row["is_episode"]:
        letter, words = EPISODE, "failed, in an episode"
    return Outcome(letter, f"{_when(row, zone)} {words}")


def answer(row: Row, zone: str) -> Outcome:
    """Of a row of the query `answers`."""
    took = format_milliseconds(row["latency_ms"]) if row["is_answered"] else "no answer"
    if row["is_outage"]:
        return Outcome(OUTAGE, f"{_when(row, zone)} {took}, in an outage")
    if not row["is_answered"]:
        return Outcome(UNANSWERED, f"{_when(row, zone)} {took}")
    if row["is_slow"]:
        return Outcome(SLOW, f"{_when(row, zone)} {took}")
    return Outcome(QUICK, f"{format_time(row['run_started_at'], zone)} {took}")


def _when(row: Row, zone: str) -> str:
    return f"{format_time(row['run_started_at'], zone)} run {run_id(row['test_run_key'])}:"


def describe_outcomes(strip: list[Outcome]) -> str:
    """What the strip of a test shows, in words."""
    letters = Counter(place.letter for place in strip)
    failures = len(strip) - letters[PASSED]
    text = f"Last {pluralize(len(strip), 'result')}, oldest first: {pluralize(failures, 'failure')}"
    if not failures:
        return text
    groups = [
        len(list(places))
        for has_passed, places in groupby(strip, lambda place: place.letter == PASSED)
        if not has_passed
    ]
    text += f" in {pluralize(len(groups), 'group')}, the longest of {max(groups)}; "
    text += "".join(
        f"{letters[letter]} in {where}; "
        for letter, where in ((EPISODE, "episodes"), (OUTAGE, "outages"))
        if letters[letter]
    )
    passes = next(at for at, place in enumerate(reversed(strip)) if place.letter != PASSED)
    if not passes:
        return f"{text}the last failed"
    return f"{text}{pluralize(passes, 'pass', 'passes')} since the last"


def describe_answers(strip: list[Outcome]) -> str:
    """What the strip of a request shows, in words."""
    letters = Counter(place.letter for place in strip)
    parts = [
        f"{letters[letter]} {words}"
        for letter, words in (
            (SLOW, "slower than nine tenths of the weeks before"),
            (UNANSWERED, "without an answer"),
            (OUTAGE, "in outages"),
        )
        if letters[letter]
    ]
    times = pluralize(len(strip), "time that it was sent", "times that it was sent")
    return f"Last {times}, oldest first: {', '.join(parts) or 'none slow'}"


def streak_kind(row: Row, short: int) -> str:
    """What a row of the query `proof` is: an outage, open, an episode, or longer than one."""
    if row["is_outage"]:
        return "outage"
    if row["recovered_run_key"] is None:
        return "open"
    return "episode" if row["failures"] <= short else "longer"
