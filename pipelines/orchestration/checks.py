"""What is asked of the raw tables after each load: a step a source, beside the models.

An error is what should wake someone: a scope that did not load, rows lost in numbers. The step
fails with it, and so does the run, once the models have been built: no check stands in their way.
All else warns, and what nobody can mend warns once and is told as a figure from then on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import psycopg
from psycopg.rows import dict_row

from pipelines.errors import TestrunsError
from pipelines.orchestration.metadata import Metadata, table, without_empty_tables
from pipelines.settings import Settings, Source
from pipelines.sources.registry import REGISTRY
from pipelines.warehouse.engine import connect, open_warehouse
from pipelines.warehouse.queries import queries

FRESH_HOURS = 36
# From this share on, differences are no oddity of a run but a fault of ours or a changed API.
_MANY = 0.1
_WARN, _ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@dataclass(frozen=True)
class Verdict:
    """What a check found: `problem` None is a pass."""

    problem: str | None = None
    severity: dg.AssetCheckSeverity = _WARN
    metadata: Metadata = field(default_factory=dict)

    @property
    def shown(self) -> Metadata:
        """What stands beside the verdict; the count, of lines unless told, is plotted."""
        return {"found": len(self.lines), **without_empty_tables(self.metadata)}

    @property
    def lines(self) -> list[str]:
        """The problem's lines; none for a pass."""
        return (self.problem or "").splitlines()

    def evaluation(self, name: str, key: dg.AssetKey) -> dg.AssetCheckEvaluation:
        """As it is told outside of a run."""
        return dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=name,
            passed=self.problem is None,
            severity=self.severity,
            description=self.problem,
            metadata=self.shown,
        )


class Evidence:
    """What checks of one source may look at."""

    def __init__(
        self,
        connection: psycopg.Connection,
        source: Source,
        settings: Settings,
        last_load: dg.AssetMaterialization | None,
        loaded_at: datetime | None,
    ) -> None:
        self._rows = connection.cursor(row_factory=dict_row)
        self.source, self.settings = source, settings
        self.scopes = list(settings.scopes(source))
        self.last_load, self.loaded_at = last_load, loaded_at

    def read(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        """Rows of a query of sql/queries/checks.sql."""
        known = {"source": self.source, "scopes": self.scopes, **parameters}
        return self._rows.execute(queries("checks")[name], known).fetchall()


def _every_scope_is_loaded(evidence: Evidence) -> Verdict:
    if evidence.last_load is None:
        return Verdict("nothing has been loaded by Dagster yet")
    scopes = evidence.last_load.metadata["scopes"]
    assert isinstance(scopes, dg.TableMetadataValue)  # noqa: S101 - as raw_page writes it
    # What a later `testruns load` has mended is no failure any more.
    mended = {row["scope"] for row in evidence.read("loaded_since", since=evidence.loaded_at)}
    failed = [
        row.data
        for row in scopes.records
        if row.data["error"] is not None and row.data["scope"] not in mended
    ]
    told = [f"{evidence.source} {row['scope']}: {row['error']}" for row in failed]
    return Verdict("\n".join(told) or None, _ERROR, {"scopes": scopes})


def _announced_rows_are_loaded(evidence: Evidence) -> Verdict:
    found = evidence.read("differences")
    (written,) = evidence.read("runs_last_written", table=REGISTRY[evidence.source].runs_table)
    lost = [row for row in found if row["reason"] in ("missing", "surplus")]
    new = max((row["runs_new"] for row in lost), default=0)
    severity = _ERROR if new >= 3 and new >= _MANY * written["runs"] else _WARN
    told = [
        f"{row['runs']} run(s) announce {row['announced']:,} {row['total']}, "
        f"{row['loaded']:,} are loaded ({row['reason']}; as {row['run_id']})"
        for row in lost
    ]
    return Verdict("\n".join(told) or None, severity, {"differences": table(found)})


def _no_record_is_rejected(evidence: Evidence) -> Verdict:
    found = evidence.read("rejected")
    told = [f"{row['records']} of {row['scope']}: {row['error']}" for row in found]
    remedy = ["after an upgrade: testruns retry-rejected"] if found else []
    shown = {"found": len(told), "rejected": table(found)}
    return Verdict("\n".join(told + remedy) or None, _WARN, shown)


def _no_field_is_new(evidence: Evidence) -> Verdict:
    found = evidence.read("unknown_fields")
    told = [f"{row['table_name']}: {row['field']}" for row in found if row["is_new"]]
    problem = f"kept in extra, and told this once: {', '.join(told)}" if told else None
    return Verdict(problem, _WARN, {"found": len(told), "unknown_fields": table(found)})


def _watermarks_move(evidence: Evidence) -> Verdict:
    found = evidence.read("watermarks")
    told = [
        f"{row['scope']}: a walk that began {row['walking_since']:%F %T} UTC has not closed"
        for row in found
        if row["is_stuck"]
    ]
    told += [
        f"{row['scope']}: no run since {row['high_water']:%F %T} UTC; is it still being run?"
        for row in found
        if row["is_behind"]
    ]
    return Verdict("\n".join(told) or None, _WARN, {"watermarks": table(found)})


def _open_runs_end(evidence: Evidence) -> Verdict:
    found = evidence.read("old_open_runs")
    told = [
        f"{row['scope']} {row['run_id']}: open since {row['opened_at']:%F %T} UTC"
        for row in found
        if row["is_new"]
    ]
    return Verdict("\n".join(told) or None, _WARN, {"old_open_runs": table(found)})


def _quota_lasts(evidence: Evidence) -> Verdict:
    (found,) = evidence.read("quota")
    left = found["month_remaining"]
    if left is None:
        return Verdict(metadata={"announced": "no monthly budget"})
    a_day = max(found["used"], found["used_by_us"]) / found["days"]
    spare = left - (evidence.settings.sources[evidence.source].reserve or 0)
    days = spare / a_day if a_day else float("inf")
    told = {
        "month_limit": found["month_limit"],
        "month_remaining": left,
        "requests_a_day": round(a_day, 1),
        "days_until_the_month_ends": round(found["days_left"], 1),
    }
    if days >= found["days_left"]:
        return Verdict(metadata=told)
    return Verdict(
        f"{left:,} of the month's {found['month_limit'] or 0:,} calls are left; at "
        f"{a_day:,.0f} a day they last {days:.0f} of the {found['days_left']:.0f} days",
        _WARN,
        told,
    )


def _is_fresh(evidence: Evidence) -> Verdict:
    return stale(evidence.source, evidence.read("last_successes"))


def last_successes(
    connection: psycopg.Connection, settings: Settings, source: Source
) -> list[dict[str, Any]]:
    """When each scope was last loaded (`loaded_at`, UTC), by whatever command; null: never."""
    return Evidence(connection, source, settings, None, None).read("last_successes")


def stale(source: Source, successes: Sequence[dict[str, Any]]) -> Verdict:
    """The verdict of `is_fresh` on rows of `last_successes`: a line `source scope: …` each."""
    now = datetime.now(UTC)
    told = []
    for row in successes:
        loaded_at = row["loaded_at"]
        if loaded_at is None:
            told.append(f"{source} {row['scope']}: never loaded")
        elif (hours := (now - loaded_at).total_seconds() / 3600) > FRESH_HOURS:
            told.append(
                f"{source} {row['scope']}: last loaded {loaded_at:%F %T} UTC, {hours:.0f} h ago"
            )
    return Verdict("\n".join(told) or None, _ERROR, {"last_loaded": table(successes)})


FRESH = "is_fresh"

# Each with what it asks, and how loudly.
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
            "the last load's runs on. Rows that the API repeats, and open runs, are told only."
        ),
    ),
    "no_record_is_rejected": (
        _no_record_is_rejected,
        "No record is set aside unparsed (ingest.rejected_records). Warns.",
    ),
    "no_field_is_new": (
        _no_field_is_new,
        "The API sends no field that it never sent before and that has no column. Warns once.",
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


def raw_checks(source: Source, runs: dg.AssetKey) -> dg.AssetChecksDefinition:
    """All checks of a source as one step, which fails where one of them is an error."""
    specs = [
        dg.AssetCheckSpec(name, asset=runs, description=asked)
        for name, (_, asked) in CHECKS.items()
    ]

    @dg.multi_asset_check(name=f"check_{source}", specs=specs, can_subset=True)
    def check(
        context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Iterator[dg.AssetCheckResult]:
        last = context.instance.get_latest_materialization_event(runs)
        errors: list[str] = []
        try:
            with connect(open_warehouse(settings), role="testruns dagster") as connection:
                evidence = Evidence(
                    connection,
                    source,
                    settings,
                    last.asset_materialization if last else None,
                    datetime.fromtimestamp(last.timestamp, UTC) if last else None,
                )
                for key in sorted(context.selected_asset_check_keys, key=_place):
                    verdict = CHECKS[key.name][0](evidence)
                    yield _result(key, verdict)
                    if verdict.problem is None or verdict.severity is not _ERROR:
                        continue
                    # A scope that is late is told by its failure, where there is one.
                    if key.name != FRESH or not errors:
                        errors.append(verdict.problem)
        except (psycopg.Error, TestrunsError) as error:
            raise dg.Failure(f"{source} cannot be checked: {error}", allow_retries=False) from None
        if errors:
            raise dg.Failure("\n".join(errors), allow_retries=False)

    return check


def _place(key: dg.AssetCheckKey) -> int:
    return list(CHECKS).index(key.name)


def _result(key: dg.AssetCheckKey, verdict: Verdict) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=verdict.problem is None,
        severity=verdict.severity,
        description=verdict.problem,
        metadata=verdict.shown,
    )
