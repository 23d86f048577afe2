"""The command line inside the test's own process: its exit status and what it says."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner

from pipelines.cli import cli


@dataclass(frozen=True)
class Done:
    """What a command said on stdout and on stderr; `status` is what its process would end with."""

    status: int
    out: str
    err: str


def command(folder: Path, variables: Mapping[str, str], *arguments: str) -> Done:
    """`testruns …` in a folder, with no variables but these; what it raises is raised here."""
    runner = CliRunner()
    before = Path.cwd()
    os.chdir(folder)
    try:
        with patch.dict(os.environ, variables):
            done = runner.invoke(cli, arguments, standalone_mode=False, catch_exceptions=False)
    finally:
        os.chdir(before)
    return Done(done.return_value or 0, done.stdout, done.stderr)
