"""The dbt models as Dagster assets, their tests as asset checks: one step, `dbt build`.

dbt runs in this process: as a command of its own it would cost every night three seconds more. What
comes of each model and test is told to Dagster as soon as dbt knows it.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from queue import SimpleQueue
from typing import Any

import dagster as dg
import psycopg

from pipelines.errors import TestrunsError
from pipelines.orchestration.backfill_assets import days_key
from pipelines.orchestration.checks import FRESH_HOURS
from pipelines.orchestration.column_lineage import Lineages
from pipelines.orchestration.in_thread import in_thread
from pipelines.orchestration.metadata import Metadata, table_metadata
from pipelines.orchestration.quick_history import quick_history
from pipelines.orchestration.raw_assets import OWNERS
from pipelines.settings import Settings, Source
from pipelines.transform.build import (
    TransformError,
    build_lock,
    dbt_environment,
    environment,
    first_line,
)
from pipelines.transform.build_record import built_at, save_build
from pipelines.transform.manifest import Manifest, dbt_arguments
from pipelines.warehouse.engine import open_warehouse

with warnings.catch_warnings():
    # The SQL parser that dagster-dbt depends on announces its successor.
    warnings.filterwarnings("ignore", "sqlglotrs is deprecated", DeprecationWarning)
    from dagster_dbt import DagsterDbtTranslator, DbtProject, dbt_assets

# Under this name dagster-dbt keeps what a model or test is called in dbt.
_UNIQUE_ID = "dagster_dbt/unique_id"

_FRESH = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=FRESH_HOURS), warn_window=timedelta(hours=26)
)

Event = dg.MaterializeResult[None] | dg.AssetCheckResult


class _Translator(DagsterDbtTranslator):
    """Models are grouped as their schemas are (staging, marts), checks say what they look at."""

    def __init__(self, sources: Sequence[Source], lineages: Lineages) -> None:
        super().__init__()
        self._lineages = lineages
        self._days = {f"raw_{source}": days_key(source) for source in sources}

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        # Days that are read again are written to the same tables. All models over them say so, or
        # Dagster would build those that do not before the days, and the others after.
        schemas = {dep.asset_key.path[0] for dep in spec.deps}
        days = [days for schema, days in self._days.items() if schema in schemas]
        return spec.replace_attributes(
            deps=[*spec.deps, *days],
            metadata={**spec.metadata, **self._lineages.get(unique_id, {})},
            owners=spec.owners or OWNERS,
            tags={**spec.tags, "layer": str(spec.group_name)},
            freshness_policy=_FRESH if spec.group_name == "marts" else None,
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
    """A test's own description, else what it asks for, else the comment that its SQL opens with."""
    if test["description"]:
        return str(test["description"])
    if called := test.get("test_metadata"):
        arguments = {**called["kwargs"], "model": None}
        shown = (f"{name}={value!r}" for name, value in arguments.items() if value is not None)
        return f"dbt: {called['name']}({', '.join(shown)})"
    comment = takewhile(lambda line: line.startswith("--"), test["raw_code"].splitlines())
    return " ".join(line.lstrip("- ") for line in comment)


def dbt_models(
    manifest: Manifest, sources: Sequence[Source], lineages: Lineages, *, is_quiet: bool
) -> dg.AssetsDefinition:
    """All models as one step, after the days of `sources`; `is_quiet` keeps dbt's log in itself."""
    translator = _Translator(sources, lineages)
    described = {
        unique_id: {name: column["description"] for name, column in node["columns"].items()}
        for unique_id, node in manifest["nodes"].items()
    }

    @dbt_assets(name="dbt_build", manifest=manifest, dagster_dbt_translator=translator)
    def dbt_build(
        context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings]
    ) -> Iterator[Event]:
        arguments = dbt_arguments(
            settings,
            "build",
            *("--no-write-json", "--log-level", "none" if is_quiet else "warn"),
            # unit tests look at fixtures, not at the warehouse: the test suite runs them
            *("--exclude-resource-type", "unit_test"),
            *_selection(context),
        )
        failed = []
        try:
            url = open_warehouse(settings)
            with (
                quick_history(),
                build_lock(url) as session,
                environment(dbt_environment(url, settings.testruns_timezone)),
            ):
                is_whole = not context.is_subset
                if is_whole and (since := built_at(session, settings)):
                    context.log.info(
                        "Nothing has changed since the models were built at %s: they stand.",
                        f"{since:%F %T} UTC",
                    )
                    return
                for done in _build(arguments):
                    if done.status in {"error", "fail", "partial success"}:
                        failed.append(f"{done.name}: {done.message}")
                    yield from _events(context, done, session, described)
                if is_whole and not failed:
                    save_build(session, settings)
        except TestrunsError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        if failed:
            raise dg.Failure("\n".join(failed), allow_retries=False)

    return dbt_build


def _selection(context: dg.AssetExecutionContext) -> list[str]:
    """What dbt is to build and test: all, or exactly what was picked in the UI."""
    if not context.is_subset:
        return []
    names = [key.path[-1] for key in context.selected_asset_keys]
    names += [key.name for key in context.selected_asset_check_keys]
    return ["--indirect-selection", "empty", "--select", *names]


@dataclass(frozen=True)
class _Done:
    """What came of a model or test; `status` is dbt's, `failed_rows` are a test's."""

    unique_id: str
    status: str
    message: str
    failed_rows: int
    seconds: float

    @property
    def name(self) -> str:
        return self.unique_id.split(".")[2]


def _build(arguments: list[str]) -> Iterator[_Done]:
    """Run dbt; what came of each model and test. Raises TransformError if it gives up at once."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - half a second, when it is needed

    told: SimpleQueue[_Done | None] = SimpleQueue()

    def hear(event: Any) -> None:
        if event.info.name == "NodeFinished":
            result = event.data.run_result
            told.put(
                _Done(
                    unique_id=event.data.node_info.unique_id,
                    status=result.status,
                    message=first_line(result.message) or result.status,
                    failed_rows=result.num_failures,
                    seconds=round(result.execution_time, 3),
                )
            )

    answer = in_thread(lambda: dbtRunner(callbacks=[hear]).invoke(arguments))
    answer.add_done_callback(lambda _: told.put(None))
    yield from iter(told.get, None)
    exception = answer.result().exception
    if exception is not None:
        raise TransformError(f"dbt: {first_line(str(exception))}")


def _events(
    context: dg.AssetExecutionContext,
    done: _Done,
    session: psycopg.Connection,
    described: Mapping[str, Mapping[str, str]],
) -> Iterator[Event]:
    told: Metadata = {"seconds": done.seconds, "dbt": done.message}
    for model in context.assets_def.specs:
        if model.metadata[_UNIQUE_ID] == done.unique_id and done.status == "success":
            table = ".".join(model.key.path)
            metadata = table_metadata(session, [table], described[done.unique_id])[table]
            yield dg.MaterializeResult(asset_key=model.key, metadata={**told, **metadata})
    for check in context.assets_def.check_specs:
        if check.metadata[_UNIQUE_ID] == done.unique_id and done.status != "skipped":
            is_warning = done.status == "warn"
            yield dg.AssetCheckResult(
                asset_key=check.asset_key,
                check_name=check.name,
                passed=done.status == "pass",
                severity=dg.AssetCheckSeverity.WARN if is_warning else dg.AssetCheckSeverity.ERROR,
                metadata={**told, "failed_rows": done.failed_rows},
            )
