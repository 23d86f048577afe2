"""The raw tables as Dagster assets: one step a source, thin over `load_source`."""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from pipelines.asset_pages import load_metadata, preview, table_metadata
from pipelines.console import scope_line
from pipelines.errors import TestrunsError, TransientError, WarehouseError
from pipelines.in_thread import in_thread
from pipelines.load import load_source
from pipelines.postman import rows as postman
from pipelines.progress import Progress, ScopeReport, Silence
from pipelines.settings import SOURCES, Settings, Source
from pipelines.testmo import rows as testmo
from pipelines.warehouse.connect import connect, open_warehouse

_RUNS: dict[Source, str] = {"postman": postman.RUNS, "testmo": testmo.RUNS}
_PREVIEWED: dict[Source, tuple[str, ...]] = {
    "postman": (
        "run_id", "status", "source", "started_at", "duration_ms", "requests_total",
        "requests_failed", "assertions_total", "assertions_failed",
    ),
    "testmo": (
        "run_id", "project_id", "name", "status", "created_at", "is_completed", "success_count",
        "failure_count", "total_count",
    ),
}  # fmt: skip
_KEYS: dict[Source, str] = {"postman": "POSTMAN_API_KEY", "testmo": "TESTMO_API_TOKEN"}


def raw_assets(
    settings: Settings, manifest: dict[str, Any]
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """An asset for each raw table that dbt names as a source; `manifest` is dbt's.

    A source whose key is unset has no step that could load it, so that no run fails for its sake or
    skips the models; its tables stand in the graph none the less. Where no key is set at all, the
    steps are there and say so when they run.
    """
    loaded = settings.configured_sources or SOURCES
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = []
    for source in SOURCES:
        specs = [
            _spec(table) for table in manifest["sources"].values() if table["source_name"] == source
        ]
        assets += [_load_asset(source, specs)] if source in loaded else specs
    return assets


def _spec(table: dict[str, Any]) -> dg.AssetSpec:
    name = f"{table['schema']}.{table['identifier']}"
    return dg.AssetSpec(
        key=name.split("."),
        description=table["description"],
        group_name=table["source_name"],
        kinds={"python", "postgres", table["source_name"]},
        metadata={"dagster/table_name": f"{table['database']}.{name}"},
    )


def _load_asset(source: Source, specs: Sequence[dg.AssetSpec]) -> dg.AssetsDefinition:
    """All tables of a source: what is new in every scope, as one step."""
    tables = [".".join(spec.key.path) for spec in specs]

    @dg.multi_asset(name=f"load_{source}", specs=specs)
    def load(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[Settings],
        progress: dg.ResourceParam[Progress],
    ) -> Iterator[dg.MaterializeResult[None]]:
        try:
            for other in set(SOURCES).difference(settings.require_source()):
                context.log.info("%s is not loaded: %s is not set", other, _KEYS[other])
            url = open_warehouse(settings)
            told = Everyone(_RunLog(context.log), progress)
            reports = in_thread(lambda: load_source(settings, source, url, told)).result()
            yield from _materializations(source, tables, url, reports)
        except TestrunsError as error:
            is_transient = isinstance(error, TransientError | WarehouseError)
            raise dg.Failure(str(error), allow_retries=is_transient) from None
        failed = [report for report in reports if report.error is not None]
        if failed:
            raise dg.Failure(
                f"{len(failed)} of {len(reports)} scopes failed:\n"
                + "\n".join(f"{source} {report.scope}: {report.error}" for report in failed),
                allow_retries=all(report.is_transient for report in failed),
            )

    return load


def _materializations(
    source: Source, tables: list[str], url: str, reports: list[ScopeReport]
) -> Iterator[dg.MaterializeResult[None]]:
    """One for each table, unless nothing at all could be read."""
    if all(report.error is not None and not report.rows for report in reports):
        return
    of_load = load_metadata(reports)
    runs = _RUNS[source]
    with connect(url, role="testruns dagster") as connection:
        of_tables = table_metadata(connection, tables)
        of_tables[runs]["preview"] = preview(connection, runs, _PREVIEWED[source])
    for table in tables:
        rows = sum(report.rows.get(table, 0) for report in reports)
        yield dg.MaterializeResult(
            asset_key=table.split("."),
            metadata={"rows_written": rows, **of_tables[table], **of_load},
        )


class Everyone:
    """A progress that several are told of."""

    def __init__(self, *told: Progress) -> None:
        self._told = told

    def scope_begins(self, source: Source, scope: str) -> None:
        """Tell everyone."""
        for one in self._told:
            one.scope_begins(source, scope)

    def runs_fetched(self, source: Source, scope: str, runs: int) -> None:
        """Tell everyone."""
        for one in self._told:
            one.runs_fetched(source, scope, runs)

    def waits(self, source: Source, seconds: float) -> None:
        """Tell everyone."""
        for one in self._told:
            one.waits(source, seconds)

    def scope_ends(self, report: ScopeReport) -> None:
        """Tell everyone."""
        for one in self._told:
            one.scope_ends(report)


class _RunLog(Silence):
    """Progress as lines in the run's log."""

    def __init__(self, log: dg.DagsterLogManager) -> None:
        self._log = log

    def scope_begins(self, source: Source, scope: str) -> None:
        self._log.info(f"{source} {scope}: begins")

    def waits(self, source: Source, seconds: float) -> None:
        self._log.info(f"{source}: waiting {seconds:.0f} s for the rate limit")

    def scope_ends(self, report: ScopeReport) -> None:
        tell = self._log.info if report.error is None else self._log.error
        tell(scope_line(report))
