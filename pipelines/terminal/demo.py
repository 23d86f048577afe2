"""The demo: sandbox APIs, a warehouse of its own, and when a command looks at it.

The demo has a home of its own inside TESTRUNS_HOME, so that invented runs never meet real ones,
and it starts from nothing each time.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import SettingsError, TestrunsError
from pipelines.home import private_folder
from pipelines.settings import Settings, load_settings
from pipelines.terminal import output
from pipelines.warehouse.embedded.server import EmbeddedPostgres

# The sandbox counts requests as Postman does; the demo is not there to wait for a minute's end.
_REQUESTS_PER_MINUTE = 60_000
_SANDBOX = Path(__file__).parents[1] / "sandbox"


def demo_home(settings: Settings) -> Path:
    """Where the demo lives."""
    return settings.testruns_home / "demo"


@contextmanager
def demo_environment(settings: Settings, *, empty: bool) -> Iterator[dict[str, str]]:
    """Variables of a demo whose sandbox is served for as long as the context lasts.

    `empty` empties the demo's home first. Zone and schedule are the user's. Raises TestrunsError
    when another command is at work in it.
    """
    # `status` looks into this module too, and has no use for a server.
    from pipelines.sandbox.history import seeded_history  # noqa: PLC0415
    from pipelines.sandbox.server import Sandbox  # noqa: PLC0415

    home = demo_home(settings)
    with _only_one(settings):
        if empty and home.exists():
            EmbeddedPostgres(home).stop()
            shutil.rmtree(home)
        private_folder(home)
        history = seeded_history(datetime.now(UTC))
        with Sandbox(history, requests_per_minute=_REQUESTS_PER_MINUTE) as sandbox:
            yield {**sandbox.settings, **_own_variables(settings)}


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """A demo that begins would take the warehouse from under one that is at work."""
    with (private_folder(settings.testruns_home) / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = demo_home(settings)
            raise TestrunsError(
                f"{where} is in use by another testruns demo or dev; end it first"
            ) from None
        yield


def _own_variables(settings: Settings) -> dict[str, str]:
    return {
        "TESTRUNS_HOME": str(demo_home(settings)),
        "TESTRUNS_TIMEZONE": settings.testruns_timezone,
        "TESTRUNS_NIGHTLY_CRON": settings.testruns_nightly_cron,
        "TESTRUNS_OWNERSHIP_FILE": str(_SANDBOX / "ownership.csv"),
        "TESTRUNS_NAMES_FILE": str(_SANDBOX / "names.csv"),
    }


def is_unconfigured(settings: Settings) -> bool:
    """Whether nothing is set up: no key, no warehouse of the user's, none of our own."""
    return (
        not settings.configured_sources
        and settings.testruns_reports_dir is None
        and settings.testruns_warehouse_url is None
        and not EmbeddedPostgres(settings.testruns_home).exists()
    )


def settings_to_show(settings: Settings, *, may_be_new: bool = False) -> Settings:
    """The settings of the warehouse to look at: the demo's, where nothing else is set up.

    Raises SettingsError where there is no demo either, unless the warehouse `may_be_new`: to look
    must not make an empty one, which would hide the demo.
    """
    if not is_unconfigured(settings):
        return settings
    home = demo_home(settings)
    if not EmbeddedPostgres(home).exists():
        if may_be_new:
            return settings
        raise SettingsError(
            "nothing is set up yet: try `testruns demo`, or fill in .env for your own runs"
        )
    output.note("no API is configured: this is the demo's warehouse")
    return load_settings(_own_variables(settings), home)
