"""What Dagster loads: raw tables, models, days to read again, and what runs and watches them."""

import dagster as dg

from pipelines.http.retry import RetryPolicy
from pipelines.ingest.progress import NullProgress, Progress
from pipelines.orchestration.alert_sensors import (
    alert_on_failure_sensor,
    alert_on_recovery_sensor,
    freshness_sensor,
)
from pipelines.orchestration.backfill_assets import days_asset
from pipelines.orchestration.checks import raw_checks
from pipelines.orchestration.dbt_assets import dbt_models
from pipelines.orchestration.instance import executor
from pipelines.orchestration.jobs import job_definitions
from pipelines.orchestration.raw_assets import loaded_sources, raw_assets, runs_key
from pipelines.orchestration.report_asset import report_asset
from pipelines.orchestration.report_files import report_files
from pipelines.orchestration.resources import resources
from pipelines.orchestration.sensors import (
    backfill_sync_sensor,
    models_after_backfill_sensor,
    report_sensor,
)
from pipelines.orchestration.step_retry import STEP_RETRY
from pipelines.settings import Settings, load_settings
from pipelines.transform.manifest import read_manifest

_SILENT = NullProgress()


def build_definitions(
    settings: Settings,
    progress: Progress = _SILENT,
    *,
    is_quiet: bool = False,
    retry: RetryPolicy = STEP_RETRY,
) -> dg.Definitions:
    """All of it on these settings; needs no warehouse.

    `progress` hears how loads go on, besides the run's log; `is_quiet` keeps Dagster's log from the
    terminal; `retry` is for steps. Raises TransformError when dbt cannot parse its project.
    """
    manifest = read_manifest(settings)
    sources = loaded_sources(settings)
    models = dbt_models(manifest)
    days = [days_asset(settings, source, retry, progress) for source in sources]
    report = report_asset([key for key in models.keys if key.path[0] == "marts"])
    return dg.Definitions.merge(
        job_definitions(settings, retry, progress, is_quiet=is_quiet),
        report_files(settings, manifest, retry),
        dg.Definitions(
            assets=[*raw_assets(settings, manifest, retry, progress), *days, models, report],
            asset_checks=[raw_checks(source, runs_key(source)) for source in sources],
            sensors=[
                alert_on_failure_sensor(settings),
                alert_on_recovery_sensor(settings),
                freshness_sensor(settings),
                models_after_backfill_sensor(settings),
                backfill_sync_sensor(settings),
                report_sensor(report),
            ],
            resources=resources(settings),
            executor=executor(settings.dagster),
        ),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads from this module, settings with it. Raises SettingsError."""
    return build_definitions(load_settings())
