"""The limits of an API key in a real Postgres: nothing lost, nothing sent twice, nobody refused."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import WarehouseError
from pipelines.http.leases import Share
from pipelines.http.rate_limits import RateLimits
from pipelines.ingest.load import load_source
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import load_settings
from pipelines.warehouse.rate_limits import WarehouseStore
from tests.support.db import query
from tests.support.factories import COLLECTION, postman_run
from tests.support.limited_api import LIMITS, simulate, used
from tests.support.limited_process import SharedClock

Result = TypeVar("Result")

ROOT = "https://api.invalid"
KEY = "PMAK-not-to-be-stored"


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


def update(store: WarehouseStore, change: Callable[[RateLimits], Result]) -> Result:
    return asyncio.run(store.update(change))


epoch_seconds = st.integers(1, 4 * 10**9).map(float) | st.just(0.0)
counts = st.integers(0, 2**40)
limits = st.builds(
    RateLimits,
    not_before=epoch_seconds,
    refused_at=epoch_seconds,
    window_seconds=st.integers(1, 10**6).map(float),
    window_limit=st.none() | counts,
    window_remaining=st.none() | counts,
    window_resets_at=epoch_seconds,
    must_probe=st.booleans(),
    probe_until=epoch_seconds,
    late_seconds=st.sampled_from([0.0, 1.0]),
    spare=counts,
    lowered_limit=st.none() | counts,
    learned_at=epoch_seconds,
    month_remaining=st.none() | counts,
    sent=st.dictionaries(epoch_seconds, counts, max_size=5),
    shares=st.dictionaries(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
        st.builds(Share, counts, counts, epoch_seconds),
        max_size=5,
    ),
)


@pytest.fixture
def any_store(emptied_url: str) -> Callable[[], WarehouseStore]:
    return lambda: WarehouseStore(emptied_url, ROOT, KEY)


def test_what_is_written_is_what_the_next_process_reads(
    any_store: Callable[[], WarehouseStore],
) -> None:
    writer = any_store()

    @settings(max_examples=50)
    @given(limits)
    def is_read(known: RateLimits) -> None:
        update(writer, lambda held: vars(held).update(vars(deepcopy(known))))
        reader = any_store()
        assert update(reader, deepcopy) == known
        asyncio.run(reader.close())

    is_read()
    asyncio.run(writer.close())


def test_changes_of_many_at_once_are_all_kept(warehouse_url: str) -> None:
    def work(number: int) -> None:
        store = WarehouseStore(warehouse_url, ROOT, KEY)

        def count(held: RateLimits) -> None:
            held.spare += 1
            held.shares[str(number)] = Share(1, 1, time.time())

        for _ in range(25):
            update(store, count)
        asyncio.run(store.close())

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert query(warehouse_url, "select spare, version from ingest.rate_limits") == [(100, 100)]


def test_a_process_alone_reads_once_and_then_only_writes(warehouse_url: str) -> None:
    store = WarehouseStore(warehouse_url, ROOT, KEY)
    calls = 0

    def count(held: RateLimits) -> None:
        nonlocal calls
        calls += 1
        held.spare += 1

    for _ in range(10):
        update(store, count)
    update(store, lambda _held: None)  # nothing to write
    asyncio.run(store.close())
    assert calls == 10
    assert query(warehouse_url, "select version from ingest.rate_limits") == [(10,)]


def test_each_root_and_key_has_limits_of_its_own_and_no_key_is_stored(warehouse_url: str) -> None:
    for root, key in ((ROOT, KEY), (ROOT, "another"), ("https://api.eu.invalid", KEY)):
        store = WarehouseStore(warehouse_url, root, key)
        update(store, lambda held: vars(held).update(spare=held.spare + 1))
        asyncio.run(store.close())
    rows = query(warehouse_url, "select r.spare, r::text from ingest.rate_limits r")
    assert [spare for spare, _ in rows] == [1, 1, 1]
    assert not [text for _, text in rows if KEY in text]


def test_a_session_that_was_cut_is_opened_again_and_a_dead_server_is_one_line(
    warehouse_url: str,
) -> None:
    store = WarehouseStore(warehouse_url, ROOT, KEY)
    update(store, lambda held: vars(held).update(spare=1))
    query(
        warehouse_url,
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name like 'testruns limits %'",
    )
    update(store, lambda held: vars(held).update(spare=2))
    asyncio.run(store.close())
    assert query(warehouse_url, "select spare from ingest.rate_limits") == [(2,)]

    nowhere = WarehouseStore("postgresql://someone:hunter2@127.0.0.1:1/nowhere", ROOT, KEY)
    with pytest.raises(WarehouseError, match=r"^TESTRUNS_WAREHOUSE_URL: [^\n]*$") as failure:
        update(nowhere, lambda held: held.spare)
    assert "hunter2" not in str(failure.value)


# --- several processes ----------------------------------------------------------------------


class InTheLoop(WarehouseStore):
    """Asks the warehouse while simulated time stands still."""

    async def update(self, change: Callable[[RateLimits], Result]) -> Result:
        result = self._update(change)
        self.ahead_seconds = 0.0  # the time of the simulation is nobody's
        return result


@pytest.mark.parametrize("name", ["a minute by the clock", "nothing announced"])
def test_three_sessions_use_a_limit_up_and_hardly_ever_meet_it(
    warehouse_url: str, name: str
) -> None:
    api = LIMITS[name]()
    stores = [InTheLoop(warehouse_url, ROOT, KEY) for _ in range(3)]
    simulate(api, ceiling=api.window.limit, hours=0.1, stores=stores)
    for store in stores:
        asyncio.run(store.close())
    assert api.refused <= 1
    assert api.sent_into_refusal == 0
    assert used(api, hours=0.1) >= 0.97


_LIMIT = 40
_REQUESTS = 60


@pytest.fixture
def clock() -> SharedClock:
    """A minute in a second."""
    return SharedClock(time.time(), 60)


@pytest.fixture
def sandbox(clock: SharedClock) -> Iterator[Sandbox]:
    data = SandboxData([postman_run(number) for number in range(3)], [], {})
    with Sandbox(data, requests_per_minute=_LIMIT, clock=clock) as sandbox:
        yield sandbox


def processes(
    sandbox: Sandbox, url: str, clock: SharedClock, ahead: list[float]
) -> list[subprocess.Popen[str]]:
    """Processes that send at once, each with a clock that is wrong by so much."""
    arguments = {
        "url": url,
        "root": sandbox.postman_url,
        "key": sandbox.postman_api_key,
        "collection": COLLECTION,
        "requests": _REQUESTS,
    }
    return [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.limited_process"),
                json.dumps({**arguments, "clock": {**vars(clock), "ahead_seconds": seconds}}),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd())},
        )
        for seconds in ahead
    ]


@pytest.mark.parametrize(
    "ahead", [[0.0, 0.0, 0.0], [0.0, 3600.0]], ids=["three processes", "machines an hour apart"]
)
def test_processes_share_a_limit_and_none_is_refused(
    sandbox: Sandbox, warehouse_url: str, clock: SharedClock, ahead: list[float]
) -> None:
    started = processes(sandbox, warehouse_url, clock, ahead)
    outcomes = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    assert [outcome["refusals"] for outcome in outcomes] == [0] * len(ahead)
    assert len(sandbox.requests) == _REQUESTS * len(ahead)
    # An hour in three minutes of a machine's clock would be seen: the warehouse's clock counts.
    for outcome, seconds in zip(outcomes, ahead, strict=True):
        assert outcome["ahead_seconds"] == pytest.approx(seconds, abs=60)


def test_a_wait_that_one_machine_was_given_holds_for_another(
    sandbox: Sandbox, warehouse_url: str, tmp_path: Path
) -> None:
    def load(machine: str) -> str:
        variables = {
            **{name: text for name, text in sandbox.settings.items() if "POSTMAN" in name},
            "TESTRUNS_WAREHOUSE_URL": warehouse_url,
            "TESTRUNS_HOME": str(tmp_path / machine),
        }
        [report] = load_source(load_settings(variables, tmp_path), "postman", warehouse_url)
        return str(report.error)

    sandbox.faults.replace("limit-of-an-hour")
    first = load("one")
    sandbox.faults.clear()
    sandbox.requests.clear()
    assert "the rate limit is used up; resumes " in first
    assert load("two") == first
    assert list(sandbox.requests) == []
