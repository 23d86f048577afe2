"""What the tests of failures share: a small history, and requests that are repeated at once."""

from collections.abc import Iterator

import pytest

from tests.support.small_history import small_sandbox
from tests.support.tampering import Tampered


@pytest.fixture
def warehouse_url(emptied_url: str) -> str:
    return emptied_url


@pytest.fixture
def sandbox() -> Iterator[Tampered]:
    with small_sandbox() as sandbox:
        yield sandbox
