"""Six Postman runs and five of Testmo, served by a sandbox whose answers tests may change."""

from collections.abc import Callable
from typing import Any

from pipelines.ingest.progress import ScopeReport
from pipelines.sandbox.data import SandboxData
from tests.support.contract import POSTMAN, TESTMO
from tests.support.db import query, tables
from tests.support.factories import BOOKS, postman_run, testmo_run
from tests.support.oracle import tables_of_postman, tables_of_testmo
from tests.support.tampering import Tampered

Json = dict[str, Any]
Load = Callable[..., list[ScopeReport]]
RUNS = "raw_postman.collection_runs"
POSTMAN_KEY = "PMAK-0123456789abcdef-secret"
TESTMO_TOKEN = "testmo_api_eyJpdiI6IlNlY3JldCJ9"
ALL_POSTMAN = [postman_run(number) for number in range(6)]
ALL_TESTMO = [testmo_run(number) for number in range(1, 6)]


def small_sandbox() -> Tampered:
    data = SandboxData(list(ALL_POSTMAN), list(ALL_TESTMO), BOOKS)
    return Tampered(data, postman_api_key=POSTMAN_KEY, testmo_api_token=TESTMO_TOKEN)


def rejected(url: str) -> list[tuple[Any, ...]]:
    return query(
        url,
        "select source, endpoint, run_id, payload, error from ingest.rejected_records"
        " order by rejected_id",
    )


def assert_loaded(url: str, postman: list[Json], testmo: list[Json]) -> None:
    assert tables(url, POSTMAN) == tables_of_postman(postman, POSTMAN)
    assert tables(url, TESTMO) == tables_of_testmo(testmo, TESTMO)
