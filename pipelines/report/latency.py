"""Requests that take longest, and those that have become slower, each with its days as a line."""

from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from pipelines.report.charts import sparkline
from pipelines.report.formats import milliseconds, seen, short_id
from pipelines.report.period import Period
from pipelines.report.reading import Row, Rows
from pipelines.report.scopes import Scopes
from pipelines.report.thresholds import Thresholds


@dataclass(frozen=True)
class Request:
    """A request in an environment; times in milliseconds, None where nothing is known."""

    name: str
    scope: str
    environment: str | None
    median_ms: float | None
    baseline_ms: float | None
    ratio: float | None
    p95_ms: float | None
    is_regression: bool
    chart: Markup


@dataclass(frozen=True)
class Latency:
    """The slowest requests, and those of all that are slower than they were, the worst first."""

    slowest: list[Request]
    slowing: list[Request]


def latency(rows: Rows, scopes: Scopes, period: Period, thresholds: Thresholds) -> Latency:
    """Both lists; a request may be in both, with a chart in each."""
    days = pd.DataFrame(
        rows["latency_days"], columns=["request_key", "business_date", "p50_ms", "p95_ms"]
    ).astype({"business_date": "datetime64[s]", "p50_ms": float, "p95_ms": float})
    every_day = pd.date_range(period.first_day, period.last_day, freq="D", unit="s")
    by_request = {
        str(key): found.set_index("business_date").reindex(every_day)
        for key, found in days.groupby("request_key")
    }
    recent = int(thresholds["latency_recent_days"])

    def request(row: Row, place: str) -> Request:
        found = by_request[row["request_key"]]
        name = f"{place}-{row[f'{place}_rank']}"
        occurrence = row["item_occurrence"] or 1
        told = (
            f"Median latency by day, up to {milliseconds(found['p50_ms'].max())}, "
            f"and 95 % of a day's answers, up to {milliseconds(found['p95_ms'].max())}; "
            f"the last days at {milliseconds(row['recent_median_ms'])}, "
            f"the weeks before at {milliseconds(row['baseline_median_ms'])}"
        )
        return Request(
            name=seen(row["item_name"] or "(without a name)")
            + (f" (no. {occurrence})" if occurrence > 1 else ""),
            scope=scopes.name("postman", row["collection_id"]),
            environment=row["environment_id"] and short_id(row["environment_id"]),
            median_ms=row["recent_median_ms"],
            baseline_ms=row["baseline_median_ms"],
            ratio=row["slowdown_ratio"],
            p95_ms=row["p95_ms"],
            is_regression=row["is_regression"],
            chart=sparkline(
                found["p50_ms"].tolist(),
                found["p95_ms"].tolist(),
                recent,
                row["baseline_median_ms"],
                name,
                told,
            ),
        )

    def listed(place: str, chosen: list[Row]) -> list[Request]:
        rank = f"{place}_rank"
        ranked = sorted((row for row in chosen if row[rank] <= 10), key=lambda row: row[rank])
        return [request(row, place) for row in ranked]

    slow = [row for row in rows["latency"] if row["is_regression"]]
    return Latency(listed("slowest", rows["latency"]), listed("slowing", slow))
