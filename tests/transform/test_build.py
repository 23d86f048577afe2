"""How dbt learns where to work, and what a command learns of a build that went wrong."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from pipelines.errors import TransformError
from pipelines.resources import bundled
from pipelines.transform.build import transform
from pipelines.transform.environment import dbt_environment

HOST, PORT, USER = "TESTRUNS_DBT_HOST", "TESTRUNS_DBT_PORT", "TESTRUNS_DBT_USER"
PASSWORD, DBNAME = "DBT_ENV_SECRET_TESTRUNS_PASSWORD", "TESTRUNS_DBT_DBNAME"


@pytest.fixture(autouse=True)
def _no_libpq_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


def address(url: str) -> tuple[str, ...]:
    environment = dbt_environment(url, "UTC")
    return tuple(environment[name] for name in (HOST, PORT, USER, PASSWORD, DBNAME))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@db:6543/wh", ("db", "6543", "u", "p", "wh")),
        ("postgres://u@db/wh", ("db", "5432", "u", "", "wh")),
        ("postgresql+psycopg://u:p@db/wh", ("db", "5432", "u", "p", "wh")),
        ("postgresql+psycopg2://u:p%40%2F%3A%25@db/w%20h", ("db", "5432", "u", "p@/:%", "w h")),
        (
            "postgresql://u:p@/wh?host=/var/run/pg&port=5433",
            ("/var/run/pg", "5433", "u", "p", "wh"),
        ),
        ("postgresql://u:p@%2Fvar%2Frun%2Fpg/wh", ("/var/run/pg", "5432", "u", "p", "wh")),
        ("postgresql://u@[::1]:5433/wh", ("::1", "5433", "u", "", "wh")),
        ("postgresql://u@db", ("db", "5432", "u", "", "u")),
        ("postgresql://u@a,b/wh", ("a,b", "5432", "u", "", "wh")),
    ],
)
def test_dbt_goes_where_every_other_connection_goes(url: str, expected: tuple[str, ...]) -> None:
    assert address(url) == expected


def test_what_the_url_leaves_out_comes_from_libpqs_own_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"HOST": "db", "PORT": "6543", "USER": "u", "PASSWORD": "p"}.items():
        monkeypatch.setenv(f"PG{name}", value)

    assert address("postgresql:///wh") == ("db", "6543", "u", "p", "wh")
    assert address("postgresql://v:q@other:1/wh") == ("other", "1", "v", "q", "wh")


def test_other_options_of_the_url_reach_dbt_through_libpqs_own_variables() -> None:
    url = (
        "postgresql://u@db/wh?sslmode=verify-full&sslrootcert=/ca.pem&options=-c%20work_mem%3D64MB"
    )

    environment = dbt_environment(f"{url}&keepalives=1", "Europe/Berlin")

    assert environment["TESTRUNS_DBT_SSLMODE"] == "verify-full"
    assert environment["PGSSLROOTCERT"] == "/ca.pem"
    assert environment["PGOPTIONS"] == "-c work_mem=64MB"
    assert environment["TESTRUNS_TIMEZONE"] == "Europe/Berlin"


@pytest.mark.parametrize(
    "url", ["postgresql://u:s3cret%zz@db/wh", "mysql://u:s3cret@db/wh", "postgresql://u:s3cret@[db"]
)
def test_a_url_that_libpq_cannot_read_is_named_and_not_quoted(url: str) -> None:
    with pytest.raises(TransformError, match="TESTRUNS_WAREHOUSE_URL") as caught:
        dbt_environment(url, "UTC")

    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_several_ports_are_refused_with_a_reason() -> None:
    with pytest.raises(TransformError, match="one port, not '1,2'"):
        dbt_environment("postgresql://u@a:1,b:2/wh", "UTC")


def test_a_warehouse_that_does_not_answer_is_one_line_and_leaves_nothing_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def surroundings() -> tuple[dict[str, str], set[Path]]:
        return dict(os.environ), set(bundled("dbt_project").rglob("*"))

    before = surroundings()

    with pytest.raises(TransformError) as caught:
        transform("postgresql://u:s3cret@127.0.0.1:1/wh", timezone="UTC", target_path=tmp_path)

    assert "\n" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert surroundings() == before
    assert capfd.readouterr() == ("", "")


def test_a_model_and_a_test_that_fail_are_named_in_the_report(
    dbt_warehouse_url: str, dbt_target: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(dbt_warehouse_url) as connection:
        connection.execute("alter table raw_postman.executions drop column item_name cascade")
        connection.execute("insert into raw_testmo.automation_run_tags values (1, 'orphan')")

    report = transform(dbt_warehouse_url, timezone="UTC", target_path=dbt_target)

    assert not report.succeeded
    assert [error.partition(": ")[0] for error in report.errors] == ["stg_postman__executions"]
    assert 'column "item_name" does not exist' in report.errors[0]
    assert len(report.failed_tests) == 1
    assert report.failed_tests[0].startswith("relationships_stg_testmo__automation_run_tags_run_id")
    assert "fct_test_runs" in report.skipped
    assert "\n" not in "".join([*report.errors, *report.failed_tests])
    assert capfd.readouterr() == ("", "")


def test_importing_the_module_does_not_import_dbt() -> None:
    code = "import sys, pipelines.transform.build; sys.exit('dbt' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True)
