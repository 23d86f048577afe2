"""The collection inside a newman report: its name, its folders, and a digest of its content."""

import hashlib
from collections.abc import Iterator
from typing import Any

from pipelines.sources.content import canonical_json
from pipelines.sources.fields import Json
from pipelines.sources.reports.postman.urls import url_text
from pipelines.sources.reports.values import as_list, as_object, as_text, member


class Collection:
    """A Postman collection (schema 2.x) without its secrets."""

    def __init__(self, collection: Json) -> None:
        self._collection = collection
        self.name = as_text(member(collection, "info", "name"))
        self.postman_id = as_text(member(collection, "info", "_postman_id"))
        self._folders = {
            item_id: folder
            for folder, item in _items(collection, ())
            if folder and (item_id := as_text(item.get("id")))
        }

    def folder(self, item_id: str | None) -> list[str] | None:
        """Names of the folders in which an item stands, outermost first; None: in none."""
        folder = self._folders.get(item_id or "")
        return list(folder) if folder else None

    def digest(self) -> str | None:
        """SHA-256 of what is tested and how, in hexadecimal; None without items.

        IDs, descriptions, saved responses and the values of variables are not part of it: equal
        for equal tests, whoever exported them.
        """
        if not as_list(self._collection.get("item")):
            return None
        content = [
            {
                "folder": list(folder),
                "name": as_text(item.get("name")),
                "method": as_text(member(item, "request", "method")),
                "url": url_text(member(item, "request", "url"), is_template=True),
                "scripts": _scripts(item),
            }
            for folder, item in _items(self._collection, (), with_folders=True)
        ]
        content.append({"scripts": _scripts(self._collection)})
        return hashlib.sha256(canonical_json({"items": content})).hexdigest()


def _items(
    parent: Json, folder: tuple[str, ...], *, with_folders: bool = False
) -> Iterator[tuple[tuple[str, ...], Json]]:
    """(names of the folders around it, item), in the order of the collection."""
    for item in map(as_object, as_list(parent.get("item"))):
        is_folder = isinstance(item.get("item"), list)
        if with_folders or not is_folder:
            yield folder, item
        if is_folder:
            inner = (*folder, as_text(item.get("name")) or "")
            yield from _items(item, inner, with_folders=with_folders)


def _scripts(item: Json) -> list[list[Any]]:
    """(event, lines) of each script that has any."""
    scripts = []
    for event in map(as_object, as_list(item.get("event"))):
        lines = member(event, "script", "exec")
        if isinstance(lines, str):
            lines = lines.split("\n")
        if lines := [as_text(line) or "" for line in as_list(lines)]:
            scripts.append([as_text(event.get("listen")), lines])
    return scripts
