"""Report files of TESTRUNS_REPORTS_DIR as Dagster assets: a step, its checks, a job and a sensor.

As with scopes, a file that is set aside does not fail the step, or the models would be skipped for
its sake; the checks, a step of their own, say it. Without the setting the tables stand in the graph
alone.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from pipelines.errors import SettingsError, TestrunsError
from pipelines.http.retry import RetryPolicy
from pipelines.ingest.import_reports import import_folder
from pipelines.ingest.report_files import GIVEN_UP_AFTER
from pipelines.ingest.report_folder import NewFile, look_into, seconds_at_rest
from pipelines.ingest.report_importer import ImportReport
from pipelines.orchestration.checks import Verdict, check_result
from pipelines.orchestration.in_thread import in_thread
from pipelines.orchestration.metadata import (
    Metadata,
    materializations,
    table,
    without_empty_tables,
)
from pipelines.orchestration.raw_assets import dbt_tables, table_spec
from pipelines.orchestration.resources import Warehouse
from pipelines.orchestration.step_retry import RUN_TAGS, step_failure
from pipelines.settings import Settings
from pipelines.warehouse.engine import connect, warehouse_url
from pipelines.warehouse.report_ledger import ImportedFile

GROUP = "report_files"
RUNS = dg.AssetKey(["raw_reports", "runs"])
# As steps of sources are called; a job may not have the name of a step.
STEP, JOB = "load_reports", "import_reports"
IMPORTED, REJECTED = "every_report_is_imported", "no_report_is_rejected"
CHECKS = {
    IMPORTED: "TESTRUNS_REPORTS_DIR can be read, and each file in it that nobody has written to "
    "for an hour was imported as it is now. Error, which fails the run.",
    REJECTED: "No report in TESTRUNS_REPORTS_DIR is set aside. Warns until it is mended or gone.",
}
# The pool of the step: one import at a time reads the folder.
POOL = "report_files"
_LATE_SECONDS = 3600
_MOST_SHOWN = 20
# Of so many new files a sensor remembers how they were; the import takes all of them.
_MOST_REMEMBERED = 1_000
_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def report_files(
    settings: Settings, manifest: dict[str, Any], retry: RetryPolicy
) -> dg.Definitions:
    """The tables of report files; with a folder set, the step that fills them and its sensor."""
    tables = dbt_tables(manifest, "reports")
    specs = [table_spec(name, GROUP) for name in tables]
    folder = settings.testruns_reports_dir
    if folder is None:
        return dg.Definitions(assets=specs)
    job = dg.define_asset_job(
        JOB,
        description="Imports what is new in TESTRUNS_REPORTS_DIR. The models follow by the sensor "
        "models_after_backfill_sensor.",
        selection=dg.AssetSelection.groups(GROUP),
        tags=RUN_TAGS,
    )
    return dg.Definitions(
        assets=[_import_asset(folder, specs, retry)],
        asset_checks=[_checks(folder)],
        jobs=[job],
        sensors=[reports_sensor(settings, folder)],
    )


def _import_asset(
    folder: Path, specs: Sequence[dg.AssetSpec], retry: RetryPolicy
) -> dg.AssetsDefinition:
    names = [".".join(spec.key.path) for spec in specs]

    @dg.multi_asset(
        name=STEP,
        specs=[spec.replace_attributes(kinds={"python", "postgres"}) for spec in specs],
        pool=POOL,
    )
    def load_reports(
        context: dg.AssetExecutionContext, warehouse: Warehouse
    ) -> Iterator[dg.MaterializeResult[None]]:
        def settled(file: ImportedFile) -> None:
            if file.reason:
                context.log.warning("%s: %s", file.path, file.reason)

        try:
            url = warehouse.open()
            work = partial(import_folder, warehouse.settings, url, folder, settled=settled)
            report = in_thread(work).result()
        except SettingsError as error:  # the check fails the run with it, behind the models
            context.log.warning(str(error))
            report = ImportReport()
        except TestrunsError as error:
            raise step_failure(error, retry, context.retry_number) from None
        with connect(url, role="testruns dagster") as connection:
            rows = {name: report.rows.get(name, 0) for name in names}
            results = materializations(connection, "reports", rows, _metadata(report))
        yield from results

    return load_reports


def _metadata(report: ImportReport) -> Metadata:
    """Files by outcome; newman's runs are rows of Postman's tables."""
    outcomes = Counter(file.outcome for file in report.files)
    rejected = [{"path": file.path, "reason": file.reason} for file in report.failures]
    return without_empty_tables({
        "files": len(report.files),
        "files_by_outcome": table({"outcome": o, "files": n} for o, n in outcomes.most_common()),
        "rows_by_table": table({"table": t, "rows_written": n} for t, n in report.rows.items()),
        "rejected": table(rejected[:_MOST_SHOWN]),
    })  # fmt: skip


def files_by_outcome(result: dg.ExecuteInProcessResult) -> dict[str, int]:
    """What became of the files that a run of Dagster's has imported."""
    for materialized in result.asset_materializations_for_node(STEP):
        files = materialized.metadata.get("files_by_outcome")
        if isinstance(files, dg.TableMetadataValue):
            return {
                str(record.data["outcome"]): int(str(record.data["files"]))
                for record in files.records
            }
    return {}


def _checks(folder: Path) -> dg.AssetChecksDefinition:
    specs = [dg.AssetCheckSpec(name, asset=RUNS, description=text) for name, text in CHECKS.items()]

    @dg.multi_asset_check(name="check_reports", specs=specs, can_subset=True)
    def check(
        context: dg.AssetCheckExecutionContext, warehouse: Warehouse
    ) -> Iterator[dg.AssetCheckResult]:
        verdicts = _verdicts(folder, warehouse)
        for key in sorted(context.selected_asset_check_keys):
            yield check_result(key, verdicts[key.name])
        problem = verdicts[IMPORTED].problem
        if problem and any(key.name == IMPORTED for key in context.selected_asset_check_keys):
            raise dg.Failure(problem, allow_retries=False)

    return check


def _verdicts(folder: Path, warehouse: Warehouse) -> dict[str, Verdict]:
    error = dg.AssetCheckSeverity.ERROR
    try:
        state = look_into(folder, warehouse.open(), warehouse.settings)
    except SettingsError as problem:
        return {IMPORTED: Verdict(str(problem), error), REJECTED: Verdict()}
    except TestrunsError as problem:
        raise dg.Failure(f"reports cannot be checked: {problem}", allow_retries=False) from None
    late = [file for file in state.new if seconds_at_rest(file) > _LATE_SECONDS]
    counts = {"late": len(late), "new": len(state.new), "rejected": len(state.rejected)}
    return {
        IMPORTED: Verdict(
            _lines([f"{file.offered.path}: not imported" for file in late]), error, counts
        ),
        REJECTED: Verdict(
            _lines([f"{path}: {reason}" for path, reason in state.rejected]), metadata=counts
        ),
    }


def _lines(lines: Sequence[str]) -> str | None:
    more = [f"and {len(lines) - _MOST_SHOWN:,} more"] if len(lines) > _MOST_SHOWN else []
    return "\n".join([*lines[:_MOST_SHOWN], *more]) or None


def reports_sensor(settings: Settings, folder: Path) -> dg.SensorDefinition:
    """Starts an import once files of the folder have come to rest."""

    @dg.sensor(
        name="reports_sensor",
        job_name=JOB,
        minimum_interval_seconds=int(GIVEN_UP_AFTER),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks into TESTRUNS_REPORTS_DIR each minute, and imports it when a new file "
        "has had the same size and time in two looks.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        under_way = dg.RunsFilter(job_name=JOB, statuses=_UNDER_WAY)
        if context.instance.get_runs_count(under_way):
            return dg.SkipReason("an import is under way")
        try:
            new = look_into(folder, warehouse_url(settings), settings).new
        except TestrunsError as error:
            return dg.SkipReason(str(error))
        seen = set(json.loads(context.cursor or "[]"))
        states = sorted(map(_digest, new[:_MOST_REMEMBERED]))
        at_rest = [state for state in states if state in seen]
        cursor = json.dumps(states)
        if not at_rest:
            reason = dg.SkipReason(f"{len(new)} files are new, none of them seen at rest")
            return dg.SensorResult(skip_reason=reason, cursor=cursor)
        # A file that stays new whatever is done is requested once.
        run_key = hashlib.sha256("".join(at_rest).encode()).hexdigest()
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=run_key)], cursor=cursor)

    return sensor


def _digest(file: NewFile) -> str:
    state = f"{file.offered.path!r} {file.size_bytes} {file.modified_at}"
    return hashlib.sha256(state.encode()).hexdigest()[:16]
