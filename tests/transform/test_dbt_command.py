"""Any dbt command on the warehouse: `testruns dbt -- ARGUMENTS`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.resources import bundled
from tests.support.db import query

pytestmark = pytest.mark.builds

ROOT = Path(__file__).resolve().parents[2]


def dbt(url: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "dbt", "--", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TESTRUNS_HOME": str(home),
            "TESTRUNS_WAREHOUSE_URL": url,
            "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        },
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )


def test_dbt_works_on_the_warehouse_and_leaves_nothing_in_the_project(
    warehouse_url: str, tmp_path: Path
) -> None:
    before = set(bundled("dbt_project").rglob("*"))
    done = dbt(warehouse_url, tmp_path, "run", "--select", "stg_testmo__users")
    assert done.returncode == 0, done.stdout + done.stderr
    assert query(warehouse_url, "select count(*) from staging.stg_testmo__users") == [(0,)]
    assert set(bundled("dbt_project").rglob("*")) == before

    wrong = dbt(warehouse_url, tmp_path, "run", "--no-such-option")
    assert wrong.returncode == 2
    assert "no-such-option" in wrong.stdout + wrong.stderr
