"""The nightly job end to end without an account: sandbox APIs, a warehouse of its own, a summary.

The demo has a home of its own inside TESTRUNS_HOME, so that invented runs never meet real ones,
and it starts from nothing each time.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipelines.settings import Settings, load_settings
from pipelines.warehouse.embedded.server import EmbeddedPostgres

# The sandbox counts requests as Postman does; the demo is not there to wait for a minute's end.
_REQUESTS_PER_MINUTE = 60_000


def demo_home(settings: Settings) -> Path:
    """Where the demo lives."""
    return settings.testruns_home / "demo"


@contextmanager
def demo_settings(settings: Settings, *, anew: bool) -> Iterator[dict[str, str]]:
    """Variables of a demo whose sandbox is served for as long as the context lasts.

    `anew` empties the demo's home first. Zone and schedule are the user's.
    """
    # `status` looks into this module too, and has no use for a server.
    from pipelines.sandbox.history import seeded_history  # noqa: PLC0415
    from pipelines.sandbox.server import Sandbox  # noqa: PLC0415

    home = demo_home(settings)
    if anew and home.exists():
        EmbeddedPostgres(home).stop()
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    history = seeded_history(datetime.now(UTC))
    with Sandbox(history, requests_per_minute=_REQUESTS_PER_MINUTE) as sandbox:
        yield {
            **sandbox.settings,
            "TESTRUNS_HOME": str(home),
            "TESTRUNS_TIMEZONE": settings.testruns_timezone,
            "TESTRUNS_NIGHTLY_CRON": settings.testruns_nightly_cron,
        }


def is_unconfigured(settings: Settings) -> bool:
    """Whether nothing is set up: no key, no warehouse of the user's, none of our own."""
    return (
        not settings.configured_sources
        and settings.testruns_warehouse_url is None
        and not EmbeddedPostgres(settings.testruns_home).exists()
    )


def shown_settings(settings: Settings) -> Settings:
    """The settings to look at: the demo's, as long as there is nothing else to look at."""
    home = demo_home(settings)
    if is_unconfigured(settings) and EmbeddedPostgres(home).exists():
        ours = {
            "TESTRUNS_HOME": str(home),
            "TESTRUNS_TIMEZONE": settings.testruns_timezone,
            "TESTRUNS_NIGHTLY_CRON": settings.testruns_nightly_cron,
        }
        return load_settings(ours, home)
    return settings
