"""What `testruns import` says."""

from pathlib import Path

from tests.support.cli import command
from tests.support.reports import as_bytes, case, execution, junit, newman


def test_files_are_counted_and_what_was_not_taken_is_named(
    warehouse_url: str, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_bytes(as_bytes(newman([execution(0)])))
    (tmp_path / "b.xml").write_text(junit(case("x")))
    (tmp_path / "note\x1b.txt").write_text("hello")
    variables = {"TESTRUNS_WAREHOUSE_URL": warehouse_url, "TESTRUNS_HOME": str(tmp_path / "home")}

    done = command(tmp_path, variables, "import", ".")
    again = command(tmp_path, variables, "import", "a.json", "note\x1b.txt")

    assert done.status == 0
    assert done.out == "3 files: 2 loaded, 1 set aside; 4 rows\n"
    assert done.err.endswith("/note\\x1b.txt: neither JSON nor XML\n")
    assert again.status == 1
    assert again.out == "2 files: 1 known already, 1 set aside\n"


def test_a_dry_run_says_so(warehouse_url: str, tmp_path: Path) -> None:
    (tmp_path / "b.xml").write_text(junit(case("x")))
    variables = {"TESTRUNS_WAREHOUSE_URL": warehouse_url, "TESTRUNS_HOME": str(tmp_path / "home")}

    done = command(tmp_path, variables, "import", "--dry-run", "b.xml")

    assert done.out == "1 file: 1 loaded; 2 rows (dry run: nothing was written)\n"
