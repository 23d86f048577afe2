"""Which faults are requested, how often and where; may be changed while the sandbox serves.

A fault is `NAME[:every=N][:after=N][:times=N][:endpoint=PATTERN][:seed=N]`: of the requests that
fit the pattern the first N are let pass (`after`), then each Nth is struck (`every`, from the
first on), at most N of them (`times`). The pattern is a shell's, over "API/path":
`postman/*`, `*/runs` (all lists), `*/runs/*` (all details), `testmo/projects/2/*`.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase

from pipelines.sandbox.faults import CATALOGUE
from pipelines.sandbox.faults.fault import Fault, Strike

_NUMBERS = ("every", "after", "times", "seed")


@dataclass
class FaultRule:
    """One fault as it was requested (`spec`), and how often it has met a request, and struck."""

    spec: str
    fault: Fault
    every: int = 1
    after: int = 0
    times: int | None = None
    endpoint: str = "*"
    seed: int = 0
    met: int = field(default=0, init=False)
    struck: int = field(default=0, init=False)

    def meet(self, endpoint: str) -> Strike | None:
        """Count a request that fits; the strike, if it is this one's turn."""
        fits = fnmatchcase(endpoint, self.fault.where) and fnmatchcase(endpoint, self.endpoint)
        if not fits:
            return None
        self.met += 1
        turn = self.met - self.after - 1
        is_over = self.times is not None and self.struck >= self.times
        if turn < 0 or turn % self.every or is_over:
            return None
        self.struck += 1
        return Strike(self.fault, self.seed, self.struck)


def parse(spec: str) -> FaultRule:
    """Read one specification. Raises ValueError, one line that names what is wrong with it."""
    name, *options = spec.split(":")
    if name not in CATALOGUE:
        near = get_close_matches(name, CATALOGUE, n=1)
        hint = f"; did you mean {near[0]}?" if near else "; --list-faults names them"
        raise ValueError(f"there is no fault {name!r}{hint}")
    read: dict[str, int | str] = {}
    for option in options:
        key, _, value = option.partition("=")
        if key == "endpoint" and value:
            read[key] = value
        elif key in _NUMBERS and value.isascii() and value.isdigit() and len(value) < 10:
            read[key] = int(value)
        else:
            raise ValueError(
                f"{spec}: {option!r} is none of every=N, after=N, times=N, seed=N, endpoint=PATTERN"
            )
    if read.get("every") == 0:
        raise ValueError(f"{spec}: every=N begins with 1")
    return FaultRule(spec, CATALOGUE[name], **read)  # type: ignore[arg-type]


class Faults:
    """The faults of a sandbox; safe to change from other threads.

    `specs` as `parse` reads them. Raises ValueError for one that it cannot.
    """

    def __init__(self, *specs: str) -> None:
        """Ask for some from the beginning."""
        self._lock = threading.Lock()
        self._rules: list[FaultRule] = []
        self.add(*specs)

    def add(self, *specs: str) -> None:
        """Ask for more, counted from now on; all of them or, where one cannot be read, none."""
        rules = [parse(spec) for spec in specs]
        with self._lock:
            self._rules += rules

    def replace(self, *specs: str) -> None:
        """Ask for these and no others."""
        rules = [parse(spec) for spec in specs]
        with self._lock:
            self._rules = rules

    def clear(self) -> None:
        """Ask for none."""
        self.replace()

    @property
    def struck(self) -> dict[str, int]:
        """How often each has struck, by its specification."""
        with self._lock:
            return {rule.spec: rule.struck for rule in self._rules}

    def strikes(self, endpoint: str) -> list[Strike]:
        """Those that strike a request now, in the order in which they were requested."""
        with self._lock:
            met = [rule.meet(endpoint) for rule in self._rules]
        return [strike for strike in met if strike is not None]


def described(faults: Iterable[Fault]) -> list[str]:
    """A line a fault, name and description in columns."""
    width = max(map(len, CATALOGUE))
    return [f"{fault.name:{width}}  {fault.description}" for fault in faults]
