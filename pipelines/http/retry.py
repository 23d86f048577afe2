"""How often something that failed is tried again, and how long to wait before that."""

import random
from dataclasses import dataclass

from pipelines.errors import QuotaSpentError, TransientError


@dataclass(frozen=True)
class RetryPolicy:
    """Attempts with growing waits between them.

    `attempts` counts the first one; 1: nothing is tried again. The wait after the first attempt is
    `first_wait_seconds`, each later one is `growth` times as long. Of each wait, a share of up to
    `jitter` (0 to 1) is left out at random, so that what failed together does not return together.
    `transient` are the failures that another attempt may mend.
    """

    attempts: int = 5
    first_wait_seconds: float = 0.5
    growth: float = 2.0
    jitter: float = 0.5
    transient: tuple[type[Exception], ...] = (TransientError,)

    def is_transient(self, error: Exception) -> bool:
        """Whether another attempt may help. A spent quota comes back too, but not that soon."""
        return isinstance(error, self.transient) and not isinstance(error, QuotaSpentError)

    def has_more(self, attempt: int) -> bool:
        """Whether an attempt is left after `attempt`; the first attempt is 0."""
        return attempt + 1 < self.attempts

    def wait_seconds(self, attempt: int) -> float:
        """Seconds to wait after `attempt`; the first attempt is 0."""
        longest = self.first_wait_seconds * self.growth**attempt
        return longest * random.uniform(1 - self.jitter, 1)  # noqa: S311 - no secret


DEFAULT_RETRY = RetryPolicy()
NO_RETRY = RetryPolicy(attempts=1)
