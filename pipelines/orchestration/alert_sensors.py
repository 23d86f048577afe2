"""Alerts: runs that failed or work again, scopes that are late."""

import json

import dagster as dg

from pipelines.errors import TestrunsError
from pipelines.orchestration.alerts import Alerts, last_alert
from pipelines.orchestration.checks import (
    FRESH,
    FRESH_HOURS,
    Evidence,
    freshness_verdict,
    late_scopes,
)
from pipelines.orchestration.dagster_internals import SCHEDULE_NAME_TAG, WILL_RETRY_TAG
from pipelines.orchestration.failures import run_failures
from pipelines.orchestration.raw_assets import loaded_sources, runs_key
from pipelines.settings import Settings
from pipelines.warehouse.engine import engine, warehouse_url

_RUNNING = dg.DefaultSensorStatus.RUNNING
_NO_WEBHOOK = dg.SkipReason("TESTRUNS_ALERT_WEBHOOK is not set")


def alert_on_failure_sensor(settings: Settings) -> dg.SensorDefinition:
    """Posts scheduled runs that failed; switched on where a webhook is set."""

    @dg.run_failure_sensor(
        name="alert_on_failure_sensor",
        default_status=_where_there_is_a_webhook(settings),
        description="Posts a scheduled run that failed to TESTRUNS_ALERT_WEBHOOK, unless the last "
        "message about its job said the same.",
    )
    def sensor(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        run = context.dagster_run
        if settings.testruns_alert_webhook is None:
            return _NO_WEBHOOK
        if SCHEDULE_NAME_TAG not in run.tags:
            return dg.SkipReason("somebody started this run by hand")
        if run.tags.get(WILL_RETRY_TAG) == "true":
            return dg.SkipReason("Dagster will try this run again")
        failures = run_failures(context.instance, run.run_id)
        title = f"the scheduled run of {run.job_name} failed"
        alerts = Alerts(settings)
        if complaint := alerts.run_failed(context.instance, run, title, failures):
            context.log.warning(complaint)
        return None

    return sensor


def alert_on_recovery_sensor(settings: Settings) -> dg.SensorDefinition:
    """Posts that a job works again, whoever started the run that shows it."""

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name="alert_on_recovery_sensor",
        default_status=_where_there_is_a_webhook(settings),
        description="Posts to TESTRUNS_ALERT_WEBHOOK that a job works again, once.",
    )
    def sensor(context: dg.RunStatusSensorContext) -> dg.SkipReason | None:
        if settings.testruns_alert_webhook is None:
            return _NO_WEBHOOK
        if complaint := Alerts(settings).run_succeeded(context.instance, context.dagster_run):
            context.log.warning(complaint)
        return None

    return sensor


def _where_there_is_a_webhook(settings: Settings) -> dg.DefaultSensorStatus:
    return _RUNNING if settings.testruns_alert_webhook else dg.DefaultSensorStatus.STOPPED


def freshness_sensor(settings: Settings) -> dg.SensorDefinition:
    """Looks between the nights whether each scope is still being loaded."""

    @dg.sensor(
        name="freshness_sensor",
        minimum_interval_seconds=600,
        default_status=_RUNNING,
        description=f"Looks every ten minutes whether each scope was loaded within {FRESH_HOURS} "
        f"hours; evaluates the check {FRESH}, and posts to TESTRUNS_ALERT_WEBHOOK once, unless the "
        "message of a failed night has named the scope.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        # Scopes known to be late, and whether a message of this sensor's has said so.
        previous = {
            (source, scope): was_reported
            for source, scope, was_reported in json.loads(context.cursor or "[]")
        }
        sources = loaded_sources(settings)
        try:
            with engine(warehouse_url(settings), role="testruns dagster").connect() as connection:
                # What was never loaded is new, and not late.
                late = {
                    (problem.source, problem.scope): problem
                    for source in sources
                    for problem in late_scopes(
                        Evidence(connection, source, settings), is_new_late=False
                    )
                }
        except TestrunsError as error:
            return dg.SkipReason(str(error))
        alerts = Alerts(settings)
        reported_by_night = last_alert(context.instance, "nightly")
        is_reported = {key: previous.get(key, False) for key in late}
        news = {
            key: problem
            for key, problem in late.items()
            if not is_reported[key] and problem.place not in reported_by_night
        }
        if news:
            complaint = alerts.scopes_are_late(list(news.values()))
            _warn(context, complaint)
            is_sent = complaint is None and settings.testruns_alert_webhook is not None
            is_reported |= dict.fromkeys(news, is_sent)
        loaded = [
            f"{source} {scope}"
            for (source, scope), was_reported in previous.items()
            # One that has been taken out of the settings is not loaded again.
            if was_reported and (source, scope) not in late and scope in settings.scopes(source)
        ]
        if loaded:
            _warn(context, alerts.scopes_are_loaded(loaded))
        changed = {source for source, _ in late.keys() ^ previous.keys()}
        return dg.SensorResult(
            skip_reason=dg.SkipReason(f"{len(late)} scopes are late"),
            asset_events=[
                freshness_verdict(
                    [problem for problem in late.values() if problem.source == source]
                ).evaluation(FRESH, runs_key(source))
                for source in sources
                if source in changed
            ],
            cursor=json.dumps(sorted([*key, value] for key, value in is_reported.items())),
        )

    return sensor


def _warn(context: dg.SensorEvaluationContext, complaint: str | None) -> None:
    if complaint:
        context.log.warning(complaint)
