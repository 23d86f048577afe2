"""The registry: what is known of each source is whole, and costs nothing to look up."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import sources
from pipelines.sources.registry import REGISTRY, SOURCES
from tests.support.contract import POSTMAN, REFERENCES, TESTMO

FOLDERS = {file.parent.name for file in Path(sources.__file__).parent.glob("*/source.py")}


def test_every_folder_of_a_source_is_registered() -> None:
    assert set(SOURCES) == FOLDERS
    assert [spec.name for spec in REGISTRY.values()] == list(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_a_spec_names_what_the_folder_holds(name: str) -> None:
    spec = REGISTRY[name]
    runs = spec.tables[0]
    assert runs.name == spec.runs_table
    assert set(spec.preview_columns) <= set(runs.names)
    tables = [*spec.tables, *spec.references]
    assert {table.name.partition(".")[0] for table in tables} == {spec.schema}
    assert spec.settings_class.prefix == f"{name}_"
    assert (Path(sources.__file__).parent / name / "README.md").exists()


def test_the_specs_name_every_table_of_the_contract() -> None:
    tables = {
        table.name for spec in REGISTRY.values() for table in (*spec.tables, *spec.references)
    }
    assert tables == {*POSTMAN, *TESTMO, *REFERENCES}


def test_to_know_the_sources_costs_no_heavy_import() -> None:
    script = (
        "import sys, pipelines.sources.registry\n"
        "heavy = {'aiohttp', 'httpx', 'msgspec', 'psycopg', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
