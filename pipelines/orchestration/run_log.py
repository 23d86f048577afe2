"""Who hears how a load goes on, besides the terminal: the run's log in Dagster."""

import dagster as dg

from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.settings import Source
from pipelines.terminal.progress import scope_line


class FanOut:
    """A progress that several are told of."""

    def __init__(self, *told: Progress) -> None:
        self._told = told

    def scope_begins(self, source: Source, scope: str) -> None:
        """Tell everyone."""
        for one in self._told:
            one.scope_begins(source, scope)

    def runs_fetched(self, source: Source, scope: str, runs: int) -> None:
        """Tell everyone."""
        for one in self._told:
            one.runs_fetched(source, scope, runs)

    def waits(self, source: Source, seconds: float) -> None:
        """Tell everyone."""
        for one in self._told:
            one.waits(source, seconds)

    def waits_for_lock(self, source: Source, scope: str, holder: str) -> None:
        """Tell everyone."""
        for one in self._told:
            one.waits_for_lock(source, scope, holder)

    def scope_ends(self, report: ScopeReport) -> None:
        """Tell everyone."""
        for one in self._told:
            one.scope_ends(report)


class DagsterLogProgress(NullProgress):
    """Progress as lines in the run's log."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self._log = log

    def scope_begins(self, source: Source, scope: str) -> None:
        """Say so."""
        self._log.info(f"{source} {scope}: begins")

    def waits(self, source: Source, seconds: float) -> None:
        """Say why nothing happens."""
        self._log.info(f"{source}: waiting {seconds:.0f} s for the rate limit")

    def waits_for_lock(self, source: Source, scope: str, holder: str) -> None:
        """Say for whom."""
        self._log.info(f"{source} {scope}: waiting for {holder}")

    def scope_ends(self, report: ScopeReport) -> None:
        """Say what came of it; a failure as an error."""
        tell = self._log.info if report.error is None else self._log.error
        tell(scope_line(report))
