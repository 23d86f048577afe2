"""What the rest of the package may know of a source; its folder holds all else.

A spec is plain data, so that it costs no import of HTTP, Postgres or pydantic to name the sources.
The modules of a source's folder are imported when something of theirs is needed first:

    settings.py  SETTINGS             its class of settings (SourceSettings)
    tables.py    TABLES, REFERENCES   the tables of its runs, theirs first; of what they refer to
    source.py    connect              makes the source itself (pipelines.sources.base)
"""

from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.http.client import Client
    from pipelines.sources.base import RunSource
    from pipelines.sources.columns import Table
    from pipelines.sources.redaction import Redactor
    from pipelines.sources.settings import SourceSettings

SourceName = str


@dataclass(frozen=True)
class SourceSpec:
    """One source.

    `name` stands in settings, tables and asset keys, `title` where people read; `scope_kind` is
    what a scope is called; `key_header` is the header that carries the API key, and what stands
    before the key in it; `runs_table` holds a row for each run, of which `preview_columns` are
    worth a look; `docs_url` is None where the API's reference has no address of its own.
    """

    name: SourceName
    title: str
    scope_kind: str
    key_header: tuple[str, str]
    runs_table: str
    preview_columns: tuple[str, ...]
    docs_url: str | None = None

    @property
    def scope_option(self) -> str:
        """The option of commands that names scopes: `--collection`."""
        return f"--{self.scope_kind}"

    @property
    def pool(self) -> str:
        """The pool of Dagster's in which one step at a time sends requests to the API."""
        return f"{self.name}_api"

    @property
    def schema(self) -> str:
        """The schema of its tables."""
        return self.runs_table.partition(".")[0]

    @property
    def settings_class(self) -> "type[SourceSettings]":
        """The class of its settings; their variables begin with its name."""
        settings: type[SourceSettings] = self._module("settings").SETTINGS
        return settings

    @property
    def key_setting(self) -> str:
        """The variable of the API key."""
        return self.settings_class.variable("key")

    @property
    def tables(self) -> "Sequence[Table]":
        """The tables of its runs, the runs' own first."""
        tables: Sequence[Table] = self._module("tables").TABLES
        return tables

    @property
    def references(self) -> "Sequence[Table]":
        """The tables of the objects that runs refer to."""
        references: Sequence[Table] = self._module("tables").REFERENCES
        return references

    def connect(
        self,
        client: "Client",
        settings: "SourceSettings",
        redactor: "Redactor",
        lookback: timedelta,
    ) -> "RunSource":
        """The source as a load sees it; it sends no request yet."""
        source: RunSource = self._module("source").connect(client, settings, redactor, lookback)
        return source

    def _module(self, name: str) -> ModuleType:
        return import_module(f"pipelines.sources.{self.name}.{name}")
