"""The seeded history: invented days of both sources, the same for the same arguments."""

from datetime import UTC, date, datetime, time

from pipelines.sandbox.catalog_testmo import BOOKS
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.history_days import Period
from pipelines.sandbox.history_postman import postman_history
from pipelines.sandbox.history_testmo import testmo_history
from pipelines.sandbox.history_tests import SeededTests


def seeded_history(today: date, seed: int = 7, days: int = 60) -> SandboxData:
    """Give the runs of the `days` before `today`, none of them later.

    A plain date ends the history at its first minute (UTC); an aware datetime ends it at that
    moment, so that `datetime.now(UTC)` gives runs up to an hour ago and two still open. A later
    history goes on where an earlier one ended, with the same IDs, but the stories go with the
    end. All of them are there from 30 days up: see `history_postman` and `history_testmo`.
    """
    end = today if isinstance(today, datetime) else datetime.combine(today, time(), UTC)
    period = Period(end.astimezone(UTC), days, seed)
    return SandboxData(postman_history(period), testmo_history(period), BOOKS, SeededTests(period))
