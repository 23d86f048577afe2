"""Runs of report files and of Testmo made up for tests, and what their tests came to."""

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from tests.support.dbt import Connection, insert
from tests.support.mart_oracle import Outcome, SuiteRun

# commit, digest of the collection, version of what was tested
Code = tuple[str | None, str | None, str | None]
NO_CODE: Code = (None, None, None)
_OUTCOMES = {"P": "passed", "F": "failed", "E": "errored", "S": "skipped"}
# Two of the instance's own beside two that it does not explain.
_STATUSES = {"P": (2, 5), "F": (3, 6), "E": (6, 6), "S": (1, 1)}


@dataclass
class FlatRun:
    """Tests are (class or folder, name, letters of its attempts); one of `kind` is a suite."""

    system: str
    run_id: str
    kind: str
    environment: str | None
    started_at: datetime | None
    tests: list[tuple[str, str, str]]
    code: Code = NO_CODE

    @property
    def run_key(self) -> str:
        return f"{self.system}:{self.run_id}"


def random_run(dice: random.Random, number: int, started_at: datetime) -> FlatRun:
    """An even number is a report, an odd one a run of Testmo; now and then a class is out."""
    is_report = number % 2 == 0
    out = dice.choices([None, "pay", ""], [17, 2, 1])[0]
    tests = []
    for test in range(12):
        place = "pay" if test < 6 else "shop"
        is_out = out is not None and place.startswith(out) and dice.random() < 0.9
        weights = [1, 8, 1, 0] if is_out else [(40, 1, 1, 2), (12, 4, 2, 1), (8, 6, 2, 8)][test % 3]
        for _ in range(dice.choices([0, 1, 2], [2, 12, 1])[0]):
            letters = dice.choices("PFES", weights)[0]
            if is_report and dice.random() < 0.2:
                letters = "".join(dice.choices("FE", k=dice.choice([1, 2]))) + letters
            tests.append(
                (place, f"order {dice.randrange(9999)} of test {'abcdefghijkl'[test]}", letters)
            )
    return FlatRun(
        system="reports" if is_report else "testmo",
        run_id=f"{number + 200}",
        kind=dice.choice(["nightly", f"pr {number}"]) if is_report else "5",
        environment=dice.choice([None, "e" if is_report else "3"]),
        started_at=None if dice.random() < 0.04 else started_at,
        tests=tests,
        code=dice.choice([NO_CODE, *((f"c{commit}", None, None) for commit in range(8))])
        if is_report
        else NO_CODE,
    )  # fmt: skip


def explain_statuses(warehouse: Connection) -> None:
    """What statuses mean on the instance; 2 and 3 are left to the documentation."""
    meanings = ((1, True, False, False), (5, True, True, False), (6, True, False, True))
    for status, is_final, is_passed, is_failed in meanings:
        insert(
            warehouse,
            "raw_testmo.statuses",
            {"id": status, "name": f"{status}", "load_id": 1, "is_final": is_final,
             "is_untested": False, "is_passed": is_passed, "is_failed": is_failed},
        )  # fmt: skip


def remove(warehouse: Connection, run: FlatRun) -> None:
    """The run and all that belongs to it."""
    tables = {
        "reports": ("raw_reports.attempts", "raw_reports.tests", "raw_reports.runs"),
        "testmo": ("raw_testmo.automation_run_tests", "raw_testmo.automation_runs"),
    }
    for table in tables[run.system]:
        statement = sql.SQL("delete from {} where run_id = %s")
        warehouse.execute(statement.format(sql.Identifier(*table.split("."))), [run.run_id])
    put_code(warehouse, run.system, run.run_id, NO_CODE)


def supersede(warehouse: Connection, run: FlatRun) -> None:
    """What the import says of a run of newman's JUnit report, once the JSON report is there."""
    mark = Jsonb({"supersededBy": "newman-1"})
    statement = "update raw_reports.runs set extra = %s where run_id = %s"
    warehouse.execute(statement, [mark, run.run_id])


def put_code(warehouse: Connection, system: str, run_id: str, code: Code) -> None:
    """Which code the run tested, for all that was known before."""
    warehouse.execute(
        "delete from ingest.code_identities where source = %s and run_id = %s", [system, run_id]
    )
    if any(code):
        identity = {"commit_sha": code[0], "code_digest": code[1]}
        insert(
            warehouse, "ingest.code_identities", {"source": system, "run_id": run_id, **identity}
        )


def put(warehouse: Connection, run: FlatRun, loaded_at: datetime, dice: random.Random) -> None:
    """The rows of a run as loads and imports write them, for all that was there of it."""
    remove(warehouse, run)
    put_code(warehouse, run.system, run.run_id, run.code)
    last = [letters[-1] for *_, letters in run.tests]
    row: dict[str, Any] = {"run_id": run.run_id, "loaded_at": loaded_at, "load_id": 1}
    if run.system == "testmo":
        counts = {"success_count": last.count("P"), "failure_count": sum(map(last.count, "FE"))}
        row |= counts | {"project_id": 7, "source_id": 5, "config_id": run.environment, "status": 2}
        insert(warehouse, "raw_testmo.automation_runs", row | {
            "created_at": run.started_at, "total_count": len(last), "completed_count": len(last),
        })  # fmt: skip
        for index, (folder, name, letters) in enumerate(run.tests):
            insert(warehouse, "raw_testmo.automation_run_tests", {
                "run_id": run.run_id, "automation_test_id": index, "folder": folder, "name": name,
                "status": dice.choice(_STATUSES[letters[-1]]),
            })  # fmt: skip
        return
    row |= {"source": "pytest", "format": "junit", "name": run.kind, "started_at": run.started_at}
    insert(warehouse, "raw_reports.runs", row | {"environment": run.environment})
    for index, (class_name, name, letters) in enumerate(run.tests):
        key = {"run_id": run.run_id, "test_index": index}
        insert(warehouse, "raw_reports.tests", key | {
            "suite_path": ["all", f"shard {index}"], "class_name": class_name, "name": name,
            "status": _OUTCOMES[letters[-1]], "extra": Jsonb({"line": index}),
        })  # fmt: skip
        for attempt, letter in enumerate(letters if len(letters) > 1 else "", 1):
            status = {"attempt": attempt, "status": _OUTCOMES[letter]}
            insert(warehouse, "raw_reports.attempts", key | status)


def outcomes(run: FlatRun) -> dict[tuple[str, str], Outcome]:
    """What each test, by class or folder and normalised name, came to in a run that has started."""
    results: dict[tuple[str, str], list[str]] = defaultdict(list)
    for place, name, letters in run.tests:
        results[f"{run.system} {place}", re.sub("[0-9]+", "#", name)].append(letters)
    assert run.started_at is not None
    return {
        test: Outcome(
            outcome="failed" if letters[-1] in "FE" else _OUTCOMES[letters[-1]],
            started_at=run.started_at,
            order=run.run_id,
            run_key=run.run_key,
            item=" ".join(test),
            component=test[0].split()[1],
            code=run.code if any(run.code) else None,
            attempts=(letters.count("P"), len(letters) - letters.count("P") - letters.count("S"))
            if len(letters) > 1
            else None,
        )
        for test, found in results.items()
        for letters in [_deciding(found)]
    }


def _deciding(results: Sequence[str]) -> str:
    """The worst of a test's results, a pass that was retried before one that was not."""
    return min(
        results,
        key=lambda letters: (
            letters[-1] not in "FE",
            not (letters[-1] == "P" and len(letters) > 1),
            letters[-1] != "P",
        ),
    )


def suite_run(run: FlatRun) -> SuiteRun:
    """The run with the numbers of its decided results."""
    last = [letters[-1] for *_, letters in run.tests]
    failed = sum(map(last.count, "FE"))
    return SuiteRun(run.run_key, failed, failed + last.count("P"))
