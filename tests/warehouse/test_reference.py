"""Owners and names: files of the user's, their complaints, and which of their lines counts."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pipelines.errors import SettingsError
from pipelines.settings import load_settings
from pipelines.warehouse.queries import queries
from pipelines.warehouse.reference import Reference, read_reference, save_reference

HEADER = b"system,scope_pattern,test_pattern,owner,channel\n"
MAP = (
    "\ufeffsystem,scope_pattern,test_pattern,owner,channel\n"
    "postman,Pay%,%: 3-D%,Fraud,#fraud\n"
    "postman,pay%,,Payments,\n"
    '\n,7,," Platform, basics ",#platform\n'
)
NAMES = (
    b"system,kind,id,name\n"
    b"postman,scope,u-1,Payments\npostman,scope,u-1,Paying\npostman,environment,e,live\n"
)
TESTMO = {"TESTMO_API_URL": "https://name.testmo.net/api/v1/"}


@pytest.fixture
def connection(unwritten_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(unwritten_url) as connection:
        yield connection
        connection.rollback()


def owner(connection: psycopg.Connection, *of: str | None) -> list[tuple[str, str | None]]:
    question = "select owner, channel from ingest.owner_of(%s, %s, %s, %s)"
    return connection.execute(question, of).fetchall()


def reference(folder: Path, **files: bytes) -> Reference:
    """Of files named as the settings are."""
    variables = {"TESTMO_API_TOKEN": "t", "TESTMO_PROJECT_IDS": "7", **TESTMO}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        variables[f"TESTRUNS_{name}_FILE"] = str(folder / name)
    return read_reference(load_settings(variables, folder))


def test_the_first_line_that_matches_counts(connection: psycopg.Connection, tmp_path: Path) -> None:
    save_reference(connection, reference(tmp_path, OWNERSHIP=MAP.encode(), NAMES=NAMES))

    assert owner(connection, "postman", "u-1", "Payments", "Pay: 3-D Secure") == [
        ("Fraud", "#fraud")
    ]
    assert owner(connection, "postman", "u-1", "Payments", "Pay: Status") == [("Payments", None)]
    assert owner(connection, "postman", "u-1", "Payments", None) == [("Payments", None)]
    assert owner(connection, "postman", "pay-1", None, None) == [("Payments", None)]
    assert owner(connection, "testmo", "7", None, "x") == [("Platform, basics", "#platform")]
    assert owner(connection, "testmo", "77", "Payments", None) == []

    save_reference(connection, reference(tmp_path))
    assert owner(connection, "testmo", "7", None, None) == []


def test_an_alert_looks_up_scopes_by_their_ids(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    save_reference(connection, reference(tmp_path, OWNERSHIP=MAP.encode(), NAMES=NAMES))

    question = queries("reference")["owners_of_scopes"]
    for source, scopes, owners in (
        ("testmo", ["7", "8"], [("7", "Platform, basics", "#platform")]),
        ("postman", ["u-1", "u-2"], [("u-1", "Payments", None)]),
    ):
        params = {"source": source, "scopes": scopes}
        assert connection.execute(question, params).fetchall() == owners


def test_the_first_name_of_an_id_counts(connection: psycopg.Connection, tmp_path: Path) -> None:
    save_reference(connection, reference(tmp_path, NAMES=NAMES))
    places = (("scope", "u-1"), ("environment", "e"), ("scope", "e"))
    names = [
        connection.execute("select ingest.name_of('postman', %s, %s)", of).fetchone()
        for of in places
    ]
    assert names == [("Payments",), ("live",), (None,)]


def test_addresses_are_those_of_the_settings(tmp_path: Path) -> None:
    assert reference(tmp_path).addresses == [
        {"system": "testmo", "api_url": "https://name.testmo.net/api/v1"}
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "line 1 must be system,scope_pattern,test_pattern,owner,channel"),
        (b"pattern,team\n", "line 1 must be system,scope_pattern,test_pattern,owner,channel"),
        (HEADER + b"postman,x,,Team\n", "line 2 has 4 fields, not 5"),
        (HEADER + b"postmen,x,,Team,\n", "line 2: system must be one of postman, testmo, reports"),
        (HEADER + b"\n\npostman,x,, ,#c\n", "line 4 has no owner"),
        (HEADER + b"postman,x\\,,Team,\n", "line 2: scope_pattern must not end with a backslash"),
        (HEADER + b"postman,\xff,,Team,\n", r"is not CSV in UTF-8 \(.*\)"),
        (HEADER + b'postman,"x,,Team,\n', r"is not CSV in UTF-8 \(.*\)"),
    ],
)
def test_what_is_wrong_is_one_line(content: bytes, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"^TESTRUNS_OWNERSHIP_FILE: {complaint}$"):
        reference(tmp_path, OWNERSHIP=content)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    settings = load_settings({"TESTRUNS_NAMES_FILE": str(tmp_path / "none.csv")}, tmp_path)
    with pytest.raises(SettingsError, match=r"^TESTRUNS_NAMES_FILE: cannot be read: No such"):
        read_reference(settings)
