"""What nobody expected costs one run or one scope, in one line; a log file has the traceback."""

import json
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.ingest.load import load_scope, run_source
from pipelines.ingest.progress import NullProgress, ScopeReport
from pipelines.ingest.session import Surroundings, run_scopes
from pipelines.sandbox.data import SandboxData
from pipelines.settings import Settings
from pipelines.sources.base import FlatRun, Page, Watermark
from pipelines.sources.postman.settings import PostmanSettings
from pipelines.sources.postman.source import PostmanRuns
from pipelines.sources.redaction import Redactor
from pipelines.warehouse.ledger import Ledger
from tests.support.contract import POSTMAN
from tests.support.db import query, tables
from tests.support.factories import BOOKS, COLLECTION, postman_run, testmo_run
from tests.support.oracle import tables_of_postman
from tests.support.tampering import Tampered, with_members

Json = dict[str, Any]
Load = Callable[..., list[ScopeReport]]

RUNS = [postman_run(number) for number in range(6)]
OTHER = postman_run(50, collectionId="other")
TESTMO_RUNS = [testmo_run(number) for number in range(1, 6)]


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def sandbox() -> Iterator[Tampered]:
    with Tampered(SandboxData([*RUNS, OTHER], TESTMO_RUNS, BOOKS)) as sandbox:
        yield sandbox


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(
    "depth", [200, 400, 450, 500, 700, 900, 960, 980, 990, 1000, 1200, 100_000]
)
def test_a_run_however_deep_is_loaded_or_set_aside_and_costs_no_other(
    load: Load, warehouse_url: str, sandbox: Tampered, depth: int
) -> None:
    def deepened(body: bytes) -> bytes:
        return body.replace(b'"id":', b'"odd":' + nested(depth) + b',"id":', 1)

    sandbox.changes["/runs/run-3"] = deepened
    sandbox.changes["/automation/runs"] = deepened
    reports = load({**sandbox.settings, "POSTMAN_COLLECTION_IDS": f"{COLLECTION},other"})

    assert [report.error for report in reports] == [None, None, None]
    rejected = query(
        warehouse_url, "select source, run_id, payload, error from ingest.rejected_records"
    )
    set_aside = {run_id for _, run_id, _, _ in rejected}
    found = {run_id for (run_id,) in query(warehouse_url, "select run_id from ingest.run_states")}
    assert found >= {run["id"] for run in [*RUNS, OTHER]}
    for _source, _run_id, payload, error in rejected:
        assert nested(depth).decode() in payload.replace(" ", "")
        assert "nested too deeply" in error or "RecursionError" in error
    loaded = {
        run_id
        for (run_id,) in query(warehouse_url, "select run_id from raw_postman.collection_runs")
    }
    assert loaded | set_aside >= {run["id"] for run in [*RUNS, OTHER]}
    assert loaded >= {run["id"] for run in [*RUNS, OTHER]} - {"run-3"}
    testmo = "select count(*) from raw_testmo.automation_runs"
    assert query(warehouse_url, testmo)[0][0] >= len(TESTMO_RUNS) - 1


@pytest.mark.parametrize("cursor", ["half a \\ud83d", "x" * 1_000_000])
def test_a_cursor_that_cannot_be_sent_fails_its_scope_in_one_line(
    load: Load, warehouse_url: str, sandbox: Tampered, cursor: str
) -> None:
    meta = {"nextCursor": json.loads(f'"{cursor}"')}
    sandbox.changes[f"{COLLECTION}/runs"] = with_members(meta=meta)
    first, second = (
        report
        for report in load({**sandbox.settings, "POSTMAN_COLLECTION_IDS": f"{COLLECTION},other"})
        if report.source == "postman"
    )

    assert first.error is not None
    assert "cursor cannot be sent" in first.error
    assert len(first.error) < 200
    assert second.error is None
    assert tables(warehouse_url, POSTMAN) == tables_of_postman([*RUNS, OTHER], POSTMAN)


class Broken(PostmanRuns):
    """A source with a fault of its own, at a run or at a scope's second page."""

    error: Exception
    at_run = ""
    at_scope = ""

    def flatten(self, run: Json, canonical: bytes) -> FlatRun:
        if run["id"] == self.at_run:
            raise self.error
        return super().flatten(run, canonical)

    async def pages(
        self, scope: str, watermark: Watermark, *, now: datetime
    ) -> AsyncIterator[Page]:
        async for page in super().pages(scope, watermark, now=now):
            yield page
            if scope == self.at_scope:
                raise self.error


@pytest.fixture
def broken(sandbox: Tampered, make_settings: Callable[[dict[str, str]], Settings]) -> Broken:
    settings = make_settings(sandbox.settings)
    own = settings.sources["postman"]
    assert isinstance(own, PostmanSettings)
    client = run_source(settings, "postman", NullProgress(), None).client
    return Broken(client, own, Redactor(()), timedelta(hours=72))


def load_broken(broken: Broken, url: str, logs: Path) -> list[ScopeReport]:
    shared = Surroundings(url, NullProgress(), logs)
    work = partial(load_scope, lookback=timedelta(hours=72))
    return run_scopes(broken, [COLLECTION, "other"], shared, Ledger, work)


ERRORS = [
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    UnicodeEncodeError("utf-8", "x\ud83d", 1, 2, "surrogates not allowed"),
    KeyError("sandbox-postman-key"),
    ZeroDivisionError("two\nlines"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_nobody_expected_of_a_run_sets_it_aside_with_its_body(
    broken: Broken, warehouse_url: str, tmp_path: Path, error: Exception
) -> None:
    broken.error, broken.at_run = error, "run-3"
    reports = load_broken(broken, warehouse_url, tmp_path / "logs")

    assert [(report.error, report.rejected) for report in reports] == [(None, 1), (None, 0)]
    loaded = [*RUNS[:3], *RUNS[4:], OTHER]
    assert tables(warehouse_url, POSTMAN) == tables_of_postman(loaded, POSTMAN)
    [(run_id, payload, reason)] = query(
        warehouse_url, "select run_id, payload, error from ingest.rejected_records"
    )
    assert (run_id, json.loads(payload)) == ("run-3", RUNS[3])
    assert reason.startswith(f"unexpected {type(error).__name__}")
    assert "\n" not in reason


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_nobody_expected_of_a_scope_fails_it_in_one_line_that_names_a_log_file(
    broken: Broken, warehouse_url: str, tmp_path: Path, error: Exception
) -> None:
    broken.error, broken.at_scope = error, COLLECTION
    logs = tmp_path / "logs"
    first, second = load_broken(broken, warehouse_url, logs)

    [log] = logs.iterdir()
    assert first.error is not None
    assert first.error.startswith(f"unexpected {type(error).__name__}")
    assert first.error.endswith(f"the traceback is in {log}")
    assert "\n" not in first.error
    assert not first.is_transient
    text = log.read_text("utf-8")
    assert "Traceback (most recent call last)" in text
    assert f"postman {COLLECTION}" in text
    assert "sandbox-postman-key" not in text + first.error
    assert (stat.S_IMODE(log.stat().st_mode), stat.S_IMODE(logs.stat().st_mode)) == (0o600, 0o700)
    # What its pages showed is loaded, and the scope behind it as well.
    assert second.error is None
    assert tables(warehouse_url, POSTMAN) == tables_of_postman([*RUNS, OTHER], POSTMAN)
    outcomes = "select outcome, error from ingest.loads order by load_id"
    assert query(warehouse_url, outcomes) == [("failed", first.error), ("succeeded", None)]


def test_a_home_that_cannot_be_written_costs_the_traceback_alone(
    broken: Broken, warehouse_url: str, tmp_path: Path
) -> None:
    broken.error, broken.at_scope = ValueError("odd"), COLLECTION
    (tmp_path / "logs").write_text("no folder")
    first, second = load_broken(broken, warehouse_url, tmp_path / "logs")

    assert first.error is not None
    assert first.error.startswith("unexpected ValueError odd; its traceback could not be written")
    assert second.error is None
