"""Postman as a load sees it: the walk, the detail and the rows, bound to one set of settings."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pipelines.http.client import Client
from pipelines.sources.base import (
    NO_REFERENCES,
    FlatRun,
    Page,
    References,
    Rows,
    Watermark,
)
from pipelines.sources.columns import names_by_table, objects_of
from pipelines.sources.content import digest, redaction_salt
from pipelines.sources.fields import BadFieldError, Json, instant
from pipelines.sources.postman import api, tables
from pipelines.sources.postman.paging import CutShortError, pages
from pipelines.sources.postman.settings import PostmanSettings
from pipelines.sources.redaction import Redactor
from pipelines.sources.spec import SourceName


class PostmanRuns:
    """The run histories of the configured collections; a scope is a collection's ID."""

    name: SourceName = "postman"
    columns = names_by_table(tables.TABLES)
    reference_columns = names_by_table(tables.REFERENCES)
    nested = objects_of(tables.TABLES)
    list_endpoint = api.LIST_ENDPOINT
    run_endpoint = api.RUN_ENDPOINT
    results = None

    def __init__(
        self, client: Client, settings: PostmanSettings, redactor: Redactor, lookback: timedelta
    ) -> None:
        self.client, self.redactor = client, redactor
        self._sources = settings.run_sources
        self._lookback = lookback
        self._flattener = tables.Flattener(redactor)
        self._salt = redaction_salt(redactor)

    @property
    def filters(self) -> str:
        """The sources of runs that are loaded, sorted."""
        return ",".join(sorted(self._sources))

    def pages(self, scope: str, watermark: Watermark, *, now: datetime) -> AsyncIterator[Page]:
        """Pages of summaries, newest first where the list is."""
        return self._pages(scope, watermark, now)

    def window(
        self,
        scope: str,
        watermark: Watermark,
        *,
        since: datetime,
        until: datetime,  # noqa: ARG002 - the list filters by no time
        now: datetime,
    ) -> AsyncIterator[Page]:
        """Pages down to `since`: a walk whose high water would lie there."""
        return self._pages(
            scope, Watermark(high_water=since, known_order=watermark.known_order), now
        )

    async def _pages(self, scope: str, watermark: Watermark, now: datetime) -> AsyncIterator[Page]:
        # The API filters by one source; several are filtered here.
        source = self._sources[0] if len(self._sources) == 1 else None
        try:
            async for page in self._walk_filtered(scope, watermark, now, source):
                watermark = page.watermark
                yield page
        except CutShortError:
            if source is None:
                raise
            # Whether the total counts what the filter hides is not documented: without the filter
            # it proves something. The cursors of that walk are not kept, for the next has it again.
            async for page in self._walk_filtered(scope, watermark, now, None):
                yield replace(page, watermark=replace(page.watermark, cursor=None, walk=None))

    async def _walk_filtered(
        self, scope: str, watermark: Watermark, now: datetime, source: str | None
    ) -> AsyncIterator[Page]:
        async def fetch(cursor: str | None) -> api.RunPage:
            return await api.run_page(self.client, scope, cursor=cursor, source=source)

        async for page in pages(fetch, watermark, lookback=self._lookback, now=now):
            yield replace(page, runs=[run for run in page.runs if self._is_wanted(run)])

    def _is_wanted(self, listed: Any) -> bool:
        if not self._sources or not isinstance(listed, dict):
            return True
        return listed.get("source") in self._sources

    def run_id(self, listed: Json) -> str:
        """The summary's ID. Raises BadFieldError."""
        return tables.run_id(listed)

    def opened_at(self, listed: Json) -> datetime | None:
        """The summary's start; None: queued. Raises BadFieldError."""
        return instant(listed, "startedAt")

    def is_whole(self, listed: Json) -> bool:  # noqa: ARG002 - a summary never is
        """Never: executions stand in the detail alone."""
        return False

    async def fetch(self, scope: str, run_id: str) -> tuple[Any, References, bool]:
        """One run's detail as sent, and whether it is damaged; it refers to nothing."""
        run, is_damaged = await api.run_detail(self.client, scope, run_id)
        return run, NO_REFERENCES, is_damaged

    def reference(self, member: str, record: Any) -> Rows:  # noqa: ARG002 - there is none
        """Never: runs refer to nothing."""
        raise BadFieldError(member, "is nothing that Postman sends")

    def flatten(self, run: Json, canonical: bytes) -> FlatRun:
        """The run as rows; `canonical` is its JSON. Raises BadFieldError."""
        return self._flattener.flatten(run, digest(canonical, self._salt))


connect = PostmanRuns
