"""What failed in a run: from the run's own events, so that it does not matter where it worked."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import dagster as dg

from pipelines.sources.spec import SourceName

# Under this name a failure carries which scopes its lines speak of.
_SCOPES = "scopes"


@dataclass(frozen=True)
class ScopeProblem:
    """What is wrong with a collection or project."""

    source: SourceName
    scope: str
    problem: str

    @property
    def place(self) -> str:
        """The scope with its source."""
        return f"{self.source} {self.scope}"

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}"


@dataclass(frozen=True)
class StepFailure:
    """One line of what a step failed with; `step` is None where the run failed outside of one.

    `scope` is what the line speaks of, if that is known.
    """

    step: str | None
    message: str
    scope: ScopeProblem | None = None

    def __str__(self) -> str:
        return f"{self.step}: {self.message}" if self.step else self.message


def failure_of_scopes(lines: Iterable[str], scopes: Iterable[ScopeProblem]) -> dg.Failure:
    """What a step raises; `scopes` are those of the lines that speak of one."""
    problems = [[scope.source, scope.scope, scope.problem] for scope in scopes]
    return dg.Failure(
        "\n".join(lines),
        metadata={_SCOPES: dg.MetadataValue.json(problems)},
        allow_retries=False,
    )


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
        scopes: dict[str, ScopeProblem] = {}
        if data.user_failure_data is not None:
            message = data.user_failure_data.description or ""
            value = data.user_failure_data.metadata.get(_SCOPES)
            if isinstance(value, dg.JsonMetadataValue) and isinstance(value.data, list):
                problems = [ScopeProblem(*problem) for problem in value.data]
                scopes = {str(problem): problem for problem in problems}
        else:
            # Dagster wraps what was raised.
            raised = data.error and (data.error.cause or data.error)
            message = raised.message if raised else "failed"
        for line in filter(None, message.splitlines()):
            yield StepFailure(event.step_key, line, scopes.get(line))


def _of_run(instance: dg.DagsterInstance, run_id: str) -> Iterator[StepFailure]:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE):
        message = entry.get_dagster_event().message or "the run failed"
        yield StepFailure(None, message.strip().splitlines()[0])
