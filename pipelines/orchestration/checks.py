"""Checks of the raw tables after each load: a step a source, beside the models.

They read the ledger of the loads (`ingest`), whoever has loaded. An error is what should wake
someone: a scope that did not load, rows lost in numbers. The step fails with it, and so does the
run, once the models have been built: no check stands in their way. All else warns, and what nobody
can mend warns once and is shown as a figure from then on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import TestrunsError
from pipelines.orchestration.failures import ScopeProblem, failure_of_scopes
from pipelines.orchestration.metadata import Metadata, table, without_empty_tables
from pipelines.orchestration.resources import Warehouse
from pipelines.settings import Settings
from pipelines.sources.redaction import visible
from pipelines.sources.registry import REGISTRY
from pipelines.sources.spec import SourceName
from pipelines.warehouse.engine import engine
from pipelines.warehouse.queries import queries

FRESH_HOURS = 36
# From this share on, differences are no oddity of a run but a fault of ours or a changed API.
_MANY = 0.1
_WARN, _ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@dataclass(frozen=True)
class Verdict:
    """What a check says: `problem`, a line each, or None for a pass; `scopes` that it speaks of."""

    problem: str | None = None
    severity: dg.AssetCheckSeverity = _WARN
    metadata: Metadata = field(default_factory=dict)
    scopes: Sequence[ScopeProblem] = ()

    @property
    def shown_metadata(self) -> Metadata:
        """What stands beside the verdict; Dagster plots the count, of lines by default."""
        lines = (self.problem or "").splitlines()
        return {"found": len(lines), **without_empty_tables(self.metadata)}

    def evaluation(self, name: str, key: dg.AssetKey) -> dg.AssetCheckEvaluation:
        """For an event outside of a run."""
        return dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=name,
            passed=self.problem is None,
            severity=self.severity,
            description=self.problem,
            metadata=self.shown_metadata,
        )


class Evidence:
    """The ledger of one source, as checks read it."""

    def __init__(self, connection: Connection, source: SourceName, settings: Settings) -> None:
        self._connection = connection
        self.source, self.settings = source, settings
        self.scopes = list(settings.scopes(source))

    def read(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query of sql/queries/checks.sql."""
        params = {"source": self.source, "scopes": self.scopes, **parameters}
        rows = self._connection.exec_driver_sql(queries("checks")[name].decode(), params)
        return [dict(row) for row in rows.mappings()]


def _every_scope_is_loaded(evidence: Evidence) -> Verdict:
    rows = evidence.read("last_loads")
    # An error quotes what an API said: a line break in it would forge a line of an alert.
    failed = [
        ScopeProblem(evidence.source, row["scope"], visible(row["error"]))
        for row in rows
        if row["error"]
    ]
    return Verdict(_lines(failed), _ERROR, {"scopes": table(rows)}, failed)


def _lines(problems: Iterable[object]) -> str | None:
    return "\n".join(map(str, problems)) or None


def _announced_rows_are_loaded(evidence: Evidence) -> Verdict:
    differences = evidence.read("differences")
    (written,) = evidence.read("runs_last_written", table=REGISTRY[evidence.source].runs_table)
    lost = [row for row in differences if row["reason"] in ("missing", "surplus")]
    new = max((row["runs_new"] for row in lost), default=0)
    severity = _ERROR if new >= 3 and new >= _MANY * written["runs"] else _WARN
    lines = [
        f"{row['runs']} run(s) announce {row['announced']:,} {row['total']}, "
        f"{row['loaded']:,} are loaded ({row['reason']}; as {row['run_id']})"
        for row in lost
    ]
    return Verdict(_lines(lines), severity, {"differences": table(differences)})


def _no_record_is_rejected(evidence: Evidence) -> Verdict:
    rejected = evidence.read("rejected")
    lines = [f"{row['records']} of {row['scope']}: {row['error']}" for row in rejected]
    remedy = ["after an upgrade: testruns retry-rejected"] if rejected else []
    metadata = {"found": len(lines), "rejected": table(rejected)}
    return Verdict(_lines(lines + remedy), _WARN, metadata)


def _no_field_is_new(evidence: Evidence) -> Verdict:
    fields = evidence.read("unknown_fields")
    new = [f"{row['table_name']}: {row['field']}" for row in fields if row["is_new"]]
    problem = f"kept in extra, and reported this once: {', '.join(new)}" if new else None
    return Verdict(problem, _WARN, {"found": len(new), "unknown_fields": table(fields)})


def _watermarks_move(evidence: Evidence) -> Verdict:
    watermarks = evidence.read("watermarks")
    lines = [
        f"{row['scope']}: a walk that began {row['walking_since']:%F %T} UTC has not closed"
        for row in watermarks
        if row["is_stuck"]
    ]
    lines += [
        f"{row['scope']}: no run since {row['high_water']:%F %T} UTC; is it still being run?"
        for row in watermarks
        if row["is_behind"]
    ]
    return Verdict(_lines(lines), _WARN, {"watermarks": table(watermarks)})


def _open_runs_end(evidence: Evidence) -> Verdict:
    open_runs = evidence.read("old_open_runs")
    lines = [
        f"{row['scope']} {row['run_id']}: open since {row['opened_at']:%F %T} UTC"
        for row in open_runs
        if row["is_new"]
    ]
    return Verdict(_lines(lines), _WARN, {"old_open_runs": table(open_runs)})


def _quota_lasts(evidence: Evidence) -> Verdict:
    (quota,) = evidence.read("quota")
    left = quota["month_remaining"]
    if left is None:
        return Verdict(metadata={"announced": "no monthly budget"})
    a_day = max(quota["used"], quota["used_by_us"]) / quota["days"]
    spare = left - (evidence.settings.sources[evidence.source].reserve or 0)
    days = spare / a_day if a_day else float("inf")
    metadata = {
        "month_limit": quota["month_limit"],
        "month_remaining": left,
        "requests_a_day": round(a_day, 1),
        "days_until_the_month_ends": round(quota["days_left"], 1),
    }
    if days >= quota["days_left"]:
        return Verdict(metadata=metadata)
    return Verdict(
        f"{left:,} of the month's {quota['month_limit'] or 0:,} calls are left; at "
        f"{a_day:,.0f} a day they last {days:.0f} of the {quota['days_left']:.0f} days",
        _WARN,
        metadata,
    )


def _is_fresh(evidence: Evidence) -> Verdict:
    late = late_scopes(evidence)
    metadata = {"last_loaded": table(evidence.read("last_successes"))}
    return Verdict(_lines(late), _ERROR, metadata, late)


def late_scopes(evidence: Evidence, *, is_new_late: bool = True) -> list[ScopeProblem]:
    """Scopes that no command has loaded within FRESH_HOURS.

    `is_new_late`: whether one that was never loaded is among them.
    """
    now = datetime.now(UTC)
    late = []
    for row in evidence.read("last_successes"):
        loaded_at = row["loaded_at"]
        if loaded_at is None:
            if is_new_late:
                late.append(ScopeProblem(evidence.source, row["scope"], "never loaded"))
        elif (hours := (now - loaded_at).total_seconds() / 3600) > FRESH_HOURS:
            problem = f"last loaded {loaded_at:%F %T} UTC, {hours:.0f} h ago"
            late.append(ScopeProblem(evidence.source, row["scope"], problem))
    return late


def freshness_verdict(problems: Sequence[ScopeProblem]) -> Verdict:
    """The verdict of the check FRESH on what `late_scopes` says."""
    return Verdict(_lines(problems), _ERROR, scopes=problems)


FRESH = "is_fresh"

# Each with its description, which says how loud it is.
CHECKS: dict[str, tuple[Callable[[Evidence], Verdict], str]] = {
    "every_scope_is_loaded": (
        _every_scope_is_loaded,
        "Every collection or project was loaded the last time. Error, which fails the run.",
    ),
    FRESH: (
        _is_fresh,
        (
            f"Each scope was loaded within {FRESH_HOURS} hours, by whatever command. Error. "
            "A sensor looks at it between the nights as well."
        ),
    ),
    "announced_rows_are_loaded": (
        _announced_rows_are_loaded,
        (
            "Runs have as many rows as their own totals announce. Warns; an error from a tenth of "
            "the last load's runs on. Rows that the API repeats, and open runs, are only shown."
        ),
    ),
    "no_record_is_rejected": (
        _no_record_is_rejected,
        "No record is set aside unparsed (ingest.rejected_records). Warns.",
    ),
    "no_field_is_new": (
        _no_field_is_new,
        (
            "The API sends no field that it never sent before and that has no column. Warns once; "
            "what the first load of a scope sees is only shown."
        ),
    ),
    "watermarks_move": (
        _watermarks_move,
        "Each scope has runs of the last 7 days, and no walk is open for 48 hours. Warns.",
    ),
    "open_runs_end": (
        _open_runs_end,
        "No run is open for more than 7 days. Warns for a week: some never end.",
    ),
    "quota_lasts_the_month": (
        _quota_lasts,
        (
            "At the pace of this week (ours, or the whole account's if more) the announced monthly "
            "budget lasts until the month ends. Warns."
        ),
    ),
}


def raw_checks(source: SourceName, runs: dg.AssetKey) -> dg.AssetChecksDefinition:
    """All checks of a source as one step, which fails where one of them is an error."""
    specs = [
        dg.AssetCheckSpec(name, asset=runs, description=description)
        for name, (_, description) in CHECKS.items()
    ]

    @dg.multi_asset_check(name=f"check_{source}", specs=specs, can_subset=True)
    def check(
        context: dg.AssetCheckExecutionContext, warehouse: Warehouse
    ) -> Iterator[dg.AssetCheckResult]:
        errors: list[str] = []
        scopes: list[ScopeProblem] = []
        try:
            reader = engine(warehouse.open(), role="testruns dagster")
            with reader.connect() as connection:
                evidence = Evidence(connection, source, warehouse.settings)
                for key in sorted(context.selected_asset_check_keys, key=_place):
                    verdict = CHECKS[key.name][0](evidence)
                    yield check_result(key, verdict)
                    if verdict.problem is None or verdict.severity is not _ERROR:
                        continue
                    # A scope that is late stands among the failed ones, where there are any.
                    if key.name != FRESH or not errors:
                        errors.append(verdict.problem)
                        scopes += verdict.scopes
        except (SQLAlchemyError, TestrunsError) as error:
            raise dg.Failure(f"{source} cannot be checked: {error}", allow_retries=False) from None
        if errors:
            raise failure_of_scopes(errors, scopes)

    return check


def _place(key: dg.AssetCheckKey) -> int:
    return list(CHECKS).index(key.name)


def check_result(key: dg.AssetCheckKey, verdict: Verdict) -> dg.AssetCheckResult:
    """A verdict as the result of a check."""
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=verdict.problem is None,
        severity=verdict.severity,
        description=verdict.problem,
        metadata=verdict.shown_metadata,
    )
