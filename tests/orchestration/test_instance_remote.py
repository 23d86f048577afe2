"""Steps on other machines: a night on two workers of Celery, and the pod that a run would get."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._config import validate_config

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.warehouse.embedded.credentials import free_port
from tests.support.db import everything, query
from tests.support.factories import BOOKS, postman_run, testmo_run

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def missing_for_celery() -> str:
    lacks = [name for name in ("dagster_celery", "redis") if find_spec(name) is None]
    lacks += [] if shutil.which("redis-server") else ["redis-server"]
    return f"not installed: {', '.join(lacks)}" if lacks else ""


@contextmanager
def running(log: Path, *command: str, environment: dict[str, str], folder: Path) -> Iterator[None]:
    """A process of this test's own, ended with it; what it says is in `log`."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


STEPS_BY_WORKER = """
select
    step_key,
    event::jsonb #>> '{dagster_event,event_specific_data,metadata_entries}' as entries
from event_logs
where event like '%in celery worker%'
"""


@pytest.mark.slow
@pytest.mark.skipif(bool(missing_for_celery()), reason=missing_for_celery())
def test_two_workers_of_celery_share_a_night_that_neither_loses_nor_doubles_a_row(
    new_warehouse: Callable[[], str],
    empty_database_url: str,
    tmp_path: Path,
) -> None:
    """A broker, two workers, each with a home of its own, and a run that hands its steps out."""
    warehouse = new_warehouse()
    port = str(free_port())
    data = SandboxData(
        [postman_run(number) for number in range(1, 60)],
        [testmo_run(number) for number in range(1, 60)],
        BOOKS,
    )
    with Sandbox(data, requests_per_minute=60_000) as sandbox, ExitStack() as stack:
        home = tmp_path / "server"
        environment = {
            **sandbox.settings,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{DEPLOY / 'celery'}",
            "DAGSTER_HOME": str(home / "dagster"),
            "TESTRUNS_HOME": str(home),
            "TESTRUNS_WAREHOUSE_URL": warehouse,
            "TESTRUNS_DAGSTER_EXECUTOR": "celery",
            "TESTRUNS_DAGSTER_BROKER_URL": f"redis://127.0.0.1:{port}/0",
            "TESTRUNS_DAGSTER_STORAGE_URL": empty_database_url.replace("://", "+psycopg2://"),
        }

        def run(*command: str) -> None:
            done = subprocess.run(
                [sys.executable, "-m", *command],
                env=environment,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr

        run("pipelines.orchestration.instance")
        broker = ("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "")
        stack.enter_context(
            running(tmp_path / "redis.log", *broker, environment=environment, folder=tmp_path)
        )
        for name in ("one", "two"):
            theirs = {**environment, "TESTRUNS_HOME": str(tmp_path / name)}
            worker = ("-m", "celery", "-A", "dagster_celery.app", "worker", "--concurrency", "1")
            stack.enter_context(
                running(
                    tmp_path / f"{name}.log",
                    *(sys.executable, *worker, "--hostname", f"{name}@%h"),
                    environment=theirs,
                    folder=tmp_path,
                )
            )
        night = ("dagster", "job", "execute", "-m", "pipelines.definitions", "-j", "nightly")
        run(*night)
        first = everything(warehouse)
        run(*night)

    assert query(empty_database_url, "select status from runs") == [("SUCCESS",)] * 2
    steps_by_worker = query(empty_database_url, STEPS_BY_WORKER)
    steps = ["check_postman", "check_testmo", "dbt_build", "load_postman", "load_testmo"]
    assert sorted(step for step, _ in steps_by_worker) == sorted(steps * 2)
    by = {
        name: [step for step, who in steps_by_worker if f"{name}@" in who]
        for name in ("one", "two")
    }
    assert all(by.values()), by
    assert len(first["raw_postman.collection_runs"]) == len(data.postman_runs)
    assert len(first["raw_testmo.automation_runs"]) == len(data.testmo_runs)
    assert everything(warehouse) == first
    marts = "select count(*), count(distinct test_run_key) from marts.fct_test_runs"
    runs = len(data.postman_runs) + len(data.testmo_runs)
    assert query(warehouse, marts) == [(runs, runs)]


@pytest.mark.slow
def test_the_pod_of_a_run_gets_the_image_the_secret_and_the_variables_of_the_values() -> None:
    """As the chart hands the values on: dagster-k8s checks them, and makes the pod of them."""
    values = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text("utf-8"))
    context = pytest.importorskip("dagster_k8s.container_context").K8sContainerContext
    job = pytest.importorskip("dagster_k8s.job")
    launcher = pytest.importorskip("dagster_k8s.launcher").K8sRunLauncher
    launcher_config = values["runLauncher"]["config"]["k8sRunLauncher"]
    of_instance = {
        "dagster_home": "/opt/dagster/dagster_home",
        "instance_config_map": "dagster-instance",
        "service_account_name": "dagster",
        "job_namespace": "testruns",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
        "image_pull_policy": launcher_config["imagePullPolicy"],
        "run_k8s_config": {"job_spec_config": launcher_config["runK8sConfig"]["jobSpecConfig"]},
    }
    checked = validate_config(dg.Field(launcher.config_type()).config_type, of_instance)
    assert checked.success, checked.errors

    (ours,) = values["dagster-user-deployments"]["deployments"]
    of_location = context.create_from_config(
        {
            "k8s": {
                "image_pull_policy": ours["image"]["pullPolicy"],
                "env": ours["env"],
                "env_secrets": [one["name"] for one in ours["envSecrets"]],
                "resources": ours["resources"],
                "run_k8s_config": of_instance["run_k8s_config"],
            }
        }
    )
    image = f"{ours['image']['repository']}:{ours['image']['tag']}"
    made = job.construct_dagster_k8s_job(
        job_config=job.DagsterK8sJobConfig(
            job_image=image,
            dagster_home="/opt/dagster/dagster_home",
            instance_config_map="dagster-instance",
            postgres_password_secret=of_instance["postgres_password_secret"],
        ),
        args=["dagster", "api", "execute_run"],
        job_name="run",
        user_defined_k8s_config=of_location.run_k8s_config,
    ).to_dict()
    (pod,) = made["spec"]["template"]["spec"]["containers"]
    assert pod["image"] == image
    assert {
        "config_map_ref": None,
        "prefix": None,
        "secret_ref": {"name": "testruns", "optional": None},
    } in pod["env_from"]
    assert {one["name"] for one in ours["env"]} <= {one["name"] for one in pod["env"]}
    assert pod["resources"]["limits"] == {"memory": "2Gi"}
    assert made["spec"]["ttl_seconds_after_finished"] == 86400
