"""Whatever happens, in whatever order: in the end the warehouse is the source.

Runs begin, finish, change, are deleted and return; lists change their order; every fault that can
pass strikes; loads and backfills go on between. Once the faults are over, one load and one
backfill make all tables equal to the source.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.faults import CATALOGUE, FAMILIES
from pipelines.sandbox.server import Sandbox
from tests.support.cli import Done, command
from tests.support.db import empty, query
from tests.support.factories import BOOKS, COLLECTION, PROJECT, postman_run, testmo_run
from tests.support.fast_clock import FastClock, in_haste
from tests.support.oracle import assert_warehouse_is

Json = dict[str, Any]

# Faults that pass, and leave nothing behind that is false.
PASSING = sorted(
    fault.name
    for family in ("network", "limits", "listing", "happenings")
    for fault in FAMILIES[family]
)
TIME_OUTS = {"no-answer", "half-a-header", "stalled-body", "slow-drip"}
ORDERS = ("newest-first", "oldest-first", "no-order")

numbers = st.integers(0, 400)
states = st.sampled_from(["queued", "running", "finished"])


class Histories(RuleBasedStateMachine):
    """Both vendors and one warehouse; every run is known by the number of hours since it began."""

    url: ClassVar[str]
    home: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        empty(self.url)
        self.clock = FastClock()
        self.version = 0
        self.deleted: dict[int, tuple[Json, Json]] = {}
        self.ever_loaded: set[tuple[str]] = set()
        self.reordered = ""
        self.requested: list[str] = []
        self.sandbox = Sandbox(
            SandboxData([], [], BOOKS), clock=self.clock, testmo_list_is_bare=False
        )
        self.sandbox.__enter__()

    def teardown(self) -> None:
        """Faults end; a load and a backfill later the warehouse is the source."""
        try:
            if self.sandbox.settings:
                self.requested, self.reordered = [], ""
                self._set_faults()
                self._pass_hours()
                for arguments in (["load"], ["backfill", "--since", "2020-01-01"]):
                    done = self._testruns(*arguments)
                    assert done.status == 0, done.out + done.err
                assert_warehouse_is(self.url, self.sandbox)
        finally:
            self.sandbox.__exit__(None, None, None)

    @initialize(length=st.integers(1, 40), is_bare=st.booleans())
    def begin(self, length: int, *, is_bare: bool) -> None:
        """Some history, pages of ten or fifteen runs."""
        self.sandbox.__exit__(None, None, None)
        self.sandbox = Sandbox(
            SandboxData([], [], BOOKS), clock=self.clock, testmo_list_is_bare=is_bare
        )
        self.sandbox.__enter__()
        self._set_faults()
        for number in range(0, 9 * length, 9):
            self._put(number, "finished")

    # What happens at the source

    @rule(number=numbers, state=states)
    def a_run_begins_or_changes(self, number: int, state: str) -> None:
        self.deleted.pop(number, None)
        self._put(number, state)

    @rule(number=numbers)
    def a_detail_changes_of_which_the_list_tells_nothing(self, number: int) -> None:
        for run in self.sandbox.postman_runs:
            if run["id"] == f"run-{number}":
                self.version += 1
                self.sandbox.put_postman_run({**run, "duration": self.version})

    @rule(data=st.data())
    def a_run_is_finished(self, data: st.DataObject) -> None:
        is_open = [run for run in self.sandbox.testmo_runs if not run["is_completed"]]
        if is_open:
            run = data.draw(st.sampled_from(sorted(is_open, key=lambda run: run["id"])))
            self._put(1000 - run["id"], "finished")

    @rule(data=st.data())
    def a_run_is_deleted(self, data: st.DataObject) -> None:
        postman = {run["id"]: run for run in self.sandbox.postman_runs}
        testmo = {run["id"]: run for run in self.sandbox.testmo_runs}
        known = [number for number in range(401) if f"run-{number}" in postman]
        if len(known) > 1:
            number = data.draw(st.sampled_from(known))
            if 1000 - number in testmo:
                self.deleted[number] = (postman[f"run-{number}"], testmo[1000 - number])
                self.sandbox.remove_postman_run(f"run-{number}")
                self.sandbox.remove_testmo_run(1000 - number)

    @rule(data=st.data())
    def a_deleted_run_returns(self, data: st.DataObject) -> None:
        if self.deleted:
            number = data.draw(st.sampled_from(sorted(self.deleted)))
            postman, testmo = self.deleted.pop(number)
            self.sandbox.put_postman_run(postman)
            self.sandbox.put_testmo_run(testmo)

    @rule(order=st.sampled_from(["", *ORDERS]))
    def the_list_is_reordered(self, order: str) -> None:
        self.reordered = f"{order}:endpoint=postman/*" if order else ""
        self._set_faults()

    # What goes wrong

    @rule(
        name=st.sampled_from(PASSING),
        every=st.integers(1, 5),
        after=st.integers(0, 12),
        times=st.integers(1, 8),
    )
    def a_fault_strikes(self, name: str, every: int, after: int, times: int) -> None:
        self.requested.append(f"{name}:every={every}:after={after}:times={times}")
        self._set_faults()

    @rule()
    def the_faults_are_over(self) -> None:
        self.requested = []
        self._set_faults()

    # What we do

    @rule()
    def load(self) -> None:
        done = self._testruns("load")
        if not self.requested and not self.reordered:
            assert done.status == 0, done.out + done.err

    @rule(hours=numbers)
    def backfill(self, hours: int) -> None:
        since = postman_run(hours)["startedAt"]
        done = self._testruns("backfill", "--since", since)
        if not self.requested and not self.reordered:
            assert done.status == 0, done.out + done.err

    @rule()
    def hours_pass(self) -> None:
        self._pass_hours()

    def _pass_hours(self) -> None:
        """Open runs are due again."""
        query(self.url, "update ingest.run_states set next_check_at = null returning 1")

    def _testruns(self, *arguments: str) -> Done:
        hurry = any(spec.split(":")[0] in TIME_OUTS for spec in self.requested)
        variables = {
            **self.sandbox.settings,
            "TESTRUNS_WAREHOUSE_URL": self.url,
            "TESTRUNS_HOME": str(self.home),
        }
        with in_haste(self.clock, timeout_seconds=0.03 if hurry else 10):
            done = command(self.home, variables, *arguments)
        assert done.status in (0, 1)
        # What was loaded once stays: no row of a run is ever dropped.
        loaded = set(
            query(
                self.url,
                "select run_id from raw_postman.collection_runs"
                " union all select run_id::text from raw_testmo.automation_runs",
            )
        )
        assert loaded >= self.ever_loaded
        self.ever_loaded = loaded
        return done

    def _set_faults(self) -> None:
        if not self.requested:
            # A wait that an API announced is kept there; it is over as well.
            query(self.url, "delete from ingest.rate_limits returning 1")
        self.sandbox.faults.replace(
            "small-pages", *([self.reordered] if self.reordered else []), *self.requested
        )

    def _put(self, number: int, state: str) -> None:
        self.version += 1
        shown: Json = {"status": state}
        if state != "finished":
            shown |= {"finishedAt": None, "stats": {}, "executions": []}
        if state == "queued":
            shown["startedAt"] = None
        run = postman_run(number, collectionId=COLLECTION, createdBy=str(self.version))
        self.sandbox.put_postman_run({**run, **shown})
        self.sandbox.put_testmo_run(
            testmo_run(
                1000 - number,
                number,
                project_id=PROJECT,
                is_completed=state == "finished",
                updated_by=self.version,
            )
        )


def run_machine(url: str, home: Path, *, examples: int, steps: int, is_long: bool) -> None:
    class Here(Histories):
        pass

    Here.url, Here.home = url, home
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=not is_long,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_whatever_happens_the_warehouse_is_the_source_in_the_end(
    new_warehouse: Callable[[], str], tmp_path: Path
) -> None:
    run_machine(new_warehouse(), tmp_path, examples=10, steps=15, is_long=False)


@pytest.mark.slow
def test_whatever_happens_for_long_the_warehouse_is_the_source_in_the_end(
    new_warehouse: Callable[[], str], tmp_path: Path
) -> None:
    run_machine(new_warehouse(), tmp_path, examples=150, steps=30, is_long=True)


def test_a_queued_run_that_is_deleted_is_marked_so_by_a_backfill(
    warehouse_url: str, tmp_path: Path
) -> None:
    queued = postman_run(1, status="queued", startedAt=None, finishedAt=None, executions=[])
    with Sandbox(SandboxData([queued, postman_run(2)], [], BOOKS)) as sandbox:
        variables = {
            **{name: sandbox.settings[name] for name in sandbox.settings if "POSTMAN" in name},
            "TESTRUNS_WAREHOUSE_URL": warehouse_url,
            "TESTRUNS_HOME": str(tmp_path / "home"),
        }
        assert command(tmp_path, variables, "load").status == 0
        sandbox.remove_postman_run(queued["id"])
        assert command(tmp_path, variables, "load").status == 0
        assert command(tmp_path, variables, "backfill", "--since", "2020-01-01").status == 0
        assert_warehouse_is(warehouse_url, sandbox)


def test_every_fault_that_passes_is_in_the_story() -> None:
    assert {fault.name for fault in FAMILIES["records"]} == set(CATALOGUE) - set(PASSING)
