"""Who listens to a load besides the terminal: the run's log in Dagster."""

import dagster as dg

from pipelines.ingest.load_lines import scope_line, size_line
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.sources.redaction import visible
from pipelines.sources.spec import SourceName


class FanOut:
    """A progress that several listen to."""

    def __init__(self, *listeners: Progress) -> None:
        self._listeners = listeners

    def scope_begins(self, source: SourceName, scope: str) -> None:
        """To each of them."""
        for listener in self._listeners:
            listener.scope_begins(source, scope)

    def scope_sized(self, source: SourceName, scope: str, runs: int, minutes: float) -> None:
        """To each of them."""
        for listener in self._listeners:
            listener.scope_sized(source, scope, runs, minutes)

    def runs_fetched(self, source: SourceName, scope: str, runs: int) -> None:
        """To each of them."""
        for listener in self._listeners:
            listener.runs_fetched(source, scope, runs)

    def waits(self, source: SourceName, seconds: float) -> None:
        """To each of them."""
        for listener in self._listeners:
            listener.waits(source, seconds)

    def waits_for_lock(self, source: SourceName, scope: str, holder: str) -> None:
        """To each of them."""
        for listener in self._listeners:
            listener.waits_for_lock(source, scope, holder)

    def scope_ends(self, report: ScopeReport) -> None:
        """To each of them."""
        for listener in self._listeners:
            listener.scope_ends(report)


class DagsterLogProgress(NullProgress):
    """Progress as lines in the run's log."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self._log = log

    def scope_begins(self, source: SourceName, scope: str) -> None:
        """Say so."""
        self._log.info(visible(f"{source} {scope}: begins"))

    def scope_sized(self, source: SourceName, scope: str, runs: int, minutes: float) -> None:
        """Say what a first load has before it."""
        self._log.info(visible(size_line(source, scope, runs, minutes)))

    def waits(self, source: SourceName, seconds: float) -> None:
        """Say why nothing happens."""
        self._log.info(f"{source}: waiting {seconds:.0f} s for the rate limit")

    def waits_for_lock(self, source: SourceName, scope: str, holder: str) -> None:
        """Say for whom."""
        self._log.info(visible(f"{source} {scope}: waiting for {holder}"))

    def scope_ends(self, report: ScopeReport) -> None:
        """Say what came of it; a failure as an error."""
        log = self._log.info if report.error is None else self._log.error
        log(visible(scope_line(report)))
