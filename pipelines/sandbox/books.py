"""The objects that Testmo's runs refer to by ID, and which of them an answer's `expands` holds."""

from collections.abc import Iterable, Iterator
from typing import Any

from pipelines.sandbox.wire import Json

STATUS_COUNTS = {
    "untested_count": "untested",
    **{f"status{number}_count": f"status{number}" for number in range(1, 25)},
}
_FIELDS = {
    "automation_sources": ("source_id",),
    "configs": ("config_id",),
    "milestones": ("milestone_id",),
    "users": ("created_by", "updated_by", "completed_by"),
}
_NAMES_BY_ID = ("configs", "milestones", "users")

References = dict[str, set[int | str]]


class Books:
    """All objects of an instance, by what refers to them: an ID, or a status's system name."""

    def __init__(self, books: Json) -> None:
        """Take them in the shape of SandboxData; sources are shown by `id` and `name` alone."""
        named = {
            book: {int(key): {"id": int(key), "name": name} for key, name in books[book].items()}
            for book in _NAMES_BY_ID
            if book in books
        }
        sources = books.get("automation_sources", ())
        self.project_ids = [int(key) for key in books.get("projects", ())]
        self._objects: dict[str, dict[Any, Json]] = {
            "automation_sources": {s["id"]: {"id": s["id"], "name": s["name"]} for s in sources},
            "statuses": {s["system_name"]: s for s in books.get("statuses", ())},
            **named,
        }

    def expands(
        self, expands: Iterable[str], references: Iterable[References]
    ) -> dict[str, list[Json]] | list[Json]:
        """Give the objects referred to, under each expand requested; `[]` where there are none."""
        wanted: References = {name: set() for name in expands}
        for seen in references:
            for name in wanted:
                wanted[name] |= seen[name]
        books = {
            name: sorted(
                (book[key] for key in wanted[name] if key in book), key=lambda item: item["id"]
            )
            for name, book in self._objects.items()
            if name in wanted
        }
        return {name: objects for name, objects in books.items() if objects} or []


def references_of(run: Json) -> References:
    """Give what a run and its threads refer to, where the fields hold what they should."""
    references: References = {name: set() for name in (*_FIELDS, "statuses")}
    for part in _with_threads(run):
        for name, fields in _FIELDS.items():
            references[name].update(
                value for field in fields if type(value := part.get(field)) is int
            )
        references["statuses"].update(
            system_name for count, system_name in STATUS_COUNTS.items() if part.get(count)
        )
    return references


def books_of(runs: Iterable[Json]) -> Json:
    """Make up books for runs that come without: `source 3`, `user 1`, and so on.

    Of the numbered statuses, 1 is taken for passed and 2 for failed, as the reference page's
    example counts them, and any other for final and neither.
    """
    seen: dict[str, set[Any]] = {name: set() for name in (*_FIELDS, "statuses", "projects")}
    for run in runs:
        references = references_of(run)
        references["projects"] = {run["project_id"]}
        sources = {(key, run["project_id"]) for key in references.pop("automation_sources")}
        seen["automation_sources"] |= sources
        for name, keys in references.items():
            seen[name] |= keys
    return {
        "automation_sources": [
            {"id": key, "project_id": project_id, "name": f"source {key}"}
            for key, project_id in sorted(seen["automation_sources"])
        ],
        "statuses": [
            _made_up_status(status_id, system_name)
            for status_id, system_name in enumerate(STATUS_COUNTS.values(), start=1)
            if system_name in seen["statuses"]
        ],
        **{
            name: {str(key): f"{name.removesuffix('s')} {key}" for key in sorted(seen[name])}
            for name in (*_NAMES_BY_ID, "projects")
        },
    }


def _made_up_status(status_id: int, system_name: str) -> Json:
    return {
        "id": status_id,
        "name": system_name,
        "system_name": system_name,
        "color": "#808080",
        "is_final": system_name != "untested",
        "is_untested": system_name == "untested",
        "is_passed": system_name == "status1",
        "is_failed": system_name == "status2",
        "aliases": [],
    }


def _with_threads(run: Json) -> Iterator[Json]:
    yield run
    threads = run.get("threads")
    if isinstance(threads, list):
        yield from (thread for thread in threads if isinstance(thread, dict))
