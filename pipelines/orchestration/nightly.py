"""The job `nightly` in this process, for the command line; the run stands in the UI's history."""

import sys
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg
from pydantic import SecretStr

from pipelines.definitions import build_definitions
from pipelines.errors import TestrunsError
from pipelines.ingest.progress import NullProgress, Progress, ScopeReport
from pipelines.orchestration.alerts import Alerts
from pipelines.orchestration.dagster_internals import CODE_LOCATION_TAGS, was_interrupted
from pipelines.orchestration.failures import StepFailure, run_failures
from pipelines.orchestration.instance import open_instance
from pipelines.orchestration.report_files import files_by_outcome
from pipelines.orchestration.run_log import FanOut
from pipelines.settings import Settings, Source
from pipelines.terminal.output import note
from pipelines.warehouse.engine import open_warehouse

_TAGS = {**CODE_LOCATION_TAGS, "command": "testruns nightly"}


@dataclass(frozen=True)
class NightlyReport:
    """What a nightly run did.

    `run_id` is Dagster's: the run's page is /runs/RUN_ID of the UI. `models` and `checks` count
    dbt models built and tests that gave a verdict, `files` new report files by outcome.
    `failures` read `step: message`; `failed_checks` are `model: test`, `warned_checks` are
    `table: check: why`, of raw tables too.
    """

    run_id: str
    succeeded: bool
    seconds: float
    scopes: list[ScopeReport]
    files: dict[str, int]
    models: int
    checks: int
    failures: list[StepFailure]
    failed_checks: list[str]
    warned_checks: list[str]


def run_nightly(settings: Settings, progress: Progress | None = None) -> NightlyReport:
    """Load what is new, then build and test the models, as the schedule does it.

    What fails in it is in the report. Raises SettingsError when there is nothing to load,
    WarehouseError when there is no warehouse, TransformError for a dbt project that dbt cannot
    parse, KeyboardInterrupt when it is stopped by SIGINT or SIGTERM; Dagster has the run as failed
    then, and what is loaded stays. A failure is posted to TESTRUNS_ALERT_WEBHOOK unless stderr is
    a terminal, where somebody watches.
    """
    # Without a terminal nobody watches: cron or its like has started it.
    alerts = None if sys.stderr.isatty() else Alerts(settings)
    try:
        return _run(settings, progress or NullProgress(), alerts)
    except TestrunsError as error:
        if alerts:
            _complain(alerts.not_begun(str(error).splitlines()))
        raise


def _complain(complaint: str | None) -> None:
    if complaint:
        note(complaint)


def _run(settings: Settings, progress: Progress, alerts: Alerts | None) -> NightlyReport:
    settings.require_input()
    started = time.monotonic()
    url = open_warehouse(settings)
    settings = settings.model_copy(update={"testruns_warehouse_url": SecretStr(url)})
    scopes = _Reports()
    definitions = build_definitions(settings, FanOut(scopes, progress), is_quiet=True)
    run_id = str(uuid.uuid4())
    with open_instance(settings, run_id) as instance:
        result = definitions.resolve_job_def("nightly").execute_in_process(
            instance=instance,
            run_id=run_id,
            raise_on_error=False,
            tags=_TAGS,
        )
        failures = [] if result.success else run_failures(instance, result.run_id)
        run = result.dagster_run
        if alerts and result.success:
            _complain(alerts.run_succeeded(instance, run))
        elif alerts and not was_interrupted(result):
            _complain(alerts.run_failed(instance, run, "testruns nightly failed", failures))
    if not result.success and was_interrupted(result):
        raise KeyboardInterrupt
    checks = result.get_asset_check_evaluations()
    tests = [check for check in checks if not check.asset_key.path[0].startswith("raw_")]
    return NightlyReport(
        run_id=result.run_id,
        succeeded=result.success,
        seconds=time.monotonic() - started,
        scopes=list(scopes.reports.values()),
        files=files_by_outcome(result) if settings.testruns_reports_dir else {},
        models=len(result.asset_materializations_for_node("dbt_build")),
        checks=len(tests),
        failures=failures,
        failed_checks=_failing(tests, dg.AssetCheckSeverity.ERROR),
        warned_checks=_failing(checks, dg.AssetCheckSeverity.WARN),
    )


class _Reports(NullProgress):
    """Keeps the last report of each scope."""

    def __init__(self) -> None:
        self.reports: dict[tuple[Source, str], ScopeReport] = {}

    def scope_ends(self, report: ScopeReport) -> None:
        self.reports[report.source, report.scope] = report


def _failing(
    checks: Iterable[dg.AssetCheckEvaluation], severity: dg.AssetCheckSeverity
) -> list[str]:
    return [
        ": ".join(filter(None, [check.asset_key.path[-1], check.check_name, _first_line(check)]))
        for check in checks
        if not check.passed and check.severity == severity
    ]


def _first_line(check: dg.AssetCheckEvaluation) -> str:
    return (check.description or "").partition("\n")[0]
