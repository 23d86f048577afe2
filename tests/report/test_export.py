"""Marts as files: read back equal, whole months, one manifest, and never half a file."""

import csv
import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pyarrow import parquet

from pipelines.errors import SettingsError, TestrunsError, WarehouseError
from pipelines.report.export.write import ExportError, export_marts
from pipelines.warehouse.engine import connect
from pipelines.warehouse.locks import take_lock

MONTHS = [f"2026-0{month}" for month in (5, 6, 7)]
LONG = "é" * 70_000
ROWS: list[tuple[Any, ...]] = [
    ("b", date(2026, 5, 31), 2**62, 0.1 + 0.2, True, None, ""),
    ("a", date(2026, 6, 1), -1, None, False, datetime(2026, 6, 1, 2, 3, 4, 5, UTC), "x"),
    ("c", date(2026, 6, 30), None, -0.0, None, None, 'a "q",\r\nb'),
    ("d", date(2026, 7, 1), 0, 1e300, True, None, LONG),
    ("e", None, 1, 1.5, True, None, None),
]


@pytest.fixture
def url(warehouse_url: str) -> str:
    with psycopg.connect(warehouse_url, autocommit=True) as connection:
        connection.execute(
            "create table marts.fct_x (k text unique, business_date date, n bigint,"
            " share double precision, is_on boolean, at timestamptz, message text);"
            "create view marts.dim_y as select 1 as id, 'é' as name union all select 2, null;"
            "create table marts.fct_many as"
            " select n, '2026-06-02'::date as business_date from generate_series(1, 12000) as n"
        )
        with connection.cursor() as cursor:
            cursor.executemany("insert into marts.fct_x values (%s, %s, %s, %s, %s, %s, %s)", ROWS)
    return warehouse_url


def export(url: str, folder: Path, since: str, until: str = "2026-08-01", **how: str) -> int:
    times = (datetime.fromisoformat(time).replace(tzinfo=UTC) for time in (since, until))
    suffix = how.get("suffix", "parquet")
    return export_marts(url, folder, *times, zone="UTC", suffix=suffix).files


def manifest(folder: Path) -> dict[str, Any]:
    files: dict[str, Any] = json.loads((folder / "manifest.json").read_text())["files"]
    return files


def found(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_parquet_reads_back_equal_with_its_types(url: str, tmp_path: Path) -> None:
    export(url, tmp_path, "2026-05-15")
    assert found(tmp_path) == {
        *(f"fct_x/{month}.parquet" for month in [*MONTHS, "undated"]),
        *("fct_many/2026-06.parquet", "dim_y.parquet", "manifest.json"),
    }
    read = [
        tuple(row.values())
        for month in [*MONTHS, "undated"]
        for row in parquet.read_table(tmp_path / f"fct_x/{month}.parquet").to_pylist()
    ]
    assert read == ROWS
    assert str(parquet.read_schema(tmp_path / "fct_x/2026-05.parquet").types) == (
        "[DataType(string), DataType(date32[day]), DataType(int64), DataType(double),"
        " DataType(bool), TimestampType(timestamp[us, tz=UTC]), DataType(string)]"
    )
    many = parquet.ParquetFile(tmp_path / "fct_many/2026-06.parquet")
    assert many.metadata.num_row_groups > 1  # they passed in chunks
    assert many.read().column("n").to_pylist() == list(range(1, 12_001))


def test_csv_reads_back_equal(url: str, tmp_path: Path) -> None:
    export(url, tmp_path, "2026-05-01", suffix="csv")
    with (tmp_path / "fct_x/2026-06.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["k", "business_date", "n", "share", "is_on", "at", "message"]
    assert rows == [
        ["a", "2026-06-01", "-1", "", "f", "2026-06-01 02:03:04.000005+00", "x"],
        ["c", "2026-06-30", "", "-0", "", "", 'a "q",\r\nb'],
    ]
    with (tmp_path / "fct_x/2026-05.csv").open("rb") as file:
        assert file.read().endswith(b',""\n')  # an empty text is no null


def test_the_manifest_says_what_is_in_each_file(url: str, tmp_path: Path) -> None:
    files = export(url, tmp_path, "2026-05-01")
    entries = manifest(tmp_path)
    assert entries.keys() == found(tmp_path) - {"manifest.json"}
    assert len(entries) == files
    assert entries["fct_many/2026-06.parquet"]["rows"] == 12_000
    for path, entry in entries.items():
        content = (tmp_path / path).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == len(content)


def test_the_same_again_changes_nothing_and_other_months_stay(url: str, tmp_path: Path) -> None:
    export(url, tmp_path, "2026-05-01")
    before = manifest(tmp_path)
    export(url, tmp_path, "2026-05-31")
    assert manifest(tmp_path) == before

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("delete from marts.fct_x where k in ('a', 'b', 'c')")
    export(url, tmp_path, "2026-06-30", "2026-07-01")
    after = manifest(tmp_path)
    assert before.keys() - after.keys() == {"fct_x/2026-06.parquet"}
    assert after["fct_x/2026-05.parquet"] == before["fct_x/2026-05.parquet"]
    assert found(tmp_path) == {*after, "manifest.json"}


def test_all_files_are_of_one_moment(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = os.fsync

    def meanwhile(file: int) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("delete from marts.fct_x")
        flushed(file)

    monkeypatch.setattr(os, "fsync", meanwhile)
    export(url, tmp_path, "2026-05-01")
    assert sum(e["rows"] for e in manifest(tmp_path).values() if e["mart"] == "fct_x") == len(ROWS)


@pytest.mark.parametrize("files_before", [0, 2])
def test_an_export_that_fails_leaves_what_was_there(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_before: int
) -> None:
    export(url, tmp_path, "2026-05-01")
    before = {path: (tmp_path / path).read_bytes() for path in found(tmp_path)}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("delete from marts.fct_x; delete from marts.fct_many where n < 9000")
    left, flushed = files_before, os.fsync

    def full(file: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        flushed(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match=r"^\S+: cannot be written: No space left on device$"):
        export(url, tmp_path, "2026-05-01")
    assert {path: (tmp_path / path).read_bytes() for path in found(tmp_path)} == before


def test_what_a_killed_export_has_left_is_removed_by_the_next(url: str, tmp_path: Path) -> None:
    (tmp_path / "fct_gone").mkdir()
    for name in (".dim_y.csv.unfinished", "fct_gone/.2026-05.csv.unfinished"):
        (tmp_path / name).write_text("half a fi")
    export(url, tmp_path, "2026-05-01", suffix="csv")
    assert found(tmp_path) == {*manifest(tmp_path), "manifest.json"}


def test_two_exports_into_a_folder_do_not_mix(url: str, tmp_path: Path) -> None:
    lines: list[str] = []
    with connect(url, role="testruns export") as other:
        take_lock(other, f"export {tmp_path}", busy="", waits=lines.append)
        with pytest.raises(WarehouseError, match=f"^{tmp_path} is being written by testruns exp"):
            export_marts(
                url, tmp_path, datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC),
                zone="UTC", suffix="csv", on_wait=lines.append, wait_seconds=0.01,
            )  # fmt: skip
    assert len(lines) == 1
    assert lines[0].startswith(f"waiting for {tmp_path}, which is being written by testruns export")
    assert found(tmp_path) == set()


@pytest.mark.parametrize(
    "files",
    [
        "{}",
        '{"files": []}',
        '{"files": {"fct_x/2026-05.parquet": null}}',
        '{"files": {"../other.parquet": {"month": null}}}',
        '{"files": {"/other.parquet": {"month": null}}}',
    ],
)
def test_a_manifest_of_something_else_removes_nothing(url: str, tmp_path: Path, files: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "manifest.json").write_text(files)
    (tmp_path / "other.parquet").touch()
    with pytest.raises(SettingsError, match=r"manifest\.json: is no manifest of an export$"):
        export(url, folder, "2026-05-01")
    assert (tmp_path / "other.parquet").exists()
    assert found(folder) == {"manifest.json"}


def test_what_cannot_be_exported_is_one_line(url: str, unwritten_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "manifest.json").write_text("[]")
    cases: list[tuple[Callable[[], int], str]] = [
        (lambda: export(url, tmp_path / "file" / "in", "2026-05-01"), "cannot be written: Not a"),
        (lambda: export(url, tmp_path, "2026-05-01"), "manifest.json: is no manifest of an export"),
        (lambda: export(unwritten_url, tmp_path / "new", "2026-05-01"), "there are no marts yet"),
        (lambda: export(url, tmp_path / "new", "2026-08-01"), "--until: must be later"),
    ]
    for call, complaint in cases:
        with pytest.raises(TestrunsError, match=complaint) as refused:
            call()
        assert "\n" not in str(refused.value)
