"""Faults on demand: what an API, a network or a team's own history can do to a loader.

A fault is a function; its name in kebab case is what it is requested by, the first line of its
docstring is its description. Each file holds one family:

    delivery.py     how an answer goes out, or does not: silence, half a header, resets, drips
    answers.py      other answers than the honest one: HTML, broken gzip, redirects, 5xx, 401
    limits.py       429 with every spelling of the wait; a month's budget that is spent
    listing.py      the list: its order, its pages, its cursors
    happenings.py   what happens at the source while it is read: runs appear, queue, vanish
    records.py      runs that no reference page foresees

    fault.py        what a fault is: one request on its way, and where a fault may strike
    plan.py         which faults are requested, how often and where; changed while serving
    control.py      the same over HTTP, for tests in other languages
"""

from pipelines.sandbox.faults import answers, delivery, happenings, limits, listing, records
from pipelines.sandbox.faults.fault import Fault

FAMILIES: dict[str, list[Fault]] = {
    "network": [*delivery.FAULTS, *answers.FAULTS],
    "limits": limits.FAULTS,
    "listing": listing.FAULTS,
    "happenings": happenings.FAULTS,
    "records": records.FAULTS,
}
CATALOGUE: dict[str, Fault] = {
    fault.name: fault for faults in FAMILIES.values() for fault in faults
}
