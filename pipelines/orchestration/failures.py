"""What failed in a run, in lines: from the run's own events, so that it does not matter where."""

from collections.abc import Iterator

import dagster as dg


def failure_lines(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """A line `step: message` for each thing that failed; the run's own failure where no step did.

    Messages are those that testruns raised, in one line each; of anything else that was raised,
    Dagster's message. Tracebacks are on the run's page.
    """
    lines = list(_of_steps(instance, run_id))
    return lines or list(_of_run(instance, run_id))


def _of_steps(instance: dg.DagsterInstance, run_id: str) -> Iterator[str]:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.get_dagster_event()
        data = event.step_failure_data
        if data.user_failure_data is not None:
            message = data.user_failure_data.description or ""
        else:
            # Dagster wraps what was raised.
            raised = data.error and (data.error.cause or data.error)
            message = raised.message if raised else "failed"
        yield from (f"{event.step_key}: {line}" for line in message.splitlines() if line)


def _of_run(instance: dg.DagsterInstance, run_id: str) -> Iterator[str]:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE):
        message = entry.get_dagster_event().message or "the run failed"
        yield message.strip().splitlines()[0]
