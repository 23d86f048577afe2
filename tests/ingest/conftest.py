"""What the tests of `testruns import` share."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipelines.ingest.import_reports import import_paths
from pipelines.ingest.report_importer import ImportReport, Options
from pipelines.settings import Settings
from tests.support.report_files import Import


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "reports"
    made.mkdir()
    return made


@pytest.fixture
def offer(make_settings: Callable[[dict[str, str]], Settings], warehouse_url: str) -> Import:
    """Imports paths into the fresh warehouse."""
    settings = make_settings({})

    def run(
        *paths: Path,
        options: Options | None = None,
        variables: Mapping[str, str] | None = None,
        is_dry_run: bool = False,
    ) -> ImportReport:
        return import_paths(
            settings, warehouse_url, paths, options or Options(), variables or {},
            is_dry_run=is_dry_run,
        )  # fmt: skip

    return run
