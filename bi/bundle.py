"""The YAML of `bi/superset/` as the archive that Superset imports, and its exports as that YAML.

What Superset numbers anew in each installation (IDs of charts and datasets, which charts a filter
reaches) is left out, so that an export of what was imported changes nothing.
"""

import io
import json
import sqlite3
import uuid
from operator import itemgetter
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import yaml

FOLDER = Path(__file__).parent / "superset"
DATABASE = "databases/warehouse.yaml"

_NUMBERED = {
    "chartId", "chartsInScope", "chart_configuration", "dashboards", "datasource",
    "global_chart_configuration", "map_label_colors", "slice_id", "tabsInScope",
}  # fmt: skip
# Kept in a file of its own here, or of the moment of the export.
_NOT_KEPT = {"databases", "metadata.yaml"}

Document = dict[str, Any]


def documents(folder: Path = FOLDER) -> dict[str, Document]:
    """Every YAML file of the folder, by its path in it."""
    return {
        str(path.relative_to(folder)): yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.yaml"))
    }


def archive(uri: str) -> bytes:
    """The archive for Superset's import of assets; `uri` leads to the warehouse, no password."""
    content = io.BytesIO()
    with ZipFile(content, "w") as bundle:
        for name, document in documents().items():
            if name == "metadata.yaml":
                document["type"] = "assets"
            if name == DATABASE:
                document["sqlalchemy_uri"] = uri
            # A number that Superset replaces by its own, and wants to be there.
            for number, place in enumerate(document.get("position", {}).values()):
                if isinstance(place, dict) and place["type"] == "CHART":
                    place["meta"]["chartId"] = number
            bundle.writestr(f"testruns/{name}", dump(document))
    return content.getvalue()


def save_export(exported: bytes, folder: Path = FOLDER) -> list[str]:
    """Write what Superset exported into the folder; the paths that have changed.

    A known UUID keeps its file; what Superset does not have any more loses it.
    """
    before = documents(folder)
    paths = {document["uuid"]: name for name, document in before.items() if "uuid" in document}
    after = {}
    with ZipFile(io.BytesIO(exported)) as bundle:
        for entry in bundle.namelist():
            name = entry.partition("/")[2]
            if name.partition("/")[0] in _NOT_KEPT:
                continue
            document = _without_numbers(yaml.safe_load(bundle.read(entry)))
            # In no order of their own.
            for part, key in (("columns", "column_name"), ("metrics", "metric_name")):
                document.get(part, []).sort(key=itemgetter(key))
            after[paths.get(document["uuid"], name)] = document
    kept = {name: before[name] for name in before if name.partition("/")[0] in _NOT_KEPT}
    after |= kept
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    for name in changed:
        path = folder / name
        if name in after:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dump(after[name]), encoding="utf-8")
        else:
            path.unlink()
    return changed


def not_imported(metadata: Path) -> list[str]:
    """Names of dashboards, charts and datasets that Superset's metadata has not, or otherwise.

    That an import says nothing is no proof: some that fail end with status 0.
    """
    tables = {"datasets": "tables", "charts": "slices", "dashboards": "dashboards"}
    with sqlite3.connect(metadata) as connection:
        connection.row_factory = sqlite3.Row
        rows = {
            (kind, str(uuid.UUID(bytes=row["uuid"]))): dict(row)
            for kind, table in tables.items()
            for row in connection.execute(f"select * from {table}")  # noqa: S608 - names of ours
        }
    return [
        name
        for name, document in documents().items()
        if (kind := name.partition("/")[0]) in tables
        and not _is_held(document, rows.get((kind, document["uuid"])))
    ]


def dump(document: Document) -> str:
    """YAML with one line a value, texts of several lines as they are."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def _is_held(document: Document, row: dict[str, Any] | None) -> bool:
    if row is None:
        return False
    params = json.loads(row.get("params") or "{}")
    wanted = document.get("params") or {}
    return all(row[name] == document[name] for name in _TEXTS & document.keys()) and all(
        params.get(name) == value for name, value in wanted.items()
    )


_TEXTS = {"slice_name", "viz_type", "dashboard_title", "table_name", "schema"}


def _without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_numbers(inner) for name, inner in value.items() if name not in _NUMBERED
        }
    if isinstance(value, list):
        return [_without_numbers(inner) for inner in value]
    return value
