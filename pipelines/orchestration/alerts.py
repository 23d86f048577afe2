"""What is posted to TESTRUNS_ALERT_WEBHOOK: a scheduled run that failed, a scope that went stale.

A message a failure: what, which scope, why, where to look, what to do. Runs that somebody started
by hand are watched by whoever started them; `testruns nightly` without a terminal counts as
scheduled (cron), and posts by itself, since nothing of Dagster's need be up beside it.
"""

import json
import os
from collections.abc import Sequence
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._core.storage.tags import SCHEDULE_NAME_TAG, WILL_RETRY_TAG
from pydantic import SecretStr

from pipelines.errors import TestrunsError
from pipelines.orchestration.checks import FRESH, FRESH_HOURS, Verdict, last_successes, stale
from pipelines.orchestration.failures import failure_lines
from pipelines.orchestration.instance import PAGE_VARIABLE
from pipelines.orchestration.raw_assets import loaded_sources, runs_key
from pipelines.settings import Settings, Source
from pipelines.warehouse.engine import connect, warehouse_url

_DO_ON_FAILURE = (
    "What is loaded stays loaded, and the next night goes on from there. Mend the cause, then run "
    "`testruns nightly`; `testruns status` tells how far each history is read."
)
_DO_ON_STALE = (
    "Is the schedule `nightly` switched on, and are its runs green? `testruns nightly` loads now; "
    "`testruns status` tells the last error of each scope."
)
_MOST_LINES = 15
_TIMEOUT_SECONDS = 10
_FRESHNESS_SECONDS = 600


def failure_text(title: str, lines: Sequence[str], run_id: str) -> str:
    """The message of a failed run."""
    page = os.environ.get(PAGE_VARIABLE)
    where = f"{page}/runs/{run_id}" if page else f"Dagster run: {run_id}"
    return "\n".join([f"testruns: {title}", *_listed(lines), _DO_ON_FAILURE, where])


def _stale_text(lines: Sequence[str]) -> str:
    where = filter(None, [os.environ.get(PAGE_VARIABLE)])
    return "\n".join(
        ["testruns: nothing is loaded any more", *_listed(lines), _DO_ON_STALE, *where]
    )


def _listed(lines: Sequence[str]) -> list[str]:
    more = [f"• … and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
    return [*(f"• {line}" for line in lines[:_MOST_LINES]), *more]


def post(webhook: SecretStr, text: str) -> str | None:
    """Post one message; why it could not be, in a line that never names the address, or None.

    Slack reads `&`, `<` and `>` as its own signs, and `text` quotes what APIs answer: escaped.
    """
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    request = Request(  # noqa: S310 - http or https, as the settings check
        webhook.get_secret_value(),
        data=json.dumps({"text": text}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
            return None
    except HTTPError as error:
        return f"TESTRUNS_ALERT_WEBHOOK: not delivered: HTTP {error.code}"
    except Exception as error:  # noqa: BLE001 - a dead webhook breaks nothing; its text may name it
        return f"TESTRUNS_ALERT_WEBHOOK: not delivered: {type(error).__name__}"


def alert_on_failure(
    settings: Settings, nightly: UnresolvedAssetJobDefinition
) -> dg.SensorDefinition:
    """Posts scheduled runs that failed; switched on where a webhook is set."""
    webhook = settings.testruns_alert_webhook

    @dg.run_failure_sensor(
        name="alert_on_failure",
        monitored_jobs=[nightly],
        default_status=dg.DefaultSensorStatus.RUNNING
        if webhook
        else dg.DefaultSensorStatus.STOPPED,
        description="Posts a scheduled run that failed to TESTRUNS_ALERT_WEBHOOK.",
    )
    def sensor(context: dg.RunFailureSensorContext) -> dg.SkipReason | None:
        run = context.dagster_run
        if webhook is None:
            return dg.SkipReason("TESTRUNS_ALERT_WEBHOOK is not set")
        if SCHEDULE_NAME_TAG not in run.tags:
            return dg.SkipReason("somebody started this run by hand")
        if run.tags.get(WILL_RETRY_TAG) == "true":
            return dg.SkipReason("Dagster will try this run again")
        lines = failure_lines(context.instance, run.run_id)
        text = failure_text(f"the scheduled run of {run.job_name} failed", lines, run.run_id)
        if failed := post(webhook, text):
            context.log.warning(failed)
        return None

    return sensor


def freshness(settings: Settings) -> dg.SensorDefinition:
    """Looks between the nights whether each scope is still being loaded."""
    webhook = settings.testruns_alert_webhook

    @dg.sensor(
        name="freshness",
        minimum_interval_seconds=_FRESHNESS_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Looks every ten minutes whether each scope was loaded within {FRESH_HOURS} "
        f"hours; tells the check {FRESH}, and TESTRUNS_ALERT_WEBHOOK once.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        known = set(json.loads(context.cursor or "[]"))
        try:
            verdicts = _verdicts(settings)
        except TestrunsError as error:
            return dg.SkipReason(str(error))
        late = {
            line.split(": ")[0]: line for verdict in verdicts.values() for line in verdict.lines
        }
        news = [line for scope, line in late.items() if scope not in known]
        if news and webhook is not None and (failed := post(webhook, _stale_text(news))):
            context.log.warning(failed)
        changed = {scope.split()[0] for scope in late.keys() ^ known}
        return dg.SensorResult(
            skip_reason=dg.SkipReason(f"late: {', '.join(sorted(late)) or 'nothing'}"),
            asset_events=[
                verdict.evaluation(FRESH, runs_key(source))
                for source, verdict in verdicts.items()
                if source in changed
            ],
            cursor=json.dumps(sorted(late)),
        )

    return sensor


def _verdicts(settings: Settings) -> dict[Source, Verdict]:
    with connect(warehouse_url(settings), role="testruns dagster") as connection:
        loaded = {
            source: last_successes(connection, settings, source)
            for source in loaded_sources(settings)
        }
    # What was never loaded is new, and not late.
    return {
        source: stale(source, [row for row in rows if row["loaded_at"]])
        for source, rows in loaded.items()
    }
