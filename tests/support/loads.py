"""What a load requests of the sandbox, and the tables that it leaves."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from pipelines.ingest.progress import ScopeReport
from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.contract import POSTMAN, REFERENCES, TESTMO
from tests.support.db import tables
from tests.support.factories import BOOKS, postman_run, testmo_run
from tests.support.oracle import references, tables_of_postman, tables_of_testmo

Json = dict[str, Any]
Load = Callable[..., list[ScopeReport]]
RUNS = "raw_postman.collection_runs"


def hourly_runs() -> SandboxData:
    """Twelve Postman runs and ten Testmo runs, an hour apart."""
    return SandboxData(
        [postman_run(number) for number in range(12)],
        [testmo_run(number) for number in range(1, 11)],
        BOOKS,
    )


def requests_by_kind(sandbox: Sandbox) -> Counter[str]:
    """Requests since the last call, by what they are for."""
    kinds = Counter(
        "list" if request.path.endswith("/runs") else request.path.rsplit("/", 1)[-1]
        for request in sandbox.requests
    )
    sandbox.requests.clear()
    return kinds


def only_postman(sandbox: Sandbox) -> dict[str, str]:
    return {name: value for name, value in sandbox.settings.items() if name.startswith("POSTMAN")}


def only_testmo(sandbox: Sandbox) -> dict[str, str]:
    return {name: value for name, value in sandbox.settings.items() if name.startswith("TESTMO")}


def assert_equal_to(
    url: str,
    postman: list[Json],
    testmo: list[Json],
    books: Json,
    results: Callable[[Json], list[Json]] | None = None,
) -> None:
    """Every promised table holds these runs, row for row and column for column."""
    assert tables(url, POSTMAN) == tables_of_postman(postman, POSTMAN)
    assert tables(url, TESTMO) == tables_of_testmo(testmo, TESTMO, results)
    assert tables(url, REFERENCES) == references(testmo, books, REFERENCES)
