"""What the checks on the raw tables say of a ledger that has something to tell."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from pipelines.errors import PermanentError, TransientError
from pipelines.http.retry import RetryPolicy
from pipelines.ingest.progress import ScopeReport
from pipelines.orchestration.checks import CHECKS, Evidence, raw_checks
from pipelines.orchestration.raw_assets import runs_key
from pipelines.orchestration.resources import resources
from pipelines.orchestration.step_retry import scopes_failure, step_failure
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from pipelines.warehouse.engine import engine
from tests.support.db import query
from tests.support.factories import BOOKS, COLLECTION, PROJECT, postman_run, testmo_run

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR

MakeSettings = Callable[[dict[str, str]], Settings]
Load = Callable[..., list[ScopeReport]]
Check = Callable[[], dict[str, dg.AssetCheckEvaluation]]


@pytest.fixture
def settings(make_settings: MakeSettings, load: Load) -> Settings:
    """Over a warehouse into which Testmo's runs have been loaded, by the command line."""
    data = SandboxData([postman_run(1)], [testmo_run(number) for number in (1, 2)], BOOKS)
    with Sandbox(data) as sandbox:
        variables = {**sandbox.settings, "POSTMAN_API_KEY": ""}
        assert [report.error for report in load(variables)] == [None]
        return make_settings(variables)


@pytest.fixture
def check(settings: Settings) -> Check:
    """Evaluates every check of Testmo's runs."""
    checks = raw_checks("testmo", runs_key("testmo"))
    runs = dg.AssetSpec(runs_key("testmo"))

    def run() -> dict[str, dg.AssetCheckEvaluation]:
        definitions = dg.Definitions(
            assets=[runs],
            asset_checks=[checks],
            resources=resources(settings),
            jobs=[dg.define_asset_job("check", dg.AssetSelection.all_asset_checks())],
            executor=dg.in_process_executor,
        )
        done = definitions.resolve_job_def("check").execute_in_process(raise_on_error=False)
        found = {one.check_name: one for one in done.get_asset_check_evaluations()}
        errors = [one for one in found.values() if not one.passed and one.severity is ERROR]
        assert done.success == (not errors)
        return found

    return run


def execute(settings: Settings, statement: str) -> None:
    assert settings.testruns_warehouse_url is not None
    query(settings.testruns_warehouse_url.get_secret_value(), f"{statement} returning 1")


def unseen(found: dict[str, dg.AssetCheckEvaluation]) -> dict[str, tuple[Any, str]]:
    return {
        name: (one.severity, one.description or "")
        for name, one in found.items()
        if not one.passed and name != "watermarks_move"
    }


def test_all_checks_are_evaluated_and_a_quiet_ledger_passes(check: Check) -> None:
    found = check()
    assert found.keys() == CHECKS.keys()
    assert unseen(found) == {}


def test_a_scope_that_nobody_loads_any_more_is_an_error(settings: Settings, check: Check) -> None:
    execute(settings, "update ingest.loads set finished_at = now() - interval '37 hours'")
    severity, problem = unseen(check())["is_fresh"]
    assert severity is ERROR
    assert problem.startswith(f"testmo {PROJECT}: last loaded ")
    assert problem.endswith(" 37 h ago")


def test_a_new_field_is_reported_once_and_none_of_a_first_load(
    settings: Settings, check: Check
) -> None:
    a_load = (
        "insert into ingest.loads (source, scope, kind, outcome, finished_at)"
        f" values ('testmo', '{PROJECT}', 'incremental', 'succeeded', now())"
    )
    a_field = (
        "insert into ingest.unknown_fields (source, table_name, field, first_load_id)"
        " select 'testmo', 'raw_testmo.automation_runs', '{}', max(load_id) from ingest.loads"
    )
    execute(settings, a_field.format("hue"))
    assert unseen(check()) == {}
    execute(settings, a_load)
    execute(settings, a_field.format("shade"))
    assert unseen(check()) == {
        "no_field_is_new": (
            WARN,
            "kept in extra, and reported this once: raw_testmo.automation_runs: shade",
        )
    }
    execute(settings, a_load)
    assert unseen(check()) == {}


def test_a_rejected_record_warns_until_it_is_settled(settings: Settings, check: Check) -> None:
    execute(
        settings,
        "insert into ingest.rejected_records (source, scope, endpoint, payload, payload_digest,"
        f" error, load_id, last_load_id) values ('testmo', '{PROJECT}', 'GET x', '{{}}', '',"
        " 'id: missing', 1, 1)",
    )
    found = check()
    severity, problem = unseen(found)["no_record_is_rejected"]
    assert severity is WARN
    assert found["no_record_is_rejected"].metadata["found"].value == 1
    assert problem.splitlines() == [
        f"1 of {PROJECT}: id: missing",
        "after an upgrade: testruns retry-rejected",
    ]
    execute(settings, "update ingest.rejected_records set retry_outcome = 'loaded'")
    assert unseen(check()) == {}


@pytest.mark.parametrize(
    ("reason", "runs", "severity"),
    [("repeated", 9, None), ("open", 9, None), ("missing", 1, WARN), ("surplus", 9, ERROR)],
)
def test_rows_that_differ_from_what_a_run_announces_warn_and_many_are_an_error(
    settings: Settings,
    check: Check,
    reason: str,
    runs: int,
    severity: dg.AssetCheckSeverity | None,
) -> None:
    execute(
        settings,
        "insert into ingest.reconciliations (source, scope, run_id, total, announced, loaded,"
        f" repeated, reason, load_id) select 'testmo', '{PROJECT}', n::text, 'thread_count', 2, 1,"
        f" 0, '{reason}', (select max(load_id) from ingest.loads) from generate_series(1, {runs})"
        " as n",
    )
    warning = unseen(check()).get("announced_rows_are_loaded")
    assert (warning and warning[0]) == severity
    if warning:
        assert warning[1].startswith(f"{runs} run(s) announce {2 * runs} thread_count, {runs} are")
        execute(settings, f"update ingest.reconciliations set announced = {2**63 - 1}")
        assert "announced_rows_are_loaded" in unseen(check())


def test_an_open_run_past_its_age_warns_for_a_week(settings: Settings, check: Check) -> None:
    opened = "update ingest.run_states set is_open = run_id = (select min(run_id) from"
    opened += " ingest.run_states), opened_at = now() - interval '{} days'"
    execute(settings, opened.format(8))
    severity, problem = unseen(check())["open_runs_end"]
    assert severity is WARN
    assert "open since" in problem
    execute(settings, opened.format(15))
    assert unseen(check()) == {}


def test_a_months_budget_that_will_not_last_warns(settings: Settings, check: Check) -> None:
    # All of it but one call was used this week, by whoever else uses the account.
    now = datetime.now(UTC)
    if now.day == 1 or (now + timedelta(days=1)).month != now.month:
        pytest.skip("the month has no day before or after today")
    quota = """('{{"month_limit": 1000, "month_remaining": {}}}')::jsonb"""
    for left, ago in ((1000, "20 hours"), (1, "1 minute")):
        execute(
            settings,
            "insert into ingest.loads (source, scope, kind, outcome, finished_at, quota)"
            f" values ('testmo', '{PROJECT}', 'incremental', 'succeeded',"
            f" greatest(now() - interval '{ago}', date_trunc('month', now()) + interval '1 s'),"
            f" {quota.format(left)})",
        )
    severity, problem = unseen(check())["quota_lasts_the_month"]
    assert severity is WARN
    assert problem.startswith(
        "1 of the month's 1,000 calls are left; at 999 a day they last 0 of the"
    )


def test_a_step_is_repeated_only_where_that_can_help() -> None:
    policy = RetryPolicy(attempts=3, first_wait_seconds=60, jitter=0)
    request = step_failure(TransientError("HTTP 503"), policy, 1)
    assert isinstance(request, dg.RetryRequested)
    assert (request.max_retries, request.seconds_to_wait) == (2, 120)
    assert isinstance(step_failure(PermanentError("HTTP 403"), policy, 0), dg.Failure)

    def of_scope(**report: Any) -> Any:
        return scopes_failure([ScopeReport("postman", COLLECTION, **report)], policy, 0)

    assert of_scope() is None
    assert isinstance(of_scope(error="HTTP 503", is_transient=True), dg.RetryRequested)
    failure = of_scope(error="HTTP 403")
    assert isinstance(failure, dg.Failure)
    assert failure.description == f"postman {COLLECTION}: HTTP 403"
    spent = of_scope(error="HTTP 429", is_transient=True, is_quota_spent=True)
    assert isinstance(spent, dg.Failure)


def test_a_scope_that_failed_is_an_error_until_any_command_has_loaded_it(
    settings: Settings, check: Check
) -> None:
    load = (
        "insert into ingest.loads (source, scope, kind, outcome, error, finished_at)"
        f" values ('testmo', '{PROJECT}', 'incremental', '{{}}', {{}}, now())"
    )
    execute(settings, load.format("failed", "'HTTP 503'"))
    assert unseen(check()) == {"every_scope_is_loaded": (ERROR, f"testmo {PROJECT}: HTTP 503")}
    execute(settings, load.format("interrupted", "null"))
    assert unseen(check()) == {"every_scope_is_loaded": (ERROR, f"testmo {PROJECT}: interrupted")}
    execute(settings, load.format("succeeded", "null"))
    assert unseen(check()) == {}


def test_scopes_after_one_that_stopped_the_source_were_not_tried(settings: Settings) -> None:
    scopes = [str(PROJECT), "2", "3"]
    testmo = settings.sources["testmo"].model_copy(update={"scopes": tuple(scopes)})
    three = settings.model_copy(update={"sources": {**settings.sources, "testmo": testmo}})
    for scope, outcome in ((scopes[2], "succeeded"), (scopes[1], "failed")):
        execute(
            settings,
            "insert into ingest.loads (source, scope, kind, outcome, error, finished_at)"
            f" values ('testmo', '{scope}', 'incremental', '{outcome}',"
            f" nullif('{outcome}', 'succeeded'), now())",
        )
    assert three.testruns_warehouse_url is not None
    with engine(three.testruns_warehouse_url.get_secret_value()).connect() as connection:
        rows = Evidence(connection, "testmo", three).read("last_loads")
    assert [(row["scope"], row["error"]) for row in rows] == [
        (scopes[0], None),
        (scopes[1], "failed"),
        (scopes[2], "not tried: failed"),
    ]
