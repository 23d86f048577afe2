"""The job `nightly` in this process, for the command line; the run stands in the UI's history."""

import gc
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import dagster as dg
from dagster._core.events import RunFailureReason
from dagster._core.instance.ref import InstanceRef
from pydantic import SecretStr

from pipelines.assets import Everyone
from pipelines.dagster_home import dagster_home
from pipelines.definitions import build_definitions
from pipelines.progress import Progress, ScopeReport, Silence
from pipelines.settings import Settings
from pipelines.warehouse.connect import open_warehouse

# A run launched by Dagster has its output captured in files, for the UI. Here it belongs to the
# terminal, and the capture would cost four processes.
_NO_CAPTURE = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}
# Dagster's own console log has some 300 lines a night; what failed is in the report.
_NO_CONSOLE_LOG = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
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
    `failed_checks` and `warned_checks` are `model: test`.
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
    then, and what is loaded stays.
    """
    settings.require_source()
    started = time.monotonic()
    # What is imported stays: without this the process takes most of a second to end.
    gc.freeze()
    url = open_warehouse(settings)
    settings = settings.model_copy(update={"testruns_warehouse_url": SecretStr(url)})
    scopes = _Reports()
    definitions = build_definitions(
        settings, Everyone(scopes, progress or Silence()), is_quiet=True
    )
    home = InstanceRef.from_dir(str(dagster_home(settings)), overrides=_NO_CAPTURE)
    with dg.DagsterInstance.from_ref(home) as instance:
        result = definitions.resolve_job_def("nightly").execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config=_NO_CONSOLE_LOG,
            tags=_TAGS,
        )
    if not result.success and _was_interrupted(result.get_run_failure_event()):
        raise KeyboardInterrupt
    checks = result.get_asset_check_evaluations()
    return NightlyReport(
        run_id=result.run_id,
        succeeded=result.success,
        seconds=time.monotonic() - started,
        scopes=scopes.reports,
        models=len(result.asset_materializations_for_node("dbt_build")),
        checks=len(checks),
        failures=list(_failures(result)),
        failed_checks=_unmet(checks, dg.AssetCheckSeverity.ERROR),
        warned_checks=_unmet(checks, dg.AssetCheckSeverity.WARN),
    )


class _Reports(Silence):
    """Keeps what is told of each scope."""

    def __init__(self) -> None:
        self.reports: list[ScopeReport] = []

    def scope_ends(self, report: ScopeReport) -> None:
        self.reports.append(report)


def _was_interrupted(event: dg.DagsterEvent) -> bool:
    return event.job_failure_data.failure_reason is RunFailureReason.UNEXPECTED_TERMINATION


def _failures(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    for event in result.get_step_failure_events():
        data = event.step_failure_data
        if data.user_failure_data is not None:
            message = data.user_failure_data.description or ""
        else:
            # Dagster wraps what was raised; its traceback is on the run's page.
            raised = data.error and (data.error.cause or data.error)
            message = raised.message if raised else "failed"
        yield from (f"{event.step_key}: {line}" for line in message.splitlines() if line)
    for node in result.job_def.nodes:
        if result.is_node_untouched(node.name):
            yield f"{node.name}: not run, since a step before it failed"


def _unmet(checks: Iterable[dg.AssetCheckEvaluation], severity: dg.AssetCheckSeverity) -> list[str]:
    return [
        f"{check.asset_key.path[-1]}: {check.check_name}"
        for check in checks
        if not check.passed and check.severity == severity
    ]
