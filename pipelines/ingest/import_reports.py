"""Report files into the warehouse, each run once, whatever the files that hold it.

A file is read to its end before anything of it is written; a run is written in one transaction
with all that is known of it. Killed at any moment, the same import goes on where it was.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from pipelines.errors import WarehouseError
from pipelines.ingest.report_files import GIVEN_UP_AFTER, Surroundings, Watch, offered_files
from pipelines.ingest.report_folder import look_into, seconds_at_rest
from pipelines.ingest.report_importer import Importer, ImportReport, Options
from pipelines.settings import Settings
from pipelines.sources.content import redaction_salt
from pipelines.sources.redaction import Redactor
from pipelines.sources.reports.spool import Spool
from pipelines.warehouse.engine import connect, reason
from pipelines.warehouse.report_ledger import ImportedFile, ReportLedger

# Raised when what is made of a report changes, so that reports offered again are written anew.
_ROWS_VERSION = b"1"
_WATCH_EVERY = 1.0


@contextmanager
def _importer(
    settings: Settings,
    url: str,
    options: Options,
    variables: Mapping[str, str],
    settled: Callable[[ImportedFile], None],
    *,
    is_dry_run: bool,
) -> Iterator[Importer]:
    options.code()
    try:
        with (
            connect(url) as connection,
            Spool() as spool,
            connection.transaction(force_rollback=True) if is_dry_run else nullcontext(),
        ):
            ledger = ReportLedger(
                connection,
                _ROWS_VERSION + redaction_salt(Redactor(settings.testruns_redact_params)),
            )
            ledger.begin()
            surroundings = Surroundings(variables, datetime.now(UTC))
            importer = Importer(ledger, spool, settings, options, surroundings, settled)
            yield importer
            failures = len(importer.report.failures)
            ledger.end(f"{failures} file(s) set aside" if failures else None)
    except psycopg.Error as error:
        raise WarehouseError(f"the warehouse failed: {reason(error)}") from error


def import_paths(
    settings: Settings,
    url: str,
    paths: Sequence[Path],
    options: Options,
    variables: Mapping[str, str],
    *,
    settled: Callable[[ImportedFile], None] = lambda _: None,
    is_dry_run: bool = False,
) -> ImportReport:
    """Import files and folders; `settled` hears of each file as it is committed.

    `url` is the warehouse's, its schema in place; `variables` are the process's, where a CI job
    says what it runs. With `is_dry_run` nothing stays. Raises SettingsError for a bad option,
    WarehouseError when Postgres fails: what was settled before stays.
    """
    with _importer(settings, url, options, variables, settled, is_dry_run=is_dry_run) as importer:
        importer.take(offered_files(paths))
    return importer.report


def import_folder(
    settings: Settings,
    url: str,
    folder: Path,
    *,
    settled: Callable[[ImportedFile], None] = lambda _: None,
) -> ImportReport:
    """Import what is new in a folder; files that were imported as they are now are not read.

    A file that ends too early is left for later while it is younger than a minute. Raises
    SettingsError where the folder cannot be read, WarehouseError when Postgres fails.
    """
    new = look_into(folder, url, settings).new
    if not new:
        return ImportReport()
    fresh = {file.offered for file in new if seconds_at_rest(file) < GIVEN_UP_AFTER}
    files = [file.offered for file in new]
    with _importer(settings, url, Options(), {}, settled, is_dry_run=False) as importer:
        importer.take((file for file in files if file in fresh), wait_for_rest=True)
        importer.take(file for file in files if file not in fresh)
    return importer.report


def watch_paths(
    settings: Settings,
    url: str,
    paths: Sequence[Path],
    options: Options,
    variables: Mapping[str, str],
    *,
    settled: Callable[[ImportedFile], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """As `import_paths`, for ever: each file once its size has stood still for two seconds.

    A file that ends too early is waited for, a minute at most. Files that have come to rest at
    once are an import of their own, so that models can follow it.
    """
    watch = Watch()
    while True:
        now = clock()
        files = watch.at_rest(offered_files(paths), now)
        if files:
            with _importer(settings, url, options, variables, settled, is_dry_run=False) as one:
                fresh = [file for file in files if watch.rested_for(file, now) < GIVEN_UP_AFTER]
                waiting = one.take(fresh, wait_for_rest=True)
                one.take(file for file in files if file not in fresh)
            for file in files:
                if file.path in waiting:
                    watch.wait(file)
                else:
                    watch.take(file)
        sleep(_WATCH_EVERY)
