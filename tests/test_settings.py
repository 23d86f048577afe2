"""Settings: every variable of the contract, its default, and what its sources require."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from pipelines.errors import SettingsError
from pipelines.settings import sections
from tests.support.variables import (
    POSTMAN,
    TESTMO,
    VARIABLES,
    complaints,
    load,
    of_postman,
    of_testmo,
    value_of,
)

LISTS = {name for name in VARIABLES if name.endswith(("_IDS", "_SOURCES", "_CREATED_BY", "_TAGS"))}


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without a .env."""
    return tmp_path_factory.mktemp("nowhere")


def test_the_settings_are_those_of_the_contract() -> None:
    assert {name for part in sections() for name in part.variables()} == VARIABLES.keys()


@pytest.mark.parametrize("name", VARIABLES)
def test_a_default_is_what_the_contract_says(name: str, nowhere: Path) -> None:
    default = value_of(load(nowhere), name)
    if VARIABLES[name]:
        assert default == value_of(load(nowhere, **{name: VARIABLES[name]}), name)
    else:
        assert default == (() if name in LISTS else None)


def test_defaults_are_of_the_types_that_are_worked_with(nowhere: Path) -> None:
    settings = load(nowhere)
    assert of_postman(settings).requests_per_minute == 300
    assert of_testmo(settings).requests_per_minute == 60
    assert of_testmo(settings).load_tests is True
    assert settings.testruns_max_body_mb == 128
    assert settings.testruns_lookback_hours == 72
    assert settings.testruns_home == Path.cwd() / ".testruns"
    assert len(settings.testruns_redact_params) == 11


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("blank", ["", "  ", "\t"])
def test_an_empty_variable_is_an_unset_one(name: str, blank: str, nowhere: Path) -> None:
    assert load(nowhere, **{name: blank}) == load(nowhere)


def test_settings_cannot_be_changed(nowhere: Path) -> None:
    with pytest.raises(ValidationError):
        load(nowhere).testruns_timezone = "Europe/Berlin"


TAKEN: list[tuple[str, str, Any]] = [
    ("TESTRUNS_HOME", "/var/lib/testruns", Path("/var/lib/testruns")),
    ("TESTRUNS_HOME", "~/runs", Path.home() / "runs"),
    ("TESTRUNS_OWNERSHIP_FILE", "~/owners.csv", Path.home() / "owners.csv"),
    ("POSTMAN_API_URL", "https://api.eu.postman.com/", "https://api.eu.postman.com"),
    ("POSTMAN_API_URL", " HTTPS://API.postman.com ", "https://API.postman.com"),
    ("POSTMAN_API_URL", "http://127.0.0.1:8080/postman", "http://127.0.0.1:8080/postman"),
    ("POSTMAN_API_URL", "http://[::1]:8080", "http://[::1]:8080"),
    ("POSTMAN_COLLECTION_IDS", " a, b ,,a,1-c_d.e,", ("a", "b", "1-c_d.e")),
    ("POSTMAN_RUN_SOURCES", "monitor, newman", ("monitor", "newman")),
    ("POSTMAN_MONTHLY_RESERVE", "1000", 1000),
    ("TESTMO_PROJECT_IDS", "3, 1,3,01", ("3", "1")),
    ("TESTMO_SOURCE_IDS", "3, 1,3,01", (3, 1)),
    ("TESTMO_LOAD_TESTS", "no", False),
    ("TESTRUNS_MAX_BODY_MB", "32", 32),
    ("TESTRUNS_DAGSTER_EXECUTOR", "multiprocess", "multiprocess"),
    ("TESTRUNS_DAGSTER_URL", "http://dagster:3000", "http://dagster:3000"),
    ("TESTMO_CREATED_BY", "7", (7,)),
    ("TESTMO_TAGS", "Nightly,nightly, a b ", ("Nightly", "nightly", "a b")),
    ("TESTRUNS_LOOKBACK_HOURS", "0", 0),
    ("TESTRUNS_REDACT_PARAMS", "Zeta,alpha,zeta", ("alpha", "zeta")),
    ("TESTRUNS_TIMEZONE", "America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
    ("TESTRUNS_NIGHTLY_CRON", "*/15 2-4 1,15 JUL mon-fri", "*/15 2-4 1,15 JUL mon-fri"),
    ("TESTRUNS_ALERT_WEBHOOK", "https://hooks.test/a?b=c", SecretStr("https://hooks.test/a?b=c")),
]


@pytest.mark.parametrize(("name", "given", "taken"), TAKEN)
def test_a_good_value_is_taken(name: str, given: str, taken: Any, nowhere: Path) -> None:
    assert value_of(load(nowhere, **{name: given}), name) == taken


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgresql://u:p@db:5432/x", "postgresql://u:p@db:5432/x"),
        ("postgres://u:p@db/x", "postgresql://u:p@db/x"),
        ("postgresql+psycopg://u:p@db/x", "postgresql://u:p@db/x"),
        ("postgresql+psycopg2://u:p@db/x", "postgresql://u:p@db/x"),
        ("postgresql://db/x?sslmode=require", "postgresql://db/x?sslmode=require"),
        ("postgresql:///x?host=/run/pg", "postgresql:///x?host=/run/pg"),
        ("postgresql://a:1,b:2/x", "postgresql://a:1,b:2/x"),
        ("postgresql://u:p%40ss@[::1]/x", "postgresql://u:p%40ss@[::1]/x"),
    ],
)
def test_a_warehouse_is_named_as_libpq_or_as_sqlalchemy_does(
    given: str, taken: str, nowhere: Path
) -> None:
    url = load(nowhere, TESTRUNS_WAREHOUSE_URL=given).testruns_warehouse_url
    assert url == SecretStr(taken)


REFUSED: list[tuple[str, str]] = [
    ("TESTRUNS_WAREHOUSE_URL", "mysql://db/x"),
    ("TESTRUNS_WAREHOUSE_URL", "host=db dbname=x"),
    ("TESTRUNS_WAREHOUSE_URL", "postgresql://u:p%zz@db/x"),
    ("TESTRUNS_WAREHOUSE_URL", "postgresql://db:port/x"),
    ("TESTRUNS_WAREHOUSE_URL", "postgresql://db:70000/x"),
    ("TESTRUNS_WAREHOUSE_URL", "postgresql://a:1,b:70000/x"),
    ("TESTRUNS_WAREHOUSE_URL", "postgresql://db/x?no_such_option=1"),
    ("TESTRUNS_WAREHOUSE_URL", "postgresql://u:\udcff@db/x"),
    ("TESTRUNS_HOME", "~nobody-of-this-name/x"),
    *(
        (name, url)
        for name in ("POSTMAN_API_URL", "TESTMO_API_URL")
        for url in (
            "api.getpostman.com", "ftp://api.test", "https://", "https:///x", "https://u@api.test",
            "https://:p@api.test", "https://api.test/?x=1", "https://api.test?", "https://api.test#",
            "https://api.test:99999", "https://api.test:port", "https://a..b", "https://a b",
            "https://[::1", "https://[x]", "https://api.test/a b", "https://a\u2100b",
            "https://api.test\\@x", "https://\udcff",
        )
    ),
    ("POSTMAN_API_KEY", "a b"),
    ("POSTMAN_API_KEY", "schlüssel"),
    ("TESTMO_API_TOKEN", "a\nb"),
    ("POSTMAN_COLLECTION_IDS", "a/b"),
    ("POSTMAN_COLLECTION_IDS", "a,.."),
    ("POSTMAN_COLLECTION_IDS", "ä"),
    ("POSTMAN_RUN_SOURCES", "monitor,cron"),
    ("POSTMAN_REQUESTS_PER_MINUTE", "0"),
    ("POSTMAN_REQUESTS_PER_MINUTE", "many"),
    ("POSTMAN_REQUESTS_PER_MINUTE", "1.5"),
    ("POSTMAN_MONTHLY_RESERVE", "-1"),
    ("TESTMO_PROJECT_IDS", "1,two,three"),
    ("TESTMO_PROJECT_IDS", "0"),
    ("TESTMO_PROJECT_IDS", "9" * 5000),
    ("TESTMO_SOURCE_IDS", "0"),
    ("TESTMO_LOAD_TESTS", "perhaps"),
    ("TESTRUNS_MAX_BODY_MB", "0"),
    ("TESTRUNS_MAX_BODY_MB", "1 GB"),
    ("TESTRUNS_DAGSTER_EXECUTOR", "kelery"),
    ("TESTRUNS_DAGSTER_LAUNCHER", "k8s"),
    ("TESTRUNS_DAGSTER_STORAGE_URL", "postgresql://u:s3cret@host/dagster"),
    ("TESTRUNS_DAGSTER_URL", "dagster:3000"),
    ("TESTMO_REQUESTS_PER_MINUTE", "9" * 5000),
    ("TESTRUNS_LOOKBACK_HOURS", "-1"),
    ("TESTRUNS_LOOKBACK_HOURS", "99999999"),
    ("TESTRUNS_TIMEZONE", "Mars/Olympus"),
    ("TESTRUNS_TIMEZONE", "America"),
    ("TESTRUNS_TIMEZONE", "../../etc/passwd"),
    *(
        ("TESTRUNS_NIGHTLY_CRON", line)
        for line in (
            "daily", "@daily", "0 3 * *", "0 0 3 * * *", "0 24 * * *", "0 3 30 2 *", "0 3 * * 8",
            # A cron of our library's own making, which Dagster does not know.
            "0 3 L * *", "0 3 LW * *", "0 3 * * 5L", "0 3 15 * 1#3",
        )
    ),
    ("TESTRUNS_REPORTS_DIR", "~nobody-of-this-name/reports"),
    ("TESTRUNS_ALERT_WEBHOOK", "hooks.test"),
    ("TESTRUNS_ALERT_WEBHOOK", "https://[hush]/"),
    ("TESTRUNS_ALERT_WEBHOOK", "https://a\u2100b/"),
    ("TESTRUNS_ALERT_WEBHOOK", "https://hooks.test:port/"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_a_bad_value_is_one_line_that_names_its_variable(
    name: str, value: str, nowhere: Path
) -> None:
    (complaint,) = complaints(nowhere, **{name: value})
    assert complaint.startswith(f"{name}: ")
    assert len(complaint) < 250


def test_a_value_that_is_no_secret_is_repeated(nowhere: Path) -> None:
    (complaint,) = complaints(nowhere, TESTMO_REQUESTS_PER_MINUTE="many")
    assert complaint.startswith("TESTMO_REQUESTS_PER_MINUTE: should be a valid integer")
    assert complaint.endswith(", not 'many'")
    assert complaints(nowhere, TESTRUNS_TIMEZONE="Mars/Olympus") == [
        "TESTRUNS_TIMEZONE: 'Mars/Olympus' is no IANA time zone, as Europe/Berlin"
    ]


def test_all_that_is_wrong_is_reported_at_once(nowhere: Path) -> None:
    lines = complaints(
        nowhere,
        POSTMAN_API_KEY="PMAK-1",
        TESTMO_API_TOKEN="token",
        TESTRUNS_TIMEZONE="Mars",
        TESTMO_PROJECT_IDS="x,y",
        TESTRUNS_WAREHOUSE_URL="mysql://db",
    )
    assert sorted(line.split(": ")[0] for line in lines) == [
        "POSTMAN_COLLECTION_IDS",
        "TESTMO_API_URL",
        "TESTMO_PROJECT_IDS",
        "TESTRUNS_TIMEZONE",
        "TESTRUNS_WAREHOUSE_URL",
    ]


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (POSTMAN, "POSTMAN_COLLECTION_IDS"),
        (TESTMO, "TESTMO_API_URL"),
        (TESTMO, "TESTMO_PROJECT_IDS"),
    ],
)
@pytest.mark.parametrize("instead", ["", " , "])
def test_what_a_key_requires_is_requested(
    given: dict[str, str], missing: str, instead: str, nowhere: Path
) -> None:
    if (missing, instead) == ("TESTMO_API_URL", " , "):
        instead = ""  # it is no list
    key = "POSTMAN_API_KEY" if given is POSTMAN else "TESTMO_API_TOKEN"
    assert complaints(nowhere, **{**given, missing: instead}) == [f"{missing}: required with {key}"]


def test_blanks_around_a_key_are_no_part_of_it(nowhere: Path) -> None:
    settings = load(nowhere, **{**POSTMAN, "POSTMAN_API_KEY": " PMAK-1\n"})
    assert of_postman(settings).key == SecretStr("PMAK-1")


def test_without_a_key_nothing_else_is_required(nowhere: Path) -> None:
    assert load(nowhere).configured_sources == ()
    assert load(nowhere, TESTMO_PROJECT_IDS="1").configured_sources == ()


def test_the_sources_are_those_whose_key_is_set(nowhere: Path) -> None:
    assert load(nowhere, **POSTMAN).require_source() == ("postman",)
    assert load(nowhere, **TESTMO).require_source() == ("testmo",)
    both = load(nowhere, **TESTMO, **POSTMAN)
    assert both.require_source() == both.configured_sources == ("postman", "testmo")
    assert both.require_source("testmo") == ("testmo",)
    assert both.scopes("postman") == ("c1", "1-c2")
    assert both.scopes("testmo") == ("1", "2")


def test_a_source_names_the_variable_of_its_reserve(nowhere: Path) -> None:
    settings = load(nowhere, **TESTMO, **POSTMAN)
    assert of_postman(settings).reserve_setting == "POSTMAN_MONTHLY_RESERVE"
    assert (of_testmo(settings).reserve, of_testmo(settings).reserve_setting) == (None, "")


def test_with_neither_key_there_is_nothing_to_load(nowhere: Path) -> None:
    with pytest.raises(SettingsError, match=r"^POSTMAN_API_KEY, TESTMO_API_TOKEN: none is set"):
        load(nowhere).require_source()


def test_a_source_that_is_requested_needs_its_key(nowhere: Path) -> None:
    with pytest.raises(SettingsError, match=r"^TESTMO_API_TOKEN: required to load testmo$"):
        load(nowhere, **POSTMAN).require_source("testmo")
    with pytest.raises(SettingsError, match=r"^POSTMAN_API_KEY: required to load postman$"):
        load(nowhere, **TESTMO).require_source("postman")
