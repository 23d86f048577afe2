"""The nightly job through Dagster, on the sandbox's history, into a real warehouse."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pipelines.definitions import build_definitions
from pipelines.errors import SettingsError
from pipelines.http.retry import RetryPolicy
from pipelines.ingest.progress import NullProgress
from pipelines.orchestration.nightly import NightlyReport, run_nightly
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.history import seeded_history
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings, load_settings
from pipelines.sources.spec import SourceName
from pipelines.transform.build_record import build_inputs, built_at
from tests.support.webhook import receiving

pytestmark = pytest.mark.builds

LIST_ENDPOINTS = {"GET collections/{id}/runs", "GET projects/{id}/automation/runs"}
LOADED_AT = """
select run_id, loaded_at from raw_postman.collection_runs
union all
select run_id::text, loaded_at from raw_testmo.automation_runs
order by run_id
"""
USERS = dg.AssetKey(["staging", "stg_testmo__users"])


@dataclass(frozen=True)
class Nights:
    """A home in which the nightly job has run once, and what it runs on."""

    variables: dict[str, str]
    home: Path
    first: NightlyReport

    def settings(self, **variables: str) -> Settings:
        return load_settings({**self.variables, **variables}, self.home)

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.home / "dagster"))

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        url = self.variables["TESTRUNS_WAREHOUSE_URL"]
        with psycopg.connect(url, autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    def models_stand_since(self) -> datetime | None:
        with psycopg.connect(self.variables["TESTRUNS_WAREHOUSE_URL"]) as connection:
            return built_at(connection, build_inputs(connection, zone_at_noon()))

    def count(self, table: str) -> int:
        ((rows,),) = self.execute(f"select count(*) from {table}")
        return int(rows)

    def page(self, table: str) -> dict[str, Any]:
        """What the first night shows on the page of an asset."""
        with self.instance() as instance:
            events = instance.all_logs(
                self.first.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
            )
        (metadata,) = (
            event.asset_materialization.metadata
            for event in events
            if event.asset_materialization
            and event.asset_materialization.asset_key.path == table.split(".")
        )
        return {
            name: records(value) if isinstance(value, dg.TableMetadataValue) else value.value
            for name, value in metadata.items()
        }


@cache
def zone_at_noon() -> str:
    """A zone whose business day lasts as long as these tests, whenever they begin."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


def records(value: dg.TableMetadataValue) -> list[dict[str, Any]]:
    return [dict(record.data) for record in value.records]


@pytest.fixture(scope="module")
def data() -> SandboxData:
    return seeded_history(date(2026, 3, 1), days=3)


@pytest.fixture(scope="module")
def nights(
    data: SandboxData,
    new_warehouse: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Nights]:
    home = tmp_path_factory.mktemp("nightly")
    with Sandbox(data, requests_per_minute=60_000) as sandbox:
        variables = {
            **sandbox.settings,
            "TESTRUNS_HOME": str(home),
            "TESTRUNS_WAREHOUSE_URL": new_warehouse(),
            "TESTRUNS_TIMEZONE": zone_at_noon(),
        }
        yield Nights(variables, home, run_nightly(load_settings(variables, home)))


def test_everything_is_loaded_built_and_tested(nights: Nights, data: SandboxData) -> None:
    first = nights.first
    assert first.succeeded, first.failures
    assert (first.failures, first.failed_checks) == ([], [])
    # Fields without a column are no news in a first load.
    assert [one for one in first.warned_checks if "no_field_is_new" in one] == []
    assert {report.source for report in first.scopes} == {"postman", "testmo"}
    assert nights.count("marts.fct_test_runs") == len(data.postman_runs) + len(data.testmo_runs)
    ((models,),) = nights.execute(
        "select count(*) from pg_class where relkind in ('r', 'v')"
        " and relnamespace::regnamespace::text in ('staging', 'marts', 'bi')"
    )
    assert first.models == models
    assert first.checks > 50


def test_the_run_stands_with_its_job_in_the_history_that_the_page_shows(nights: Nights) -> None:
    with nights.instance() as instance:
        run = instance.get_run_by_id(nights.first.run_id)
    assert run is not None
    assert run.is_success
    assert run.job_name == "nightly"
    assert run.tags[".dagster/repository"] == "__repository__@pipelines.definitions"


def test_the_page_of_a_raw_table_shows_what_the_load_did(nights: Nights, data: SandboxData) -> None:
    page = nights.page("raw_postman.collection_runs")
    assert page["rows_written"] == page["dagster/row_count"] == len(data.postman_runs)

    loaded = {report.scope: report for report in nights.first.scopes if report.source == "postman"}
    requests = {row["endpoint"]: row["requests"] for row in page["requests_by_endpoint"]}
    assert requests.keys() >= {"GET collections/{id}/runs"}
    assert sum(requests.values()) == page["requests"]
    assert page["requests"] == sum(sum(report.requests.values()) for report in loaded.values())
    assert page["bytes_received"] == sum(report.bytes_received for report in loaded.values())
    assert page["quota_month_remaining"] > 0

    assert {row["scope"] for row in page["scopes"]} == loaded.keys()
    for row in page["scopes"]:
        assert row["watermark_before"] is None
        assert row["watermark_after"] == f"{loaded[row['scope']].high_water_after:%F %T}"
        assert row["rows_written"] == sum(loaded[row["scope"]].rows.values())

    assert {row["status"] for row in page["preview"]} <= {"finished", "failed", "running"}
    columns = {column.name: column for column in page["dagster/column_schema"].columns}
    assert columns["duration_ms"].type == "bigint"
    assert columns["duration_ms"].description == "Total duration in milliseconds, as announced."


def test_the_page_of_a_child_table_counts_its_own_rows(nights: Nights) -> None:
    page = nights.page("raw_postman.assertions")
    assert page["rows_written"] == page["dagster/row_count"]
    assert page["dagster/row_count"] == nights.count("raw_postman.assertions") > 0


def test_the_page_of_a_model_shows_its_rows_and_columns(nights: Nights) -> None:
    page = nights.page("marts.fct_daily_run_health")
    assert page["dagster/row_count"] == nights.count("marts.fct_daily_run_health") > 0
    types = {column.name: column.type for column in page["dagster/column_schema"].columns}
    assert types["business_date"] == "date"


def test_no_file_that_dagster_or_dbt_leaves_holds_a_secret(nights: Nights) -> None:
    password = conninfo_to_dict(nights.variables["TESTRUNS_WAREHOUSE_URL"])["password"]
    secrets = [
        nights.variables["POSTMAN_API_KEY"],
        nights.variables["TESTMO_API_TOKEN"],
        str(password),
    ]
    files = [path for path in nights.home.rglob("*") if path.is_file()]
    assert {"index.db", "fct_test_runs.sql"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        assert [secret for secret in secrets if secret.encode() in content] == [], path


def test_a_second_night_requests_lists_and_open_runs_and_moves_no_loaded_at(nights: Nights) -> None:
    before = nights.execute(LOADED_AT)
    report_file = nights.home / "reports" / "report.html"
    written_at = report_file.stat().st_mtime_ns
    second = run_nightly(nights.settings())
    assert second.succeeded, second.failures
    assert nights.execute(LOADED_AT) == before
    assert [report.rows for report in second.scopes if report.rows] == []
    asked_by_id = sum(
        count
        for report in second.scopes
        for endpoint, count in report.requests.items()
        if endpoint not in LIST_ENDPOINTS
    )
    ((open_runs,),) = nights.execute("select count(*) from ingest.run_states where is_open")
    assert asked_by_id <= open_runs
    # The models stand, and so does the report; their tests say what they said of that build.
    assert report_file.stat().st_mtime_ns == written_at
    assert (second.models, second.checks) == (0, nights.first.checks)
    with nights.instance() as instance:
        events = instance.all_logs(second.run_id)
    assert [entry.user_message for entry in events if "did not yield" in entry.user_message] == []


def test_a_scope_that_fails_is_named_and_keeps_neither_the_rest_nor_the_models_from_the_run(
    nights: Nights,
) -> None:
    # Something new, without which the models would stand as they are.
    nights.execute(
        "update raw_postman.collection_runs set loaded_at = now()"
        " where run_id = (select max(run_id) from raw_postman.collection_runs)"
    )
    wrong = {"POSTMAN_API_KEY": "wrong", "TESTMO_PROJECT_IDS": "1,99"}
    with receiving() as webhook:
        report = run_nightly(nights.settings(**wrong, TESTRUNS_ALERT_WEBHOOK=webhook.url))
    # Nobody watches a command without a terminal.
    (alert,) = webhook.texts
    lines = alert.splitlines()
    assert "HTTP 404" in lines[lines.index("testmo 99") + 1]
    assert report.run_id in alert
    assert not report.succeeded
    # both systems are checked at once, in any order
    postman = [failure for failure in report.failures if failure.step == "check_postman"]
    (testmo,) = (failure for failure in report.failures if failure.step == "check_testmo")
    assert len(report.failures) == len(postman) + 1
    first, *others = nights.settings().scopes("postman")
    assert postman[0].message.startswith(f"postman {first}: ")
    assert "HTTP 401, the key is not accepted; see POSTMAN_API_KEY" in postman[0].message
    for failure, scope in zip(postman[1:], others, strict=True):
        assert failure.message.startswith(f"postman {scope}: not tried: ")
    assert testmo.message.startswith("testmo 99: ")
    assert "HTTP 404" in testmo.message
    assert (report.models, report.checks) == (nights.first.models, nights.first.checks)
    assert report.failed_checks == []
    with nights.instance() as instance:
        run = instance.get_run_by_id(report.run_id)
        steps = instance.get_run_step_stats(report.run_id)
        events = instance.all_logs(report.run_id)
    assert run is not None
    assert run.is_failure
    assert run.tags["dagster/retry_on_asset_or_op_failure"] == "false"
    assert {step.step_key: step.status and step.status.value for step in steps} == {
        "load_postman": "SUCCESS",
        "load_testmo": "SUCCESS",
        "check_postman": "FAILURE",
        "check_testmo": "FAILURE",
        "dbt_build": "SUCCESS",
        "report": "SUCCESS",
    }
    assert any(event.user_message.startswith("testmo 1: nothing new") for event in events)


@pytest.mark.slow
def test_a_server_that_is_away_is_tried_again_and_then_left_to_the_next_night(
    nights: Nights, new_warehouse: Callable[[], str]
) -> None:
    nowhere = nights.settings(
        POSTMAN_API_KEY="",
        TESTMO_API_URL="http://127.0.0.1:9/api/v1",
        # Another address would make the other nights build their models anew.
        TESTRUNS_WAREHOUSE_URL=new_warehouse(),
    )
    definitions = build_definitions(
        nowhere, is_quiet=True, retry=RetryPolicy(attempts=2, first_wait_seconds=0)
    )
    with nights.instance() as instance:
        result = definitions.resolve_job_def("nightly").execute_in_process(
            instance=instance, raise_on_error=False
        )
    types = [event.event_type for event in result.all_events if event.step_key == "load_testmo"]
    assert types.count(dg.DagsterEventType.STEP_UP_FOR_RETRY) == 1
    assert types[-1] is dg.DagsterEventType.STEP_SUCCESS
    assert [event.step_key for event in result.get_step_failure_events()] == ["check_testmo"]


class Interrupting(NullProgress):
    """Sends this process what Ctrl-C sends, as soon as a scope begins."""

    def scope_begins(self, source: SourceName, scope: str) -> None:  # noqa: ARG002
        os.kill(os.getpid(), signal.SIGINT)


def test_a_night_that_is_interrupted_ends_at_once_and_stands_as_failed(nights: Nights) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_nightly(nights.settings(POSTMAN_API_KEY="", TESTMO_PROJECT_IDS="3"), Interrupting())
    with nights.instance() as instance:
        (last,) = instance.get_runs(limit=1)
    assert last.is_failure


def test_without_any_key_it_does_not_begin(nights: Nights) -> None:
    with pytest.raises(SettingsError, match=r"^POSTMAN_API_KEY, TESTMO_API_TOKEN: none is set"):
        run_nightly(nights.settings(POSTMAN_API_KEY="", TESTMO_API_TOKEN=""))


def test_a_model_picked_on_the_page_is_built_alone_and_its_failure_is_reported(
    nights: Nights,
) -> None:
    job = build_definitions(nights.settings(), is_quiet=True).resolve_job_def("nightly")
    before = nights.models_stand_since()
    built = job.execute_in_process(asset_selection=[USERS])
    assert [event.asset_key for event in built.get_asset_materialization_events()] == [USERS]
    checks = built.get_asset_check_evaluations()
    assert {check.asset_key for check in checks} == {USERS}
    assert all(check.passed for check in checks)
    # The view is another one, and still nothing that would make a night build all models anew.
    assert nights.models_stand_since() == before is not None

    nights.execute("alter table raw_testmo.users rename column name to nom")
    try:
        failed = job.execute_in_process(asset_selection=[USERS], raise_on_error=False)
    finally:
        nights.execute("alter table raw_testmo.users rename column nom to name")
    (event,) = failed.get_step_failure_events()
    assert event.step_failure_data.user_failure_data is not None
    assert (
        event.step_failure_data.user_failure_data.description
        == 'stg_testmo__users: column "name" does not exist'
    )
