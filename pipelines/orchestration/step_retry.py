"""How a run may fail: what is tried again, by whom, and what never is.

Dagster knows three ways to try again, and each would repeat what is hopeless if it were let:

- a step's own `dg.RetryPolicy` repeats whatever is raised in it: our own mistakes, and a run that
  somebody terminates, which would wait and begin again. So there is none, and a step asks to be
  repeated by itself, after time-outs, resets, 5xx and their like, when the client has tried each
  request several times already. A wrong key, an unknown project and a spent budget never come back.
- a retry of the whole run (`run_retries` of a deployment): tagged away for failed steps, so that it
  is left for runs whose process was killed.
- a re-execution by hand, which is the user's to judge.
"""

from collections.abc import Iterable

import dagster as dg

from pipelines.errors import TestrunsError, TransientError, WarehouseError
from pipelines.http.retry import RetryPolicy
from pipelines.ingest.progress import ScopeReport
from pipelines.orchestration.dagster_internals import RETRY_ON_STEP_FAILURE_TAG
from pipelines.sources.redaction import visible

RUN_TAGS = {RETRY_ON_STEP_FAILURE_TAG: "false"}

# An API that restarts is back within three minutes; what lasts longer is for the next night.
STEP_RETRY = RetryPolicy(
    attempts=3, first_wait_seconds=60, jitter=0, transient=(TransientError, WarehouseError)
)


def step_failure(
    error: TestrunsError, policy: RetryPolicy, attempt: int
) -> dg.Failure | dg.RetryRequested:
    """What a step raises when nothing can go on; repeated only where that can help."""
    failure = dg.Failure(str(error), allow_retries=False)
    return retry_request(failure, policy, attempt) if policy.is_transient(error) else failure


def scopes_failure(
    reports: Iterable[ScopeReport], policy: RetryPolicy, attempt: int
) -> dg.Failure | dg.RetryRequested | None:
    """The same for scopes that failed, a line each; None: each of them was read."""
    failed = [report for report in reports if report.error is not None]
    if not failed:
        return None
    lines = (visible(f"{report.source} {report.scope}: {report.error}") for report in failed)
    failure = dg.Failure("\n".join(lines), allow_retries=False)
    # Whether any of these scopes may well load within minutes.
    can_help = any(report.is_transient and not report.is_quota_spent for report in failed)
    return retry_request(failure, policy, attempt) if can_help else failure


def retry_request(failure: dg.Failure, policy: RetryPolicy, attempt: int) -> dg.RetryRequested:
    """To be raised; the run ends with `failure` if there is no attempt left after `attempt`."""
    request = dg.RetryRequested(policy.attempts - 1, policy.wait_seconds(attempt))
    request.__cause__ = failure
    return request
