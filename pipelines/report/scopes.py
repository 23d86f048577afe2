"""What collections and projects are called on the page."""

from dataclasses import dataclass

from pipelines.report.formats import seen, short_id
from pipelines.report.reading import Row
from pipelines.sources.registry import REGISTRY


@dataclass(frozen=True)
class Scopes:
    """Names by system and ID; one without a name is called by its ID."""

    names: dict[tuple[str, str | None], str]

    def name(self, system: str, scope: str | None) -> str:
        """`Payments`, `collection 40817263-0b7c…`, `project 1`."""
        if (system, scope) in self.names:
            return self.names[system, scope]
        kind = REGISTRY[system].scope_kind
        return f"no {kind}" if scope is None else f"{kind} {short_id(scope)}"


def scopes(rows: list[Row]) -> Scopes:
    """The names that the marts know."""
    return Scopes({(row["system"], row["scope"]): seen(row["name"]) for row in rows if row["name"]})
