"""Testmo's requests: a page of a project's runs, a run by ID, a page of a run's test results."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.errors import PermanentError
from pipelines.http.client import Client
from pipelines.sources.fields import BadFieldError, items

LIST_ENDPOINT = "GET projects/{id}/automation/runs"
RUN_ENDPOINT = "GET automation/runs/{id}"
TESTS_ENDPOINT = "GET automation/runs/{id}/tests"
PAGE_SIZE = 100
TESTS_PAGE_SIZE = 1000
EXPANDS = ("automation_sources", "configs", "milestones", "statuses", "users")


@dataclass(frozen=True)
class Filters:
    """Which runs a project's list shows: none given, all of them."""

    source_id: Sequence[int] = ()
    config_id: Sequence[int] = ()
    milestone_id: Sequence[int] = ()
    created_by: Sequence[int] = ()
    status: Sequence[int] = ()
    tags: Sequence[str] = ()

    def params(self) -> dict[str, str]:
        """The filters as the API takes them: comma-separated, none that is empty."""
        return {
            name: ",".join(str(value) for value in values)
            for name, values in vars(self).items()
            if values
        }


@dataclass(frozen=True)
class RunPage:
    """Runs as sent, their `expands`, whether a page follows; how many runs match, if announced."""

    runs: list[Any]
    expands: object
    has_next: bool
    total: int | None = None


@dataclass(frozen=True)
class TestsPage:
    """Test results as sent, `expands` beside them, and what the page says of those behind it.

    `total` are the results of the run, `last_page` is the last page's number; None: not said.
    """

    __test__ = False  # pytest would otherwise collect a class of this name

    results: list[Any]
    expands: object = None
    has_next: bool = False
    last_page: int | None = None
    total: int | None = None


async def run_page(
    client: Client,
    project_id: str,
    *,
    filters: Filters,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    page: int = 1,
    per_page: int = PAGE_SIZE,
    order: str = "asc",
    expands: Sequence[str] = EXPANDS,
) -> RunPage:
    """One page of a project's runs, oldest first unless `order` is "desc".

    `per_page` is 15, 25, 50 or 100. Bounds are cut to whole seconds; whether the API counts them
    in is not documented, so ask from a second before. Raises ApiError.
    """
    params: dict[str, Any] = {
        "page": page,
        "per_page": per_page,
        "sort": "automation_runs:created_at",
        "order": order,
        "expands": ",".join(expands),
        **filters.params(),
    }
    if created_after is not None:
        params["created_after"] = iso_seconds(created_after)
    if created_before is not None:
        params["created_before"] = iso_seconds(created_before)
    path = f"projects/{project_id}/automation/runs"
    answer = await client.get(LIST_ENDPOINT, path, params, member="result", is_list=True)
    try:
        runs = items(answer.body, "result")
    except BadFieldError as bad:
        raise PermanentError(f"{client.name} {LIST_ENDPOINT}: {bad}") from None
    total = answer.body.get("total")
    return RunPage(
        runs,
        answer.body.get("expands"),
        bool(answer.body.get("next_page")),
        total if type(total) is int else None,
    )


async def run_by_id(
    client: Client, run_id: str, expands: Sequence[str] = EXPANDS
) -> tuple[Any, object, bool]:
    """One run as sent, its `expands`, whether they are damaged (Answer). Raises ApiError."""
    params = {"expands": ",".join(expands)}
    answer = await client.get(RUN_ENDPOINT, f"automation/runs/{run_id}", params, member="result")
    return answer.body["result"], answer.body.get("expands"), answer.is_damaged


async def tests_page(client: Client, run_id: str, page: int) -> TestsPage:
    """One page of a run's test results, in the order of their IDs, which new ones only lengthen.

    Raises ApiError.
    """
    params = {
        "page": page,
        "per_page": TESTS_PAGE_SIZE,
        "sort": "automation_run_tests:id",
        "order": "asc",
    }
    path = f"automation/runs/{run_id}/tests"
    answer = await client.get(TESTS_ENDPOINT, path, params, member="result", is_list=True)
    body = answer.body
    try:
        results = items(body, "result")
    except BadFieldError as bad:
        raise PermanentError(f"{client.name} {TESTS_ENDPOINT}: {bad}") from None
    last_page, total = (
        value if type(value := body.get(name)) is int else None for name in ("last_page", "total")
    )
    return TestsPage(results, body.get("expands"), bool(body.get("next_page")), last_page, total)


def iso_seconds(moment: datetime) -> str:
    """ISO 8601 in UTC, cut to the whole second: `2026-07-01T02:04:51Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
