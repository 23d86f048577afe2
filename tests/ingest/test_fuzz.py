"""Whatever an API sends as a run, it is loaded to the letter or set aside as it was sent.

Seeds are the sandbox's own history and the payloads of this folder; FUZZ_POSTMAN_RUNS and
FUZZ_TESTMO_RUNS name files of runs (NDJSON, may be gzipped) to bend instead, by hand.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.files import read_files
from pipelines.sandbox.history import seeded_history
from pipelines.sandbox.server import Sandbox
from tests.support.cli import command
from tests.support.contract import POSTMAN, TESTMO
from tests.support.db import empty, query, tables
from tests.support.factories import BOOKS, COLLECTION, PROJECT, postman_run, testmo_run
from tests.support.fast_clock import FastClock, in_haste
from tests.support.mutations import HOSTILE, mutated
from tests.support.oracle import tables_of_postman, tables_of_testmo

Json = dict[str, Any]

PAYLOADS = Path(__file__).parents[1] / "support" / "payloads"
A_ROUND = 500
MOST_LOADS = 4
# Every so many bodies one is honest: a neighbour, which must load.
HONEST_EVERY = 10


class Scripted(Sandbox):
    """A sandbox that answers with bodies of the test's own, by path; to other paths honestly."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.bodies: dict[str, bytes] = {}

    async def _serve(self, request: web.BaseRequest) -> web.Response:
        body = self.bodies.get(request.path)
        if body is None:
            return await super()._serve(request)
        return web.Response(body=body, content_type="application/json")


def seeds() -> tuple[list[Json], list[Json]]:
    """Runs of both sources, small ones, so that damage meets every field."""
    postman, testmo = (os.environ.get(f"FUZZ_{name}_RUNS") for name in ("POSTMAN", "TESTMO"))
    if postman or testmo:
        data = read_files(postman and Path(postman), testmo and Path(testmo), None)  # type: ignore[arg-type]
        return data.postman_runs or [postman_run(1)], data.testmo_runs or [testmo_run(1)]
    history = seeded_history(datetime(2026, 5, 1, tzinfo=UTC), days=8)
    kept = {
        source: [
            json.loads(file.read_text("utf-8"))
            for file in sorted(PAYLOADS.glob(f"{source}_*.json"))
            if file.stem != "testmo_expands"
        ]
        for source in ("postman", "testmo")
    }
    short = [{**run, "executions": run["executions"][:3]} for run in history.postman_runs[::7]]
    return (
        [postman_run(1), *kept["postman"], *short],
        [testmo_run(1), *kept["testmo"], *history.testmo_runs[::5]],
    )


def bent(runs: list[Json], ids: list[Any], dice: Random) -> dict[str, Any]:
    """What is sent for each ID, as JSON holds it."""
    served = {}
    for number, run_id in enumerate(ids):
        run = {**dice.choice(runs), "id": run_id}
        body = run if number % HONEST_EVERY == 0 else mutated(run, dice)
        served[str(run_id)] = json.loads(json.dumps(body))
    return served


def storable(value: Any) -> Any:
    """The same JSON with U+FFFD for what Postgres cannot hold."""
    if isinstance(value, str):
        return re.sub("[\0\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return [storable(inner) for inner in value]
    if isinstance(value, dict):
        return {storable(key): storable(inner) for key, inner in value.items()}
    return value


def comparable(value: Any) -> Any:
    """Numbers by their value, however they are written; what may be a URL is masked or is not."""
    if isinstance(value, str) and re.search("[@=]", value):
        return "perhaps a URL"
    if isinstance(value, float | int) and not isinstance(value, bool):
        return Decimal(repr(value)) + 0
    if isinstance(value, list | tuple):
        return [comparable(inner) for inner in value]
    if isinstance(value, dict):
        return {key: comparable(inner) for key, inner in value.items()}
    return value


def beside_urls(text: str) -> str:
    """JSON text without what may be a URL, which is masked or is not."""
    return re.sub(r'[^"\\]*[@=][^"\\]*', "perhaps a URL", text)


def rows_by_run(
    stored: dict[str, list[tuple[Any, ...]]], columns: dict[str, dict[str, str]]
) -> dict[str, dict[str, list[Any]]]:
    by_run: dict[str, dict[str, list[Any]]] = {}
    for table in columns:
        for row in stored[table]:
            rows = by_run.setdefault(str(row[0]), {}).setdefault(table, [])
            rows.append(comparable(row))
    for tables_of_run in by_run.values():
        for rows in tables_of_run.values():
            rows.sort(key=repr)
    return by_run


def answered(url: str) -> set[str]:
    """The runs of both sources of which something is kept."""
    return {
        run_id
        for (run_id,) in query(
            url,
            "select run_id from ingest.run_states where content_digest is not null"
            " union all select run_id from ingest.rejected_records where run_id is not null",
        )
    }


def assert_kept(
    url: str,
    source: str,
    served: dict[str, Any],
    bodies: dict[str, bytes],
    work_out: Callable[..., Any],
    columns: dict[str, dict[str, str]],
) -> tuple[int, int]:
    """Each run is loaded to the letter or set aside as sent; how many of each."""
    stored = rows_by_run(tables(url, columns), columns)
    set_aside = dict(
        query(url, "select run_id, payload from ingest.rejected_records where source = %s", source)
    )
    assert stored.keys() | set_aside.keys() == served.keys()
    assert not stored.keys() & set_aside.keys()
    for run_id, payload in set_aside.items():
        # What no decoder holds is kept as the whole body.
        as_sent = beside_urls(payload) == beside_urls(bodies[run_id].decode()) or comparable(
            json.loads(payload)
        ) == comparable(served[run_id])
        assert as_sent, f"{run_id} was sent as {bodies[run_id]!r} and kept as {payload!r}"
    for run_id, tables_of_run in stored.items():
        [expected] = rows_by_run(work_out([storable(served[run_id])], columns), columns).values()
        for table in columns:
            held, wanted = tables_of_run.get(table, []), expected.get(table, [])
            different = [both for both in zip(held, wanted, strict=False) if both[0] != both[1]]
            assert held == wanted, f"{table}: {different} of {bodies[run_id]!r}"
    for number, run_id in enumerate(served):
        assert number % HONEST_EVERY or run_id in stored, f"{run_id} was honest"
    return len(stored), len(set_aside)


@pytest.mark.parametrize("bodies", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_every_bent_payload_is_loaded_to_the_letter_or_set_aside_as_sent(
    new_warehouse: Callable[[], str], tmp_path: Path, bodies: int
) -> None:
    url = new_warehouse()
    postman_seeds, testmo_seeds = seeds()
    outcomes = [0, 0]
    for number in range(bodies // (2 * A_ROUND)):
        dice = Random(number)  # noqa: S311 - no secret
        postman = bent(postman_seeds, [f"run-{n}" for n in range(A_ROUND)], dice)
        testmo = bent(testmo_seeds, list(range(1, A_ROUND + 1)), dice)
        data = SandboxData(
            [postman_run(n, n / 100) for n in range(A_ROUND)],
            [testmo_run(n, n / 100) for n in range(1, A_ROUND + 1)],
            BOOKS,
        )
        bodies_of = {
            "postman": {key: json.dumps({"run": run}).encode() for key, run in postman.items()},
            "testmo": {key: json.dumps({"result": run}).encode() for key, run in testmo.items()},
        }
        with Scripted(data, testmo_list_is_bare=True, requests_per_minute=10**6) as sandbox:
            roots = {
                "postman": f"/postman/collections/{COLLECTION}/runs/",
                "testmo": "/testmo/api/v1/automation/runs/",
            }
            sandbox.bodies = {
                f"{root}{run_id}": body
                for source, root in roots.items()
                for run_id, body in bodies_of[source].items()
            }
            environment = variables(sandbox, empty(url), tmp_path)
            done = command(tmp_path, environment, "load")
            # Behind three answers in a row about other runs some are passed over until later.
            for _ in range(MOST_LOADS - 1):
                if not {*postman, *testmo} <= answered(url):
                    done = command(tmp_path, environment, "load")
        # An ID that was bent is that of another run: kept, and requested again.
        assert done.status == ("asked for" in done.out), done.out + done.err
        assert "Traceback" not in done.err
        for source, served, work_out, columns in (
            ("postman", postman, tables_of_postman, POSTMAN),
            ("testmo", testmo, tables_of_testmo, TESTMO),
        ):
            kept = assert_kept(url, source, served, bodies_of[source], work_out, columns)
            outcomes = [outcomes[0] + kept[0], outcomes[1] + kept[1]]
    assert min(outcomes) > bodies / 20, outcomes
    assert sum(outcomes) == bodies


def with_threads(count: int, **more: Any) -> Json:
    """A run of so many threads that announces what they come to, or something else."""
    thread = testmo_run(1)["threads"][0]
    return testmo_run(1, threads=[{**thread, "id": at, **more} for at in range(count)])


@pytest.mark.parametrize(
    "run",
    [
        {**with_threads(1), "thread_count": 3.0},
        {**with_threads(2, total_count=2**63 - 1), "total_count": 4},
    ],
    ids=["a total written as a fraction", "threads that come to more than a column holds"],
)
def test_odd_totals_of_one_run_harm_nobody(warehouse_url: str, tmp_path: Path, run: Json) -> None:
    runs = [run, testmo_run(2, thread_count=5)]
    with Sandbox(SandboxData([], runs, BOOKS)) as sandbox:
        done = command(tmp_path, variables(sandbox, warehouse_url, tmp_path), "load")
    assert done.status == 0, done.out
    assert tables(warehouse_url, TESTMO) == tables_of_testmo(runs, TESTMO)


def variables(sandbox: Sandbox, url: str, home: Path) -> dict[str, str]:
    return {
        **sandbox.settings,
        "POSTMAN_REQUESTS_PER_MINUTE": "1000000",
        "TESTRUNS_WAREHOUSE_URL": url,
        "TESTRUNS_HOME": str(home),
    }


# Any JSON at all, with the names that both APIs use for their parts.

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.sampled_from(HOSTILE),
)
names = st.sampled_from(
    ["run", "runs", "result", "meta", "nextCursor", "next_page", "expands", "id", "threads"]
)
anything = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(names, st.text(max_size=3)), inner)
    ),
    max_leaves=12,
)
runs = st.lists(
    st.one_of(anything, st.fixed_dictionaries({"id": anything}, optional={"startedAt": leaves})),
    max_size=4,
)
list_bodies = st.one_of(
    anything,
    st.fixed_dictionaries(
        {"runs": st.one_of(anything, runs), "result": st.one_of(anything, runs)},
        # A page that follows is announced elsewhere: these would be the same page for ever.
        optional={"meta": anything, "expands": anything},
    ),
)
detail_bodies = st.one_of(anything, st.fixed_dictionaries({"run": anything, "result": anything}))


@pytest.fixture(scope="module")
def scripted() -> Iterator[Scripted]:
    """A scope of each source whose list is scripted, and one whose only detail is."""
    data = SandboxData(
        [postman_run(1, collectionId="list"), postman_run(2, collectionId="detail")],
        [testmo_run(1), testmo_run(2, project_id=PROJECT + 1)],
        BOOKS,
    )
    with Scripted(data, testmo_list_is_bare=True, requests_per_minute=10**6) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def any_url(new_warehouse: Callable[[], str]) -> str:
    return new_warehouse()


def assert_any_json_is_survived(
    scripted: Scripted, url: str, home: Path, listed: Any, detail: Any
) -> None:
    list_body, detail_body = json.dumps(listed).encode(), json.dumps(detail).encode()
    scripted.bodies = {
        "/postman/collections/list/runs": list_body,
        f"/testmo/api/v1/projects/{PROJECT}/automation/runs": list_body,
        "/postman/collections/detail/runs/run-2": detail_body,
        "/testmo/api/v1/automation/runs/2": detail_body,
    }
    done = command(home, variables(scripted, empty(url), home), "load")

    failed = {line.split(":")[0] for line in done.out.splitlines() if ": FAILED: " in line}
    assert done.status == bool(failed)
    assert all(line.startswith("testruns: ") for line in done.err.splitlines())
    assert len(done.err.splitlines()) == bool(failed)
    kept = {
        (source, canonical(json.loads(payload)))
        for source, payload in query(url, "select source, payload from ingest.rejected_records")
    }
    loaded = query(
        url,
        "select run_id from raw_postman.collection_runs"
        " union all select run_id::text from raw_testmo.automation_runs",
    )
    for source, scope, member in (("postman", "list", "runs"), ("testmo", str(PROJECT), "result")):
        items = listed.get(member) if isinstance(listed, dict) else None
        if f"{source} {scope}" in failed or not isinstance(items, list):
            continue
        for item in items:
            has_id = isinstance(item, dict) and item.get("id") not in (None, "")
            assert has_id or (source, canonical(item)) in kept
    for source, scope, member in (
        ("postman", "detail", "run"),
        ("testmo", str(PROJECT + 1), "result"),
    ):
        if isinstance(detail, dict) and member in detail:
            was_kept = (source, canonical(detail[member])) in kept
            assert was_kept or ("run-2" if source == "postman" else "2",) in loaded
        else:
            assert f"{source} {scope}" in failed


def canonical(value: Any) -> str:
    return beside_urls(json.dumps(json.loads(json.dumps(value)), sort_keys=True))


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with in_haste(FastClock()):
        yield


@pytest.mark.parametrize("examples", [12, pytest.param(1_000, marks=pytest.mark.slow)])
def test_any_json_as_a_body_is_survived_and_kept(
    scripted: Scripted, any_url: str, tmp_path: Path, examples: int
) -> None:
    @settings(max_examples=examples, derandomize=examples < 100)
    @given(list_bodies, detail_bodies)
    def survives(listed: Any, detail: Any) -> None:
        assert_any_json_is_survived(scripted, any_url, tmp_path, listed, detail)

    survives()
