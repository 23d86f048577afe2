"""The semantic layer, queried by MetricFlow in an environment of its own, against SQL."""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import psycopg
import pytest

from pipelines.ingest.load import load_source
from pipelines.resources import bundled
from pipelines.sandbox.history import seeded_history
from pipelines.sandbox.server import Sandbox
from pipelines.settings import load_settings
from pipelines.transform.environment import dbt_environment
from tests.support.dbt import dbt

pytestmark = pytest.mark.slow

PACKAGES = ("dbt-metricflow==0.15.0", "dbt-core<1.12", "dbt-postgres<1.12")
RUNS = "from marts.fct_test_runs"
DAYS = "from marts.fct_daily_run_health"
LATENCY = "percentile_cont({}) within group (order by latency_ms) from marts.fct_request_executions"
METRICS = {
    "runs": f"count(*) {RUNS}",
    "success_rate": "avg(is_success::integer::double precision)"
    f" {RUNS} where is_success is not null and not is_open",
    "pass_rate": f"sum(tests_passed)::double precision / sum(tests_passed + tests_failed) {RUNS}"
    " where least(tests_passed, tests_failed) >= 0",
    "flaky_failure_share": f"sum(failures_flaky)::double precision / sum(failures_total) {DAYS}",
    "wasted_minutes": f"sum(wasted_minutes) {DAYS}",
    "runs_failed_flaky_only": f"sum(runs_failed_flaky_only) {DAYS}",
    "red_minutes": f"sum(red_minutes) {DAYS}",
    "mean_minutes_to_recover": f"sum(recovery_minutes) / sum(recoveries) {DAYS}",
    "latency_p50": LATENCY.format(0.5),
    "latency_p95": LATENCY.format(0.95),
    "coverage": "avg(has_runs::integer::double precision) from bi.coverage",
}


@pytest.fixture(scope="module")
def url(new_warehouse: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    url, folder = new_warehouse(), tmp_path_factory.mktemp("metrics")
    with Sandbox(seeded_history(date(2026, 6, 30))) as sandbox:
        ours = {"TESTRUNS_WAREHOUSE_URL": url, "TESTRUNS_HOME": str(folder / "home")}
        settings = load_settings({**sandbox.settings, **ours}, folder)
        for source in settings.configured_sources:
            for report in load_source(settings, source, url, None):
                assert report.error is None, report
    dbt(url, folder, "run")
    return url


@pytest.fixture(scope="module")
def mf(url: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """MetricFlow's command on a copy of the project: it wants the project's own `target`."""
    project = tmp_path_factory.mktemp("mf") / "dbt_project"
    shutil.copytree(
        bundled("dbt_project"), project, ignore=shutil.ignore_patterns("target", "logs")
    )
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert uv
    venv = project.parent / "venv"
    python = str(venv / "bin" / "python")
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(venv)],
        [uv, "pip", "install", "--quiet", "--python", python, *PACKAGES],
    ):
        subprocess.run(command, check=True)
    variables = {**os.environ, **dbt_environment(url, "UTC"), "DBT_PROFILES_DIR": str(project)}

    def run(command: str, *arguments: str) -> str:
        done = subprocess.run(
            [venv / "bin" / command, *arguments], cwd=project, env=variables,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("dbt", "--quiet", "parse")
    return run


def test_the_configuration_is_valid(mf: Callable[..., str]) -> None:
    assert "ERRORS: 0, FUTURE_ERRORS: 0, WARNINGS: 0" in mf("mf", "validate-configs")


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_is_what_sql_computes(
    mf: Callable[..., str], url: str, tmp_path: Path, metric: str
) -> None:
    out = tmp_path / "metric.csv"
    mf("mf", "query", "--metrics", metric, "--csv", str(out))
    with out.open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    with psycopg.connect(url) as connection:
        expected = connection.execute(f"select {METRICS[metric]}".encode()).fetchone()
    assert expected
    assert float(row[metric]) == pytest.approx(float(expected[0]))


def test_metrics_are_grouped_by_owner(mf: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "metric.csv"
    mf("mf", "query", "--metrics", "runs", "--group-by", "scope__owner", "--csv", str(out))
    with out.open(encoding="utf-8") as file:
        assert [row["scope__owner"] for row in csv.DictReader(file)] == ["no owner"]
