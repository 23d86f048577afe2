"""The job `nightly` in this process, for the command line; the run stands in the UI's history."""

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

import click
import dagster as dg
from dagster._core.events import RunFailureReason
from dagster._core.instance.ref import InstanceRef
from pydantic import SecretStr

from pipelines.definitions import build_definitions
from pipelines.errors import TestrunsError
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.orchestration.alerts import failure_text, post
from pipelines.orchestration.failures import failure_lines
from pipelines.orchestration.instance import dagster_home
from pipelines.orchestration.quick_history import quick_history
from pipelines.orchestration.raw_assets import runs_key
from pipelines.orchestration.run_log import FanOut
from pipelines.settings import SOURCES, Settings, Source
from pipelines.warehouse.engine import open_warehouse

# A run launched by Dagster has its output captured in files, for the UI. Here it belongs to the
# terminal, and the capture would cost four processes.
_NO_CAPTURE = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}
# The first is how the UI knows the run for one of the job that `testruns dev` serves.
_TAGS = {
    ".dagster/repository": "__repository__@pipelines.definitions",
    "command": "testruns nightly",
}


@dataclass(frozen=True)
class NightlyReport:
    """What a nightly run did.

    `run_id` is Dagster's: the run's page is /runs/RUN_ID of the UI. `models` and `checks` count
    dbt models built and tests that gave a verdict. `failures` are lines `step: message`;
    `failed_checks` are `model: test`, `warned_checks` are `table: check: why`, of raw tables too.
    """

    run_id: str
    succeeded: bool
    seconds: float
    scopes: list[ScopeReport]
    models: int
    checks: int
    failures: list[str]
    failed_checks: list[str]
    warned_checks: list[str]


def run_nightly(settings: Settings, progress: Progress | None = None) -> NightlyReport:
    """Load what is new, then build and test the models, as the schedule does it.

    What fails in it is in the report. Raises SettingsError when no source is configured,
    WarehouseError when there is no warehouse, TransformError for a dbt project that dbt cannot
    parse, KeyboardInterrupt when it is stopped by SIGINT or SIGTERM; Dagster has the run as failed
    then, and what is loaded stays. A failure is posted to TESTRUNS_ALERT_WEBHOOK unless stderr is
    a terminal, where somebody watches.
    """
    try:
        report = _run(settings, progress or NullProgress())
    except TestrunsError as error:
        _alert(settings, str(error).splitlines(), "did not begin")
        raise
    if not report.succeeded:
        _alert(settings, report.failures, report.run_id)
    return report


def _alert(settings: Settings, lines: list[str], run_id: str) -> None:
    """Post a failure that nobody watches: without a terminal, cron or its like has started it."""
    if settings.testruns_alert_webhook is None or sys.stderr.isatty():
        return
    text = failure_text("testruns nightly failed", lines, run_id)
    if failed := post(settings.testruns_alert_webhook, text):
        click.echo(failed, err=True)


def _run(settings: Settings, progress: Progress) -> NightlyReport:
    settings.require_source()
    started = time.monotonic()
    url = open_warehouse(settings)
    settings = settings.model_copy(update={"testruns_warehouse_url": SecretStr(url)})
    scopes = _Reports()
    definitions = build_definitions(settings, FanOut(scopes, progress), is_quiet=True)
    home = InstanceRef.from_dir(str(dagster_home(settings)), overrides=_NO_CAPTURE)
    with quick_history(), dg.DagsterInstance.from_ref(home) as instance:
        result = definitions.resolve_job_def("nightly").execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags=_TAGS,
        )
        failures = [] if result.success else failure_lines(instance, result.run_id)
    if not result.success and _was_interrupted(result.get_run_failure_event()):
        raise KeyboardInterrupt
    checks = result.get_asset_check_evaluations()
    raw = {runs_key(source) for source in SOURCES}
    tests = [check for check in checks if check.asset_key not in raw]
    return NightlyReport(
        run_id=result.run_id,
        succeeded=result.success,
        seconds=time.monotonic() - started,
        scopes=list(scopes.reports.values()),
        models=len(result.asset_materializations_for_node("dbt_build")),
        checks=len(tests),
        failures=failures,
        failed_checks=_unmet(tests, dg.AssetCheckSeverity.ERROR),
        warned_checks=_unmet(checks, dg.AssetCheckSeverity.WARN),
    )


class _Reports(NullProgress):
    """Keeps what was told of each scope last."""

    def __init__(self) -> None:
        self.reports: dict[tuple[Source, str], ScopeReport] = {}

    def scope_ends(self, report: ScopeReport) -> None:
        self.reports[report.source, report.scope] = report


def _was_interrupted(event: dg.DagsterEvent) -> bool:
    return event.job_failure_data.failure_reason is RunFailureReason.UNEXPECTED_TERMINATION


def _unmet(checks: Iterable[dg.AssetCheckEvaluation], severity: dg.AssetCheckSeverity) -> list[str]:
    return [
        ": ".join(filter(None, [check.asset_key.path[-1], check.check_name, _first_line(check)]))
        for check in checks
        if not check.passed and check.severity == severity
    ]


def _first_line(check: dg.AssetCheckEvaluation) -> str:
    return (check.description or "").partition("\n")[0]
