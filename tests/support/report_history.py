"""Twenty nights that the tests of the report build marts from, and the strips drawn of them."""

import datetime as dt
from collections import defaultdict
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from pipelines.settings import Settings, load_settings
from tests.support import mart_oracle
from tests.support.dbt import insert, load_postman

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
SCRIPT = "<script>alert(1)</script>"
TURNED = "safe \u202egnp.exe\u202c & \"quoted\" 'text'"
BUILD = "https://ci.example.com/builds/1"
LONG = "W" * 5000
ERROR = f"]]>--></pre></details></style>{SCRIPT} {{{{ 7 * 7 }}}} \x1b[31m {LONG}"


def invent(warehouse: psycopg.Connection[Any]) -> None:
    """Twenty nights that ended an hour ago: flaky, broken, slower, cut short, never ended."""
    for night in range(20):
        began = NOW - dt.timedelta(hours=1) - night * DAY
        about: dict[str, Any] = {
            "started_at": began,
            "finished_at": began + dt.timedelta(seconds=9),
        }
        flaky, broken = "f" if night % 2 else "p", "f" if night < 3 else "p"
        slow = 400 if night < 7 else 100
        named = Jsonb({"collectionName": f"{SCRIPT}Payments"})
        load_postman(
            warehouse,
            f"pay{night}",
            ["p", flaky, broken],
            times=[slow, 20, 20],
            extra=named,
            **about,
        )
        items = ["p", "p"] if night == 0 else ["p", "p", "p", "p"]
        load_postman(warehouse, f"cut{night}", items, collection_id="c2", **about)
        # an outage of two nights, and a test that fails on two other ones
        is_out = night in (8, 9)
        items = ["f" if is_out else "p"] * 8
        items[3] = "f" if is_out or night in (5, 14) else "p"
        load_postman(
            warehouse, f"ord{night}", items, collection_id="c4", environment_id="e1", **about
        )
    # what is slower is compared with 15 answers at least
    for night in (20, 21):
        began = NOW - dt.timedelta(hours=1) - night * DAY
        load_postman(warehouse, f"old{night}", ["p"], times=[100], started_at=began)
    long_ago: dict[str, Any] = {"status": "running", "started_at": NOW - 3 * DAY}
    load_postman(warehouse, "lost", [], collection_id="c3", **long_ago)
    warehouse.execute(
        "update raw_postman.executions set request_url = 'https://orders.example.com/',"
        " response_status_code = case when run_id in ('ord8', 'ord9') then 503 else 200 end"
        " where run_id like 'ord%'"
    )
    # pay's flaky test fails in one of two nights of a commit, ord's in nights of their own commits
    for night in range(20):
        commits = {"pay": f"{night // 2}", "ord": {5: "five", 14: "fourteen"}.get(night, "other")}
        if commits["ord"] == "other":
            commits["ord"] = f"{night // 3}"
        for name, commit in commits.items():
            run = {"source": "postman", "run_id": f"{name}{night}", "commit_sha": commit}
            insert(warehouse, "ingest.code_identities", run)
    for run_id, url in (("pay0", f'{BUILD}?<&"'), ("pay1", "javascript:alert(1)//example.com")):
        warehouse.execute(
            "update ingest.code_identities set build_url = %s where run_id = %s", (url, run_id)
        )
    # what distinguishes a test must not say how it ended
    warehouse.execute("update raw_postman.assertions set name = 'assertion'")
    for item, name in (("item 1", SCRIPT), ("item 2", TURNED), ("item 0", LONG)):
        warehouse.execute(
            "update raw_postman.assertions as a set name = %s from raw_postman.executions as e"
            " where (a.run_id, a.execution_index) = (e.run_id, e.execution_index)"
            " and e.item_name = %s and a.run_id like 'pay%%'",
            (name, item),
        )
    warehouse.execute(
        "update raw_postman.assertions set error = %s where error is not null", (ERROR,)
    )
    load = {"source": "postman", "kind": "incremental", "started_at": NOW - dt.timedelta(hours=2)}
    insert(
        warehouse,
        "ingest.loads",
        {**load, "scope": "c1", "outcome": "succeeded"},
        {**load, "scope": "c2", "outcome": "failed", "error": f"502 {SCRIPT}"},
    )
    insert(
        warehouse,
        "ingest.reconciliations",
        {
            "source": "postman",
            "scope": "c1",
            "run_id": "pay4",
            "total": "requests_total",
            "announced": 5,
            "loaded": 3,
            "repeated": 0,
            "reason": "missing",
            "load_id": 1,
        },
    )
    scope = {"system": "postman", "kind": "scope", "id": "c4", "name": "Orders"}
    environment = {**scope, "kind": "environment", "id": "e1", "name": f"staging{SCRIPT}"}
    insert(warehouse, "ingest.names", {**scope, "line": 2}, {**environment, "line": 3})
    owner = {"line": 2, "system": "postman", "scope_pattern": "Orders", "owner": f"Shop{SCRIPT}"}
    insert(warehouse, "ingest.ownership", owner)


def settings_for(url: str, folder: Path, **more: str) -> Settings:
    ours = {"TESTRUNS_WAREHOUSE_URL": url, "TESTRUNS_HOME": str(folder / "home"), **more}
    return load_settings(ours, folder)


def strips_of(warehouse: psycopg.Connection[Any], collection: str, item: str) -> str:
    """The letters of an item's test, computed anew from the runs that were loaded."""
    runs: dict[str, tuple[dt.datetime, dict[str, bool]]] = {}
    for run_id, began, name, passed in warehouse.execute(
        "select run_id, started_at, item_name, passed"
        " from raw_postman.collection_runs join raw_postman.executions using (run_id)"
        " join raw_postman.assertions using (run_id, execution_index) where collection_id = %s"
        " order by started_at",
        [collection],
    ):
        runs.setdefault(run_id, (began, {}))[1][name] = passed
    outcomes = {
        name: [
            mart_oracle.Outcome(
                "passed" if results[name] else "failed", began, run_id, run_id, name, "host"
            )
            for run_id, (began, results) in runs.items()
            if name in results
        ]
        for name in {name for _, results in runs.values() for name in results}
    }
    streaks = {name: mart_oracle.streaks(listed) for name, listed in outcomes.items()}
    suite = [
        mart_oracle.SuiteRun(run_id, list(results.values()).count(False), len(results))
        for run_id, (_, results) in runs.items()
    ]
    of_runs: dict[str, list[mart_oracle.Outcome]] = defaultdict(list)
    for outcome in (one for listed in outcomes.values() for one in listed):
        of_runs[outcome.run_key].append(outcome)
    begun = [streak for listed in streaks.values() for streak in listed]
    out = mart_oracle.outages(suite, of_runs, begun)
    letters = dict.fromkeys((outcome.run_key for outcome in outcomes[item]), "·")
    for streak in streaks[item]:
        is_short = streak.recovered is not None and len(streak.failed) == 1
        letter = "O" if any(streak in outage for outage in out) else "E" if is_short else "F"
        letters |= {outcome.run_key: letter for outcome in streak.failed}
    return "".join(letters.values())[-50:]
