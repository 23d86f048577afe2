"""Chosen days read again, launched from Dagster's page; a run for each unbroken range of days.

They are assets beside the raw tables, not partitions of them: a night's load reads from a watermark
and no day's label would be true of it. So a day is green where it has been read again and grey
where it has not, which is no fault; the raw tables keep the figures of their own loads, and no
watermark moves. What `testruns backfill` has read shows up on the same days. A day that one scope
could not be read for fails, and stays grey; the models over what was read are built all the same,
by a run of their own.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import BACKFILL_ID_TAG

from pipelines.errors import TestrunsError
from pipelines.ingest.backfill import Window, backfill_source
from pipelines.ingest.progress import Progress
from pipelines.orchestration.in_thread import in_thread
from pipelines.orchestration.metadata import load_metadata, table
from pipelines.orchestration.raw_assets import OWNERS, runs_key
from pipelines.orchestration.run_log import DagsterLogProgress, FanOut
from pipelines.orchestration.step_retry import Retry, failure, is_worth_a_retry, told
from pipelines.settings import SOURCES, Settings, Source
from pipelines.sources.registry import REGISTRY
from pipelines.warehouse.engine import connect, open_warehouse, warehouse_url
from pipelines.warehouse.queries import queries

GROUP = "backfill"

_PLANNED = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
_MATERIALIZED = dg.DagsterEventType.ASSET_MATERIALIZATION


def days_key(source: Source) -> dg.AssetKey:
    """The asset whose partitions are days read again."""
    return dg.AssetKey([GROUP, f"{source}_days"])


def days_of(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Business days from the first of last year until today, today included."""
    zone = settings.testruns_timezone
    first = datetime.now(ZoneInfo(zone)).replace(month=1, day=1)
    start = f"{first.year - 1}-01-01"
    return dg.DailyPartitionsDefinition(start_date=start, timezone=zone, end_offset=1)


def backfill_asset(settings: Settings, source: Source, retry: Retry) -> dg.AssetsDefinition:
    """The days of a source."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # of backfill_policy

        @dg.asset(
            key=days_key(source),
            group_name=GROUP,
            description=(
                f"Days of {source} read again and reconciled with the source: what is missing is "
                "added, what has changed replaced, what is gone marked as deleted. No watermark "
                "moves. Launch the job `backfill` to have the models built in the same run."
            ),
            partitions_def=days_of(settings),
            backfill_policy=dg.BackfillPolicy.single_run(),
            pool=REGISTRY[source].pool,
            kinds={"python", "postgres", source},
            owners=OWNERS,
            tags={"layer": "raw", "source": source},
        )
        def reread(
            context: dg.AssetExecutionContext,
            settings: dg.ResourceParam[Settings],
            progress: dg.ResourceParam[Progress],
        ) -> dg.MaterializeResult[None]:
            since, end = (moment.astimezone(UTC) for moment in context.partition_time_window)
            window = Window(since, end if end < datetime.now(UTC) else None)
            scopes = settings.scopes(source)
            everyone = FanOut(DagsterLogProgress(context.log), progress)
            try:
                settings.require_source(source)
                url = open_warehouse(settings)
                reports = in_thread(
                    lambda: backfill_source(settings, source, scopes, window, url, everyone)
                ).result()
            except TestrunsError as error:
                raise failure(error, retry, context.retry_number) from None
            # A day that one scope could not be read for has not been read.
            failed = [report for report in reports if report.error is not None]
            if failed:
                why = dg.Failure(told(failed), allow_retries=False)
                is_worth_it = is_worth_a_retry(failed)
                raise retry.of(why, context.retry_number) if is_worth_it else why
            runs_table = REGISTRY[source].runs_table
            metadata = {
                "read_again": f"{since:%F %T} … {min(end, datetime.now(UTC)):%F %T} UTC",
                "runs_written": sum(report.rows.get(runs_table, 0) for report in reports),
                "runs_gone": sum(report.deleted for report in reports),
                "scopes": table(
                    {
                        "scope": report.scope,
                        "rows_written": sum(report.rows.values()),
                        "runs_gone": report.deleted,
                        "rejected": report.rejected,
                        "requests": sum(report.requests.values()),
                    }
                    for report in reports
                ),
                **load_metadata(reports),
            }
            # An observation: as a materialization it would pass for a load of the whole history.
            context.log_event(dg.AssetObservation(runs_key(source), metadata=metadata))
            return dg.MaterializeResult(metadata=metadata)

    return reread


def models_after_failed_days(nightly: UnresolvedAssetJobDefinition) -> dg.SensorDefinition:
    """Builds the models of a run whose days failed: what was read of them is in the warehouse."""
    ours = {days_key(source) for source in SOURCES}

    @dg.run_failure_sensor(
        name="models_after_failed_days",
        request_job=nightly,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Builds the models that a run left out because its days failed: some scopes, "
        "or some of their runs, may well have been read.",
    )
    def sensor(context: dg.RunFailureSensorContext) -> dg.RunRequest | dg.SkipReason:
        run, instance = context.dagster_run, context.instance
        planned = _assets(instance, run.run_id, _PLANNED)
        # Where assets were chosen rather than the job, models come in runs of their own.
        backfill = instance.get_backfill(run.tags.get(BACKFILL_ID_TAG, ""))
        chosen = set(backfill.asset_selection or ()) if backfill else set()
        models = (planned | chosen) - ours
        if not planned & ours or models & _assets(instance, run.run_id, _MATERIALIZED):
            return dg.SkipReason("no failed days kept models from being built")
        if not models:
            return dg.SkipReason("the models were not to be built")
        return dg.RunRequest(run_key=run.run_id, asset_selection=sorted(models))

    return sensor


def _assets(
    instance: dg.DagsterInstance, run_id: str, event: dg.DagsterEventType
) -> set[dg.AssetKey]:
    told = (entry.get_dagster_event().asset_key for entry in instance.all_logs(run_id, event))
    return {key for key in told if key is not None}


def backfill_sync_sensor(settings: Settings) -> dg.SensorDefinition:
    """Shows the days that `testruns backfill` has read on the pages of the days."""

    @dg.sensor(
        name="days_read_elsewhere",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks the days that testruns backfill has read again, outside of Dagster.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            with connect(warehouse_url(settings), role="testruns dagster") as connection:
                found = connection.execute(
                    queries("assets")["windows_read_again"],
                    {"after": context.cursor or "-infinity"},
                ).fetchall()
        except TestrunsError as error:
            return dg.SkipReason(str(error))
        windows = [_Window(*row) for row in found]
        events = [
            event
            for source in settings.configured_sources
            for event in _untold(context.instance, settings, source, windows)
        ]
        return dg.SensorResult(
            skip_reason=dg.SkipReason(f"{len(events)} days have been read by testruns backfill"),
            asset_events=events,
            cursor=max((one.read_at.isoformat() for one in windows), default=context.cursor),
        )

    return sensor


@dataclass(frozen=True)
class _Window:
    """A window that backfills have read, in these scopes, the last of them at `read_at`; UTC."""

    source: Source
    since: datetime
    until: datetime
    scopes: list[str]
    read_at: datetime


def _untold(
    instance: dg.DagsterInstance, settings: Settings, source: Source, windows: Sequence[_Window]
) -> Iterator[dg.AssetMaterialization]:
    """Days wholly inside a window that every scope was read in, unless Dagster knows of it."""
    days = days_of(settings)
    read: dict[str, datetime] = {}
    for one in windows:
        if one.source == source and set(one.scopes) >= set(settings.scopes(source)):
            for day in days.get_partition_keys():
                lies_in = days.time_window_for_partition_key(day)
                if one.since <= lies_in.start and lies_in.end <= one.until:
                    read[day] = max(one.read_at, read.get(day, one.read_at))
    if not read:
        return
    known = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=days_key(source),
            asset_partitions=list(read),
            after_timestamp=min(read.values()).timestamp(),
        ),
        limit=10 * len(read),
    )
    told = {
        record.partition_key
        for record in known.records
        if record.timestamp >= read[str(record.partition_key)].timestamp()
    }
    for day in sorted(read.keys() - told):
        metadata = {"read_again_by": "testruns backfill", "read_at": f"{read[day]:%F %T} UTC"}
        yield dg.AssetMaterialization(days_key(source), partition=day, metadata=metadata)
