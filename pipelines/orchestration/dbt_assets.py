"""The dbt models as Dagster assets, their tests as asset checks: one step, `dbt build`.

dbt runs in this process: as a command of its own it would cost every night three seconds more. What
comes of each model and test reaches Dagster as soon as dbt knows it.
"""

import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import takewhile
from queue import SimpleQueue
from typing import Any

import dagster as dg
import psycopg

from pipelines.errors import TestrunsError
from pipelines.orchestration.dagster_internals import DBT_UNIQUE_ID, last_evaluations
from pipelines.orchestration.in_thread import in_thread
from pipelines.orchestration.metadata import Metadata, table_metadata
from pipelines.orchestration.raw_assets import FRESHNESS, OWNERS
from pipelines.orchestration.resources import Warehouse
from pipelines.orchestration.standing_views import with_standing_views
from pipelines.transform.build import NodeResult, build_models, due_models
from pipelines.transform.build_lock import build_lock
from pipelines.transform.build_record import build_inputs, built_at, save_build
from pipelines.transform.manifest import Manifest
from pipelines.warehouse.reference import save_reference

with warnings.catch_warnings():
    # The SQL parser that dagster-dbt depends on announces its successor.
    warnings.filterwarnings("ignore", "sqlglotrs is deprecated", DeprecationWarning)
    from dagster_dbt import DagsterDbtTranslator, DbtProject, dbt_assets

Event = dg.MaterializeResult[None] | dg.AssetCheckResult


class _Translator(DagsterDbtTranslator):
    """Models are grouped as their schemas are (staging, marts), checks say what they look at."""

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        return spec.replace_attributes(
            owners=spec.owners or OWNERS,
            tags={**spec.tags, "layer": str(spec.group_name)},
            freshness_policy=FRESHNESS,
        )

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        return str(dbt_resource_props["schema"])

    def get_asset_check_spec(
        self,
        asset_spec: dg.AssetSpec,
        manifest: Mapping[str, Any],
        unique_id: str,
        project: DbtProject | None,
    ) -> dg.AssetCheckSpec | None:
        spec = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        return spec and spec._replace(description=_description(manifest["nodes"][unique_id]))


def _description(test: Mapping[str, Any]) -> str:
    """A test's own description, else its call, else the comment that its SQL opens with."""
    if test["description"]:
        return str(test["description"])
    if generic := test.get("test_metadata"):
        arguments = {**generic["kwargs"], "model": None}
        overrides = (f"{name}={value!r}" for name, value in arguments.items() if value is not None)
        return f"dbt: {generic['name']}({', '.join(overrides)})"
    comment = takewhile(lambda line: line.startswith("--"), test["raw_code"].splitlines())
    return " ".join(line.lstrip("- ") for line in comment)


def dbt_models(manifest: Manifest) -> dg.AssetsDefinition:
    """All models as one step."""
    descriptions = {
        unique_id: {name: column["description"] for name, column in node["columns"].items()}
        for unique_id, node in manifest["nodes"].items()
    }

    @dbt_assets(name="dbt_build", manifest=manifest, dagster_dbt_translator=_Translator())
    def dbt_build(context: dg.AssetExecutionContext, warehouse: Warehouse) -> Iterator[Event]:
        failed = []
        try:
            with build_lock(warehouse.open(), context.log.info) as session:
                save_reference(session, warehouse.reference())
                inputs = build_inputs(session, warehouse.timezone)
                is_whole = not context.is_subset
                if is_whole and (since := built_at(session, inputs)):
                    unchanged = list(_unchanged(context, since))
                    if len(unchanged) == len(list(context.assets_def.check_specs)):
                        yield from unchanged
                        return
                results = (
                    _all_results(session, warehouse, manifest)
                    if is_whole
                    else _results(warehouse, _picked(context))
                )
                for result in results:
                    if result.has_failed:
                        failed.append(str(result))
                    yield from _events(context, result, session, descriptions)
                if is_whole and not failed:
                    save_build(session, inputs, warehouse.timezone)
        except TestrunsError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        if failed:
            raise dg.Failure("\n".join(failed), allow_retries=False)

    return dbt_build


def _unchanged(context: dg.AssetExecutionContext, since: datetime) -> Iterator[Event]:
    """What the checks said of the build that stands, where Dagster knows it."""
    built = f"{since:%F %T} UTC"
    context.log.info("Nothing has changed since the models were built at %s", built)
    keys = [spec.key for spec in context.assets_def.check_specs]
    for evaluation in last_evaluations(context.instance, keys):
        yield dg.AssetCheckResult(
            asset_key=evaluation.asset_key,
            check_name=evaluation.check_name,
            passed=evaluation.passed,
            severity=evaluation.severity,
            metadata={**evaluation.metadata, "unchanged_since": built},
        )


def _all_results(
    session: psycopg.Connection, warehouse: Warehouse, manifest: Manifest
) -> Iterator[NodeResult]:
    arguments = due_models(session, warehouse.timezone)
    results = _results(warehouse, arguments)
    return with_standing_views(results, manifest) if arguments else results


def _picked(context: dg.AssetExecutionContext) -> list[str]:
    """Arguments of dbt for exactly the models and tests that were picked in the UI."""
    names = [key.path[-1] for key in context.selected_asset_keys]
    names += [key.name for key in context.selected_asset_check_keys]
    return ["--indirect-selection", "empty", "--select", *names]


def _results(warehouse: Warehouse, arguments: list[str]) -> Iterator[NodeResult]:
    """Runs dbt; what comes of each model and test. Raises TransformError if it gives up at once."""
    results: SimpleQueue[NodeResult | None] = SimpleQueue()
    url, timezone, folder = warehouse.open(), warehouse.timezone, warehouse.dbt_folder
    build = in_thread(lambda: build_models(url, timezone, folder, results.put, arguments=arguments))
    build.add_done_callback(lambda _: results.put(None))
    yield from iter(results.get, None)
    build.result()


def _events(
    context: dg.AssetExecutionContext,
    result: NodeResult,
    session: psycopg.Connection,
    descriptions: Mapping[str, Mapping[str, str]],
) -> Iterator[Event]:
    common: Metadata = {"seconds": result.seconds, "dbt": result.message}
    for model in context.assets_def.specs:
        if model.metadata[DBT_UNIQUE_ID] == result.unique_id and result.status == "success":
            table = ".".join(model.key.path)
            metadata = table_metadata(session, [table], descriptions[result.unique_id])[table]
            yield dg.MaterializeResult(asset_key=model.key, metadata={**common, **metadata})
    for check in context.assets_def.check_specs:
        if check.metadata[DBT_UNIQUE_ID] == result.unique_id and result.status != "skipped":
            is_warning = result.status == "warn"
            yield dg.AssetCheckResult(
                asset_key=check.asset_key,
                check_name=check.name,
                passed=result.status == "pass",
                severity=dg.AssetCheckSeverity.WARN if is_warning else dg.AssetCheckSeverity.ERROR,
                metadata={**common, "failed_rows": result.failed_rows},
            )
