"""Health over time: a card for each collection and project, with its chart and its weeks."""

from dataclasses import dataclass
from datetime import date

import pandas as pd
from markupsafe import Markup

from pipelines.report.charts import up_and_down
from pipelines.report.formats import counted
from pipelines.report.period import Period
from pipelines.report.reading import Row
from pipelines.report.scopes import Scopes

# More columns than this are thinner than a pixel on a phone.
_MOST_COLUMNS = 120


@dataclass(frozen=True)
class Week:
    """A week of a scope that begins on `day`; rates from 0 to 1, None where nothing decided."""

    day: date
    runs: float
    passed: float
    failed: float
    pass_rate: float | None
    red_hours: float


@dataclass(frozen=True)
class Card:
    """A collection or project over the period."""

    name: str
    system: str
    runs: float
    passed: float
    failed: float
    pass_rate: float | None
    red_hours: float
    chart: Markup
    weeks: list[Week]


def health_cards(rows: list[Row], scopes: Scopes, period: Period) -> list[Card]:
    """Cards of the scopes that ran most, the one with most runs first."""
    if not rows:
        return []
    days = pd.DataFrame(rows).astype({"business_date": "datetime64[s]"})
    cards = []
    grouped = days.groupby(["system", "scope"], dropna=False, sort=True)
    for number, (_, found) in enumerate(grouped):
        system, scope = found["system"].iloc[0], found["scope"].iloc[0]
        name = scopes.name(system, scope if isinstance(scope, str) else None)
        figures = found.set_index("business_date").drop(columns=["system", "scope", "scopes"])
        cards.append(_card(name, system, figures.astype(float), number, period))
    return sorted(cards, key=lambda card: -card.runs)


def _card(name: str, system: str, days: pd.DataFrame, number: int, period: Period) -> Card:
    weeks = days.resample("W-MON", label="left", closed="left").sum()
    whole = days.sum()
    return Card(
        name=name,
        system=system,
        runs=whole["runs_total"],
        passed=whole["runs_passed"],
        failed=whole["runs_failed"],
        pass_rate=_rate(whole),
        red_hours=whole["red_minutes"] / 60,
        chart=_chart(days, weeks, number, period),
        weeks=[
            Week(
                day=pd.Timestamp(str(monday)).date(),
                runs=week["runs_total"],
                passed=week["runs_passed"],
                failed=week["runs_failed"],
                pass_rate=_rate(week),
                red_hours=week["red_minutes"] / 60,
            )
            for monday, week in weeks.iterrows()
        ],
    )


def _rate(figures: pd.Series) -> float | None:
    decided = figures["tests_decided"]
    return float(figures["tests_passed"] / decided) if decided else None


def _chart(days: pd.DataFrame, weeks: pd.DataFrame, number: int, period: Period) -> Markup:
    if period.days <= _MOST_COLUMNS:
        every_day = pd.date_range(period.first_day, period.last_day, freq="D", unit="s")
        columns, step = days.reindex(every_day, fill_value=0.0), "day"
    else:
        columns, step = weeks, "week"
    passed, failed = columns["runs_passed"], columns["runs_failed"]
    told = (
        f"Green and red runs by {step}, {period.first_day} to {period.last_day}: "
        f"{counted(passed.sum(), 'green run')}, {counted(failed.sum(), 'red run')}"
    )
    if failed.any():
        worst = pd.Timestamp(str(failed.idxmax())).date()
        told += f"; most red in the {step} of {worst} ({failed.max():,.0f})"
    return up_and_down(
        passed.tolist(),
        failed.tolist(),
        f"{period.first_day}",
        f"{period.last_day}",
        f"health-{number}",
        told,
    )
