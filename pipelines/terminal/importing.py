"""What `testruns import` does and prints."""

import os
from collections.abc import Sequence
from pathlib import Path

from pipelines.ingest.import_reports import import_paths, watch_paths
from pipelines.ingest.report_importer import Options
from pipelines.settings import Settings
from pipelines.terminal import output
from pipelines.terminal.import_lines import file_line, summary_line
from pipelines.warehouse.engine import open_warehouse
from pipelines.warehouse.report_ledger import ImportedFile


def import_files(
    settings: Settings, paths: Sequence[Path], options: Options, *, watch: bool, is_dry_run: bool
) -> int:
    """Import report files, and with `watch` those that come later; the exit status."""
    options.code()  # a commit that is none is refused before anything is read

    def settled(file: ImportedFile) -> None:
        if file.reason:
            output.note(file_line(file))
        elif watch:
            output.line(file_line(file))

    url = open_warehouse(settings)
    if watch:
        watch_paths(settings, url, paths, options, os.environ, settled=settled)
    report = import_paths(
        settings, url, paths, options, os.environ, settled=settled, is_dry_run=is_dry_run
    )
    output.line(summary_line(report.files, report.rows, is_dry_run=is_dry_run))
    return 1 if report.failures else 0
