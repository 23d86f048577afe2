"""Records set aside, and what becomes of them when they are parsed again."""

from collections.abc import Callable, Iterator

import pytest

from pipelines.ingest.progress import ScopeReport
from pipelines.ingest.reparse import reparse_rejected
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from pipelines.settings import Settings
from tests.support.db import query
from tests.support.factories import BOOKS, postman_run, testmo_run

Load = Callable[..., list[ScopeReport]]
MakeSettings = Callable[[dict[str, str]], Settings]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    bad = postman_run(2)
    bad["executions"].append("a third")
    unlinked = testmo_run(3, links="a link")
    data = SandboxData([postman_run(1), bad], [testmo_run(2), unlinked], BOOKS)
    with Sandbox(data, requests_per_minute=1_000_000) as served:
        yield served


def test_what_still_cannot_be_parsed_stays_with_the_reason_of_today(
    load: Load, make_settings: MakeSettings, sandbox: Sandbox, warehouse_url: str
) -> None:
    load(sandbox.settings)
    settings = make_settings(sandbox.settings)
    _, (record,) = reparse_rejected(settings, "postman", warehouse_url)
    assert record.run_id == "run-2"
    assert record.outcome == "executions[2]: expected an object, got text"
    assert query(warehouse_url, "select count(*) from raw_postman.collection_runs") == [(1,)]


def test_a_record_that_parses_now_is_loaded_once(
    load: Load, make_settings: MakeSettings, sandbox: Sandbox, warehouse_url: str
) -> None:
    load(sandbox.settings)
    # As if a later version took what this one refuses.
    query(
        warehouse_url,
        "update ingest.rejected_records set payload ="
        " replace(replace(payload, ', \"a third\"', ''), '\"a link\"', '[{}]')"
        " returning 1",
    )
    settings = make_settings(sandbox.settings)
    for source in ("postman", "testmo"):
        _, (record,) = reparse_rejected(settings, source, warehouse_url)
        assert record.outcome == "loaded"
        assert reparse_rejected(settings, source, warehouse_url)[1] == []
    assert query(
        warehouse_url,
        "select count(*) from raw_postman.executions where run_id = 'run-2'"
        " union all select count(*) from raw_testmo.automation_run_links where run_id = 3",
    ) == [(2,), (1,)]
    assert query(warehouse_url, "select distinct retry_outcome from ingest.rejected_records") == [
        ("loaded",)
    ]


def test_a_later_version_of_the_run_settles_what_was_set_aside(
    load: Load, make_settings: MakeSettings, sandbox: Sandbox, warehouse_url: str
) -> None:
    load(sandbox.settings)
    mended = postman_run(2, stats={"requests": {"total": 2, "failed": 1}})
    sandbox.put_postman_run(mended)
    load(sandbox.settings)
    assert query(
        warehouse_url,
        "select retry_outcome from ingest.rejected_records where source = 'postman'",
    ) == [("superseded",)]
    assert reparse_rejected(make_settings(sandbox.settings), "postman", warehouse_url)[1] == []
