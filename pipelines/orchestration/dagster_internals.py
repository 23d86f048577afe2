"""All that is used of Dagster without being in its public interface, each with its reason.

tests/orchestration/test_dagster_internals.py says which of it an upgrade has broken.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef

# Tags that Dagster puts on runs and reads from them, and that it documents without naming them in
# its interface: what a schedule has started, what Dagster starts again by itself, and whether it
# does so for the sake of a step that failed.
SCHEDULE_NAME_TAG = "dagster/schedule_name"
WILL_RETRY_TAG = "dagster/will_retry"
RETRY_ON_STEP_FAILURE_TAG = "dagster/retry_on_asset_or_op_failure"
# How the UI knows a run for one of the job that `testruns dev` serves: a run in this process has no
# code location of its own.
CODE_LOCATION_TAGS = {".dagster/repository": "__repository__@pipelines.definitions"}
# Under this name of its metadata dagster-dbt keeps what a model or test is called in dbt.
DBT_UNIQUE_ID = "dagster_dbt/unique_id"

# A run launched by Dagster has its output captured in files, for the UI. In a command it belongs to
# the terminal, and the capture would cost four processes.
_NO_CAPTURE = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}


def instance_without_capture(home: Path) -> dg.DagsterInstance:
    """The instance at `home`; only its constructor from a reference takes overrides."""
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=_NO_CAPTURE))


def was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a signal ended the run: Dagster catches it, and only its failure event says so."""
    reason = result.get_run_failure_event().job_failure_data.failure_reason
    return reason is not None and reason.value == "UNEXPECTED_TERMINATION"


def last_evaluations(
    instance: dg.DagsterInstance, keys: Iterable[dg.AssetCheckKey]
) -> Iterator[dg.AssetCheckEvaluation]:
    """What each check said last, in earlier runs; the public interface reads no check's history."""
    for key in keys:
        # The first record is that of the run which is under way: planned, and not yet evaluated;
        # so are those of runs that failed before they came to it.
        for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=10):
            event = record.event and record.event.dagster_event
            if event and event.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                yield event.asset_check_evaluation_data
                break
