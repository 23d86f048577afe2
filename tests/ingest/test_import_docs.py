"""The shell lines of docs/ci.md, run as CI runs them."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.db import query
from tests.support.reports import as_bytes, execution, newman, passed

DOCS = Path(__file__).parents[2] / "docs" / "ci.md"
HEAD, MERGE = "a" * 40, "b" * 40

VARIABLES = {
    "GitHub Actions": {
        "GITHUB_ACTIONS": "true", "GITHUB_SHA": MERGE, "GITHUB_HEAD_REF": "fix",
        "GITHUB_RUN_ID": "11", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_JOB": "api-tests",
    },
    "GitLab CI": {
        "GITLAB_CI": "true", "CI_COMMIT_SHA": HEAD, "CI_COMMIT_REF_NAME": "fix",
        "CI_PIPELINE_ID": "11", "CI_JOB_ID": "1", "CI_JOB_NAME": "api-tests",
    },
    "Jenkins": {
        "JENKINS_URL": "https://j.example.test/", "GIT_COMMIT": HEAD, "GIT_BRANCH": "origin/fix",
        "BUILD_TAG": "11",
    },
}  # fmt: skip


def section(title: str) -> str:
    """The code block of a section."""
    text = DOCS.read_text("utf-8").split(f"### {title}\n")[1].split("\n## ")[0].split("\n### ")[0]
    block = re.search(r"```\w+\n(.*?)```", text, re.DOTALL)
    assert block
    return block[1]


def shell_lines(title: str) -> list[str]:
    block = section(title)
    if title.startswith("Jenkins"):
        return [line for _, line in re.findall(r"sh ('''|')(.*?)\1", block)]
    if title.startswith("GitLab CI"):
        job = yaml.safe_load(block)["api-tests"]
        return [*job["script"], *job["after_script"]]
    steps = yaml.safe_load(block)["jobs"]["api-tests"]["steps"]
    return [step["run"] for step in steps if "run" in step]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with a `newman` that writes its report, and the project's own `testruns`."""
    programs = tmp_path / "programs"
    programs.mkdir()
    report = tmp_path / "report.json"
    report.write_bytes(as_bytes(newman([execution(0, assertions=[passed("ok")])])))
    stand_in = programs / "newman"
    # Its last argument is the path of the export; a failed test is exit status 1.
    stand_in.write_text(f'#!/bin/sh\nshift $(($# - 1))\ncp -p "{report}" "$1" && touch "$1"\n')
    stand_in.chmod(0o755)
    ours = Path(sys.executable).parent / "testruns"
    assert ours.is_file()
    return tmp_path


def run(line: str, workspace: Path, variables: dict[str, str]) -> None:
    shell = shutil.which("bash")
    assert shell
    own = Path(sys.executable).parent
    subprocess.run(
        [shell, "-euo", "pipefail", "-c", line],
        cwd=workspace,
        env={
            "PATH": f"{workspace / 'programs'}:{own}:{os.environ['PATH']}",
            "TESTRUNS_HOME": str(workspace / "home"),
            **variables,
        },
        check=True,
        timeout=120,
    )


@pytest.mark.parametrize("title", VARIABLES)
def test_a_job_keeps_its_run(title: str, workspace: Path, warehouse_url: str) -> None:
    event = workspace / "event.json"
    event.write_text(json.dumps({"pull_request": {"head": {"sha": HEAD}}}))
    variables = {
        **VARIABLES[title], "GITHUB_EVENT_PATH": str(event),
        "TESTRUNS_WAREHOUSE_URL": warehouse_url,
    }  # fmt: skip

    for line in shell_lines(title):
        run(line, workspace, variables)

    assert query(
        warehouse_url,
        "select commit_sha, branch, pipeline_id from ingest.code_identities"
        " join raw_postman.collection_runs using (run_id)",
    ) == [(HEAD, "fix", "11")]


@pytest.mark.parametrize("title", VARIABLES)
def test_a_job_keeps_its_reports_and_says_what_it_tested(
    title: str, workspace: Path, warehouse_url: str
) -> None:
    for line in shell_lines(f"{title}, artifact"):
        run(line, workspace, {**VARIABLES[title], "HEAD_SHA": HEAD})
    shutil.make_archive(str(workspace / "reports"), "zip", workspace / "reports")
    shutil.rmtree(workspace / "reports")
    for line in section("Import them").splitlines():
        run(line, workspace, {"TESTRUNS_WAREHOUSE_URL": warehouse_url})

    ((commit, merge, branch, pipeline),) = query(
        warehouse_url,
        "select commit_sha, merge_sha, branch, pipeline_id from ingest.code_identities"
        " join raw_postman.collection_runs using (run_id)",
    )
    assert (commit, branch, pipeline) == (HEAD, "fix", "11")
    assert merge == (MERGE if title == "GitHub Actions" else None)
