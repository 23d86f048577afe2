"""Payloads bent out of shape: some 20 ways to damage JSON, applied at random places, by seed."""

import copy
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Json = dict[str, Any]
Place = tuple[Any, Any]

# What programs send where another value was meant, and what databases choke on.
HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, -0.0, 3.0, 1e22, 1e308, 2**31, 2**31 - 1, -(2**31) - 1,
    2**63, 2**63 - 1, -(2**63) - 1, 10**30, 2**53 + 1, "", " ", "0", "null", "a\0b", "\0",
    "\ud800", "\udc00x", "\ufeff", "\ufffd", "é", "\N{GRINNING FACE}", "x" * 3000, "\\u0000",
    "10000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999+00:00",
    "0001-01-01T00:00:00+14:00", "2026-05-01", "2026-05-01T12:00:00", "2026-05-01T12:00:00Z",
    "2026-02-30T12:00:00Z", "20260501T120000Z", "2026-05-01T24:00:00Z", "2026-W18-5T00:00:00Z",
    "2026-05-01T12:00:00+05:30:15", "yesterday", 1_777_636_800, 1_777_636_800_000, "1777636800",
    "https://ada:hunter2@x.test/?token=abc&sig=d", "http://[::1", "//", [], {}, [[]],
    [None], [{}], {"a": None}, {"": ""}, {"\0": 1}, {"id": "x"}, ["a", 1, None], [[[[[[]]]]]],
]  # fmt: skip
KEYS = ["", "id", "ID", "a\0b", "\ud800", "extra", "loaded_at", "run_id", "k" * 300, "$ref", "é"]


def mutated(run: Json, dice: Random) -> Any:
    """A copy with one to four damages in it; now and then it is no object any more."""
    if dice.random() < 0.01:
        return dice.choice(HOSTILE)
    bent = copy.deepcopy(run)
    for _ in range(dice.choice([1, 1, 1, 2, 3, 4])):
        places = list(_places(bent))
        if not places:
            break
        dice.choice(DAMAGES)(dice.choice(places), dice)
    return bent


def _places(value: Any) -> Iterator[Place]:
    """Every (container, key) below a value."""
    keys = value if isinstance(value, dict) else range(len(value)) if type(value) is list else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _hostile(place: Place, dice: Random) -> None:
    inside, key = place
    inside[key] = copy.deepcopy(dice.choice(HOSTILE))


def _gone(place: Place, _dice: Random) -> None:
    inside, key = place
    del inside[key]


def _wrapped(place: Place, dice: Random) -> None:
    inside, key = place
    inside[key] = [inside[key]] if dice.random() < 0.5 else {"value": inside[key]}


def _respelled(place: Place, _dice: Random) -> None:
    inside, key = place
    inside[key] = json.dumps(inside[key])


def _doubled(place: Place, _dice: Random) -> None:
    inside, key = place
    if isinstance(inside, list):
        inside.insert(key, copy.deepcopy(inside[key]))
    else:
        inside[f"{key}2"] = copy.deepcopy(inside[key])


def _renamed(place: Place, dice: Random) -> None:
    inside, key = place
    if isinstance(inside, dict):
        inside[dice.choice(KEYS)] = inside.pop(key)


def _added(place: Place, dice: Random) -> None:
    inside, _key = place
    if isinstance(inside, dict):
        inside[dice.choice(KEYS)] = copy.deepcopy(dice.choice(HOSTILE))
    else:
        inside.append(copy.deepcopy(dice.choice(HOSTILE)))


def _swapped(place: Place, dice: Random) -> None:
    inside, key = place
    other = dice.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
    inside[key], inside[other] = inside[other], inside[key]


def _turned(place: Place, dice: Random) -> None:
    inside, key = place
    value = inside[key]
    if isinstance(value, str):
        at = dice.randrange(len(value) + 1)
        inside[key] = value[:at] + dice.choice(["\0", "\ud83d", "'", '"', "\\", "\n"]) + value[at:]
    elif type(value) is int:
        inside[key] = dice.choice([-value, value + 0.5, float(value), str(value), value * 10**9])


def _deepened(place: Place, dice: Random) -> None:
    inside, key = place
    for _ in range(dice.choice([2, 10, 100])):
        inside[key] = [inside[key]]


DAMAGES: list[Callable[[Place, Random], None]] = [
    _hostile, _hostile, _hostile, _gone, _wrapped, _respelled, _doubled, _renamed, _added, _swapped,
    _turned, _turned, _deepened,
]  # fmt: skip
