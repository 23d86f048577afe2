"""What assets work with, as the UI shows it: the warehouse and an API a source; never a secret.

Keys and URLs come from the settings, which each process of Dagster reads for itself: nothing of
them is part of a run's config.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from pipelines.ingest.backfill import Estimate, Window, backfill_source, estimate_source
from pipelines.ingest.load import load_source
from pipelines.ingest.progress import Progress, ScopeReport
from pipelines.settings import SOURCES, Settings, Source
from pipelines.transform.manifest import dbt_folder
from pipelines.warehouse.engine import open_warehouse
from pipelines.warehouse.reference import Reference, read_reference
from pipelines.warehouse.url import WarehouseUrl


class Warehouse(dg.ConfigurableResource[object]):
    """The Postgres that runs are loaded into: TESTRUNS_WAREHOUSE_URL, or the embedded one."""

    address: str = Field(description="Its URL without secrets.")
    timezone: str = Field(description="IANA zone of the business day.")
    settings: dg.ResourceDependency[Settings]

    @property
    def dbt_folder(self) -> Path:
        """Where dbt writes."""
        return dbt_folder(self.settings)

    def open(self) -> str:
        """Its URL, secrets included; the schema is in place. Raises WarehouseError."""
        return open_warehouse(self.settings)

    def reference(self) -> Reference:
        """What runs do not tell. Raises SettingsError."""
        return read_reference(self.settings)


class Api(dg.ConfigurableResource[object]):
    """The API of a source, and what is read of it."""

    source: Source = Field(description="The system.")
    url: str = Field(description="The root of its API.")
    scopes: list[str] = Field(description="Collections or projects that are loaded, by ID.")
    requests_per_minute: int = Field(
        description="The ceiling where the API announces none of its own."
    )
    settings: dg.ResourceDependency[Settings]

    def load(self, url: str, progress: Progress) -> list[ScopeReport]:
        """Everything new of each scope into the warehouse at `url`; a report a scope."""
        return load_source(self.settings, self._source(), url, progress)

    def backfill(
        self, scopes: Sequence[str], window: Window, url: str, progress: Progress
    ) -> list[ScopeReport]:
        """The window read again in these scopes; a report a scope."""
        source = self._source()
        return backfill_source(self.settings, source, tuple(scopes), window, url, progress)

    def estimate(self, scopes: Sequence[str], window: Window) -> list[Estimate]:
        """What a backfill would take; neither details nor the warehouse are read."""
        return estimate_source(self.settings, self._source(), tuple(scopes), window)

    def _source(self) -> Source:
        """Raises SettingsError where the source's key is unset."""
        (source,) = self.settings.require_source(self.source)
        return source


def api_key(source: Source) -> str:
    """The name of the resource of a source's API."""
    return f"{source}_api"


def resources(settings: Settings) -> dict[str, Any]:
    """The warehouse, and an API a source."""
    url = settings.testruns_warehouse_url
    address = str(WarehouseUrl.parse(url.get_secret_value())) if url else "embedded"
    zone = settings.testruns_timezone
    return {
        "warehouse": Warehouse(address=address, timezone=zone, settings=settings),
        **{api_key(source): _api(settings, source) for source in SOURCES},
    }


def _api(settings: Settings, source: Source) -> Api:
    own = settings.sources[source]
    return Api(
        source=source,
        url=own.api_url or "",
        scopes=list(settings.scopes(source)),
        requests_per_minute=own.requests_per_minute,
        settings=settings,
    )
