"""How much there is to load: so many collections and projects, so many runs in each, how large.

Runs are numbered from 1, the oldest, and stand at even distances, so that a history ten times as
long reaches ten times as far back and a night always brings the same number of new ones.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Self

POSTMAN_EVERY = timedelta(hours=2)
TESTMO_EVERY = timedelta(minutes=30)
NIGHT = timedelta(days=1)


def last_hour() -> datetime:
    """When the youngest run ended: now, or nearly."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)


@dataclass(frozen=True)
class Work:
    """Runs are per collection and per project; `executions` per run, `assertions` per execution."""

    collections: int = 3
    postman_runs: int = 700
    executions: int = 20
    assertions: int = 3
    projects: int = 2
    testmo_runs: int = 3000
    latest: int = 0
    """Start of the youngest run, epoch seconds."""

    @classmethod
    def until_now(cls) -> Self:
        return cls(latest=int(last_hour().timestamp()))

    def times(self, factor: float) -> Self:
        """The same history, so many times as long."""
        return replace(
            self,
            postman_runs=max(1, round(self.postman_runs * factor)),
            testmo_runs=max(1, round(self.testmo_runs * factor)),
        )

    @property
    def all_postman_runs(self) -> int:
        return self.collections * self.postman_runs

    @property
    def all_testmo_runs(self) -> int:
        return self.projects * self.testmo_runs

    @property
    def postman_rows(self) -> int:
        return self.all_postman_runs * (1 + self.executions * (1 + self.assertions))

    @property
    def collection_ids(self) -> list[str]:
        return [f"collection-{number}" for number in range(self.collections)]

    @property
    def project_ids(self) -> list[str]:
        return [str(number + 1) for number in range(self.projects)]

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


def nightly_runs(every: timedelta) -> int:
    """New runs that a night brings to a collection or project."""
    return NIGHT // every
