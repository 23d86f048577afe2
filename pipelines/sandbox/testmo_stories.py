"""Which tests of the invented Testmo runs fail: a few flaky ones, a few faults, one outage.

Each suite is like a believable team's: nearly all of its tests pass nearly always, and what fails
has a story. A test is known by its place in its suite.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from pipelines.sandbox.catalog_testmo import Suite
from pipelines.sandbox.history_days import Period

# Of 100 runs so many have a test that fails for no reason that comes back.
_STRAY_CHANCE = 0.05
# By hand people find what is new, each time something else.
_FOUND_BY_HAND = 2


class Story(NamedTuple):
    """These tests fail with that chance, from `since` to `until` days before the history's end."""

    places: Iterable[int]
    chance: float = 1.0
    since: float | None = None
    until: float = 0.0

    def holds(self, age_days: float) -> bool:
        """Say whether it is told of a run of that age."""
        return self.until <= age_days and (self.since is None or age_days < self.since)


STORIES: dict[str, tuple[Story, ...]] = {
    # flaky in both browsers
    "Nightly web": (Story([17], 0.25), Story([88], 0.12), Story([203], 0.06)),
    "Web checks": (Story([41], 0.1),),
    "Nightly devices": (
        Story([64], 0.2),
        # one after another they break, and nobody mends them
        Story([12], since=19),
        Story([75], since=8),
        Story([131], since=8),
        # for two nights all but one of three devices are out
        Story([place for place in range(180) if place % 3], since=24, until=22),
    ),
    "App checks": (Story([33], 0.1),),
    # broken for a week, and mended
    "Services unit": (Story([150], since=12, until=5), Story([151], since=12, until=5)),
    # flaky; and a regression of the last two nights
    "Nightly integration": (Story([9], 0.12), Story([57], since=2)),
}


def failing_tests(period: Period, suite: Suite, run_id: int, created_at: str) -> frozenset[int]:
    """Give the places of the tests that fail in a run, by the time that it says of itself."""
    dice = period.dice(f"testmo/{run_id}/failing")
    age_days = (period.end - datetime.fromisoformat(created_at)).total_seconds() / 86_400
    found = {
        place
        for story in STORIES.get(suite.title, ())
        for place in story.places
        if dice.random() < story.chance and story.holds(age_days)
    }
    strays = (
        dice.randint(0, _FOUND_BY_HAND)
        if "manual" in suite.tags
        else int(dice.random() < _STRAY_CHANCE)
    )
    return frozenset(found.union(dice.sample(range(suite.test_count), strays)))
