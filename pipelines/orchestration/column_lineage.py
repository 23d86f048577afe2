"""Column lineage of the models, for the pages of their assets: each column's way to the raw tables.

It is read from the SQL that the last build has left under TESTRUNS_HOME/dbt/compiled, since dbt
writes none without a warehouse: a model that was never built has no lineage. Reading takes a third
of a second for all of them, so that it is kept beside the manifest, and done anew only for a model
whose SQL or parents' columns have changed.

Dagster draws `dagster/column_lineage` in its cloud alone; `made_of` says the same on every page, in
words.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dagster as dg

from pipelines.orchestration.columns_read import ColumnRead, Table, columns_read
from pipelines.orchestration.metadata import Metadata, table, without_empty_tables
from pipelines.transform.manifest import Manifest

Lineages = Mapping[str, Metadata]
"""Metadata by the model's name in dbt (`model.testruns.fct_test_runs`)."""

_Columns = Mapping[str, Sequence[ColumnRead]]


def column_lineage(manifest: Manifest, folder: Path) -> Lineages:
    """What each column of a model is made of, for models that have been built from `folder`.

    `folder` is where dbt writes. A model whose SQL cannot be read is left out.
    """
    read = _read(manifest, folder)
    return {unique_id: _metadata(columns) for unique_id, columns in read.items()}


def _read(manifest: Manifest, folder: Path) -> dict[str, _Columns]:
    kept = folder / "column_lineage.json"
    known = json.loads(kept.read_bytes()) if kept.exists() else {}
    current: dict[str, dict[str, list[ColumnRead]] | None] = {}
    found: dict[str, _Columns] = {}
    for unique_id, model in manifest["nodes"].items():
        compiled = folder / "compiled" / model["package_name"] / model["original_file_path"]
        if model["resource_type"] != "model" or not compiled.exists():
            continue
        query, tables = compiled.read_text(encoding="utf-8"), _tables(manifest, unique_id)
        digest = _digest(query, tables)
        current[digest] = known[digest] if digest in known else columns_read(query, tables)
        if columns := current[digest]:
            # What an incremental model held before is no other table.
            found[unique_id] = {
                column: [(*one,) for one in made_of if (one[0], one[1]) != _table(model)]
                for column, made_of in columns.items()
            }
    if current.keys() != known.keys():
        # Several processes may do so at once; each puts down a whole file, and the same.
        written = kept.with_suffix(f".{os.getpid()}")
        written.write_text(json.dumps(current), encoding="utf-8")
        written.replace(kept)
    return found


def _table(node: Mapping[str, Any]) -> Table:
    return node["schema"], node.get("identifier") or node["alias"]


def _tables(manifest: Manifest, unique_id: str) -> dict[Table, Sequence[str]]:
    """What a model may read, itself as it was included, with all columns."""
    named = {**manifest["nodes"], **manifest["sources"]}
    read = [unique_id, *manifest["nodes"][unique_id]["depends_on"]["nodes"]]
    return {_table(named[one]): list(named[one]["columns"]) for one in read}


def _digest(query: str, tables: Mapping[Table, Sequence[str]]) -> str:
    """Changes with all that a lineage depends on, the programs that read it included."""
    programs = [version("sqlglot"), version("testruns")]
    told = json.dumps([query, sorted(tables.items()), programs])
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _metadata(columns: _Columns) -> Metadata:
    deps = {
        column: [dg.TableColumnDep(dg.AssetKey([schema, name]), one) for schema, name, one in read]
        for column, read in columns.items()
    }
    made_of = (
        {"column": column, "made_of": ", ".join(".".join(one) for one in read)}
        for column, read in columns.items()
        if read
    )
    told = {"dagster/column_lineage": dg.TableColumnLineage(deps), "made_of": table(made_of)}
    return without_empty_tables(told)
