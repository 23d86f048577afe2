"""The flakiest tests, each with its last outcomes and why it is here."""

from typing import Any

from pipelines.report.data import ReportData, Row
from pipelines.report.evidence import describe_outcomes, outcome, streak_kind

TITLE = "Flaky tests"


def view(data: ReportData) -> dict[str, Any]:
    """Tests that fail now and then, as the query ranks them."""
    return {"tests": tests_by(data, "flaky_rank")}


def tests_by(data: ReportData, rank: str) -> list[Row]:
    """The tests of the query `verdicts` that have such a rank, with their strips and streaks."""
    outcomes = data.grouped("outcomes", "test_environment_key")
    streaks = data.grouped("proof", "test_environment_key")
    short = data.thresholds["flaky_short_runs"]

    def with_proof(row: Row) -> Row:
        results = outcomes[row["test_environment_key"]]
        strip = [outcome(result, data.period.zone) for result in results]
        return row | {
            "strip": strip,
            "alt": describe_outcomes(strip),
            "last_seen_at": results[-1]["run_started_at"],
            "last_run_key": results[-1]["test_run_key"],
            "streaks": [
                streak | {"kind": streak_kind(streak, short)}
                for streak in streaks.get(row["test_environment_key"], [])
            ],
        }

    ranked = [row for row in data.rows("verdicts") if row[rank] is not None]
    return [with_proof(row) for row in sorted(ranked, key=lambda row: row[rank])]
