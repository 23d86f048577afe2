"""How a load shows itself: a progress bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.ingest.load_lines import detail_lines, format_minutes, scope_line, size_line
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.sources.redaction import visible
from pipelines.sources.spec import SourceName
from pipelines.terminal import output

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


@contextmanager
def load_progress(*, verbose: bool = False) -> Iterator[Progress]:
    """A bar on stderr where that is a terminal; each scope's lines go to stdout.

    `verbose` adds what each scope cost and wrote.
    """
    if not sys.stderr.isatty():
        yield _Lines(verbose=verbose)
        return
    from rich.console import Console  # noqa: PLC0415 - only for people
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.table import Column  # noqa: PLC0415

    # With all that stands beside it, 80 columns.
    name = Column(max_width=20, no_wrap=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False, table_column=name),
        BarColumn(bar_width=8),
        TextColumn("{task.completed:,.0f}{task.fields[of]} runs", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    # A stdout that is a terminal too has its lines above the bar; another keeps them.
    redirect = sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=redirect) as bars:
        yield _Bars(bars, verbose=verbose)


class _Lines(NullProgress):
    """A line when a scope is done, and one when there is long to wait."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose

    def scope_sized(self, source: SourceName, scope: str, runs: int, minutes: float) -> None:
        if minutes > 1:
            output.note(size_line(source, scope, runs, minutes))

    def waits(self, source: SourceName, seconds: float) -> None:
        output.note(f"{source}: waiting {seconds:.0f} s for the rate limit")

    def waits_for_lock(self, source: SourceName, scope: str, holder: str) -> None:
        output.note(f"{source} {scope}: waiting for {holder}")

    def scope_ends(self, report: ScopeReport) -> None:
        output.line(scope_line(report))
        if self._verbose:
            for detail in detail_lines(report):
                output.line(detail)


class _Bars(_Lines):
    """A line that moves for the scope under way, above it those that are done."""

    def __init__(self, bars: "Bars", *, verbose: bool) -> None:
        super().__init__(verbose=verbose)
        self._bars = bars
        self._task: TaskID | None = None
        self._runs = 0
        self._minutes = 0.0

    def scope_begins(self, source: SourceName, scope: str) -> None:
        name = visible(f"{source} {scope}")
        self._runs = 0
        self._task = self._bars.add_task(name, total=None, of="", note="")

    def scope_sized(self, source: SourceName, scope: str, runs: int, minutes: float) -> None:
        super().scope_sized(source, scope, runs, minutes)
        self._runs, self._minutes = runs, minutes
        if self._task is not None:
            self._bars.update(self._task, total=runs, of=f" of {runs:,}")

    def runs_fetched(self, source: SourceName, scope: str, runs: int) -> None:  # noqa: ARG002
        if self._task is None:
            return
        self._bars.update(self._task, advance=runs, note="")
        if self._runs and self._minutes > 1:
            left = 1 - self._bars.tasks[0].completed / self._runs
            note = f"{format_minutes(self._minutes * left).removeprefix('about ')} left"
            self._bars.update(self._task, note=note)

    def waits(self, source: SourceName, seconds: float) -> None:  # noqa: ARG002
        if self._task is not None:
            self._bars.update(self._task, note=f"waiting {seconds:.0f} s")

    def waits_for_lock(self, source: SourceName, scope: str, holder: str) -> None:  # noqa: ARG002
        if self._task is not None:
            self._bars.update(self._task, note=visible(f"waiting for {holder}"))

    def scope_ends(self, report: ScopeReport) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
        super().scope_ends(report)
