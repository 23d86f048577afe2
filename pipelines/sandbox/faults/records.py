"""Runs that no reference page foresees: wrong types, absurd times, text that no database takes.

About a third of the runs are struck, chosen by seed and ID, so that the list and the detail of a
run tell the same and its neighbours show that they load. Nothing changes at the source itself.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from pipelines.sandbox.faults.fault import (
    ANYWHERE,
    DETAILS,
    LISTS,
    Exchange,
    Fault,
    Strike,
    description_of,
    name_of,
)
from pipelines.sandbox.wire import Json, decode, encode

FAULTS: list[Fault] = []

Damage = Callable[[Json, Random], None]

_ONE_IN = 3
_LONG = 1_000_000
_DEEP = 2_000
_DEEP_OBJECTS = 600
_MANY = 20_000
_ESCAPES = "\x1b[31mred\x1b[0m\rover \u202egnp.exe"
_LISTS = ("executions", "assertions", "threads", "tags", "artifacts", "fields", "links")
_TIMES = ("startedAt", "finishedAt", "created_at", "completed_at")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def _damage(damage: Damage) -> Damage:
    """A fault in single runs, listed or in detail."""
    name = name_of(damage)

    def change(exchange: Exchange, strike: Strike) -> None:
        # Test results are no runs.
        if exchange.answer.status != 200 or exchange.path.endswith("/tests"):
            return
        body = decode(exchange.answer.body)
        for run in _runs(body):
            dice = Random(f"{strike.seed}/{name}/{run.get('id')}")  # noqa: S311 - no secret
            if dice.randrange(_ONE_IN) == 0:
                damage(run, dice)
        exchange.answer = exchange.answer._replace(body=encode(body))

    FAULTS.append(Fault(name, description_of(damage), ANYWHERE, change))
    return damage


def _body(where: str) -> Callable[[Callable[[bytes], bytes]], Callable[[bytes], bytes]]:
    """A fault in a body as a whole."""

    def add(alter: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
        def change(exchange: Exchange, _strike: Strike) -> None:
            if exchange.answer.status == 200:
                exchange.answer = exchange.answer._replace(body=alter(exchange.answer.body))

        FAULTS.append(Fault(name_of(alter), description_of(alter), where, change))
        return alter

    return add


def _runs(body: Json) -> list[Json]:
    """The runs of an answer: of a list or of a detail, of either API."""
    records = body.get("run") or body.get("runs") or body.get("result") or []
    return records if isinstance(records, list) else [records]


@_damage
def wrong_types(run: Json, dice: Random) -> None:
    """A known field holds another type than documented."""
    wrong: list[Any] = [{"a": 1}, ["a"], True, 1.5]
    known = [name for name in ("status", "source", "name") if name in run]
    run[dice.choice(known)] = dice.choice(wrong)


@_damage
def missing_ids(run: Json, _dice: Random) -> None:
    """Runs come without their ID."""
    run.pop("id")


@_damage
def times_in_year_10000(run: Json, _dice: Random) -> None:
    """Times lie in the year 10000."""
    _at(run, "10000-01-01T00:00:00Z")


@_damage
def times_as_epochs(run: Json, _dice: Random) -> None:
    """Times are seconds since 1970."""
    _at(run, 1_777_636_800)


@_damage
def times_without_zone(run: Json, _dice: Random) -> None:
    """Times name no zone."""
    _at(run, "2026-05-01T12:00:00")


@_damage
def huge_integers(run: Json, dice: Random) -> None:
    """A whole number is beyond its column: 32 bits, or 64, or 30 digits."""
    if "thread_count" in run:
        name, number = dice.choice([("status", 2**31), ("elapsed", 2**63), ("elapsed", 10**30)])
        run[name] = number
    else:
        run["stats"] = {"requests": {"total": dice.choice([2**63, 10**30])}}


@_damage
def nul(run: Json, _dice: Random) -> None:
    """Text holds NUL, which Postgres takes nowhere."""
    _said(run, "a\0b")


@_damage
def lone_surrogates(run: Json, _dice: Random) -> None:
    """Text holds half a character."""
    _said(run, "half \ud83d")


@_damage
def long_strings(run: Json, _dice: Random) -> None:
    """A text is 1 MB long."""
    _said(run, "x" * _LONG)


@_damage
def long_names(run: Json, _dice: Random) -> None:
    """Names of runs, of executions or threads and of assertions are 10 kB long."""
    _said(run, "x" * 10_000)
    for part in (*(run.get("executions") or ()), *(run.get("threads") or ())):
        part["itemName" if "itemName" in part else "name"] = "y" * 10_000
        for assertion in part.get("assertions") or ():
            assertion["name"] = "z" * 10_000


@_damage
def escape_codes(run: Json, _dice: Random) -> None:
    """Text and the name of a new field hold escape codes, CR and marks of direction."""
    _said(run, _ESCAPES)
    run[_ESCAPES] = _ESCAPES


@_damage
def counts_at_the_limit(run: Json, _dice: Random) -> None:
    """Totals are 2^63 - 1, which a bigint just holds."""
    if "thread_count" in run:
        run["total_count"] = run["failure_count"] = 2**63 - 1
    else:
        run["stats"] = {"requests": {"total": 2**63 - 1}, "assertions": {"total": 2**63 - 1}}


@_damage
def lists_as_objects(run: Json, _dice: Random) -> None:
    """Lists are empty objects: `executions: {}`."""
    run.update({name: {} for name in _LISTS if name in run})


@_damage
def null_lists(run: Json, _dice: Random) -> None:
    """Lists are null."""
    run.update({name: None for name in _LISTS if name in run})


@_damage
def many_executions(run: Json, _dice: Random) -> None:
    """A run holds 20,000 executions (Testmo: artifacts)."""
    for name in ("executions", "artifacts"):
        if run.get(name):
            run[name] = (run[name] * _MANY)[:_MANY]


@_damage
def unknown_fields(run: Json, dice: Random) -> None:
    """Runs carry a field that nobody knows."""
    run["somethingNew"] = {"level": dice.randrange(9), "of": ["a", None]}


@_body(ANYWHERE)
def byte_order_mark(body: bytes) -> bytes:
    """A byte order mark stands before the JSON."""
    return _BYTE_ORDER_MARK + body


@_body(DETAILS)
def deep_nesting(body: bytes) -> bytes:
    """A run is nested 2,000 levels deep, more than most decoders take."""
    answer = decode(body)
    for run in _runs(answer):
        run["nested"] = "DEEP"
    return encode(answer).replace(b'"DEEP"', b"[" * _DEEP + b"]" * _DEEP)


@_body(DETAILS)
def nested_objects(body: bytes) -> bytes:
    """A run holds an object that nobody knows, 600 levels deep."""
    answer = decode(body)
    for run in _runs(answer):
        run["nested"] = "DEEP"
    return encode(answer).replace(b'"DEEP"', b'{"a":' * _DEEP_OBJECTS + b"1" + b"}" * _DEEP_OBJECTS)


@_body(LISTS)
def duplicate_ids(body: bytes) -> bytes:
    """Every run stands twice on its page."""
    page = decode(body)
    name = "runs" if "runs" in page else "result"
    page[name] = [run for run in page[name] for _ in range(2)]
    return encode(page)


def _at(run: Json, when: Any) -> None:
    run.update({name: when for name in _TIMES if name in run})


def _said(run: Json, text: str) -> None:
    name = "name" if "name" in run else "createdBy"
    run[name] = text
