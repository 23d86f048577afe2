"""What all processes of this machine know together of one API's limits: a file that they map.

A request costs a few looks at it, so it is memory and not a database: fixed fields under a lock
that the kernel frees when its holder dies. What a killed process leaves in it grows old and is then
forgotten. It holds no secret, and nothing that a load could not learn anew.
"""

import fcntl
import mmap
import os
import weakref
from collections.abc import Callable
from ctypes import Structure, byref, c_double, c_int64, memset, sizeof
from pathlib import Path

from pipelines.errors import SettingsError

NOT_KNOWN = -1

# Changes with the fields below: a file of another layout is begun anew.
_LAYOUT = 0x7465737472756E02
_MOST_TIMES = 4096
_MOST_PROCESSES = 16
# No answer takes longer (client: two minutes): who was not heard of since has nothing under way.
_SILENT_SECONDS = 150.0
# What refusals taught may be wrong a day later.
_LEARNED_SECONDS = 86_400.0


class Gauges(Structure):
    """One API's limits as they stand; times are seconds since the epoch, NOT_KNOWN is -1.

    `limit`, `left` and `reset_at` are the announced window's, `month_left` what was announced of
    the month at `month_at`. `late_seconds`, `spare` and `lowered` were learned from a refusal at
    `learned_at`. If `must_probe`, one request goes alone, and no other before `probe_until`.
    """

    layout: int
    not_before: float
    window_seconds: float
    limit: int
    left: int
    reset_at: float
    must_probe: int
    probe_until: float
    late_seconds: float
    spare: int
    lowered: int
    learned_at: float
    month_left: int
    month_at: float
    sent: int
    _first: int

    _fields_ = (
        ("layout", c_int64),
        ("not_before", c_double),
        ("window_seconds", c_double),
        ("limit", c_int64),
        ("left", c_int64),
        ("reset_at", c_double),
        ("must_probe", c_int64),
        ("probe_until", c_double),
        ("late_seconds", c_double),
        ("spare", c_int64),
        ("lowered", c_int64),
        ("learned_at", c_double),
        ("month_left", c_int64),
        ("month_at", c_double),
        ("sent", c_int64),
        ("_first", c_int64),
        ("_times", c_double * _MOST_TIMES),
        ("_owners", c_int64 * _MOST_PROCESSES),
        ("_in_flight", c_int64 * _MOST_PROCESSES),
        ("_seen_at", c_double * _MOST_PROCESSES),
    )

    def begin_anew(self) -> None:
        """Know nothing."""
        memset(byref(self), 0, sizeof(self))
        self.layout, self.window_seconds, self.must_probe = _LAYOUT, 60.0, 1
        self.limit = self.left = self.month_left = self.lowered = NOT_KNOWN

    def join(self, now: float) -> None:
        """A process begins to ask: what nobody watches now is not to be relied on."""
        the_clock_was_set_back = max(self._seen_at) > now + _SILENT_SECONDS
        if self.layout != _LAYOUT or the_clock_was_set_back:
            self.begin_anew()
        if now > self.learned_at + _LEARNED_SECONDS:
            self.late_seconds, self.spare, self.lowered = 0.0, 0, NOT_KNOWN
        if not self.in_flight(now):
            self.must_probe = 1

    def in_flight(self, now: float) -> int:
        """Requests under way, of all processes."""
        heard_of = now - _SILENT_SECONDS
        counts = zip(self._in_flight, self._seen_at, strict=True)
        return sum(count for count, seen_at in counts if seen_at > heard_of)

    def count_in_flight(self, owner: int, count: int, now: float) -> None:
        """So many requests of this process are under way; the longest silent one makes room."""
        owners = self._owners[:]
        seen_at = self._seen_at[:]
        place = owners.index(owner) if owner in owners else seen_at.index(min(seen_at))
        self._owners[place], self._in_flight[place], self._seen_at[place] = owner, count, now

    def push(self, now: float) -> None:
        """A request is sent."""
        if self.sent == _MOST_TIMES:
            self._first, self.sent = (self._first + 1) % _MOST_TIMES, self.sent - 1
        self._times[(self._first + self.sent) % _MOST_TIMES] = now
        self.sent += 1

    def take_back(self) -> None:
        """The request sent last does not count: it was refused."""
        self.sent = max(0, self.sent - 1)

    def is_full_until(self, ceiling: int, seconds: float) -> float:
        """When fewer than `ceiling` will have been sent within so many seconds; a past time: now.

        Above the 4,096 times that are kept: when those fit into their share of the seconds.
        """
        kept = min(ceiling, _MOST_TIMES)
        if self.sent < kept:
            return 0.0
        nth_last: float = self._times[(self._first + self.sent - kept) % _MOST_TIMES]
        return nth_last + seconds * kept / ceiling

    def sent_since(self, moment: float) -> int:
        """How many were sent from then on, as far as they are kept."""
        places = range(self._first, self._first + self.sent)
        return sum(self._times[place % _MOST_TIMES] >= moment for place in places)


class SharedGauges:
    """The gauges of one API; `with` them, no other process looks at them.

    `path` None: they are this object's own. Raises SettingsError where the file cannot be kept.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float]) -> None:
        self.owner = int.from_bytes(os.urandom(7), "big")
        self._file: int | None = None
        if path is None:
            self._gauges = Gauges()
        else:
            self._file = _opened(path)
            weakref.finalize(self, os.close, self._file)
            self._gauges = Gauges.from_buffer(mmap.mmap(self._file, sizeof(Gauges)))
        with self as gauges:
            gauges.join(clock())

    def __enter__(self) -> Gauges:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        return self._gauges

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # A longer file stays as it is, a shorter one is filled with zeros.
        if os.fstat(file).st_size < sizeof(Gauges):
            os.truncate(file, sizeof(Gauges))
    except OSError as error:
        raise SettingsError(f"TESTRUNS_HOME: cannot write {path}: {error.strerror}") from None
    return file
