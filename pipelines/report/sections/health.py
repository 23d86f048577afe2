"""Health over time: a card for each collection and project, with its days as columns."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from pipelines.report.data import ReportData
from pipelines.report.formats import pluralize
from pipelines.report.period import Period

TITLE = "Health"

# More columns than this are thinner than a pixel on a phone.
_MOST_COLUMNS = 120
_FIGURES = [
    *("runs_total", "runs_passed", "runs_failed"),
    *("tests_passed", "tests_decided", "red_minutes"),
]


@dataclass(frozen=True)
class Figures:
    """Runs of a scope in some days; the rate is from 0 to 1, None where no test was decided."""

    runs: float
    passed: float
    failed: float
    pass_rate: float | None
    red_hours: float


@dataclass(frozen=True)
class Card:
    """A collection or project over the period.

    `green` and `red` are runs by column of the chart, `alt` is what the chart shows in words;
    `weeks` are the figures of each week by its Monday.
    """

    name: str
    system: str
    total: Figures
    green: list[float]
    red: list[float]
    alt: str
    weeks: dict[date, Figures]


def view(data: ReportData) -> dict[str, Any]:
    """Cards of the scopes that ran most, the one with most runs first, and the totals of all."""
    days = data.frames["health"]
    step = "day" if data.period.days <= _MOST_COLUMNS else "week"
    cards = [
        _card(
            data.scope_name(str(system), scope if isinstance(scope, str) else None),
            str(system),
            figures.set_index(pd.DatetimeIndex(figures["business_date"], dtype="datetime64[s]")),
            data.period,
            step,
        )
        for (system, scope), figures in days.groupby(["system", "scope"], dropna=False)
    ]
    return {
        "cards": sorted(cards, key=lambda card: -card.total.runs),
        "step": step,
        "totals": data.rows("totals")[0],
        "all_scopes": 0 if days.empty else days["scopes"].iloc[0],
    }


def _card(name: str, system: str, days: pd.DataFrame, period: Period, step: str) -> Card:
    days = days[_FIGURES].astype(float)
    weeks = _by_week(days)
    columns = days.reindex(pd.date_range(period.first_day, period.last_day, unit="s"), fill_value=0)
    if step == "week":
        columns = _by_week(columns)
    passed, failed = columns["runs_passed"], columns["runs_failed"]
    alt = (
        f"Green and red runs by {step}, {period.first_day} to {period.last_day}: "
        f"{pluralize(passed.sum(), 'green run')}, {pluralize(failed.sum(), 'red run')}"
    )
    if failed.any():
        worst = pd.Timestamp(str(failed.idxmax())).date()
        alt += f"; most red in the {step} of {worst} ({failed.max():,.0f})"
    return Card(
        name=name,
        system=system,
        total=_figures(days.sum()),
        green=passed.tolist(),
        red=failed.tolist(),
        alt=alt,
        weeks={
            pd.Timestamp(str(monday)).date(): _figures(week) for monday, week in weeks.iterrows()
        },
    )


def _by_week(days: pd.DataFrame) -> pd.DataFrame:
    return days.resample("W-MON", label="left", closed="left").sum()


def _figures(sums: "pd.Series[float]") -> Figures:
    decided = sums["tests_decided"]
    return Figures(
        runs=sums["runs_total"],
        passed=sums["runs_passed"],
        failed=sums["runs_failed"],
        pass_rate=sums["tests_passed"] / decided if decided else None,
        red_hours=sums["red_minutes"] / 60,
    )
