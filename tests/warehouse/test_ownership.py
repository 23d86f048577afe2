"""Who owns what: a file of the user's, its complaints, and which of its lines counts."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pipelines.errors import SettingsError
from pipelines.warehouse.ownership import read_ownership, save_ownership
from pipelines.warehouse.queries import queries

HEADER = "system,scope_pattern,test_pattern,owner,channel\n"
MAP = (
    "\ufeff" + HEADER + "postman,Pay%,%: 3-D%,Fraud,#fraud\n"
    "postman,pay%,,Payments,\n"
    '\n,7,," Platform, basics ",#platform\n'
)


@pytest.fixture
def connection(unwritten_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(unwritten_url) as connection:
        yield connection
        connection.rollback()


def owner(connection: psycopg.Connection, *of: str | None) -> list[tuple[str, str | None]]:
    question = "select owner, channel from ingest.owner_of(%s, %s, %s, %s)"
    return connection.execute(question, of).fetchall()


def test_the_first_line_that_matches_counts(connection: psycopg.Connection, tmp_path: Path) -> None:
    path = tmp_path / "ownership.csv"
    path.write_text(MAP, encoding="utf-8")
    save_ownership(connection, read_ownership(path))

    assert owner(connection, "postman", "u-1", "Payments", "Pay: 3-D Secure") == [
        ("Fraud", "#fraud")
    ]
    assert owner(connection, "postman", "u-1", "Payments", "Pay: Status") == [("Payments", None)]
    assert owner(connection, "postman", "u-1", "Payments", None) == [("Payments", None)]
    assert owner(connection, "postman", "pay-1", None, None) == [("Payments", None)]
    assert owner(connection, "testmo", "7", None, "x") == [("Platform, basics", "#platform")]
    assert owner(connection, "testmo", "77", "Payments", None) == []

    question = queries("ownership")["owners_of_scopes"]
    params = {"source": "testmo", "scopes": ["7", "8"]}
    assert connection.execute(question, params).fetchall() == [
        ("7", "Platform, basics", "#platform")
    ]

    save_ownership(connection, read_ownership(None))
    assert owner(connection, "testmo", "7", None, None) == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "line 1 must be system,scope_pattern,test_pattern,owner,channel"),
        (b"pattern,team\n", "line 1 must be system,scope_pattern,test_pattern,owner,channel"),
        (b"postman,x,,Team\n", "line 2 has 4 fields, not 5"),
        (b"postmen,x,,Team,\n", "line 2: system must be postman, testmo, reports or blank"),
        (b"\n\npostman,x,, ,#c\n", "line 4 has no owner"),
        (b"postman,x\\,,Team,\n", "line 2: a pattern must not end with a backslash"),
        (b"postman,\xff,,Team,\n", r"is not CSV in UTF-8 \(.*\)"),
        (b'postman,"x,,Team,\n', r"is not CSV in UTF-8 \(.*\)"),
    ],
)
def test_what_is_wrong_is_one_line(content: bytes, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "ownership.csv"
    if content and not content.startswith(b"pattern"):
        content = HEADER.encode() + content
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"^TESTRUNS_OWNERSHIP_FILE: {complaint}$"):
        read_ownership(path)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^TESTRUNS_OWNERSHIP_FILE: cannot be read: No such"):
        read_ownership(tmp_path / "none.csv")
