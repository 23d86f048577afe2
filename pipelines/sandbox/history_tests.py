"""The test results of the seeded history's Testmo runs: as many as each thread counts.

A suite's tests keep their name, folder and case from run to run; which of them fail is told in
`testmo_stories`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from pipelines.sandbox.catalog_testmo import REGRESSION, SUITES, Suite
from pipelines.sandbox.history_days import Period
from pipelines.sandbox.testmo_stories import failing_tests
from pipelines.sandbox.wire import Json

_NEUTRAL, _SUCCESS, _FAILURE = 1, 2, 3
_IDS_A_RUN = 1000
_FOLDERS = ("Account", "Cart", "Checkout", "Catalogue", "Delivery", "Search", "Settings")
_SUBJECTS = (
    "shows the total",
    "keeps the draft",
    "rejects an empty name",
    "sorts by price",
    "restores the session",
    "sends the receipt",
    "loads more",
    "prints the label",
)
_BY_TITLE: dict[str, Suite] = {suite.title: suite for suite in (*SUITES, REGRESSION)}


@dataclass(frozen=True)
class SeededTests:
    """The results of each run of a seeded history; equal histories have equal ones."""

    period: Period

    def __call__(self, run: Json) -> list[Json]:
        """The results of a run; those that it counts as untested have none yet."""
        number, suite = next(
            (number, suite)
            for number, (title, suite) in enumerate(_BY_TITLE.items())
            if run["name"].startswith(title)
        )
        dice = self.period.dice(f"testmo/{run['id']}/tests")
        failing = failing_tests(self.period, suite, run["id"], run["created_at"])
        tests: list[Json] = []
        share = suite.test_count // len(run["threads"])
        for place, thread in enumerate(run["threads"]):
            for index, status in _statuses(thread, place * share, failing, dice):
                took = round(suite.test_ms * 1000 * dice.lognormvariate(0, 0.3))
                tests.append(
                    {
                        "automation_test_id": run["id"] * _IDS_A_RUN + index,
                        "automation_case_id": number * _IDS_A_RUN + index,
                        "repository_case_id": None,
                        "key": f"{suite.source_id}-{index}",
                        "name": f"{_SUBJECTS[index % len(_SUBJECTS)]} ({index})",
                        "folder": f"{suite.title} / {_FOLDERS[index % len(_FOLDERS)]}",
                        "status": status,
                        "elapsed": None if status == _NEUTRAL else took,
                        "thread_id": thread["id"],
                        "created_at": thread["created_at"],
                    }
                )
        return tests


def _statuses(
    thread: Json, first: int, failing: frozenset[int], dice: Random
) -> Iterator[tuple[int, int]]:
    """Each test of a thread by its place in the suite, with its status."""
    places = range(first, first + thread["total_count"])
    others = [place for place in places if place not in failing]
    untested = set(dice.sample(others, thread["untested_count"]))
    rest = [place for place in others if place not in untested]
    neutral = set(dice.sample(rest, len(rest) - thread["success_count"]))
    for place in places:
        if place in failing:
            yield place, _FAILURE
        elif place not in untested:
            yield place, _NEUTRAL if place in neutral else _SUCCESS
