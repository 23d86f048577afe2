"""What happens at the source while it is read; unlike other faults, it has happened for good.

`Sandbox.postman_runs` and `Sandbox.testmo_runs` tell what is held after it.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from pipelines.sandbox.faults.fault import (
    LISTS,
    POSTMAN_LISTS,
    Exchange,
    Fault,
    Strike,
    description_of,
    name_of,
)
from pipelines.sandbox.postman import PostmanApi
from pipelines.sandbox.wire import Json, moment

FAULTS: list[Fault] = []

Happening = Callable[[Exchange, list[Json], Random], None]

_BURST = 150
_UNDATED = datetime.min.replace(tzinfo=UTC)


def _happening(where: str) -> Callable[[Happening], Happening]:
    """What happens to a list's runs, oldest first, before it is read; never to an empty list."""

    def add(happen: Happening) -> Happening:
        name = name_of(happen)

        def change(exchange: Exchange, strike: Strike) -> None:
            runs = sorted(exchange.api.runs_listed_at(exchange.path), key=_started)
            if runs:
                dice = Random(f"{strike.seed}/{name}/{exchange.path}/{strike.number}")  # noqa: S311
                happen(exchange, runs, dice)

        FAULTS.append(Fault(name, description_of(happen), where, change, before_answer=True))
        return happen

    return add


@_happening(LISTS)
def runs_appear(exchange: Exchange, runs: list[Json], dice: Random) -> None:
    """A run appears before every page, a second newer than the newest."""
    _add(exchange, runs[-1], dice, _started(runs[-1]) + timedelta(seconds=1))


@_happening(LISTS)
def runs_vanish(exchange: Exchange, runs: list[Json], dice: Random) -> None:
    """A run is deleted before every page, any of them but the last one left."""
    if len(runs) > 1:
        exchange.api.remove(dice.choice(runs)["id"])


@_happening(LISTS)
def burst(exchange: Exchange, runs: list[Json], dice: Random) -> None:
    """More than a page of runs (150) appear in one and the same second, once in each list."""
    newest = _started(runs[-1])
    if sum(_started(run) == newest for run in runs) < _BURST:
        for _run in range(_BURST):
            _add(exchange, runs[-1], dice, newest + timedelta(seconds=1))


@_happening(POSTMAN_LISTS)
def runs_queue(exchange: Exchange, runs: list[Json], dice: Random) -> None:
    """A queued run appears before every page; it has no start yet."""
    _add(exchange, {**runs[-1], "status": "queued", "executions": []}, dice, None)


def _add(exchange: Exchange, like: Json, dice: Random, at: datetime | None) -> None:
    """Another run like one that is held, begun at another time; None: not yet."""
    when = at and at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    api = exchange.api
    if isinstance(api, PostmanApi):
        times = {"startedAt": when, "finishedAt": when}
        api.put({**like, "id": str(UUID(int=dice.getrandbits(128))), **times})
    else:
        threads = [{**thread, "id": dice.getrandbits(48)} for thread in like.get("threads") or ()]
        run_id = 1 + max(run["id"] for run in api.runs)
        api.put({**like, "id": run_id, "created_at": when, "threads": threads})


def _started(run: Json) -> datetime:
    return moment(run.get("startedAt") or run.get("created_at")) or _UNDATED
