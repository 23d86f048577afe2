"""How a run may fail: what is tried again, by whom, and what never is.

Dagster knows three ways to try again, and each would repeat what is hopeless if it were let:

- a step's `RetryPolicy` repeats whatever is raised in it: our own mistakes, and a run that somebody
  terminates, which would wait and begin again. So there is none, and a step asks to be repeated
  by itself, after time-outs, resets, 5xx and their like, when the client has tried each request
  several times already. A wrong key, an unknown project and a spent budget never come back.
- a retry of the whole run (`run_retries` of a deployment): tagged away for failed steps, so that it
  is left for runs whose process was killed.
- a re-execution by hand, which is the user's to judge.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.tags import RETRY_ON_ASSET_OR_OP_FAILURE_TAG

from pipelines.errors import TestrunsError, TransientError, WarehouseError
from pipelines.ingest.progress import ScopeReport

RUN_TAGS = {RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "false"}


@dataclass(frozen=True)
class Retry:
    """How often a step is repeated, after how many seconds; each time twice as many.

    An API that restarts is back within three minutes; what lasts longer is for the next night.
    """

    times: int = 2
    seconds: float = 60

    def is_left(self, attempt: int) -> bool:
        """Whether the step may be repeated once more; the first attempt is 0."""
        return attempt < self.times

    def of(self, why: dg.Failure, attempt: int) -> dg.RetryRequested:
        """To be raised from `why`, which is how the run ends if there is no repeat left."""
        request = dg.RetryRequested(self.times, self.seconds * 2**attempt)
        request.__cause__ = why
        return request


def failure(error: TestrunsError, retry: Retry, attempt: int) -> dg.Failure | dg.RetryRequested:
    """What a step raises when nothing can go on; repeated only where that can help."""
    why = dg.Failure(str(error), allow_retries=False)
    is_transient = isinstance(error, TransientError | WarehouseError)
    return retry.of(why, attempt) if is_transient else why


def is_worth_a_retry(failed: Iterable[ScopeReport]) -> bool:
    """Whether any of these scopes may well load within minutes."""
    return any(report.is_transient and not report.is_quota_spent for report in failed)


def told(failed: Iterable[ScopeReport]) -> str:
    """A line for each scope that failed."""
    return "\n".join(f"{report.source} {report.scope}: {report.error}" for report in failed)
