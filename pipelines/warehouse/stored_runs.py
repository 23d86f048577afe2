"""What is held of single runs, as far as a load must know."""

from datetime import datetime
from typing import NamedTuple


class StoredRun(NamedTuple):
    """What is held of a listed run: its digest as listed; open, and to be fetched again by now.

    `whole_digest` is of the run as loaded with its test results, None: without them;
    `lacks_results`: it is loaded, and they are not; `is_deferred`: it was never fetched.
    """

    listed_digest: bytes | None
    is_open: bool
    is_due: bool
    whole_digest: bytes | None = None
    lacks_results: bool = False
    is_deferred: bool = False


class OpenRun(NamedTuple):
    """A run that is to be requested by ID; one that was never fetched has no rows yet."""

    run_id: str
    opened_at: datetime | None
    is_loaded: bool
    whole_digest: bytes | None = None
