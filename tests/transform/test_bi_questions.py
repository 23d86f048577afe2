"""The questions of docs/bi.md, asked of the demo's history by the role that BI tools use."""

import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from pipelines.ingest.load import load_source
from pipelines.sandbox.history import seeded_history
from pipelines.sandbox.server import Sandbox
from pipelines.settings import load_settings
from tests.support.dbt import dbt

Rows = list[dict[str, Any]]

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "bi.md").read_text(encoding="utf-8")
QUESTIONS = dict(
    re.findall(r"^### (\d+\. .*?)$.*?```sql\n(.*?)```", TEXT, re.DOTALL | re.MULTILINE)
)


@pytest.fixture(scope="module")
def ask(
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

        def ask(start: str) -> Rows:
            (statement,) = (sql for name, sql in QUESTIONS.items() if name.startswith(start))
            return connection.execute(statement.encode()).fetchall()

        yield ask


def test_there_are_ten_questions() -> None:
    assert len(QUESTIONS) == 10
    assert TEXT.count("```sql") == 10


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_has_an_answer(ask: Callable[[str], Rows], question: str) -> None:
    assert ask(question)


def test_what_was_planted_is_found_first_and_steady_ones_are_not_accused(
    ask: Callable[[str], Rows],
) -> None:
    slower = ask("3.")
    assert {row["item_name"] for row in slower} == {"List transactions"}
    assert slower[0]["slowdown_ratio"] > 1.5
    assert min(row["recent_requests"] for row in slower) >= 5

    assert [(row["requests_total"], row["requests_usual"]) for row in ask("2.")][:1] == [(6, 15)]

    assert "Results are sorted by price" in {row["test"] for row in ask("7.")}


def test_answers_are_of_what_their_titles_name(ask: Callable[[str], Rows]) -> None:
    newest = [
        (row["system"], row["scope"], row["environment"], row["run_source"]) for row in ask("1.")
    ]
    assert len(newest) == len(set(newest))
    labels = [(row["business_date"], row["label"]) for row in ask("4.")]
    assert len(labels) == len(set(labels))
    reasons = [row["reasons"] for row in ask("10.")]
    assert len(reasons) == len(set(reasons))
