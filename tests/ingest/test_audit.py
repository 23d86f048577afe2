"""The audit: whatever a server's lie has cost is found, and fetched where that is requested."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipelines.definitions import build_definitions
from pipelines.ingest.audit import AuditReport, audit_source, due_scopes
from pipelines.ingest.progress import ScopeReport
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings, load_settings
from pipelines.warehouse.audit_ledger import Comparison
from tests.support.cli import command
from tests.support.factories import BOOKS, COLLECTION, NOW, postman_run, testmo_run
from tests.support.oracle import assert_warehouse_is
from tests.support.tampering import Tampered, replaced

Load = Callable[..., list[ScopeReport]]
MakeSettings = Callable[[dict[str, str]], Settings]
RUNS = 25


class Audits:
    """Audits of everything that a sandbox serves, over one warehouse."""

    def __init__(self, sandbox: Sandbox, settings: Settings, url: str) -> None:
        self.sandbox, self._settings, self.url = sandbox, settings, url

    def run(self, source: str = "postman", **options: Any) -> AuditReport:
        [report] = audit_source(
            self._settings,
            source,
            self._settings.scopes(source),
            self.url,
            **options,
        )
        return report

    def due(self) -> tuple[str, ...]:
        return due_scopes(self._settings, "postman", self.url)

    def rows(self) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(
                "select source, listed, loaded, missing, changed, gone, fixed, is_complete,"
                " error is null from ingest.audits order by audit_id"
            ).fetchall()

    def forget(self, run_id: str) -> None:
        """As if a lie of the server had cost this run."""
        with psycopg.connect(self.url) as connection:
            connection.execute("delete from ingest.run_states where run_id = %s", [run_id])
            for table in ("collection_runs", "executions", "assertions"):
                connection.execute(
                    f"delete from raw_postman.{table} where run_id = %s".encode(), [run_id]
                )


@pytest.fixture
def audits(load: Load, make_settings: MakeSettings, warehouse_url: str) -> Any:
    data = SandboxData(
        [postman_run(number) for number in range(RUNS)],
        [testmo_run(number) for number in range(1, RUNS + 1)],
        BOOKS,
    )
    with Sandbox(data) as sandbox:
        assert all(report.error is None for report in load(sandbox.settings))
        sandbox.requests.clear()
        yield Audits(sandbox, make_settings(sandbox.settings), warehouse_url)


@pytest.mark.parametrize("source", ["postman", "testmo"])
def test_a_whole_history_is_proven_by_its_lists_alone(audits: Audits, source: str) -> None:
    report = audits.run(source)
    assert report.found == Comparison(listed=RUNS, loaded=RUNS)
    assert report.is_complete
    assert [request.path.rsplit("/", 1)[1] for request in audits.sandbox.requests] == ["runs"]
    assert audits.rows() == [(source, RUNS, RUNS, 0, 0, 0, 0, True, True)]


def test_a_run_that_is_missing_is_named_and_fetched_only_where_that_is_requested(
    audits: Audits,
) -> None:
    audits.forget("run-7")
    found = audits.run()
    assert found.found == Comparison(listed=RUNS, loaded=RUNS - 1, missing=1)
    assert not found.is_complete
    fixed = audits.run(fix=True)
    assert (fixed.found, fixed.fixed) == (Comparison(listed=RUNS, loaded=RUNS), 1)
    assert fixed.is_complete
    assert_warehouse_is(audits.url, audits.sandbox)


def test_a_run_that_has_changed_long_after_the_lookback_is_fetched_again(audits: Audits) -> None:
    old = postman_run(24)
    audits.sandbox.put_postman_run({**old, "status": "failed"})
    assert audits.run().found == Comparison(listed=RUNS, loaded=RUNS, changed=1)
    assert audits.run(fix=True).found == Comparison(listed=RUNS, loaded=RUNS)
    assert_warehouse_is(audits.url, audits.sandbox)


def test_a_run_that_is_no_longer_listed_is_counted_and_stays(audits: Audits) -> None:
    audits.sandbox.remove_postman_run("run-3")
    report = audits.run(fix=True)
    assert report.found == Comparison(listed=RUNS - 1, loaded=RUNS - 1, gone=1)
    assert report.is_complete


def test_runs_before_the_given_time_are_left_out(audits: Audits) -> None:
    audits.forget("run-20")
    recent = audits.run(since=NOW - timedelta(hours=9, minutes=30))
    assert recent.found == Comparison(listed=10, loaded=10)


def test_a_list_that_cannot_be_read_to_its_end_proves_nothing(audits: Audits) -> None:
    audits.sandbox.faults.replace("small-pages", "empty-page")
    report = audits.run()
    assert report.found is None
    assert not report.is_complete
    assert report.load.error is not None
    [row] = audits.rows()
    assert row[-2:] == (False, False)


def test_what_one_lie_has_cost_is_mended_by_one_audit(
    load: Load, make_settings: MakeSettings, warehouse_url: str
) -> None:
    runs = [postman_run(number) for number in range(RUNS)]
    with Sandbox(SandboxData(runs, [], {})) as sandbox:
        # A page that says it is the last, and announces no total: nothing shows that it lies.
        sandbox.faults.replace("small-pages", "meta-empty:times=1")
        assert [report.error for report in load(sandbox.settings)] == [None]
        sandbox.faults.clear()
        audits = Audits(sandbox, make_settings(sandbox.settings), warehouse_url)
        assert audits.run().found == Comparison(listed=RUNS, loaded=10, missing=15)
        assert audits.run(fix=True).fixed == 15
        assert_warehouse_is(warehouse_url, sandbox)


def test_scopes_are_due_until_they_are_proven_and_again_after_four_weeks(audits: Audits) -> None:
    assert audits.due() == (COLLECTION,)
    audits.forget("run-7")
    audits.run()
    assert audits.due() == (COLLECTION,)
    audits.run(fix=True)
    assert audits.due() == ()
    with psycopg.connect(audits.url) as connection:
        connection.execute("update ingest.audits set audited_at = audited_at - interval '29 days'")
    assert audits.due() == (COLLECTION,)


def test_a_night_audits_as_many_scopes_as_the_month_allows_and_at_least_one(
    make_settings: MakeSettings, warehouse_url: str
) -> None:
    settings = make_settings(
        {"POSTMAN_API_KEY": "x", "POSTMAN_COLLECTION_IDS": "a,b,c,d,e,f,g,h,i,j"}
    )
    assert len(due_scopes(settings, "postman", warehouse_url)) == 10
    for limit, scopes in ((600, 1), (3000, 2), (10_000, 8)):
        with psycopg.connect(warehouse_url) as connection:
            connection.execute("delete from ingest.loads")
            connection.execute(
                "insert into ingest.loads (source, scope, kind, quota) values"
                " ('postman', 'a', 'incremental', jsonb_build_object('month_limit', %s::int))",
                [limit],
            )
        assert len(due_scopes(settings, "postman", warehouse_url)) == scopes


def test_the_command_names_what_is_missing_and_the_job_fetches_it(
    audits: Audits, tmp_path: Path
) -> None:
    audits.forget("run-7")
    variables = {
        **audits.sandbox.settings,
        "TESTRUNS_WAREHOUSE_URL": audits.url,
        "TESTRUNS_HOME": str(tmp_path / "home"),
    }
    done = command(tmp_path, variables, "audit", "--source", "postman")
    assert done.status == 1
    first, named = done.out.splitlines()
    assert first.startswith(f"postman {COLLECTION}: 24 of 25 listed runs are here, ")
    assert named == "  missing: run-7"
    assert done.err == (
        f"testruns: 1 of 1 scopes are not proven (postman {COLLECTION});"
        " --fix fetches what is missing\n"
    )
    settings = load_settings(variables, tmp_path)
    job = build_definitions(settings, is_quiet=True).resolve_job_def("audit")
    assert job.execute_in_process().success
    shown = command(tmp_path, variables, "status").out
    assert shown.count("every run that the API lists is here: 25 of 25") == 2
    assert audits.due() == ()


@pytest.mark.parametrize(
    "detail",
    [
        {"run": None},
        {"run": {}},
        {"run": {**postman_run(7), "executions": 7}},
        {"run": {**postman_run(7), "executions": []}},
    ],
    ids=["no object", "no ID", "no list of executions", "rows that it announces left out"],
)
def test_a_run_that_the_api_gave_wrongly_is_fetched_again(
    load: Load, make_settings: MakeSettings, warehouse_url: str, detail: dict[str, Any]
) -> None:
    runs = [postman_run(number) for number in range(RUNS)]
    with Tampered(SandboxData(runs, [], {})) as sandbox:
        sandbox.changes["/runs/run-7"] = replaced(json.dumps(detail).encode())
        assert [report.error for report in load(sandbox.settings)] == [None]
        audits = Audits(sandbox, make_settings(sandbox.settings), warehouse_url)
        # Once a run and audit, and no more.
        sandbox.requests.clear()
        audits.run(fix=True)
        assert len(sandbox.requests) == 2

        sandbox.changes.clear()
        audits.run(fix=True)
        assert_warehouse_is(warehouse_url, sandbox)
        sandbox.requests.clear()
        assert audits.run(fix=True).found == Comparison(listed=RUNS, loaded=RUNS)
        assert len(sandbox.requests) == 1
