"""Rows as the loader writes them, and dbt on them."""

import datetime as dt
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from pipelines.transform.environment import database_name, dbt_environment
from pipelines.transform.manifest import load_manifest
from pipelines.transform.runner import invoke

Connection = psycopg.Connection[tuple[Any, ...]]
SKIPPED = Jsonb({"skipped": True})


def insert(warehouse: Connection, table: str, *rows: dict[str, Any]) -> None:
    for row in rows:
        warehouse.execute(
            sql.SQL("insert into {} ({}) values ({})").format(
                sql.Identifier(*table.split(".")),
                sql.SQL(", ").join(map(sql.Identifier, row)),
                sql.SQL(", ").join(sql.Placeholder() * len(row)),
            ),
            list(row.values()),
        )


def load_postman(
    warehouse: Connection,
    run_id: str,
    items: list[str],
    *,
    times: list[int | None] | None = None,
    **run: Any,
) -> None:
    """A run as the loader writes it; an item of "pf" sent a request with two assertions.

    p passed, f failed, s skipped, u untold; "!" heads an item that got no answer, "=" one that says
    again what the item before it said. `times` are the response times of the items, ms.
    """
    warehouse.execute("delete from raw_postman.collection_runs where run_id = %s", [run_id])
    for table in ("executions", "assertions"):
        statement = sql.SQL("delete from raw_postman.{} where run_id = %s")
        warehouse.execute(statement.format(sql.Identifier(table)), [run_id])
    defaults: dict[str, Any] = {"collection_id": "c1", "status": "finished", "source": "newman"}
    if any(item.startswith("=") for item in items):
        # only a run that holds more than it announces has repeats
        without_repeats = [item.strip("!") for item in items if not item.startswith("=")]
        defaults["assertions_total"] = sum(map(len, without_repeats))
    row = {"run_id": run_id, "load_id": 1, **defaults, **run}
    insert(warehouse, "raw_postman.collection_runs", row)
    for index, item in enumerate(items):
        key = {"run_id": run_id, "execution_index": index}
        item_index = index - 1 if item.startswith("=") else index
        execution: dict[str, Any] = key | {
            "execution_id": f"id {item_index}",
            "item_name": f"item {item_index}",
            "extra": Jsonb({"iteration": 0}),
        }
        if not item.startswith("!"):
            execution |= {
                "response_status_code": 200,
                "response_time_ms": times[index] if times else None,
            }
        insert(warehouse, "raw_postman.executions", execution)
        for position, letter in enumerate(item.strip("!=")):
            filled: dict[str, dict[str, Any]] = {
                "p": {"passed": True},
                "f": {"passed": False, "error": "expected 200"},
                "s": {"passed": True, "extra": SKIPPED},
                "u": {},
            }
            insert(
                warehouse,
                "raw_postman.assertions",
                key | {"assertion_index": position, "name": letter} | filled[letter],
            )


def rows(warehouse: Connection, query: str) -> list[tuple[Any, ...]]:
    return warehouse.execute(query.encode()).fetchall()


def marts(warehouse: Connection) -> dict[str, list[str]]:
    """Every row of every mart as text, in an order of its own."""
    names = rows(
        warehouse,
        "select table_name from information_schema.tables where table_schema = 'marts' order by 1",
    )
    return {
        mart: sorted(row for (row,) in rows(warehouse, f"select m::text from marts.{mart} as m"))
        for (mart,) in names
    }


def dbt(url: str, target: Path, *arguments: str, timezone: str = "UTC", **overrides: Any) -> Any:
    """dbt's own answer, for what `transform` does not offer: its other commands, its events."""
    # Vars may change what dbt reads in the project, so that it parses for them.
    is_parsed = arguments[0] != "parse" and "--vars" not in arguments
    answer = invoke(
        *arguments,
        folder=target,
        variables=dbt_environment(url, timezone),
        manifest=load_manifest(target, database_name(url)) if is_parsed else None,
        **overrides,
    )
    failed = [
        f"{result.node.name}: {result.message}"
        for result in getattr(answer.result, "results", None) or []
        if str(result.status) in {"error", "fail"}
    ]
    assert answer.success, failed or answer.exception
    return answer.result


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)
