"""What failed in a run: from the run's own events, so that it does not matter where it worked."""

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg


@dataclass(frozen=True)
class StepFailure:
    """One line of what a step failed with; `step` is None where the run failed outside of one."""

    step: str | None
    message: str

    def __str__(self) -> str:
        return f"{self.step}: {self.message}" if self.step else self.message


def run_failures(instance: dg.DagsterInstance, run_id: str) -> list[StepFailure]:
    """Each thing that failed; the run's own failure where no step did.

    Messages are those that testruns raised, in one line each; of anything else that was raised,
    Dagster's message. Tracebacks are on the run's page.
    """
    return list(_of_steps(instance, run_id)) or list(_of_run(instance, run_id))


def _of_steps(instance: dg.DagsterInstance, run_id: str) -> Iterator[StepFailure]:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.get_dagster_event()
        data = event.step_failure_data
        if data.user_failure_data is not None:
            message = data.user_failure_data.description or ""
        else:
            # Dagster wraps what was raised.
            raised = data.error and (data.error.cause or data.error)
            message = raised.message if raised else "failed"
        yield from (StepFailure(event.step_key, line) for line in message.splitlines() if line)


def _of_run(instance: dg.DagsterInstance, run_id: str) -> Iterator[StepFailure]:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE):
        message = entry.get_dagster_event().message or "the run failed"
        yield StepFailure(None, message.strip().splitlines()[0])
