"""Attempts, waits, and what is worth another attempt."""

import pytest

from pipelines.errors import (
    PermanentError,
    QuotaSpentError,
    TransientError,
    UnreachableError,
    WarehouseError,
)
from pipelines.http.retry import NO_RETRY, RetryPolicy


def test_waits_grow_and_only_shrink_at_random() -> None:
    policy = RetryPolicy(first_wait_seconds=1, growth=3, jitter=0.5)
    for attempt, longest in enumerate([1, 3, 9]):
        waits = {policy.wait_seconds(attempt) for _ in range(50)}
        assert len(waits) > 1
        assert longest / 2 <= min(waits) <= max(waits) <= longest


def test_without_jitter_a_wait_is_exact() -> None:
    policy = RetryPolicy(first_wait_seconds=60, jitter=0)
    assert [policy.wait_seconds(attempt) for attempt in range(3)] == [60, 120, 240]


def test_attempts_count_the_first_one() -> None:
    assert [RetryPolicy(attempts=3).has_more(attempt) for attempt in range(3)] == [
        True,
        True,
        False,
    ]
    assert not NO_RETRY.has_more(0)


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        (TransientError("HTTP 500"), True),
        (UnreachableError("refused"), True),
        (QuotaSpentError("resumes tomorrow"), False),
        (PermanentError("HTTP 403"), False),
        (WarehouseError("the warehouse failed"), False),
    ],
)
def test_only_what_may_pass_is_transient(error: Exception, is_transient: bool) -> None:  # noqa: FBT001
    assert RetryPolicy().is_transient(error) is is_transient


def test_a_policy_may_count_other_failures_as_transient() -> None:
    policy = RetryPolicy(transient=(TransientError, WarehouseError))
    assert policy.is_transient(WarehouseError("the warehouse failed"))
