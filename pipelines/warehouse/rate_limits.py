"""The limits of an API key in the warehouse: one pace for all processes of all machines."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec
import psycopg
from psycopg.rows import dict_row, scalar_row
from psycopg.types.json import Jsonb

from pipelines.errors import WarehouseError
from pipelines.http.leases import Share
from pipelines.http.rate_limits import RateLimits
from pipelines.warehouse.engine import connect, reason
from pipelines.warehouse.queries import queries

Result = TypeVar("Result")


class WarehouseStore:
    """The row of `ingest.rate_limits` for one API root and key; `url` is the warehouse's.

    It is read once, and again only where somebody else has written since: alone, a change is one
    statement. A session of its own, in a thread of its own, is opened with the first change.
    `clock` is this machine's, in seconds since the epoch.
    """

    def __init__(
        self, url: str, api_root: str, key: str, clock: Callable[[], float] = time.time
    ) -> None:
        digest = blake2b(f"{api_root} {key}".encode(), digest_size=8).hexdigest()
        self._url, self._clock = url, clock
        self._key = {"api_root": api_root, "key_digest": digest}
        self._sql = queries("rate_limits")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rate-limits")
        self._session: psycopg.Connection | None = None
        self._version, self._limits, self._is_known = 0, RateLimits(), False
        self.ahead_seconds = 0.0

    async def update(self, change: Callable[[RateLimits], Result]) -> Result:
        """Let `change` read and change the limits while nobody else does; what it returns.

        It may be called again on newer limits. Raises WarehouseError where Postgres fails.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._update, change)

    async def close(self) -> None:
        """End the session."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._end)
        self._thread.shutdown()

    def _update(self, change: Callable[[RateLimits], Result]) -> Result:
        had_session = self._session is not None
        try:
            return self._changed(self._session or self._connect(), change)
        except psycopg.Error as error:
            failure = error
        if had_session and self._session and self._session.closed:  # it was cut while idle
            try:
                return self._changed(self._connect(), change)
            except psycopg.Error as error:
                failure = error
        raise WarehouseError(f"the warehouse failed: {reason(failure)}") from failure

    def _connect(self) -> psycopg.Connection:
        self._session = connect(self._url, role="testruns limits")
        self._is_known = False
        return self._session

    def _changed(
        self, session: psycopg.Connection, change: Callable[[RateLimits], Result]
    ) -> Result:
        # Where others are at work, what was read or written last is old.
        if not self._is_known or len(self._limits.shares) > 1:
            self._read(session)
        while True:
            limits = deepcopy(self._limits)
            result = change(limits)
            if limits == self._limits or self._write(session, limits):
                return result
            self._read(session)

    def _read(self, session: psycopg.Connection) -> None:
        cursor = session.cursor(row_factory=dict_row)
        while True:
            asked_at = self._clock()
            row = cursor.execute(self._sql["read"], self._key).fetchone()
            if row is not None:
                break
            session.execute(self._sql["add"], self._key)
        self._set_clock(asked_at, row.pop("now"))
        self._version = row.pop("version")
        sent = {float(end): count for end, count in row.pop("sent").items()}
        shares = {process: Share(**share) for process, share in row.pop("shares").items()}
        self._limits, self._is_known = RateLimits(sent=sent, shares=shares, **row), True

    def _write(self, session: psycopg.Connection, limits: RateLimits) -> bool:
        """Whether nobody has written since the version that was read."""
        params: dict[str, Any] = {**vars(limits), **self._key, "version": self._version}
        params["sent"] = Jsonb(limits.sent, _json)
        params["shares"] = Jsonb(limits.shares, _json)
        cursor = session.cursor(row_factory=scalar_row)
        asked_at = self._clock()
        now: float | None = cursor.execute(self._sql["write"], params).fetchone()
        if now is None:
            return False
        self._set_clock(asked_at, now)
        self._version, self._limits = self._version + 1, limits
        return True

    def _set_clock(self, asked_at: float, now: float) -> None:
        """The answer was given between the question and now."""
        self.ahead_seconds = now - (asked_at + self._clock()) / 2

    def _end(self) -> None:
        if self._session is not None:
            self._session.close()


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)
