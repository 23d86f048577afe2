"""What Dagster loads: raw tables, models, days to read again, and what runs and watches them."""

import dagster as dg

from pipelines.ingest.progress import NullProgress, Progress
from pipelines.orchestration.alerts import alert_on_failure, freshness
from pipelines.orchestration.backfill_assets import (
    GROUP,
    backfill_asset,
    backfill_sync_sensor,
    models_after_failed_days,
)
from pipelines.orchestration.checks import raw_checks
from pipelines.orchestration.column_lineage import column_lineage
from pipelines.orchestration.dbt_assets import dbt_models
from pipelines.orchestration.instance import executor
from pipelines.orchestration.raw_assets import loaded_sources, raw_assets, runs_key
from pipelines.orchestration.report_asset import REPORT_GROUP, report_asset
from pipelines.orchestration.step_retry import RUN_TAGS, Retry
from pipelines.settings import Settings, load_settings
from pipelines.transform.manifest import dbt_folder, read_manifest

_RETRY = Retry()


def build_definitions(
    settings: Settings,
    progress: Progress | None = None,
    *,
    is_quiet: bool = False,
    retry: Retry = _RETRY,
) -> dg.Definitions:
    """All of it on these settings; needs no warehouse.

    `progress` is told how loads go on, besides the run's log; `is_quiet` keeps Dagster's and dbt's
    logs from the terminal. Raises TransformError when the dbt project cannot be parsed.
    """
    # The console would repeat each run's own log, some 300 lines a night.
    level = "CRITICAL" if is_quiet else "WARNING"
    console = {"loggers": {"console": {"config": {"log_level": level}}}}
    manifest = read_manifest(settings)
    sources = loaded_sources(settings)
    days = [backfill_asset(settings, source, retry) for source in sources]
    lineages = column_lineage(manifest, dbt_folder(settings))
    models = dbt_models(manifest, sources, lineages, is_quiet=is_quiet)
    marts = [key for key in models.keys if key.path[0] == "marts"]
    nightly = dg.define_asset_job(
        "nightly",
        description="Loads what is new from both APIs, checks it, builds and tests the dbt models. "
        "A scope that fails keeps nothing else from being refreshed, and fails the run at its end.",
        selection=dg.AssetSelection.all() - dg.AssetSelection.groups(GROUP, REPORT_GROUP),
        config=console,
        tags=RUN_TAGS,
    )
    backfill = dg.define_asset_job(
        "backfill",
        description="Reads the chosen days again, a run for each unbroken range of them, and then "
        "builds the dbt models. Launch it from its Partitions tab.",
        selection=dg.AssetSelection.groups(GROUP) | dg.AssetSelection.assets(models),
        config=console,
        tags=RUN_TAGS,
    )
    schedule = dg.ScheduleDefinition(
        name="nightly",
        job=nightly,
        cron_schedule=settings.testruns_nightly_cron,
        execution_timezone=settings.testruns_timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="TESTRUNS_NIGHTLY_CRON in the zone of TESTRUNS_TIMEZONE.",
    )
    return dg.Definitions(
        assets=[*raw_assets(settings, manifest, retry), *days, models, report_asset(marts)],
        asset_checks=[raw_checks(source, runs_key(source)) for source in sources],
        jobs=[nightly, backfill],
        schedules=[schedule],
        sensors=[
            alert_on_failure(settings, nightly),
            freshness(settings),
            models_after_failed_days(nightly),
            backfill_sync_sensor(settings),
        ],
        resources={"settings": settings, "progress": progress or NullProgress()},
        executor=executor(),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster finds in this module; settings are read when it asks. Raises SettingsError."""
    return build_definitions(load_settings())
