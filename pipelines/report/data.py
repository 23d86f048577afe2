"""What the sections are made from: rows of the marts, read in one snapshot."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import pandas as pd
import yaml
from pandas.errors import DatabaseError
from psycopg import Error as PsycopgError
from psycopg.errors import InvalidSchemaName, UndefinedColumn, UndefinedTable

from pipelines.errors import WarehouseError
from pipelines.report.formats import is_web_address, short_id, visible
from pipelines.report.period import Period
from pipelines.resources import bundled
from pipelines.sources.registry import REGISTRY
from pipelines.warehouse.engine import engine, reason
from pipelines.warehouse.queries import queries

Row = dict[str, Any]

_SUBJECTS = ("report", "report_why", "report_same_code")
# Queries about the items that an earlier one lists: its name, their key, the parameter.
_LISTED = {
    "latency": ("request_key", "request_keys"),
    "verdicts": ("test_environment_key", "test_environment_keys"),
}


@dataclass(frozen=True)
class ReportData:
    """A frame for each query of sql/queries/report*.sql, by its name; times are UTC.

    `thresholds` are the vars of the dbt project, with which the marts are built.
    """

    period: Period
    thresholds: dict[str, Any]
    frames: dict[str, pd.DataFrame]

    def rows(self, query: str) -> list[Row]:
        """The rows of a query; None is null."""
        frame = self.frames[query].astype(object)
        return cast("list[Row]", frame.where(frame.notna(), None).to_dict("records"))

    def grouped(self, query: str, column: str) -> dict[str, list[Row]]:
        """The rows of a query by the values of a column, in their order."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows(query):
            groups.setdefault(row[column], []).append(row)
        return groups

    @cached_property
    def _links(self) -> dict[str, str]:
        return {
            row["test_run_key"]: row["url"]
            for row in self.rows("run_links")
            if is_web_address(row["url"])
        }

    def run_link(self, test_run_key: str) -> str | None:
        """Where the run can be looked at; None where nothing is known."""
        return self._links.get(test_run_key)

    @cached_property
    def _environments(self) -> dict[tuple[str, str], str]:
        return {
            (row["system"], row["environment_id"]): visible(row["name"])
            for row in self.rows("environments")
        }

    def environment_name(self, system: str, environment: str) -> str:
        """`production`, `environment 40817263-6f0f9…1f8a11`: its name, or else its ID."""
        name = self._environments.get((system, environment))
        return name or f"environment {short_id(environment)}"

    @cached_property
    def _names(self) -> dict[tuple[str, str | None], str]:
        return {
            (row["system"], row["scope"]): visible(row["name"])
            for row in self.rows("scopes")
            # An ID is no name, but for sources of report files, which have nothing else.
            if row["name"] != row["scope"] or row["system"] not in REGISTRY
        }

    def scope_name(self, system: str, scope: str | None) -> str:
        """`Payments`, `collection 40817263-0b7c…`, `project 1`: its name, or else its ID."""
        if (system, scope) in self._names:
            return self._names[system, scope]
        kind = REGISTRY[system].scope_kind if system in REGISTRY else "scope"
        return f"no {kind}" if scope is None else f"{kind} {short_id(scope)}"


def read_data(url: str, period: Period) -> ReportData:
    """Read what a report of the period shows; each query is cut to what a page has room for.

    Raises WarehouseError when the warehouse does not answer, holds nothing, or has no marts, or
    those of another version.
    """
    thresholds = _thresholds()
    params: dict[str, Any] = {
        "since": period.since,
        "as_of": period.as_of,
        "first_day": period.first_day,
        "last_day": period.last_day,
        "recent_days": thresholds["latency_recent_days"],
        "strip": thresholds["flakiness_long_window"],
        "short": thresholds["flaky_short_runs"],
    }
    frames: dict[str, pd.DataFrame] = {}
    # A build of dbt's meanwhile must not let one part of the page contradict another.
    snapshot = engine(url, role="testruns report").execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    try:
        with snapshot.connect() as connection:
            for subject in _SUBJECTS:
                for name, query in queries(subject).items():
                    if name == "run_links":
                        params["run_keys"] = _run_keys(frames)
                    frames[name] = pd.read_sql(query.decode(), connection, params=params)
                    if name in _LISTED:
                        column, parameter = _LISTED[name]
                        params[parameter] = frames[name][column].tolist()
    except DatabaseError as error:
        raise WarehouseError(_complaint(error, frames)) from None
    return ReportData(period, thresholds, frames)


def _run_keys(frames: dict[str, pd.DataFrame]) -> list[str]:
    """Every run that a frame names, in a column of keys or of lists of them."""
    return sorted(
        {
            key
            for frame in frames.values()
            for column in frame.columns
            if column.endswith(("run_key", "run_keys"))
            for key in frame[column].explode().dropna()
        }
    )


def _complaint(error: DatabaseError, frames: dict[str, pd.DataFrame]) -> str:
    cause = getattr(error.__cause__, "orig", None)
    if not isinstance(cause, UndefinedTable | UndefinedColumn | InvalidSchemaName):
        why = reason(cause) if isinstance(cause, PsycopgError) else "it does not answer"
        return f"the warehouse cannot be read: {why}"
    if frames and not frames["is_anything_loaded"]["is_loaded"].item():
        return "the warehouse is empty: run `testruns nightly`"
    return "the marts are not built, or by another version: run `testruns transform`"


def _thresholds() -> dict[str, Any]:
    """Every var of dbt_project.yml by name."""
    text = (bundled("dbt_project") / "dbt_project.yml").read_text(encoding="utf-8")
    thresholds: dict[str, Any] = yaml.safe_load(text)["vars"]
    return thresholds
