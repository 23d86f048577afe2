"""Figures and verdicts as tables: plain on a terminal, Markdown in `results.md`."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from bench.budgets import Verdict
from bench.measure import Measured
from bench.session import Bench, Case

_FIGURES = (
    "case", "by", "wall s", "user + sys s", "Postgres s", "server s", "RSS MiB",
    "lists", "details", "rows",
)  # fmt: skip
_VERDICTS = ("budget", "limit", "measured", "")


def plain(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side; all but the first two to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    rule = ["---" if column < 2 else "---:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def figures(bench: Bench) -> tuple[Sequence[str], list[list[str]]]:
    """A row a case and who did it."""
    return _FIGURES, [_row(case, who, result) for (case, who), result in bench.figures.items()]


def judged(verdicts: Sequence[Verdict]) -> tuple[Sequence[str], list[list[str]]]:
    """A row a budget."""
    return _VERDICTS, [[one.budget, one.limit, one.measured, one.words] for one in verdicts]


def _row(case: Case, who: str, result: Measured) -> list[str]:
    counts = [f"{result.requests.get(kind, 0):,}" if result.requests else "" for kind in _KINDS]
    return [
        str(case),
        who,
        f"{result.wall:.2f}",
        f"{result.cpu:.2f}" if result.cpu else "",
        f"{result.postgres:.2f}" if result.postgres else "",
        f"{result.server:.2f}" if result.server else "",
        f"{result.rss:.0f}" if result.rss else "",
        *counts,
        "" if result.rows is None else f"{result.rows:,}",
    ]


_KINDS = ("list", "detail")


def machine(bench: Bench, peers: dict[str, str]) -> list[str]:
    """What it was measured on, a line each; neither its name nor a path."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = {
        "Postgres": bench.warehouse.version,
        **{name: version(name) for name in ("testruns", "dagster", "dbt-core", "psycopg")},
        **peers,
    }
    return [
        f"CPU: {_cpu_model()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        ", ".join(f"{name} {number}" for name, number in versions.items()),
    ]


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")
