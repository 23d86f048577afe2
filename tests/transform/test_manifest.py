"""dbt's project is parsed once, wherever it is needed next, and again when it changes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import TransformError
from pipelines.resources import bundled
from pipelines.settings import Settings, load_settings
from pipelines.transform import manifest as module
from pipelines.transform.manifest import load_manifest, project_digest, read_manifest

URL = "postgresql://u@127.0.0.1:1/elsewhere"


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the project, of which nothing has been parsed, in a read-only installation."""
    copy = tmp_path / "dbt_project"
    shutil.copytree(bundled("dbt_project"), copy, ignore=shutil.ignore_patterns("target", "logs"))
    for name in ("manifest", "runner"):
        monkeypatch.setattr(f"pipelines.transform.{name}.bundled", lambda _: copy)
    monkeypatch.setattr(module, "_SHIPPED", Path("/proc/read-only/parsed"))
    return copy


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    variables = {"TESTRUNS_HOME": str(tmp_path / "home"), "TESTRUNS_WAREHOUSE_URL": URL}
    return load_settings(variables, tmp_path)


def test_folders_that_dbt_leaves_in_the_project_change_nothing(project: Path) -> None:
    before = project_digest()
    for folder in ("target/compiled/models/dim_dates.yml", "models/staging/empty.yml", "logs"):
        (project / folder).mkdir(parents=True)
    (project / "target" / "compiled" / "models" / "dim_dates.sql").write_text("select 1")
    assert project_digest() == before
    (project / "models" / "marts" / "new.sql").write_text("select 1 as n")
    assert project_digest() != before


@pytest.mark.builds
def test_it_is_parsed_once_and_again_when_the_project_changes(
    project: Path, settings: Settings
) -> None:
    parsed = settings.testruns_home / "dbt" / "parsed"
    assert "model.testruns.fct_test_runs" in read_manifest(settings)["nodes"]
    first = (parsed / "manifest.json").stat().st_mtime_ns
    read_manifest(settings)
    assert (parsed / "manifest.json").stat().st_mtime_ns == first

    (project / "models" / "marts" / "new.sql").write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(TransformError, match=r"^dbt cannot parse its project: [^\n]*nowhere"):
        read_manifest(settings)
    assert not (parsed / "digest").exists()


def relations(manifest: dict[str, Any]) -> set[str]:
    nodes = [*manifest["nodes"].values(), *manifest["sources"].values()]
    return {node["database"] for node in nodes if node["resource_type"] != "unit_test"}


def test_it_fits_the_warehouse_of_any_name(settings: Settings) -> None:
    assert relations(read_manifest(settings)) == {"elsewhere"}
    manifest = load_manifest(settings.testruns_home / "dbt", "elsewhere")
    node = manifest.nodes["model.testruns.fct_test_runs"]
    assert node.relation_name == '"elsewhere"."marts"."fct_test_runs"'
    assert node.database == "elsewhere"


def test_what_is_parsed_with_the_installation_serves_every_home(settings: Settings) -> None:
    read_manifest(settings)
    assert not (settings.testruns_home / "dbt").exists()


def test_reading_it_imports_no_dbt() -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from pipelines.settings import load_settings\n"
        "from pipelines.transform.manifest import read_manifest\n"
        "read_manifest(load_settings({}, Path('/')))\n"
        "sys.exit('dbt' in sys.modules)"
    )
    read_manifest(load_settings({}, Path("/")))
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_of_the_machine_that_parsed_it_is_in_the_manifest(settings: Settings) -> None:
    text = json.dumps(read_manifest(settings))
    assert str(bundled("dbt_project").parent) not in text
