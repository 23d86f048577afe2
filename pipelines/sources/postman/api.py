"""The two requests of Postman's run history: a page of summaries, and one run's detail."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pipelines.errors import PermanentError
from pipelines.http.client import Client
from pipelines.sources.fields import BadFieldError, items

LIST_ENDPOINT = "GET collections/{id}/runs"
RUN_ENDPOINT = "GET collections/{id}/runs/{runId}"
# The most that a page may hold: the fewest requests for a history.
PAGE_LIMIT = 100


@dataclass(frozen=True)
class RunPage:
    """Summaries as sent; `next_cursor` is None on the last page, `total` if none is announced."""

    runs: list[Any]
    next_cursor: str | None
    total: int | None


async def run_page(
    client: Client,
    collection_id: str,
    *,
    cursor: str | None = None,
    limit: int = PAGE_LIMIT,
    status: str | None = None,
    source: str | None = None,
) -> RunPage:
    """One page of a collection's run history, the page after `cursor`.

    `status` and `source` take one value each of the API's enumerations. Raises BadRequestError
    (400) for a cursor that the API no longer takes, and ApiError otherwise.
    """
    filters = {"limit": limit, "cursor": cursor, "status": status, "source": source}
    params = {name: value for name, value in filters.items() if value is not None}
    path = f"collections/{quote(collection_id)}/runs"
    answer = await client.get(LIST_ENDPOINT, path, params, member="runs", is_list=True)
    meta = answer.body.get("meta") or {}
    next_cursor = meta.get("nextCursor") if isinstance(meta, dict) else None
    total = meta.get("total") if isinstance(meta, dict) else None
    if not isinstance(next_cursor, str | None):
        raise PermanentError(f"{client.name} {LIST_ENDPOINT}: meta.nextCursor is no text")
    try:
        runs = items(answer.body, "runs")
    except BadFieldError as bad:
        raise PermanentError(f"{client.name} {LIST_ENDPOINT}: {bad}") from None
    return RunPage(runs, next_cursor or None, total if type(total) is int else None)


async def run_detail(client: Client, collection_id: str, run_id: str) -> tuple[Any, bool]:
    """One `CollectionRun` as sent, and whether it is damaged (Answer). Raises ApiError."""
    path = f"collections/{quote(collection_id)}/runs/{quote(run_id, safe='')}"
    answer = await client.get(RUN_ENDPOINT, path, {}, member="run")
    return answer.body["run"], answer.is_damaged
