"""Walks down scripted Postman lists: any order, put down anywhere and picked up."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pipelines.sources.base import Watermark
from pipelines.sources.postman import paging
from pipelines.sources.postman.api import RunPage
from tests.support.walks import WalkResult, collect

Json = dict[str, Any]
NOW = datetime(2026, 5, 1, tzinfo=UTC)
LOOKBACK = timedelta(hours=72)


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def make_run(number: int, hours_ago: float | None) -> Json:
    """A summary; None: it is queued, and has no start."""
    if hours_ago is None:
        return {"id": f"run-{number}", "status": "queued"}
    started_at = ago(hours_ago).isoformat()
    return {"id": f"run-{number}", "status": "finished", "startedAt": started_at}


def history(length: int, *, hours_apart: float = 10.0) -> list[Json]:
    """Runs newest first, the last of them begun right now."""
    return [make_run(number, number * hours_apart) for number in range(length)]


@dataclass
class RunList:
    """A list that pages by the last place shown; what arrives or vanishes moves no other run.

    `events` happen before the request of that number, counted from 0.
    """

    places: dict[float, Json]
    page_size: int = 10
    events: dict[int, Callable[[], None]] = field(default_factory=dict)
    requested: list[str | None] = field(default_factory=list)

    @classmethod
    def of(cls, runs: Iterable[Json], page_size: int = 10) -> "RunList":
        return cls(dict(enumerate(runs)), page_size)

    async def fetch(self, cursor: str | None) -> RunPage:
        self.events.pop(len(self.requested), lambda: None)()
        self.requested.append(cursor)
        assert len(self.requested) < 1000, "walked for ever"
        after = float("-inf") if cursor is None else float(cursor)
        behind = sorted(place for place in self.places if place > after)
        on_page = behind[: self.page_size]
        following = str(on_page[-1]) if len(behind) > len(on_page) else None
        return RunPage([self.places[place] for place in on_page], following, len(self.places))

    def put_on_top(self, run: Json) -> None:
        self.places[min(self.places, default=0) - 1] = run

    def put_at_the_end(self, run: Json) -> None:
        self.places[max(self.places, default=0) + 1] = run

    def remove(self, run_id: str) -> None:
        self.places = {at: run for at, run in self.places.items() if run["id"] != run_id}

    @property
    def ids(self) -> set[str]:
        return {run["id"] for run in self.places.values()}

    def requests(self) -> int:
        """How many there were since the last call."""
        requested, self.requested = self.requested, []
        return len(requested)


def walk(
    runs: RunList,
    watermark: Watermark | None = None,
    *,
    pages: int | None = None,
    lookback: timedelta = LOOKBACK,
    now: datetime = NOW,
) -> WalkResult:
    """Walk for so many pages (None: to the end) or until it fails; killed after its last mark."""
    last = watermark or Watermark()
    steps = paging.pages(runs.fetch, last, lookback=lookback, now=now)
    return collect(steps, last, lambda: pages is None or len(runs.requested) < pages)


def walk_to_end(
    runs: RunList,
    watermark: Watermark | None = None,
    *,
    lookback: timedelta = LOOKBACK,
    now: datetime = NOW,
) -> WalkResult:
    """Walk to the end, which is reached."""
    whole = walk(runs, watermark, lookback=lookback, now=now)
    assert whole.error is None
    return whole
