"""Failures of runs one after the other: the API is ill, or a block of its runs is."""

from asyncio import Event

from pipelines.sources.base import FlatRun
from pipelines.warehouse.batch import Deferred, FetchResult

# After so many in a row runs are passed over: first 24, then one is requested, then 48, and so on.
_MOST = 3
_FIRST_PASSED = 24
# The sixteen that may be under way when the third has failed, and eight more: behind 6,000 runs.
_HOPELESS = 24


class FailuresInARow:
    """Which runs to pass over while those before them cannot be fetched.

    So a block of runs that the API never gives holds up what is behind it for a few requests, and
    an API that gives nothing ends a load soon. What comes of runs is told in the order of the list.
    """

    def __init__(self) -> None:
        self._failures = self._to_pass = self._next = 0
        # Cleared while a run is under way that decides on those behind it.
        self._is_decided = Event()
        self._is_decided.set()

    def came(self, result: FetchResult) -> None:
        """Take in what came of a run."""
        match result.outcome:
            case Deferred(was_requested=False):
                return
            case Deferred(is_unknown=False):
                self._failures += 1
                if self._failures == _MOST:
                    self._to_pass, self._next = _FIRST_PASSED, 2 * _FIRST_PASSED
            case Deferred():
                pass  # the list shows it and the API answers 404: that is counted apart
            case outcome if result.is_detail or isinstance(outcome, FlatRun):
                self._failures = 0
            case _:
                return
        self._is_decided.set()

    @property
    def are_hopeless(self) -> bool:
        """So many failed, with so many passed over between them, that no more is to be tried."""
        return self._failures >= _HOPELESS

    async def pass_over(self) -> bool:
        """Whether the next run is not to be requested; waits for the one that decides on it."""
        await self._is_decided.wait()
        if self._failures < _MOST:
            return False
        if self._to_pass:
            self._to_pass -= 1
            return True
        self._to_pass, self._next = self._next, 2 * self._next
        self._is_decided.clear()
        return False
