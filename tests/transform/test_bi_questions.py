"""The questions of docs/bi.md, put to the demo's history by the role that BI tools use."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from bi.bundle import documents
from pipelines.ingest.load import load_source
from pipelines.sandbox.history import seeded_history
from pipelines.sandbox.server import Sandbox
from pipelines.settings import load_settings
from tests.support.dbt import dbt

pytestmark = pytest.mark.builds

Rows = list[dict[str, Any]]

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "bi.md").read_text(encoding="utf-8")
BI = Path(__file__).resolve().parents[2] / "bi"
GRAFANA = json.loads((BI / "grafana" / "testruns.json").read_text(encoding="utf-8"))
PANELS = {panel["title"]: panel["targets"][0]["rawSql"] for panel in GRAFANA["panels"]}
DOCUMENTS = documents()
CHARTS = {name[7:-5]: d for name, d in DOCUMENTS.items() if name.startswith("charts/")}
DATASETS = {d["uuid"]: d for name, d in DOCUMENTS.items() if name.startswith("datasets/")}
QUESTIONS = dict(
    re.findall(r"^### (\d+\. .*?)$.*?```sql\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE)
)


@pytest.fixture(scope="module")
def answer(
    new_warehouse: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Rows]]:
    """Answers a question by the start of its heading, as `testruns_reader`."""
    url, folder = new_warehouse(), tmp_path_factory.mktemp("bi")
    with Sandbox(seeded_history(date(2026, 6, 30))) as sandbox:
        settings = load_settings(
            {
                **sandbox.settings,
                "TESTRUNS_WAREHOUSE_URL": url,
                "TESTRUNS_HOME": str(folder / "home"),
            },
            folder,
        )
        for source in settings.configured_sources:
            for report in load_source(settings, source, url, None):
                assert report.error is None, report
    dbt(url, folder, "run")
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("set role testruns_reader")

        def answer(start: str) -> Rows:
            """A statement as it is, or the question of docs/bi.md that starts so."""
            found = [sql for name, sql in QUESTIONS.items() if name.startswith(start)]
            (statement,) = found or [start]
            return connection.execute(statement.encode()).fetchall()

        yield answer


def test_there_are_ten_questions() -> None:
    assert len(QUESTIONS) == 10
    assert TEXT.count("```sql") == 10


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_has_an_answer(answer: Callable[[str], Rows], question: str) -> None:
    assert answer(question)


def test_what_was_planted_is_found_first_and_steady_ones_are_not_accused(
    answer: Callable[[str], Rows],
) -> None:
    slower = answer("3.")
    assert {row["item_name"] for row in slower} == {"List transactions"}
    assert slower[0]["slowdown_ratio"] > 1.5
    assert min(row["recent_requests"] for row in slower) >= 5

    assert [(row["requests_total"], row["requests_usual"]) for row in answer("2.")][:1] == [(6, 15)]

    assert "Results are sorted by price" in {row["test"] for row in answer("7.")}


def test_answers_are_of_what_their_titles_name(answer: Callable[[str], Rows]) -> None:
    newest = [
        (row["system"], row["scope"], row["environment"], row["run_source"]) for row in answer("1.")
    ]
    assert len(newest) == len(set(newest))
    labels = [(row["business_date"], row["label"]) for row in answer("4.")]
    assert len(labels) == len(set(labels))
    reasons = [row["reasons"] for row in answer("10.")]
    assert len(reasons) == len(set(reasons))


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_of_grafana_shows_something(answer: Callable[[str], Rows], title: str) -> None:
    sql = re.sub(r"\w+ in \(\$\{\w+:sqlstring\}\)", "true", PANELS[title])
    sql = re.sub(r"\$__timeFilter\((\w+)\)", r"\1 >= '2026-01-01'", sql)
    assert "$" not in sql
    assert answer(sql)


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_of_superset_shows_something(answer: Callable[[str], Rows], name: str) -> None:
    chart = CHARTS[name]
    dataset, params = DATASETS[chart["dataset_uuid"]], chart["params"]
    columns = {c["column_name"]: c["expression"] or c["column_name"] for c in dataset["columns"]}
    metrics = {m["metric_name"]: m["expression"] for m in dataset["metrics"]}
    groups = params.get("groupby") or []
    groups = [groups] if isinstance(groups, str) else groups
    measured = [*params.get("metrics", []), *params.get("metrics_b", [])]
    measured += [params["metric"]] if "metric" in params else []
    shown = [columns[name] for name in [*groups, *params.get("all_columns", [])]]
    shown += [metrics[name] for name in measured]
    where = [f["sqlExpression"] for f in params["adhoc_filters"] if f["expressionType"] == "SQL"]
    grouped = f" group by {', '.join(groups)}" if groups else ""
    table = f"bi.{dataset['table_name']}"
    rows = answer(
        f"select {', '.join(shown)} from {table} where {' and '.join(where) or 'true'}{grouped}"
    )
    assert rows


def test_views_for_people_say_what_the_marts_say(answer: Callable[[str], Rows]) -> None:
    sums = (
        "count(*) as days, sum(red_minutes::numeric) as red, sum(wasted_minutes::numeric) as cost"
    )
    passed = "count(*) as runs, sum(tests_passed) as passed"
    for view, mart in (
        (
            f"select {passed}, count(is_latest or null) as suites from bi.runs",
            f"select {passed}, count(distinct suite_key) as suites from marts.fct_test_runs",
        ),
        (f"select {sums} from bi.scope_days", f"select {sums} from marts.fct_daily_run_health"),
        (
            "select count(*) as failed, sum(is_in_outage::integer) as hit from bi.failures",
            (
                "select sum(results_failed) as failed, sum(results_in_outages) as hit"
                " from marts.fct_test_flakiness"
            ),
        ),
        (
            "select count(*) as red, count(is_open or null) as now from bi.red_periods",
            "select count(*) as red, count(is_open or null) as now from marts.fct_red_periods",
        ),
        ("select count(*) from bi.tests", "select count(*) from marts.dim_tests"),
        (
            "select count(*) as days, sum(answers) as answers from bi.latency_days",
            (
                "select count(*) as days, sum(requests_answered) as answers"
                " from marts.fct_request_latency_daily"
            ),
        ),
        ("select count(*) from bi.outages", "select count(*) from marts.fct_outages"),
        (
            "select sum(runs) from bi.coverage",
            "select sum(runs_total) from marts.fct_daily_run_health",
        ),
    ):
        assert [*answer(view)[0].values()] == [*answer(mart)[0].values()], view
