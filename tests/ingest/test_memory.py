"""The memory that a load takes, whatever its answers hold: bounded by TESTRUNS_MAX_BODY_MB."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.db import query
from tests.support.factories import postman_run

MEASURED = """
import sys
from pathlib import Path
from pipelines.cli import main
sys.argv = ["testruns", "load"]
try:
    main()
finally:
    print(Path("/proc/self/status").read_text(), file=sys.stderr)
"""
SMALL = {"id": "e", "itemName": "a", "response": {"statusCode": 200}}


def load_measured(variables: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """The most MiB that `testruns load` held, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED],
        env={"PATH": os.environ["PATH"], "TESTRUNS_HOME": str(folder / "home"), **variables},
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
    [kib] = re.findall(r"VmHWM:\s+(\d+) kB", done.stderr)
    return int(kib) // 1024, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executions", "is_loaded"),
    [
        ([SMALL] * 50_000, True),
        ([SMALL] * 150_000, False),
        ([{**SMALL, "itemName": "x" * 300}] * 40_000, True),
        ([{}] * 1_000_000, False),
        ([{"id": "e", "of another version": [[]] * 20}] * 100_000, False),
        ([{"id": "e", "itemName": "x" * 19_000_000}], True),
        ([{"id": "e", "itemName": "x" * 40_000_000}], False),
        # A character beyond Latin-1 makes Python keep four bytes for each of the text.
        ([{"id": "e", "itemName": "x" * 13_000_000 + "😀"}], True),
        ([{"id": "e", "itemName": "x" * 30_000_000 + "😀"}], False),
        # Set aside as sent, which takes more copies on the way to Postgres.
        ("x" * 19_000_000, None),
        ('"' * 9_000_000, None),
        ("x" * 13_000_000 + "😀", None),
    ],
)
def test_sixteen_huge_details_at_once_take_no_more_than_one(
    warehouse_url: str, tmp_path: Path, executions: Any, *, is_loaded: bool | None
) -> None:
    huge = [postman_run(number, executions=executions) for number in range(16)]
    with Sandbox(SandboxData([*huge, postman_run(16)], [], {})) as sandbox:
        variables = {
            name: value for name, value in sandbox.settings.items() if name.startswith("POSTMAN")
        }
        most, printed = load_measured(
            {
                **variables,
                "TESTRUNS_WAREHOUSE_URL": warehouse_url,
                "TESTRUNS_MAX_BODY_MB": "32",
                "POSTMAN_REQUESTS_PER_MINUTE": "100000",
            },
            tmp_path,
        )

    assert most < 220
    [(runs,)] = query(warehouse_url, "select count(*) from raw_postman.collection_runs")
    if is_loaded is None:
        assert runs == 1
        assert "16 records rejected" in printed
    elif is_loaded:
        assert runs == 17
    else:
        assert "see TESTRUNS_MAX_BODY_MB" in printed
