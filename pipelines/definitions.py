"""What Dagster loads: the raw tables, the dbt models over them, the nightly job, its schedule."""

import dagster as dg

from pipelines.assets import raw_assets
from pipelines.dbt_manifest import read_manifest
from pipelines.dbt_models import dbt_models
from pipelines.progress import Progress, Silence
from pipelines.settings import Settings, load_settings


def build_definitions(
    settings: Settings, progress: Progress | None = None, *, is_quiet: bool = False
) -> dg.Definitions:
    """All of it on these settings; needs no warehouse.

    `progress` is told how loads go on, besides the run's log; `is_quiet` keeps dbt's log from
    stdout. Raises TransformError when the dbt project cannot be parsed.
    """
    manifest = read_manifest(settings)
    nightly = dg.define_asset_job(
        "nightly",
        description="Loads what is new from both APIs, then builds and tests the dbt models.",
        # All else that Dagster would print stands in the run's own log already.
        config={"loggers": {"console": {"config": {"log_level": "WARNING"}}}},
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
        assets=[*raw_assets(settings, manifest), dbt_models(manifest, is_quiet=is_quiet)],
        jobs=[nightly],
        schedules=[schedule],
        resources={
            "settings": settings,
            "progress": progress or Silence(),
        },
        # Three steps that follow one another: a process for each would only import it all again.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster finds in this module; settings are read when it asks. Raises SettingsError."""
    return build_definitions(load_settings())
