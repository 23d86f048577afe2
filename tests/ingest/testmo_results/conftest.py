"""An instance with five runs, and what the warehouse is to hold of it."""

from collections.abc import Callable, Iterator

import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.server import Sandbox
from tests.support.contract import TESTMO
from tests.support.db import tables
from tests.support.factories import BOOKS
from tests.support.oracle import tables_of_testmo
from tests.support.testmo_instance import Instance, run


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def sandbox() -> Iterator[Instance]:
    data = SandboxData([], [run(number) for number in range(1, 6)], BOOKS)
    with Instance(data, requests_per_minute=1_000_000) as sandbox:
        yield sandbox


@pytest.fixture
def assert_whole(warehouse_url: str) -> Callable[[Sandbox], None]:
    def check(sandbox: Sandbox) -> None:
        expected = tables_of_testmo(sandbox.testmo_runs, TESTMO, sandbox.data.testmo_tests)
        assert tables(warehouse_url, TESTMO) == expected

    return check
