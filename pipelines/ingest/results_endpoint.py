"""Whether an API has the endpoint of test results: found out once a load, and remembered.

An instance without it answers 404 (or 405) for every run. Until it has answered once in a load, one
request goes at a time; a 404 is believed when the API was missing the endpoint before, or gives
nothing for another run either. Then no more is asked in this load: runs load without their results.
"""

import asyncio
from dataclasses import dataclass, field

from pipelines.errors import NotAllowedError, NotFoundError
from pipelines.sources.base import FlatRun, ResultsSource, RunResults

NO_RESULTS = (NotFoundError, NotAllowedError)


@dataclass
class ResultsEndpoint:
    """Shared by all scopes of a load.

    `is_there`: the API has the endpoint, None: not known yet; `was_missing`: it did not when a load
    asked last; `error` is how it answered.
    """

    is_there: bool | None = None
    was_missing: bool = False
    error: str | None = None
    is_noted: bool = False
    _gate: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_missing(self) -> bool:
        """Whether no results are to be expected, as far as is known."""
        return self.is_there is False or (self.is_there is None and self.was_missing)

    @property
    def has_news(self) -> bool:
        """Whether this load has found anything to remember."""
        return self.is_there is False or (self.is_there is True and self.was_missing)

    def take_notice(self, results: ResultsSource) -> str | None:
        """What to say of it in one line, once a load; None: it has been said."""
        if self.is_noted:
            return None
        self.is_noted = True
        if self.is_missing:
            return (
                f"without test results, which this instance does not give: {self.error}; "
                f"{results.setting}=false never asks"
            )
        return (
            f"{results.endpoint} answers now: test results are loaded; `testruns backfill` "
            "fetches those of older runs"
        )

    async def read(
        self, results: ResultsSource, run: FlatRun, other_run: str | None
    ) -> RunResults | None:
        """The results of a run; None where the API has no such endpoint.

        `other_run` is the ID of another run of the API, None: none is known. Raises ApiError.
        """
        if self.is_there is None:
            async with self._gate:
                if self.is_there is None:
                    return await self._first(results, run, other_run or run.run_id)
        return await results.read(run) if self.is_there else None

    async def _first(
        self, results: ResultsSource, run: FlatRun, other_run: str
    ) -> RunResults | None:
        try:
            found = await results.read(run)
        except NO_RESULTS as error:
            if not self.was_missing and await _answers(results, other_run):
                self.is_there = True
                raise
            self.is_there, self.error = False, str(error)
            return None
        self.is_there = True
        return found


async def _answers(results: ResultsSource, run_id: str) -> bool:
    try:
        await results.probe(run_id)
    except NO_RESULTS:
        return False
    return True
