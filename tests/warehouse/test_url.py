"""One reading of the warehouse's URL, whoever wrote it; no message repeats it."""

import os
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from pipelines.warehouse.url import WarehouseUrl, libpq_variables


@pytest.fixture(autouse=True)
def _no_libpq_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("text", "parameters", "may_be_shown"),
    [
        (
            "postgresql://u:p%40%2F@db:6543/wh",
            {"user": "u", "password": "p@/", "host": "db", "port": "6543", "dbname": "wh"},
            "postgresql://u@db:6543/wh",
        ),
        ("postgres://u@db/wh", {"user": "u", "host": "db", "dbname": "wh"}, None),
        ("postgresql+psycopg2://db/w%20h", {"host": "db", "dbname": "w h"}, None),
        (
            "postgresql:///wh?host=/run/pg&port=5433",
            {"host": "/run/pg", "port": "5433", "dbname": "wh"},
            "postgresql://%2Frun%2Fpg:5433/wh",
        ),
        ("postgresql://u@[::1]:55/wh", {"user": "u", "host": "::1", "port": "55"}, None),
        (
            "postgresql://u:p@a:1,b:2/wh?target_session_attrs=read-write",
            {"host": "a,b", "port": "1,2", "target_session_attrs": "read-write"},
            "postgresql://u@a:1,b:2/wh?target_session_attrs=read-write",
        ),
        (
            "postgresql+psycopg://u:p@/wh?host=a:1&host=b:2&sslmode=require",
            {"host": "a,b", "port": "1,2", "user": "u", "password": "p", "sslmode": "require"},
            "postgresql://u@a:1,b:2/wh?sslmode=require",
        ),
        ("postgresql+psycopg:///wh?host=a:1", {"host": "a", "port": "1"}, None),
        (
            "postgresql://db/wh?user=u&password=s3cret",
            {"host": "db", "user": "u", "password": "s3cret"},
            "postgresql://u@db/wh",
        ),
    ],
)
def test_every_spelling_means_the_same_to_libpq(
    text: str, parameters: dict[str, str], may_be_shown: str | None
) -> None:
    url = WarehouseUrl.parse(text)

    assert parameters.items() <= url.parameters.items()
    assert conninfo_to_dict(url.libpq) == url.parameters
    assert may_be_shown is None or str(url) == may_be_shown


@pytest.mark.parametrize(
    "text",
    [
        "mysql://u:s3cret@db/x",
        "host=db password=s3cret",
        "postgresql://u:s3cret@w@db/x",
        "postgresql://u:s3cret/w@db/x",
        "postgresql://u:123/s3cret@db/x",
        "postgresql://u:s3cret?w@db/x",
        "postgresql://u:s3cret#w@db/x",
        "postgresql://u:s3cret w@db/x",
        "postgresql://u:s3cret[w@db/x",
        "postgresql://u:s3cret%zz@db/x",
        "postgresql://u:s3cret@db:port/x",
        "postgresql://u:s3cret@db:70000/x",
        "postgresql://u:s3cret@db/x/y",
        "postgresql://u:s3cret@db/x?no_such_option=1",
        "postgresql://u:s3cret\udcff@db/x",
        "postgresql+psycopg://u:s3cret@/x?host=a:1&host=b:70000",
    ],
)
def test_what_would_be_misread_is_refused_in_one_line_without_a_quotation(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        WarehouseUrl.parse(text)

    assert "s3cret" not in str(caught.value)
    assert "db" not in str(caught.value).replace("password@host/database", "")


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_a_password_comes_through_and_is_never_shown(password: str) -> None:
    url = WarehouseUrl.parse(f"postgresql://u:{quote(password, safe='')}@a:1,b:2/wh?host=c&host=d")

    assert conninfo_to_dict(url.libpq)["password"] == password
    assert str(url) == "postgresql://u@c,d/wh"
    assert repr(url) == "WarehouseUrl(postgresql://u@c,d/wh)"


def test_what_the_url_leaves_out_comes_from_libpqs_variables_and_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOST", "db")
    monkeypatch.setenv("PGUSER", "u")

    complete = WarehouseUrl.parse("postgresql:///?sslmode=require").complete()

    expected = {"host": "db", "port": "5432", "user": "u", "dbname": "u", "sslmode": "require"}
    assert expected.items() <= complete.items()
    assert libpq_variables()["sslrootcert"] == "PGSSLROOTCERT"


@pytest.mark.parametrize(
    ("servers", "port"),
    [("a,b", "5432"), ("a:7,b:7", "7"), ("a:1,b:2", "1,2"), ("a:1,b", "1,5432")],
)
def test_one_port_for_all_servers_is_given_once(servers: str, port: str) -> None:
    assert WarehouseUrl.parse(f"postgresql://u@{servers}/wh").complete()["port"] == port
