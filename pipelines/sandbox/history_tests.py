"""The test results of the seeded history's Testmo runs: as many as each thread counts.

A suite's tests keep their name, folder and case from run to run. Most failures fall on the few weak
tests of a suite, which a good report must find; the rest fall anywhere.
"""

from random import Random

from pipelines.sandbox.catalog_testmo import REGRESSION, SUITES, Suite
from pipelines.sandbox.wire import Json

_NEUTRAL, _SUCCESS, _FAILURE = 1, 2, 3
_IDS_A_RUN = 1000
_WEAK_TESTS = 6
_WEAK_SHARE = 0.8
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


def seeded_tests(run: Json) -> list[Json]:
    """The results of a run; those that it counts as untested have none yet."""
    number, suite = next(
        (number, suite)
        for number, (title, suite) in enumerate(_BY_TITLE.items())
        if run["name"].startswith(title)
    )
    dice = Random(f"tests/{run['id']}")  # noqa: S311 - invented results
    tests: list[Json] = []
    share = suite.test_count // len(run["threads"])
    for place, thread in enumerate(run["threads"]):
        for index, status in _statuses(thread, place * share, dice):
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


def _statuses(thread: Json, first: int, dice: Random) -> list[tuple[int, int]]:
    """Each test of a thread by its number in the suite, with its status."""
    total, failed = thread["total_count"], thread["failure_count"]
    places = list(range(first, first + total))
    weak = places[:: max(1, total // _WEAK_TESTS)]
    failing: set[int] = set()
    while len(failing) < failed:
        is_weak = dice.random() < _WEAK_SHARE and not failing.issuperset(weak)
        failing.add(dice.choice(weak if is_weak else places))
    others = [place for place in places if place not in failing]
    untested = set(others[: thread["untested_count"]])
    neutral = total - failed - thread["success_count"] - len(untested)
    neutrals = set([place for place in others if place not in untested][:neutral])
    return [
        (place, _FAILURE if place in failing else _NEUTRAL if place in neutrals else _SUCCESS)
        for place in places
        if place not in untested
    ]
