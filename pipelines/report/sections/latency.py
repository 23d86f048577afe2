"""Requests that take longest, and those that have become slower, each with its days as a line."""

from datetime import timedelta
from math import sqrt
from typing import Any

import pandas as pd

from pipelines.report.data import ReportData, Row
from pipelines.report.evidence import answer, describe_answers
from pipelines.report.formats import format_milliseconds as ms
from pipelines.report.formats import format_occurrence, visible

TITLE = "Slow requests"
_MOST_REQUESTS = 10


def view(data: ReportData) -> dict[str, Any]:
    """Both lists, the worst first; a request may be in both. Times are in milliseconds.

    `points` are its days that have any answer: how many days after the first, median, and 95th
    percentile. What has become slower has its last answers as a strip, and its last days.
    """
    first_day = data.period.first_day
    by_day = data.grouped("latency_days", "request_key")
    answers = data.grouped("answers", "request_key")
    days = {
        key: [
            ((day - first_day).days, median, p95)
            for day, median, p95 in zip(
                frame["business_date"], frame["p50_ms"], frame["p95_ms"], strict=True
            )
            if pd.notna(median)
        ]
        for key, frame in data.frames["latency_days"].sort_values("business_date")
        .groupby("request_key")
    }  # fmt: skip

    def listed(rows: list[Row], rank: str) -> list[Row]:
        ranked = sorted(rows, key=lambda row: row[rank])[:_MOST_REQUESTS]
        return [_request(row, data, days[row["request_key"]]) for row in ranked]

    rows = data.rows("latency")
    slower = [row for row in rows if row["is_regression"]]

    def with_proof(row: Row) -> Row:
        last_answers = answers.get(row["request_key"], [])
        strip = [answer(row, data.period.zone) for row in last_answers]
        its_days = by_day[row["request_key"]]
        recent = timedelta(days=data.thresholds["latency_recent_days"])
        before = max(day["business_date"] for day in its_days) - recent
        return row | {
            "strip": strip,
            "strip_alt": describe_answers(strip),
            "tail_interval": wilson_interval(
                row["recent_tail_share"], row["recent_requests"], data.thresholds["wilson_z"]
            ),
            "last_days": [day for day in its_days if day["business_date"] > before],
        }

    return {
        "slowest": listed(rows, "slowest_rank"),
        "slowing": [with_proof(row) for row in listed(slower, "slowing_rank")],
        "days": data.period.days,
    }


def _request(row: Row, data: ReportData, points: list[tuple[int, float, float]]) -> Row:
    name = visible(row["item_name"] or "(without a name)")
    highest_median = max((median for _, median, _ in points), default=None)
    highest_p95 = max((p95 for _, _, p95 in points), default=None)
    return row | {
        "name": name + format_occurrence(row["item_occurrence"]),
        "scope": data.scope_name("postman", row["collection_id"]),
        "points": points,
        "alt": (
            f"Median latency by day, up to {ms(highest_median)}, "
            f"and 95 % of a day's answers, up to {ms(highest_p95)}; "
            f"the last days at {ms(row['recent_median_ms'])}, "
            f"the weeks before at {ms(row['baseline_median_ms'])}"
        ),
    }


def wilson_interval(share: float, number: int, z: float) -> tuple[float, float]:
    """Bounds of a share of so many, from 0 to 1, as macro wilson_bound has them; z is the width."""
    centre = share + z**2 / (2 * number)
    half = z * sqrt(share * (1 - share) / number + z**2 / (4 * number**2))
    whole = 1 + z**2 / number
    return max(0.0, (centre - half) / whole), min(1.0, (centre + half) / whole)
