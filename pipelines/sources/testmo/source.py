"""Testmo as a load sees it: the walk, one run and the rows, bound to one set of settings."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from pipelines.http.client import Client
from pipelines.sources.base import (
    FlatRun,
    Page,
    References,
    Rows,
    Watermark,
)
from pipelines.sources.columns import names_by_table, objects_of
from pipelines.sources.content import digest, redaction_salt
from pipelines.sources.fields import Json, instant
from pipelines.sources.redaction import Redactor
from pipelines.sources.spec import SourceName
from pipelines.sources.testmo import api, tables
from pipelines.sources.testmo.expands import ExpandsFlattener
from pipelines.sources.testmo.paging import pages
from pipelines.sources.testmo.run_tests import RunTests
from pipelines.sources.testmo.settings import TestmoSettings

_SECOND = timedelta(seconds=1)


class TestmoRuns:
    """The automation runs of the configured projects; a scope is a project's ID."""

    __test__ = False  # pytest would otherwise collect a class of this name

    name: SourceName = "testmo"
    columns = names_by_table(tables.TABLES)
    reference_columns = names_by_table(tables.REFERENCES)
    nested = objects_of(tables.TABLES)
    list_endpoint = api.LIST_ENDPOINT
    run_endpoint = api.RUN_ENDPOINT
    results: RunTests | None

    def __init__(
        self, client: Client, settings: TestmoSettings, redactor: Redactor, lookback: timedelta
    ) -> None:
        self.client, self.redactor = client, redactor
        self._filters = api.Filters(
            source_id=settings.source_ids,
            config_id=settings.config_ids,
            milestone_id=settings.milestone_ids,
            created_by=settings.created_by,
            tags=settings.tags,
        )
        self._lookback = lookback
        self._flattener = tables.Flattener(redactor)
        self._expands = ExpandsFlattener(redactor)
        self._salt = redaction_salt(redactor)
        self.results = (
            RunTests(client, redactor, self._expands, settings.variable("load_tests"))
            if settings.load_tests
            else None
        )

    @property
    def filters(self) -> str:
        """The filters in force, their values sorted."""
        params = self._filters.params()
        return " ".join(f"{name}={','.join(sorted(params[name].split(',')))}" for name in params)

    def pages(self, scope: str, watermark: Watermark, *, now: datetime) -> AsyncIterator[Page]:
        """Pages of runs, oldest first, from the lookback before the high water."""
        since = None if watermark.high_water is None else watermark.high_water - self._lookback
        return self._pages(scope, watermark, since, None, now)

    def window(
        self, scope: str, watermark: Watermark, *, since: datetime, until: datetime, now: datetime
    ) -> AsyncIterator[Page]:
        """Pages of runs created in the window, oldest first."""
        # The API's bounds have whole seconds and may not count themselves in.
        return self._pages(scope, watermark, since - _SECOND, until + _SECOND, now)

    async def _pages(
        self,
        scope: str,
        watermark: Watermark,
        since: datetime | None,
        until: datetime | None,
        now: datetime,
    ) -> AsyncIterator[Page]:
        async def fetch(created_after: datetime | None, page: int) -> api.RunPage:
            return await api.run_page(
                self.client,
                scope,
                filters=self._filters,
                created_after=created_after,
                created_before=until,
                page=page,
            )

        async for page in pages(
            fetch, watermark, since=since, now=now, references=self._expands.flatten
        ):
            yield page

    def run_id(self, listed: Json) -> str:
        """The run's ID as text. Raises BadFieldError."""
        return str(tables.id_of(listed))

    def opened_at(self, listed: Json) -> datetime | None:
        """The run's creation. Raises BadFieldError."""
        return instant(listed, "created_at")

    def is_whole(self, listed: Json) -> bool:
        """Whether the list carries threads, tags, fields, links and artifacts (it may or not)."""
        return listed.keys() >= tables.LISTS

    async def fetch(self, scope: str, run_id: str) -> tuple[Any, References, bool]:  # noqa: ARG002 - IDs are global
        """One run as sent, what it refers to, and whether it is damaged."""
        run, expands, is_damaged = await api.run_by_id(self.client, run_id)
        return run, self._expands.flatten(expands), is_damaged

    def reference(self, member: str, record: Any) -> Rows:
        """The row of an object of `expands`. Raises BadFieldError."""
        return self._expands.row(member.removeprefix("expands."), record)

    def flatten(self, run: Json, canonical: bytes) -> FlatRun:
        """The run as rows; `canonical` is its JSON. Raises BadFieldError."""
        return self._flattener.flatten(run, digest(canonical, self._salt))


connect = TestmoRuns
