"""The sandbox's rate limits, with a clock that is set by hand."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from pipelines.sandbox.data import SandboxData
from pipelines.sandbox.limits import Quota, minute_end
from pipelines.sandbox.server import Sandbox

RUN = {"id": "r", "collectionId": "c"}
TESTMO_RUN = {"id": 1, "project_id": 5}


class Clock:
    """Stands at a time until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 11, 28, 12, 0, 18, tzinfo=UTC))


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    data = SandboxData([RUN], [TESTMO_RUN], {})
    with Sandbox(data, requests_per_minute=3, monthly_limit=5, clock=clock) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client() as client:
        yield client


Request = Callable[..., httpx.Response]


@pytest.fixture
def request_postman(sandbox: Sandbox, client: httpx.Client) -> Request:
    def request(key: str = sandbox.postman_api_key) -> httpx.Response:
        url = f"{sandbox.postman_url}/collections/c/runs"
        return client.get(url, headers={"x-api-key": key})

    return request


@pytest.fixture
def request_testmo(sandbox: Sandbox, client: httpx.Client) -> Request:
    def request(token: str = sandbox.testmo_api_token) -> httpx.Response:
        url = f"{sandbox.testmo_url}/projects/5/automation/runs"
        return client.get(url, headers={"Authorization": f"Bearer {token}"})

    return request


def test_postman_announces_the_minute_and_the_month_on_every_answer(
    request_postman: Request,
) -> None:
    answer = request_postman()
    assert answer.status_code == 200
    announced = {name: value for name, value in answer.headers.items() if "ratelimit" in name}
    assert announced == {
        "ratelimit-limit": "3",
        "ratelimit-remaining": "2",
        "ratelimit-reset": "42",
        "ratelimit-policy": "3;w=60",
        "x-ratelimit-limit": "5",
        "x-ratelimit-remaining": "4",
        "ratelimit-limit-month": "5",
        "ratelimit-remaining-month": "4",
    }
    assert "Retry-After" not in answer.headers


def test_a_quota_that_nobody_used_yet_knows_when_it_is_fresh(clock: Clock) -> None:
    assert Quota(3, minute_end, clock).reset_seconds == 42


def test_a_request_with_a_wrong_key_gets_the_limits_and_spends_nothing(
    request_postman: Request,
) -> None:
    answer = request_postman("wrong")
    assert answer.status_code == 401
    assert answer.headers["RateLimit-Remaining"] == "3"
    assert answer.headers["X-RateLimit-Remaining"] == "5"
    assert request_postman().headers["RateLimit-Remaining"] == "2"


def test_postman_refuses_until_the_minute_is_over(request_postman: Request, clock: Clock) -> None:
    assert [request_postman().status_code for _ in range(4)] == [200, 200, 200, 429]
    clock.now += timedelta(seconds=41.5)
    refused = request_postman()
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == refused.headers["RetryAfter"] == "1"
    assert refused.headers["RateLimit-Remaining"] == "0"
    assert refused.json()["error"] == "rateLimited"
    assert "1 seconds" in refused.json()["message"]
    clock.now += timedelta(seconds=0.5)
    assert request_postman().status_code == 200


def test_refused_requests_spend_nothing_of_the_month(request_postman: Request) -> None:
    left = [request_postman().headers["X-RateLimit-Remaining"] for _ in range(6)]
    assert left == ["4", "3", "2", "2", "2", "2"]


def test_an_exhausted_month_is_refused_until_the_next_begins(
    request_postman: Request, clock: Clock
) -> None:
    for _ in range(5):
        assert request_postman().status_code == 200
        clock.now += timedelta(minutes=1)
    refused = request_postman()
    assert refused.status_code == 429
    assert refused.json()["error"] == "serviceLimitExhausted"
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    next_month = datetime(2026, 12, 1, tzinfo=UTC)
    assert refused.headers["Retry-After"] == str((next_month - clock.now).seconds + 2 * 86_400)
    clock.now = next_month
    assert request_postman().headers["X-RateLimit-Remaining"] == "4"


def test_december_is_followed_by_january(request_postman: Request, clock: Clock) -> None:
    clock.now = datetime(2026, 12, 31, 23, 59, 30, tzinfo=UTC)
    request_postman()
    clock.now = datetime(2027, 1, 1, tzinfo=UTC)
    assert request_postman().headers["X-RateLimit-Remaining"] == "4"


def test_testmo_announces_nothing_and_refuses_until_the_minute_is_over(
    request_testmo: Request, clock: Clock
) -> None:
    for _ in range(3):
        answer = request_testmo()
        assert answer.status_code == 200
        assert not [name for name in answer.headers if "ratelimit" in name or "retry" in name]
    refused = request_testmo()
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "42"
    assert refused.json() == {"message": "Too Many Attempts."}
    clock.now += timedelta(seconds=42)
    assert request_testmo().status_code == 200


def test_a_wrong_testmo_token_spends_nothing(request_testmo: Request) -> None:
    assert [request_testmo("wrong").status_code for _ in range(5)] == [401] * 5
    assert [request_testmo().status_code for _ in range(4)] == [200, 200, 200, 429]


def test_each_api_has_a_quota_of_its_own(request_postman: Request, request_testmo: Request) -> None:
    assert [request_testmo().status_code for _ in range(4)][-1] == 429
    assert request_postman().status_code == 200
