"""A year of a large organisation, night by night in simulated time: quota, lateness, table growth.

    python -m bench.year

The walks, the pacer and the reading ahead are the product's own; the limits are the sandbox's, on
the same simulated clock. What stands in for the rest: runs are numbers, and bytes a run are those
of a small real warehouse. 200 Postman collections with a run every two hours, 50 Testmo projects
with one every half hour; one run in 500 never ends.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.history import fill
from bench.simulated_time import simulate
from bench.table import plain
from bench.warehouse import Warehouse
from bench.work import POSTMAN_EVERY, TESTMO_EVERY, Work
from pipelines.errors import QuotaSpentError
from pipelines.http.rate_limiter import RateLimiter
from pipelines.http.transport import MOST_IN_FLIGHT
from pipelines.ingest.concurrency import map_ordered
from pipelines.sandbox.limits import PostmanLimits, Quota, minute_end
from pipelines.sources.base import NO_REFERENCES, Watermark
from pipelines.sources.postman import paging as postman
from pipelines.sources.postman.api import RunPage as PostmanPage
from pipelines.sources.testmo import paging as testmo
from pipelines.sources.testmo.api import RunPage as TestmoPage

_BEGAN = datetime(2026, 1, 1, 3, tzinfo=UTC)
_NIGHTS = 365
_COLLECTIONS, _PROJECTS = 200, 50
_LOOKBACK = timedelta(hours=72)
_POSTMAN_PER_MINUTE, _TESTMO_PER_MINUTE = 300, 60
_LATENCY_SECONDS = 0.15
_PAGE = 100
# Every so many runs, one that never ends: requested by ID, less often as it ages.
_NEVER_ENDS = 500


@dataclass
class Scope:
    """What is held of one collection or project: its mark, the runs loaded, the open ones."""

    watermark: Watermark = field(default_factory=Watermark)
    loaded: set[int] = field(default_factory=set)
    due: dict[int, tuple[float, int]] = field(default_factory=dict)
    """Open runs: when each is requested again, how often it was."""


@dataclass
class Year:
    """What a year of nights came to; seconds, requests and hours."""

    name: str
    requests: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    late_hours: list[float] = field(default_factory=list)
    stopped: int = 0
    refused: int = 0
    waiting: int = 0

    def row(self) -> list[str]:
        late = statistics.quantiles(self.late_hours, n=100) if self.late_hours else [0.0] * 99
        month = max(sum(self.requests[at : at + 30]) for at in range(0, _NIGHTS, 30))
        return [
            self.name,
            f"{statistics.median(self.requests):,.0f}",
            f"{month:,}",
            f"{statistics.median(self.seconds) / 60:.0f}",
            f"{max(self.seconds) / 60:.0f}",
            f"{late[49]:.0f}",
            f"{late[98]:.0f}",
            str(self.stopped),
            str(self.refused),
            f"{self.waiting:,}",
        ]


_HEAD = (
    "API and limit", "requests a night", "in 30 nights", "minutes a night", "longest",
    "hours late, half", "99 %", "nights cut short", "refusals", "runs not loaded",
)  # fmt: skip


class Api:
    """One API with its limits: requests that take their time and tell what is left."""

    def __init__(self, limits: PostmanLimits | Quota) -> None:
        self._limits = limits
        self.sent = self.refused = 0
        self.begin_night()

    def begin_night(self) -> None:
        """Each load is a process of its own, and knows nothing of the limits at first."""
        clock = asyncio.get_running_loop().time
        self.rate_limiter = (
            RateLimiter(_POSTMAN_PER_MINUTE, monthly_reserve=0, clock=clock)
            if isinstance(self._limits, PostmanLimits)
            else RateLimiter(_TESTMO_PER_MINUTE, clock=clock)
        )

    async def ask(self) -> None:
        """One request, in its turn. A refusal is waited for, as the client does."""
        while True:
            async with self.rate_limiter.acquire():
                self.sent += 1
                await asyncio.sleep(_LATENCY_SECONDS)
                if isinstance(self._limits, PostmanLimits):
                    spent = self._limits.exhausted()
                    headers = self._limits.headers()
                else:
                    spent = None if self._limits.remaining else self._limits
                    headers = {}
                announced = {name.lower(): value for name, value in headers.items()}
                if spent is None:
                    self._limits.spend()
                    self.rate_limiter.answered(200, announced)
                    return
                self.refused += 1
                announced["retry-after"] = str(spent.reset_seconds)
                self.rate_limiter.answered(429, announced)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _there(every: timedelta) -> int:
    """The number of the youngest run that has started by now; the first began a day before."""
    return int((_now() - (_BEGAN - timedelta(days=1)).timestamp()) // every.total_seconds())


def _started(number: int, every: timedelta) -> float:
    return (_BEGAN - timedelta(days=1)).timestamp() + number * every.total_seconds()


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _postman_scope(api: Api, scope: Scope, year: Year, now: datetime) -> None:
    async def fetch(cursor: str | None) -> PostmanPage:
        await api.ask()
        newest = int(cursor) if cursor else _there(POSTMAN_EVERY)
        oldest = max(newest - _PAGE, 0)
        runs = [
            {"number": number, "startedAt": _iso(_started(number, POSTMAN_EVERY))}
            for number in range(newest, oldest, -1)
        ]
        return PostmanPage(runs, str(oldest) if oldest else None, None)

    async def steps() -> AsyncIterator[Any]:
        async for page in postman.pages(fetch, scope.watermark, lookback=_LOOKBACK, now=now):
            for run in page.runs:
                if run["number"] not in scope.loaded:
                    yield _detail(api, scope, run["number"], year, POSTMAN_EVERY)
            yield page.watermark

    await _consume(steps(), scope)
    await _open_runs(api, scope)


async def _testmo_scope(api: Api, scope: Scope, year: Year, now: datetime, *, bare: bool) -> None:
    async def fetch(after: datetime | None, number: int) -> TestmoPage:
        await api.ask()
        last = _there(TESTMO_EVERY)
        behind = 0.0 if after is None else after.timestamp() - _started(0, TESTMO_EVERY)
        first = max(1, int(behind // TESTMO_EVERY.total_seconds()) + 1)
        begin = first + (number - 1) * _PAGE
        runs = [
            {"id": number, "created_at": _iso(_started(number, TESTMO_EVERY))}
            for number in range(begin, min(begin + _PAGE, last + 1))
        ]
        return TestmoPage(runs, [], begin + _PAGE <= last)

    since = scope.watermark.high_water and scope.watermark.high_water - _LOOKBACK

    async def steps() -> AsyncIterator[Any]:
        async for page in testmo.pages(
            fetch, scope.watermark, since=since, now=now, references=lambda _: NO_REFERENCES
        ):
            for run in page.runs:
                if run["id"] in scope.loaded:
                    continue
                if bare:
                    yield _detail(api, scope, run["id"], year, TESTMO_EVERY)
                else:
                    _load(scope, run["id"], year, TESTMO_EVERY)
            yield page.watermark

    await _consume(steps(), scope)
    if bare:
        await _open_runs(api, scope)


async def _consume(steps: AsyncIterator[Any], scope: Scope) -> None:
    """In the order of the list, as a load does it: the mark after the runs that it stands for."""
    async for done in map_ordered(steps, MOST_IN_FLIGHT):
        if isinstance(done, Watermark):
            scope.watermark = done


async def _detail(api: Api, scope: Scope, number: int, year: Year, every: timedelta) -> None:
    await api.ask()
    _load(scope, number, year, every)
    if number % _NEVER_ENDS == 0:
        scope.due[number] = (_now(), 0)


def _load(scope: Scope, number: int, year: Year, every: timedelta) -> None:
    scope.loaded.add(number)
    year.late_hours.append((_now() - _started(number, every)) / 3600)


async def _open_runs(api: Api, scope: Scope) -> None:
    """By the rule of `save_run_states`: after a tenth of its age at most, and sooner at first."""
    for number, (due, checks) in list(scope.due.items()):
        if due <= _now():
            await api.ask()
            age = _now() - _started(number, POSTMAN_EVERY)
            scope.due[number] = (_now() + min(age / 10, 3600.0 * 2 ** min(checks, 16)), checks + 1)


Visit = Callable[[Scope, datetime], Coroutine[Any, Any, None]]


async def _nights(year: Year, api: Api, scopes: list[Scope], visit: Visit) -> None:
    """Each night at three, one scope after the other; a spent budget ends the night."""
    loop = asyncio.get_running_loop()
    for night in range(_NIGHTS):
        begins = (_BEGAN + timedelta(days=night)).timestamp()
        await asyncio.sleep(max(0.0, begins - loop.time()))
        api.begin_night()
        before, since = api.sent, loop.time()
        try:
            for scope in scopes:
                await visit(scope, datetime.fromtimestamp(since, UTC))
        except QuotaSpentError:
            year.stopped += 1
        year.requests.append(api.sent - before)
        year.seconds.append(loop.time() - since)
    year.refused = api.refused


async def _postman_year(name: str, per_month: int) -> Year:
    year, scopes = Year(name), [Scope() for _ in range(_COLLECTIONS)]
    loop = asyncio.get_running_loop()
    api = Api(PostmanLimits(_POSTMAN_PER_MINUTE, per_month, loop.time))

    async def visit(scope: Scope, now: datetime) -> None:
        await _postman_scope(api, scope, year, now)

    await _nights(year, api, scopes, visit)
    year.waiting = sum(_there(POSTMAN_EVERY) - len(scope.loaded) for scope in scopes)
    return year


async def _testmo_year(name: str, *, bare: bool) -> Year:
    year, scopes = Year(name), [Scope() for _ in range(_PROJECTS)]
    loop = asyncio.get_running_loop()
    api = Api(Quota(_TESTMO_PER_MINUTE, minute_end, loop.time))

    async def visit(scope: Scope, now: datetime) -> None:
        await _testmo_scope(api, scope, year, now, bare=bare)

    await _nights(year, api, scopes, visit)
    year.waiting = sum(_there(TESTMO_EVERY) - len(scope.loaded) for scope in scopes)
    return year


_GROWN = """
select n.nspname, sum(pg_total_relation_size(c.oid))
from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid
where c.relkind = 'r' and n.nspname in ('raw_postman', 'raw_testmo', 'ingest')
group by n.nspname
"""


def growth() -> dict[str, float]:
    """Bytes that a run and its children take in each schema, indexes included."""
    work = replace(Work.until_now(), testmo_runs=700)
    with tempfile.TemporaryDirectory() as folder, Warehouse(Path(folder)) as warehouse:
        warehouse.create("grown")
        with warehouse.session("grown") as session:
            before = dict(session.execute(_GROWN).fetchall())
            fill(session, work)
            after = dict(session.execute(_GROWN).fetchall())
    runs = {"raw_postman": work.all_postman_runs, "raw_testmo": work.all_testmo_runs}
    runs["ingest"] = sum(runs.values())
    return {name: float(after[name] - before[name]) / count for name, count in runs.items()}


def main() -> None:
    began = time.monotonic()
    years = []
    for work in (
        _postman_year("Postman, 100,000 calls a month", 100_000),
        _postman_year("Postman, 10,000 calls a month", 10_000),
        _testmo_year("Testmo, 60 a minute, whole lists", bare=False),
        _testmo_year("Testmo, 60 a minute, bare lists", bare=True),
    ):
        years.append(simulate(_BEGAN.timestamp(), work))
        print(f"{years[-1].name}: simulated in {time.monotonic() - began:.0f} s", flush=True)
    print(f"\n{plain(_HEAD, [year.row() for year in years])}\n")
    bytes_a_run = growth()
    runs = {
        "raw_postman": _COLLECTIONS * _NIGHTS * 12,
        "raw_testmo": _PROJECTS * _NIGHTS * 48,
    }
    runs["ingest"] = sum(runs.values())
    rows = [
        [name, f"{bytes_a_run[name]:,.0f}", f"{count:,}", f"{bytes_a_run[name] * count / 1e9:.1f}"]
        for name, count in runs.items()
    ]
    print(plain(("schema", "bytes a run", "runs a year", "GB a year"), rows))


if __name__ == "__main__":
    main()
