"""What is run: the night, the models alone, windows read again, audits; and when."""

import dagster as dg

from pipelines.http.retry import RetryPolicy
from pipelines.ingest.progress import Progress
from pipelines.orchestration.audit_job import audit_job, audit_schedule
from pipelines.orchestration.backfill_assets import GROUP as BACKFILL
from pipelines.orchestration.backfill_assets import backfill_job
from pipelines.orchestration.step_retry import RUN_TAGS
from pipelines.settings import Settings


def job_definitions(
    settings: Settings, retry: RetryPolicy, progress: Progress, *, is_quiet: bool
) -> dg.Definitions:
    """Jobs and schedule; `is_quiet` keeps Dagster's log from the terminal."""
    # The console would repeat each run's own log, some 300 lines a night.
    level = "CRITICAL" if is_quiet else "WARNING"
    console = {"loggers": {"console": {"config": {"log_level": level}}}}
    nightly = dg.define_asset_job(
        "nightly",
        description="Loads what is new from both APIs, checks it, builds and tests the dbt models, "
        "writes the report. "
        "A scope that fails keeps nothing else from being refreshed, and fails the run at its end.",
        selection=dg.AssetSelection.all() - dg.AssetSelection.groups(BACKFILL),
        config=console,
        tags=RUN_TAGS,
    )
    transform = dg.define_asset_job(
        "transform",
        description="Builds and tests the dbt models, as testruns transform does; nothing where "
        "nothing has changed.",
        selection=dg.AssetSelection.kind("dbt"),
        config=console,
        tags=RUN_TAGS,
    )
    days = dg.define_asset_job(
        "backfill_days",
        description="Reads chosen days again, a run for each unbroken range of them. Launch it "
        "from its Partitions tab.",
        selection=dg.AssetSelection.groups(BACKFILL),
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
    backfill = backfill_job(settings, retry, progress)
    audit = audit_job(settings, retry, progress)
    return dg.Definitions(
        jobs=[nightly, transform, backfill, days, audit],
        schedules=[schedule, audit_schedule(settings, audit)],
    )
