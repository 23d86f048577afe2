"""How a load shows itself: a progress bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.ingest.progress import Progress, ScopeReport
from pipelines.settings import Source

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from pipelines.ingest.backfill import Estimate
    from pipelines.orchestration.nightly import NightlyReport


@contextmanager
def load_progress() -> Iterator[Progress]:
    """A progress on stderr that fits what stderr is; each scope's last line goes to stdout."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.progress import (  # noqa: PLC0415 - only for people
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:,.0f} runs"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    from rich.console import Console  # noqa: PLC0415

    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Bars(bars)


class Lines:
    """A line when a scope is done, and one when the rate limit stops it for long."""

    def scope_begins(self, source: Source, scope: str) -> None:
        """Nothing yet."""

    def runs_fetched(self, source: Source, scope: str, runs: int) -> None:
        """Nothing: the scope's last line has the sum."""

    def waits(self, source: Source, seconds: float) -> None:
        """Say why nothing happens."""
        print(f"{source}: waiting {seconds:.0f} s for the rate limit", file=sys.stderr, flush=True)

    def waits_for_lock(self, source: Source, scope: str, holder: str) -> None:
        """Say for whom."""
        print(f"{source} {scope}: waiting for {holder}", file=sys.stderr, flush=True)

    def scope_ends(self, report: ScopeReport) -> None:
        """Say what came of it."""
        print(scope_line(report), flush=True)


class _Bars:
    """A line that moves for each scope under way."""

    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def scope_begins(self, source: Source, scope: str) -> None:
        self._task = self._bars.add_task(f"{source} {scope}", total=None, note="")

    def runs_fetched(self, source: Source, scope: str, runs: int) -> None:  # noqa: ARG002
        if self._task is not None:
            self._bars.update(self._task, advance=runs, note="")

    def waits(self, source: Source, seconds: float) -> None:  # noqa: ARG002
        if self._task is not None:
            self._bars.update(self._task, note=f"waiting {seconds:.0f} s for the rate limit")

    def waits_for_lock(self, source: Source, scope: str, holder: str) -> None:  # noqa: ARG002
        if self._task is not None:
            self._bars.update(self._task, note=f"waiting for {holder}")

    def scope_ends(self, report: ScopeReport) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
        self._bars.console.file.flush()
        self._bars.print(scope_line(report), markup=False, highlight=False, soft_wrap=True)


def scope_line(report: ScopeReport) -> str:
    """One line for a scope: what was written and at what cost, or why it failed."""
    requests = f"{sum(report.requests.values()):,} requests"
    runs = sum(rows for table, rows in report.rows.items() if table.endswith("_runs"))
    rows = sum(report.rows.values())
    done = f"{runs:,} runs, {rows:,} rows" if rows else "nothing new"
    parts = [done, requests]
    if report.deleted:
        parts.append(f"{report.deleted:,} runs gone at the source")
    if report.rejected:
        parts.append(f"{report.rejected:,} records rejected (see testruns status)")
    if report.high_water_after is not None:
        parts.append(f"up to {report.high_water_after:%F %T} UTC")
    line = f"{report.source} {report.scope}: {', '.join(parts)}"
    return line if report.error is None else f"{line}\n  FAILED: {report.error}"


def estimate_line(estimate: "Estimate") -> str:
    """One line for a scope: what a backfill of it would take."""
    where = f"{estimate.source} {estimate.scope}"
    if estimate.error is not None:
        return f"{where}: cannot tell: {estimate.error}"
    return (
        f"{where}: {estimate.runs:,} runs, {estimate.requests:,} requests, "
        f"about {max(1, round(estimate.minutes)):,} min at the allowed rate"
    )


def nightly_lines(report: "NightlyReport") -> list[str]:
    """What dbt did, and where the run stands in Dagster; failures are told elsewhere."""
    outcome = "succeeded" if report.succeeded else "FAILED"
    return [
        f"dbt: {report.models} models built, {report.checks} tests run"
        if report.models or not report.succeeded
        else "dbt: nothing has changed since the models were built today; they stand",
        *(f"  warns: {check}" for check in report.warned_checks),
        f"Dagster run {report.run_id}: {outcome} in {report.seconds:.1f} s",
    ]
