"""The audit as a job: each scope proven complete once in four weeks, a few of them a night."""

import dagster as dg

from pipelines.errors import TestrunsError
from pipelines.http.retry import RetryPolicy
from pipelines.ingest.audit import audit_source, due_scopes
from pipelines.ingest.load_lines import audit_lines
from pipelines.ingest.progress import Progress
from pipelines.orchestration.in_thread import in_thread
from pipelines.orchestration.metadata import table
from pipelines.orchestration.raw_assets import loaded_sources, runs_key
from pipelines.orchestration.resources import Warehouse
from pipelines.orchestration.run_log import DagsterLogProgress, FanOut
from pipelines.orchestration.step_retry import RUN_TAGS, step_failure
from pipelines.settings import Settings
from pipelines.sources.redaction import visible
from pipelines.sources.registry import REGISTRY
from pipelines.sources.spec import SourceName

# Behind the night, before people come to work.
_CRON = "30 5 * * *"


def audit_job(settings: Settings, retry: RetryPolicy, progress: Progress) -> dg.JobDefinition:
    """`testruns audit --fix` over the scopes that are due, a step a source."""
    ops = [_audit_op(source, retry, progress) for source in loaded_sources(settings)]

    @dg.job(
        name="audit",
        description="Reads lists of runs from end to end, compares them with the warehouse and "
        "fetches what is missing. A few scopes each night, so that each is proven once in four "
        "weeks for at most a twentieth of the month's calls. Fails while any run is missing.",
        tags=RUN_TAGS,
        # Else the launchpad offers the address of the warehouse, which no run takes from there.
        config=dg.ConfigMapping(config_fn=lambda _: {}, config_schema={}),
    )
    def audit() -> None:
        for op in ops:
            op()

    return audit


def audit_schedule(settings: Settings, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Each night; a night without a scope that is due sends no request."""
    return dg.ScheduleDefinition(
        name="audit",
        job=job,
        cron_schedule=_CRON,
        execution_timezone=settings.testruns_timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"{_CRON} in the zone of TESTRUNS_TIMEZONE.",
    )


def _audit_op(source: SourceName, retry: RetryPolicy, progress: Progress) -> dg.OpDefinition:
    @dg.op(
        name=f"audit_{source}",
        pool=REGISTRY[source].pool,
        required_resource_keys={"warehouse"},
        description=f"The scopes of {source} that are due.",
    )
    def audit(context: dg.OpExecutionContext) -> None:
        warehouse: Warehouse = context.resources.warehouse
        everyone = FanOut(DagsterLogProgress(context.log), progress)
        try:
            warehouse.settings.require_source(source)
            url = warehouse.open()
            scopes = due_scopes(warehouse.settings, source, url)
            reports = in_thread(
                lambda: audit_source(warehouse.settings, source, scopes, url, everyone, fix=True)
            ).result()
        except TestrunsError as error:
            raise step_failure(error, retry, context.retry_number) from None
        if not reports:
            context.log.info("%s: every scope has been proven within four weeks", source)
            return
        for report in reports:
            for line in audit_lines(report):
                context.log.info(visible(line))
        audits = table(
            {"scope": report.load.scope, "fixed": report.fixed, **vars(report.found)}
            for report in reports
            if report.found is not None
        )
        context.log_event(dg.AssetObservation(runs_key(source), metadata={"audits": audits}))
        incomplete = [
            visible(line)
            for report in reports
            if not report.is_complete
            for line in audit_lines(report)
        ]
        if incomplete:
            raise dg.Failure("\n".join(incomplete), allow_retries=False)

    return audit
