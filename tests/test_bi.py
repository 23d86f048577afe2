"""Dashboards as code, without Superset: they fit dbt's models, hold no secret, and come back."""

import io
import json
import re
import sqlite3
import uuid
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from bi import bundle
from bi.__main__ import reader_uri
from pipelines.settings import load_settings
from pipelines.transform.manifest import read_manifest

DOCUMENTS = bundle.documents()
URI = "postgresql+psycopg2://testruns_reader@/wh?host=db&port=5432"


def of(kind: str) -> dict[str, dict[str, Any]]:
    return {name: d for name, d in DOCUMENTS.items() if name.startswith(f"{kind}/")}


DATASETS = {document["uuid"]: document for document in of("datasets").values()}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    home = tmp_path_factory.mktemp("home")
    nodes = read_manifest(load_settings({"TESTRUNS_HOME": str(home)}, home))["nodes"].values()
    return {node["name"]: node for node in nodes if node["schema"] == "bi"}


def test_datasets_are_the_models_column_by_column(models: dict[str, dict[str, Any]]) -> None:
    for dataset in DATASETS.values():
        model = models[dataset["table_name"]]
        assert dataset["schema"] == "bi"
        assert dataset["description"] == model["description"]
        ours = {
            column["column_name"]: (column["type"].lower(), column["description"])
            for column in dataset["columns"]
            if column["expression"] is None
        }
        assert ours == {
            column["name"]: (column["data_type"], column["description"])
            for column in model["columns"].values()
        }


def test_expressions_name_columns_that_are_there() -> None:
    sql = "sum count filter where distinct max nullif case when is not null then replace end"
    words = {*sql.split(), "double", "precision", "between", "and"}
    for chart in of("charts").values():
        dataset = DATASETS[chart["dataset_uuid"]]
        columns = {column["column_name"] for column in dataset["columns"]}
        expressions = [metric["expression"] for metric in dataset["metrics"]]
        expressions += [c["expression"] for c in dataset["columns"] if c["expression"]]
        params = chart["params"]
        for condition in [*params["adhoc_filters"], *params.get("adhoc_filters_b", [])]:
            expressions.append(condition.get("sqlExpression") or condition["subject"])
        for expression in expressions:
            bare = re.sub(r"'(?:[^']|'')*'", "", expression)
            assert set(re.findall(r"[a-z_]\w*", bare)) - words <= columns, expression


def test_charts_show_columns_and_metrics_of_their_datasets() -> None:
    for name, chart in of("charts").items():
        dataset = DATASETS[chart["dataset_uuid"]]
        columns = {column["column_name"] for column in dataset["columns"]}
        metrics = {metric["metric_name"] for metric in dataset["metrics"]}
        params = chart["params"]
        groups = params.get("groupby") or []
        shown = [*params.get("all_columns", []), *([groups] if isinstance(groups, str) else groups)]
        measured = [*params.get("metrics", []), *params.get("metrics_b", [])]
        assert shown or measured, name
        assert set(shown) <= columns, name
        assert set(measured) | ({params["metric"]} if "metric" in params else set()) <= metrics
        assert set(params.get("column_config", {})) <= columns | metrics, name


def test_no_chart_shows_an_id() -> None:
    for name, chart in of("charts").items():
        params = chart["params"]
        shown = [*params.get("all_columns", []), *(params.get("groupby") or [])]
        assert not [column for column in shown if column.endswith(("_id", "_key"))], name


def test_dashboards_hold_every_chart_once_and_filter_by_what_is_there() -> None:
    charts = {chart["uuid"]: chart["slice_name"] for chart in of("charts").values()}
    held = []
    assert [d["dashboard_title"] for d in of("dashboards").values()] == ["Morning", "Quarter"]
    for dashboard in of("dashboards").values():
        places = [p["meta"] for p in dashboard["position"].values() if type(p) is dict and
                  p["type"] == "CHART"]  # fmt: skip
        held += [place["uuid"] for place in places]
        assert {place["uuid"]: place["sliceName"] for place in places}.items() <= charts.items()
        filters = dashboard["metadata"]["native_filter_configuration"]
        assert [f["name"] for f in filters] == ["Time", "System", "Scope", "Environment", "Owner"]
        for target in (target for f in filters for target in f["targets"] if target):
            columns = DATASETS[target["datasetUuid"]]["columns"]
            assert target["column"]["name"] in {column["column_name"] for column in columns}
    assert sorted(held) == sorted(charts)


def test_the_archive_holds_the_address_and_no_password() -> None:
    text = "".join(path.read_text("utf-8") for path in bundle.FOLDER.rglob("*.yaml"))
    assert not re.search(r"password|://[^/@\s]*:[^/@\s]*@|XXXX", text)
    with ZipFile(io.BytesIO(bundle.archive(URI))) as archive:
        database = yaml.safe_load(archive.read(f"testruns/{bundle.DATABASE}"))
    assert database["sqlalchemy_uri"] == URI
    secret = "postgresql://owner:s3cret@db:5433/wh?sslmode=require&passfile=/x"
    assert reader_uri(secret) == (
        "postgresql+psycopg2://testruns_reader@/wh?host=db&port=5433&sslmode=require"
    )


def test_the_dashboard_of_grafana_is_one_that_it_imports() -> None:
    dashboard = json.loads((bundle.FOLDER.parent / "grafana" / "testruns.json").read_text("utf-8"))
    assert dashboard["uid"]
    assert dashboard["schemaVersion"] == 39
    source, *variables = dashboard["templating"]["list"]
    assert (source["type"], source["name"]) == ("datasource", "datasource")
    names = {variable["name"] for variable in variables}
    uses = {"type": source["query"], "uid": "${datasource}"}
    taken: set[tuple[int, int]] = set()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in dashboard["panels"]:
        assert panel["type"] in {"table", "timeseries"}
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
        (target,) = panel["targets"]
        assert panel["datasource"] == target["datasource"] == uses
        assert target["rawQuery"]
        assert target["format"] == ("table" if panel["type"] == "table" else "time_series")
        assert set(re.findall(r"\$\{(\w+)", target["rawSql"])) <= names
        assert re.findall(r"from (\w+)\.", target["rawSql"]) == ["bi"]
    assert max(x for x, _ in taken) < 24


def exported(change: dict[str, str]) -> bytes:
    """As Superset exports what it imported: numbers of its own, other names of files."""
    content = io.BytesIO()
    with ZipFile(content, "w") as archive:
        for name, document in bundle.documents().items():
            kind, _, file = name.partition("/")
            if kind == "charts":
                document["params"] |= {"datasource": "7__table", "slice_id": 3}
                document["slice_name"] = change.get(document["slice_name"], document["slice_name"])
            if kind == "dashboards":
                document["metadata"]["chart_configuration"] = {"3": {"id": 3}}
            archive.writestr(f"export/{kind}/{file and file.replace('.yaml', '_3.yaml')}",
                             yaml.safe_dump(document))  # fmt: skip
    return content.getvalue()


def test_an_export_of_what_was_imported_changes_nothing(tmp_path: Path) -> None:
    for name, document in DOCUMENTS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(bundle.dump(document), encoding="utf-8")
        assert bundle.dump(document) == (bundle.FOLDER / name).read_text(encoding="utf-8")

    assert bundle.save_export(exported({}), tmp_path) == []
    assert bundle.save_export(exported({"Flaky now": "Flaky"}), tmp_path) == [
        "charts/flaky_tests.yaml"
    ]
    assert bundle.documents(tmp_path)["charts/flaky_tests.yaml"]["slice_name"] == "Flaky"


def test_what_superset_did_not_take_is_named(tmp_path: Path) -> None:
    path = tmp_path / "superset.db"
    tables = {"datasets": "tables", "charts": "slices", "dashboards": "dashboards"}
    with sqlite3.connect(path) as metadata:
        for kind, table in tables.items():
            columns = ("slice_name", "viz_type", "dashboard_title", "table_name", "schema")
            metadata.execute(f"create table {table} (uuid, params, {', '.join(columns)})")
            for document in of(kind).values():
                metadata.execute(
                    f"insert into {table} values (?, ?, {', '.join('?' * len(columns))})",
                    (
                        uuid.UUID(document["uuid"]).bytes,
                        json.dumps({**(document.get("params") or {}), "datasource": "1__table"}),
                        *map(document.get, columns),
                    ),
                )
        metadata.commit()
        assert bundle.not_imported(path) == []
        metadata.execute(
            "update slices set params = '{}' where slice_name = 'Red now, and since when'"
        )
        metadata.execute("delete from dashboards where dashboard_title = 'Quarter'")
        metadata.commit()
    assert bundle.not_imported(path) == ["charts/red_now.yaml", "dashboards/quarter.yaml"]
