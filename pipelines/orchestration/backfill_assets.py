"""Windows read again, launched from Dagster's UI: chosen days, or any window by its config.

Both read what the source holds and reconcile it with the warehouse; no watermark moves. The models
follow by `models_after_backfill_sensor`, whether or not every scope could be read.

Days are assets beside the raw tables, not partitions of them: a load reads from a watermark, and no
day's label would be true of it. A day is green once its runs are in the warehouse, by a load or by
a backfill, and what is picked among them is read again. A day that one scope could not be read for
fails.
"""

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import dagster as dg
from pydantic import Field

from pipelines.errors import TestrunsError
from pipelines.http.retry import RetryPolicy
from pipelines.ingest.backfill import Window, moment
from pipelines.ingest.progress import Progress, ScopeReport
from pipelines.orchestration.in_thread import in_thread
from pipelines.orchestration.metadata import Metadata, load_metadata, table
from pipelines.orchestration.raw_assets import OWNERS, loaded_sources, runs_key
from pipelines.orchestration.resources import Api, Warehouse, api_key
from pipelines.orchestration.run_log import DagsterLogProgress, FanOut
from pipelines.orchestration.step_retry import RUN_TAGS, scopes_failure, step_failure
from pipelines.settings import Settings
from pipelines.sources.redaction import visible
from pipelines.sources.registry import REGISTRY
from pipelines.sources.spec import SourceName

GROUP = "backfill"


def days_key(source: SourceName) -> dg.AssetKey:
    """The asset whose partitions are days to read again."""
    return dg.AssetKey([GROUP, f"{source}_days"])


def days_of(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Business days from the first of last year until today, today included."""
    zone = settings.testruns_timezone
    first = datetime.now(ZoneInfo(zone)).replace(month=1, day=1)
    start = f"{first.year - 1}-01-01"
    return dg.DailyPartitionsDefinition(start_date=start, timezone=zone, end_offset=1)


def days_asset(
    settings: Settings, source: SourceName, retry: RetryPolicy, progress: Progress
) -> dg.AssetsDefinition:
    """The days of a source."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # of backfill_policy

        @dg.asset(
            key=days_key(source),
            group_name=GROUP,
            description=(
                f"Days of {source}: materialize some to read them again and reconcile them with "
                "the source. What is missing is added, what has changed replaced, what is gone "
                "marked as deleted. No watermark moves, and the models follow within a minute. "
                "What it would cost is shown by the job backfill with dry_run."
            ),
            partitions_def=days_of(settings),
            backfill_policy=dg.BackfillPolicy.single_run(),
            pool=REGISTRY[source].pool,
            kinds={"python", "postgres", source},
            owners=OWNERS,
            tags={"layer": "raw", "source": source},
            required_resource_keys={"warehouse", api_key(source)},
        )
        def days(
            context: dg.AssetExecutionContext,
        ) -> dg.MaterializeResult[None]:
            warehouse: Warehouse = context.resources.warehouse
            api: Api = getattr(context.resources, api_key(source))
            since, end = (moment.astimezone(UTC) for moment in context.partition_time_window)
            window = Window(since, end if end < datetime.now(UTC) else None)
            everyone = FanOut(DagsterLogProgress(context.log), progress)
            try:
                url = warehouse.open()
                reports = in_thread(
                    lambda: api.backfill(api.scopes, window, url, everyone)
                ).result()
            except TestrunsError as error:
                raise step_failure(error, retry, context.retry_number) from None
            # A day that one scope could not be read for has not been read.
            if failure := scopes_failure(reports, retry, context.retry_number):
                raise failure
            metadata = _metadata(source, window, reports)
            # An observation: as a materialization it would pass for a load of the whole history.
            context.log_event(dg.AssetObservation(runs_key(source), metadata=metadata))
            return dg.MaterializeResult(metadata=metadata)

    return days


class BackfillConfig(dg.Config):
    """What the job `backfill` reads again."""

    since: str = Field(
        description="A date, or a time in ISO 8601; without a zone of its own it is the business "
        "day in TESTRUNS_TIMEZONE."
    )
    until: str = Field(default="", description="The same; runs from then on are left alone.")
    scopes: list[str] = Field(
        default=[], description="Only these collections or projects, by ID; empty: all."
    )
    dry_run: bool = Field(
        default=False, description="Only log how many requests it would take, and how long."
    )


def backfill_job(settings: Settings, retry: RetryPolicy, progress: Progress) -> dg.JobDefinition:
    """`testruns backfill` with its options as config, a step a source."""
    ops = [_backfill_op(source, retry, progress) for source in loaded_sources(settings)]

    @dg.config_mapping
    def per_op(config: BackfillConfig) -> dg.RunConfig:
        return dg.RunConfig(ops={op.name: config for op in ops})

    @dg.job(
        name="backfill",
        description="Reads a window again and reconciles it with the source, as testruns backfill "
        "does; with dry_run it only says what that would cost. No watermark moves; the models "
        "follow within a minute.",
        tags=RUN_TAGS,
        config=per_op,
    )
    def backfill() -> None:
        for op in ops:
            op()

    return backfill


def _backfill_op(source: SourceName, retry: RetryPolicy, progress: Progress) -> dg.OpDefinition:
    @dg.op(
        name=f"backfill_{source}",
        pool=REGISTRY[source].pool,
        required_resource_keys={"warehouse", api_key(source)},
        description=f"The window of {source}.",
    )
    def backfill(context: dg.OpExecutionContext, config: BackfillConfig) -> None:
        warehouse: Warehouse = context.resources.warehouse
        api: Api = getattr(context.resources, api_key(source))
        everyone = FanOut(DagsterLogProgress(context.log), progress)
        configured = warehouse.settings.configured_sources
        known = {scope for other in configured for scope in warehouse.settings.scopes(other)}
        if unknown := set(config.scopes) - known:
            message = f"scopes: {', '.join(sorted(unknown))}: not among those of the settings"
            raise dg.Failure(message, allow_retries=False)
        try:
            since = moment("since", config.since, warehouse.timezone)
            until = moment("until", config.until, warehouse.timezone) if config.until else None
            window = Window(since, until)
            scopes = [scope for scope in api.scopes if scope in config.scopes or not config.scopes]
            if config.dry_run:
                _log_estimates(context, api, scopes, window)
                return
            url = warehouse.open()
            reports = in_thread(lambda: api.backfill(scopes, window, url, everyone)).result()
        except TestrunsError as error:
            raise step_failure(error, retry, context.retry_number) from None
        if reports:
            metadata = _metadata(source, window, reports)
            context.log_event(dg.AssetObservation(runs_key(source), metadata=metadata))
        if failure := scopes_failure(reports, retry, context.retry_number):
            raise failure

    return backfill


def _log_estimates(
    context: dg.OpExecutionContext, api: Api, scopes: Sequence[str], window: Window
) -> None:
    estimates = in_thread(lambda: api.estimate(scopes, window)).result()
    for estimate in estimates:
        cost = f"{estimate.runs} runs, {estimate.requests} requests, {estimate.minutes:.1f} minutes"
        context.log.info(visible(f"{estimate.source} {estimate.scope}: {estimate.error or cost}"))
    if any(estimate.error for estimate in estimates):
        raise dg.Failure("not every scope could be estimated", allow_retries=False)


def _metadata(source: SourceName, window: Window, reports: Sequence[ScopeReport]) -> Metadata:
    until = window.until or datetime.now(UTC)
    return {
        "read_again": f"{window.since:%F %T} … {until:%F %T} UTC",
        "runs_written": sum(report.rows.get(REGISTRY[source].runs_table, 0) for report in reports),
        "runs_gone": sum(report.deleted for report in reports),
        "scopes": table(
            {
                "scope": report.scope,
                "rows_written": sum(report.rows.values()),
                "runs_gone": report.deleted,
                "rejected": report.rejected,
                "requests": sum(report.requests.values()),
                "error": report.error,
            }
            for report in reports
        ),
        **load_metadata(reports),
    }
