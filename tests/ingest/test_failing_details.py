"""Details that never come: they end a load in bounded time, and hold up no run behind them."""

from collections.abc import Callable, Iterator
from fnmatch import fnmatch

import pytest

from pipelines.ingest.progress import ScopeReport
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.contract import POSTMAN
from tests.support.db import query, tables
from tests.support.factories import BOOKS, COLLECTION, postman_run
from tests.support.fast_clock import FastClock, in_haste
from tests.support.oracle import tables_of_postman

Load = Callable[..., list[ScopeReport]]

HISTORY = [postman_run(number) for number in range(60)]
OTHER = postman_run(500, collectionId="other")
# Never three in a row.
SCATTERED = "run-*[258]"
SICK = {run["id"] for run in HISTORY if fnmatch(run["id"], SCATTERED)}
HEALTHY = {run["id"] for run in HISTORY} - SICK


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    data = SandboxData([*HISTORY, OTHER], [], BOOKS)
    with Sandbox(data, requests_per_minute=1_000_000) as sandbox:
        yield sandbox


@pytest.fixture
def variables(sandbox: Sandbox) -> dict[str, str]:
    settings = {k: v for k, v in sandbox.settings.items() if k.startswith("POSTMAN")}
    return {
        **settings,
        "POSTMAN_COLLECTION_IDS": f"{COLLECTION},other",
        "POSTMAN_REQUESTS_PER_MINUTE": "1000000",
    }


def details(sandbox: Sandbox) -> set[str]:
    """Runs requested by ID since this was last called."""
    paths = [request.path for request in sandbox.requests]
    sandbox.requests.clear()
    return {path.rpartition("/")[2] for path in paths if not path.endswith("/runs")}


def loaded(url: str) -> set[str]:
    return {run_id for (run_id,) in query(url, "select run_id from raw_postman.collection_runs")}


def test_scattered_time_outs_end_a_scope_in_bounded_time_and_each_load_goes_on_behind_them(
    load: Load, warehouse_url: str, sandbox: Sandbox, variables: dict[str, str]
) -> None:
    sandbox.faults.add(f"no-answer:endpoint=postman/*/runs/{SCATTERED}")
    requested: set[str] = set()
    with in_haste(FastClock(), timeout_seconds=0.5):
        for _night in range(len(SICK)):
            sick, other = load(variables)
            tried = details(sandbox) & SICK
            if tried <= requested:
                break
            requested |= tried
            # Ten requests' lives and what was under way beside them.
            assert len(tried) <= 10 + 16
            assert sick.error is not None
            assert "the answer timed out" in sick.error
            assert sick.error.endswith("are left to later loads")
            assert (sick.is_transient, other.error) == (True, None)
    assert requested == SICK
    assert loaded(warehouse_url) == HEALTHY | {OTHER["id"]}

    sandbox.faults.clear()
    assert [report.error for report in load(variables)] == [None, None]
    assert tables(warehouse_url, POSTMAN) == tables_of_postman([*HISTORY, OTHER], POSTMAN)
    details(sandbox)
    assert [report.error for report in load(variables)] == [None, None]
    assert details(sandbox) == set()


def test_adjacent_runs_that_always_fail_hold_up_only_themselves(
    load: Load, warehouse_url: str, sandbox: Sandbox, variables: dict[str, str]
) -> None:
    sick = {"run-3", "run-4", "run-5"}
    sandbox.faults.add("status-500:endpoint=postman/*/runs/run-[345]")
    with in_haste(FastClock()):
        first, _ = load(variables)
        second, _ = load(variables)
    for report in (first, second):
        assert report.error is not None
        assert report.error.startswith("3 run(s) deferred to the next load, as run-")
    assert loaded(warehouse_url) == {run["id"] for run in [*HISTORY, OTHER]} - sick

    sandbox.faults.clear()
    assert [report.error for report in load(variables)] == [None, None]
    assert tables(warehouse_url, POSTMAN) == tables_of_postman([*HISTORY, OTHER], POSTMAN)


def test_a_block_of_runs_that_always_fail_does_not_hold_up_the_runs_behind_it(
    load: Load, warehouse_url: str, variables: dict[str, str]
) -> None:
    history = [postman_run(number, hours_ago=number / 100) for number in range(160)]
    sick = {f"run-{number}" for number in range(20, 120)}
    with Sandbox(SandboxData([*history, OTHER], [], BOOKS), requests_per_minute=10**6) as sandbox:
        variables |= {"POSTMAN_API_URL": sandbox.settings["POSTMAN_API_URL"]}
        sandbox.faults.add("status-500:endpoint=postman/*/runs/run-[2-9]?")
        sandbox.faults.add("status-500:endpoint=postman/*/runs/run-1[01]?")
        with in_haste(FastClock()):
            first, other = load(variables)
            # Those under way when the third has failed, and one after 24, 48 and 96 passed over.
            assert len(details(sandbox) & sick) <= 24
            assert first.error is not None
            assert (first.is_transient, other.error) == (True, None)
            # those passed over are the first to be requested in later loads
            nights = [len(loaded(warehouse_url))]
            while nights[-1] < len(history) - len(sick) + 1:
                assert load(variables)[0].error is not None
                nights.append(len(loaded(warehouse_url)))
                assert len(nights) < 20
        assert not loaded(warehouse_url) & sick

        sandbox.faults.clear()
        assert [report.error for report in load(variables)] == [None, None]
    assert tables(warehouse_url, POSTMAN) == tables_of_postman([*history, OTHER], POSTMAN)


def test_an_api_that_gives_no_run_ends_the_load_soon_and_nothing_is_lost(
    load: Load, warehouse_url: str, variables: dict[str, str]
) -> None:
    history = [postman_run(number) for number in range(400)]
    data = SandboxData([*history, OTHER], [], BOOKS)
    with Sandbox(data, requests_per_minute=1_000_000) as sandbox, in_haste(FastClock()):
        variables |= {"POSTMAN_API_URL": sandbox.settings["POSTMAN_API_URL"]}
        sandbox.faults.add("status-500:endpoint=postman/*/runs/run-*")
        for _night in range(2):
            report = load(variables)[0]
            assert report.error is not None
            # 16 under way when the third has failed, then one after 24, 48, 96 and 192 more
            assert len(details(sandbox)) <= 24 + 1
        assert loaded(warehouse_url) <= {OTHER["id"]}

        sandbox.faults.clear()
        assert [report.error for report in load(variables)] == [None, None]
    assert tables(warehouse_url, POSTMAN) == tables_of_postman([*history, OTHER], POSTMAN)
