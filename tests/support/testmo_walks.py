"""Walks up scripted Testmo lists that lose and gain runs while they are read."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from pipelines.sources.base import NO_REFERENCES, Watermark
from pipelines.sources.testmo import paging
from pipelines.sources.testmo.api import RunPage
from tests.support.walks import WalkResult, collect

Json = dict[str, Any]
walk_pages = partial(paging.pages, references=lambda _: NO_REFERENCES)
BEGIN = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = BEGIN + timedelta(days=30)
SECOND = timedelta(seconds=1)


def make_run(number: int, seconds: float) -> Json:
    """A run created so many seconds after the beginning."""
    created_at = (BEGIN + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return {"id": number, "created_at": created_at}


@dataclass
class RunList:
    """A list sorted by creation and filtered by whole seconds, as the API's page describes it.

    `events` happen before the request of that number, counted from 0; `is_inclusive`: runs of the
    very second that is the bound are shown.
    """

    runs: dict[int, Json]
    page_size: int = 10
    is_inclusive: bool = False
    events: dict[int, Callable[[], None]] = field(default_factory=dict)
    requested: list[tuple[datetime | None, int]] = field(default_factory=list)

    @classmethod
    def of(cls, runs: Iterable[Json], page_size: int = 10, **more: Any) -> "RunList":
        return cls({run["id"]: run for run in runs}, page_size, **more)

    async def fetch(self, created_after: datetime | None, page: int) -> RunPage:
        self.events.pop(len(self.requested), lambda: None)()
        self.requested.append((created_after, page))
        assert len(self.requested) < 1000, "walked for ever"
        bound = created_after and created_after.replace(microsecond=0)
        matches = sorted(
            (run for run in self.runs.values() if bound is None or self._is_after(run, bound)),
            key=lambda run: (datetime.fromisoformat(run["created_at"]), run["id"]),
        )
        on_page = matches[(page - 1) * self.page_size : page * self.page_size]
        return RunPage(on_page, [], has_next=len(matches) > page * self.page_size)

    def _is_after(self, run: Json, bound: datetime) -> bool:
        created_at = datetime.fromisoformat(run["created_at"])
        return created_at >= bound if self.is_inclusive else created_at > bound

    def put(self, run: Json) -> None:
        self.runs[run["id"]] = run

    def remove(self, number: int) -> None:
        self.runs.pop(number, None)

    def requests(self) -> int:
        """How many there were since the last call."""
        requested, self.requested = self.requested, []
        return len(requested)


def walk(
    runs: RunList,
    watermark: Watermark | None = None,
    *,
    pages: int | None = None,
    lookback: timedelta = timedelta(hours=72),
    now: datetime = NOW,
) -> WalkResult:
    """Walk for so many requests (None: to the end) or until it fails; killed after a mark."""
    last = watermark or Watermark()
    since = None if last.high_water is None else last.high_water - lookback
    steps = walk_pages(runs.fetch, last, since=since, now=now)
    return collect(steps, last, lambda: pages is None or len(runs.requested) < pages)


def walk_to_end(
    runs: RunList,
    watermark: Watermark | None = None,
    *,
    lookback: timedelta = timedelta(hours=72),
    now: datetime = NOW,
) -> WalkResult:
    """Walk to the end, which is reached."""
    whole = walk(runs, watermark, lookback=lookback, now=now)
    assert whole.error is None
    return whole


def history(length: int, *, seconds_apart: float = 600.0) -> list[Json]:
    return [make_run(number, number * seconds_apart) for number in range(length)]


both_readings = pytest.mark.parametrize("is_inclusive", [False, True])
