"""The raw tables as Dagster assets: one step a source, thin over `load_source`.

A scope that fails does not fail its step, or the models would be skipped for its sake: the step
materializes what is there and names the failure in its metadata, the models follow, and the check
`every_scope_is_loaded` (checks.py), a step of its own beside them, fails the run.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from pipelines.errors import TestrunsError
from pipelines.http.retry import RetryPolicy
from pipelines.ingest.progress import Progress
from pipelines.orchestration.checks import FRESH_HOURS
from pipelines.orchestration.in_thread import in_thread
from pipelines.orchestration.metadata import (
    Metadata,
    load_metadata,
    materializations,
    runs_metadata,
)
from pipelines.orchestration.resources import Api, Warehouse, api_key
from pipelines.orchestration.run_log import DagsterLogProgress, FanOut
from pipelines.orchestration.step_retry import scopes_failure, step_failure
from pipelines.settings import SOURCES, Settings
from pipelines.sources.registry import REGISTRY
from pipelines.sources.spec import SourceName
from pipelines.warehouse.engine import connect

OWNERS = ["team:testruns"]
# What the nightly job alone makes. Raw tables are loaded by commands as well, of which Dagster does
# not know: whether they are fresh is for their checks, which read the ledger.
FRESHNESS = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=FRESH_HOURS), warn_window=timedelta(hours=26)
)


def runs_key(source: SourceName) -> dg.AssetKey:
    """The asset of the source's runs, whose page shows how a load went."""
    return dg.AssetKey(REGISTRY[source].runs_table.split("."))


def raw_assets(
    settings: Settings, manifest: dict[str, Any], retry: RetryPolicy, progress: Progress
) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """An asset for each raw table that dbt names as a source; `manifest` is dbt's.

    A source whose key is unset has no step that could load it, so that no run fails for its sake or
    skips the models; its tables stand in the graph none the less. Where no key is set at all, the
    steps are there and say so when they run.
    """
    loaded = loaded_sources(settings)
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = []
    for source in SOURCES:
        specs = [_spec(source, table) for table in dbt_tables(manifest, source)]
        assets += [_load_asset(source, specs, retry, progress)] if source in loaded else specs
    # What loads note down on the way is read by models as well; no step of its own writes it.
    ledger = dbt_tables(manifest, "ingest")
    return [*assets, *(table_spec(table, "ingest", layer="ingest") for table in ledger)]


def dbt_tables(manifest: dict[str, Any], source_name: str) -> list[dict[str, Any]]:
    """The tables of a source of dbt's."""
    return [table for table in manifest["sources"].values() if table["source_name"] == source_name]


def loaded_sources(settings: Settings) -> Sequence[SourceName]:
    """Sources that have a step: those that are configured, or all where nothing else is either."""
    if settings.testruns_reports_dir is not None:
        return settings.configured_sources
    return settings.configured_sources or SOURCES


def table_spec(table: dict[str, Any], group: str, *, layer: str = "raw") -> dg.AssetSpec:
    """The asset of a table that no API fills."""
    return dg.AssetSpec(
        key=[table["schema"], table["identifier"]],
        description=table["description"],
        group_name=group,
        kinds={"postgres"},
        owners=OWNERS,
        tags={"layer": layer},
        metadata=_columns(table),
    )


def _columns(table: dict[str, Any]) -> Metadata:
    columns = [
        dg.TableColumn(column["name"], column["data_type"] or "", column["description"])
        for column in table["columns"].values()
    ]
    return {
        "dagster/table_name": f"{table['database']}.{table['schema']}.{table['identifier']}",
        "dagster/column_schema": dg.TableSchema(columns),
    }


def _spec(source: SourceName, table: dict[str, Any]) -> dg.AssetSpec:
    url = REGISTRY[source].docs_url
    return dg.AssetSpec(
        key=[table["schema"], table["identifier"]],
        description=table["description"],
        group_name=source,
        kinds={"python", "postgres", source},
        owners=OWNERS,
        tags={"layer": "raw", "source": source},
        metadata={
            **_columns(table),
            **({"api_reference": dg.MetadataValue.url(url)} if url else {}),
        },
    )


def _load_asset(
    source: SourceName, specs: Sequence[dg.AssetSpec], retry: RetryPolicy, progress: Progress
) -> dg.AssetsDefinition:
    """All tables of a source: what is new in every scope, as one step."""
    tables = [".".join(spec.key.path) for spec in specs]

    @dg.multi_asset(
        name=f"load_{source}",
        specs=specs,
        pool=REGISTRY[source].pool,
        required_resource_keys={"warehouse", api_key(source)},
    )
    def load(
        context: dg.AssetExecutionContext,
    ) -> Iterator[dg.MaterializeResult[None]]:
        warehouse: Warehouse = context.resources.warehouse
        api: Api = getattr(context.resources, api_key(source))
        try:
            for other in set(SOURCES).difference(warehouse.settings.require_source()):
                key = REGISTRY[other].key_setting
                context.log.info("%s is not loaded: %s is not set", other, key)
            url = warehouse.open()
            everyone = FanOut(DagsterLogProgress(context.log), progress)
            reports = in_thread(lambda: api.load(url, everyone)).result()
            with connect(url, role="testruns dagster") as connection:
                of_runs = runs_metadata(connection, source, reports)
                results = materializations(
                    connection,
                    source,
                    {t: sum(report.rows.get(t, 0) for report in reports) for t in tables},
                    load_metadata(reports),
                    {REGISTRY[source].runs_table: of_runs},
                )
            yield from results
        except TestrunsError as error:
            raise step_failure(error, retry, context.retry_number) from None
        failure = scopes_failure(reports, retry, context.retry_number)
        if isinstance(failure, dg.RetryRequested) and retry.has_more(context.retry_number):
            raise failure

    return load
