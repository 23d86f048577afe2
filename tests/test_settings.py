"""Settings: every variable of the contract, every complaint one line, and no secret anywhere."""

import os
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from pipelines.errors import SettingsError
from pipelines.settings import Settings, load_settings, sections
from pipelines.sources.postman.settings import PostmanSettings
from pipelines.sources.testmo.settings import TestmoSettings

# The contract's table: each variable, and its default as one would write it; blank: unset.
CONTRACT = """
TESTRUNS_WAREHOUSE_URL
TESTRUNS_HOME                 .testruns
TESTRUNS_REPORTS_DIR
POSTMAN_API_URL               https://api.getpostman.com
POSTMAN_API_KEY
POSTMAN_COLLECTION_IDS
POSTMAN_RUN_SOURCES
POSTMAN_REQUESTS_PER_MINUTE   300
POSTMAN_MONTHLY_RESERVE       0
TESTMO_API_URL
TESTMO_API_TOKEN
TESTMO_PROJECT_IDS
TESTMO_SOURCE_IDS
TESTMO_CONFIG_IDS
TESTMO_MILESTONE_IDS
TESTMO_CREATED_BY
TESTMO_TAGS
TESTMO_REQUESTS_PER_MINUTE    60
TESTMO_LOAD_TESTS             true
TESTRUNS_MAX_BODY_MB          128
TESTRUNS_LOOKBACK_HOURS       72
TESTRUNS_REDACT_PARAMS        access_token,api_key,apikey,auth,client_secret,password,\
refresh_token,secret,sig,signature,token
TESTRUNS_TIMEZONE             UTC
TESTRUNS_NIGHTLY_CRON         0 3 * * *
TESTRUNS_ALERT_WEBHOOK
TESTRUNS_OWNERSHIP_FILE
TESTRUNS_NAMES_FILE
TESTRUNS_DAGSTER_EXECUTOR     in_process
TESTRUNS_DAGSTER_LAUNCHER     local
TESTRUNS_DAGSTER_STORAGE_URL
TESTRUNS_DAGSTER_BROKER_URL
TESTRUNS_DAGSTER_URL
"""
VARIABLES = {
    line.split()[0]: line.partition(" ")[2].strip() for line in CONTRACT.strip().splitlines()
}
LISTS = {name for name in VARIABLES if name.endswith(("_IDS", "_SOURCES", "_CREATED_BY", "_TAGS"))}

POSTMAN = {"POSTMAN_API_KEY": "PMAK-1", "POSTMAN_COLLECTION_IDS": "c1,1-c2"}
TESTMO = {
    "TESTMO_API_TOKEN": "token",
    "TESTMO_API_URL": "https://name.testmo.net/api/v1",
    "TESTMO_PROJECT_IDS": "1,2",
}


@pytest.fixture(scope="module")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without a .env."""
    return tmp_path_factory.mktemp("nowhere")


def load(folder: Path, **variables: str) -> Settings:
    return load_settings(variables, folder)


def value_of(settings: Settings, variable: str) -> Any:
    """What a variable has become."""
    for part in (settings, settings.dagster, *settings.sources.values()):
        for field in type(part).model_fields:
            if part.variable(field) == variable:
                return getattr(part, field)
    raise AssertionError(variable)


def of_postman(settings: Settings) -> PostmanSettings:
    found = settings.sources["postman"]
    assert isinstance(found, PostmanSettings)
    return found


def of_testmo(settings: Settings) -> TestmoSettings:
    found = settings.sources["testmo"]
    assert isinstance(found, TestmoSettings)
    return found


def complaints(folder: Path, **variables: str) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load_settings(variables, folder)
    return str(refused.value).splitlines()


# --- the contract ---------------------------------------------------------------------------


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


# --- values ---------------------------------------------------------------------------------

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


def test_all_that_is_wrong_is_told_at_once(nowhere: Path) -> None:
    told = complaints(
        nowhere,
        POSTMAN_API_KEY="PMAK-1",
        TESTMO_API_TOKEN="token",
        TESTRUNS_TIMEZONE="Mars",
        TESTMO_PROJECT_IDS="x,y",
        TESTRUNS_WAREHOUSE_URL="mysql://db",
    )
    assert sorted(line.split(": ")[0] for line in told) == [
        "POSTMAN_COLLECTION_IDS",
        "TESTMO_API_URL",
        "TESTMO_PROJECT_IDS",
        "TESTRUNS_TIMEZONE",
        "TESTRUNS_WAREHOUSE_URL",
    ]


# --- sources --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (POSTMAN, "POSTMAN_COLLECTION_IDS"),
        (TESTMO, "TESTMO_API_URL"),
        (TESTMO, "TESTMO_PROJECT_IDS"),
    ],
)
@pytest.mark.parametrize("instead", ["", " , "])
def test_what_a_key_requires_is_asked_for(
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


def test_with_neither_key_there_is_nothing_to_load(nowhere: Path) -> None:
    with pytest.raises(SettingsError, match=r"^POSTMAN_API_KEY, TESTMO_API_TOKEN: none is set"):
        load(nowhere).require_source()


def test_a_source_that_is_asked_for_needs_its_key(nowhere: Path) -> None:
    with pytest.raises(SettingsError, match=r"^TESTMO_API_TOKEN: required to load testmo$"):
        load(nowhere, **POSTMAN).require_source("testmo")
    with pytest.raises(SettingsError, match=r"^POSTMAN_API_KEY: required to load postman$"):
        load(nowhere, **TESTMO).require_source("postman")


# --- .env -----------------------------------------------------------------------------------


def test_a_dotenv_is_read_as_people_write_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(
        b"\xef\xbb\xbf# our settings\r\n"
        b"\r\n"
        b"export POSTMAN_API_KEY='PMAK-1'\r\n"
        b'POSTMAN_COLLECTION_IDS = "a,\\"b\\"" # both\r\n'.replace(b'\\"b\\"', b"b")
        + b"TESTRUNS_LOOKBACK_HOURS=24 # a day\r\n"
        b"TESTRUNS_NIGHTLY_CRON=30 2 * * *\r\n"
        b"TESTRUNS_TIMEZONE=\r\n"
        b"OTHER_PROGRAM=x\r\n"
        b"TESTMO_TAGS=caf\xc3\xa9"
    )
    settings = load(tmp_path)
    assert of_postman(settings).key == SecretStr("PMAK-1")
    assert settings.scopes("postman") == ("a", "b")
    assert settings.testruns_lookback_hours == 24
    assert settings.testruns_nightly_cron == "30 2 * * *"
    assert settings.testruns_timezone == "UTC"
    assert of_testmo(settings).tags == ("café",)


@pytest.mark.parametrize("value", ["a$b", "a${HOME}b", "$HOME", "a#b", r"a\b"])
@pytest.mark.parametrize("quote", ["", "'"])
def test_a_secret_in_a_dotenv_is_taken_to_the_letter(
    value: str, quote: str, tmp_path: Path
) -> None:
    variables = {**POSTMAN, "POSTMAN_API_KEY": f"{quote}{value}{quote}"}
    (tmp_path / ".env").write_text("".join(f"{key}={v}\n" for key, v in variables.items()))
    assert of_postman(load(tmp_path)).key == SecretStr(value)


def test_the_environment_beats_the_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TESTMO_TAGS=file\nTESTRUNS_TIMEZONE=Europe/Berlin\n")
    settings = load(tmp_path, TESTMO_TAGS="environment")
    assert of_testmo(settings).tags == ("environment",)
    assert settings.testruns_timezone == "Europe/Berlin"


def test_an_empty_variable_of_the_environment_unsets_what_the_dotenv_says(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TESTMO_TAGS=file\n")
    assert of_testmo(load(tmp_path, TESTMO_TAGS="")).tags == ()


def test_by_default_it_is_the_environment_and_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("TESTMO_TAGS=file\nTESTRUNS_LOOKBACK_HOURS=1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTMO_TAGS", "environment")
    settings = load_settings()
    assert of_testmo(settings).tags == ("environment",)
    assert settings.testruns_lookback_hours == 1
    assert settings.testruns_home == tmp_path / ".testruns"


MALFORMED = {
    "a line without an equals sign": (b"TESTMO_TAGS=a\n\n  \nhush hush\n", 4),
    "a name alone": (b"\n# comment\nPOSTMAN_API_KEY\n", 3),
    "a quote that never ends": (b"TESTMO_TAGS='a'\nPOSTMAN_API_KEY='hush\nTESTMO_TAGS=b\n", 2),
    "something behind a quote": (b"POSTMAN_API_KEY='hush' hush\n", 1),
    "a value without a name": (b"\n\n=hush\n", 3),
    "a NUL": (b"TESTMO_TAGS=a\nPOSTMAN_API_KEY=hu\0sh\n", 2),
    "a program": (b"\x7fELF\x02\x01\x01\0\0\0\0", 1),
    "a merge that was not finished": (b"<<<<<<< HEAD\nTESTMO_TAGS=a\n=======\n", 1),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_line_of_a_dotenv_is_named_and_not_shown(what: str, tmp_path: Path) -> None:
    content, number = MALFORMED[what]
    (tmp_path / ".env").write_bytes(content)
    (complaint,) = complaints(tmp_path)
    assert complaint == f".env: line {number} is not NAME=value ({tmp_path / '.env'})"


def test_a_dotenv_that_is_no_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_bytes("POSTMAN_API_KEY=schlüssel".encode("latin-1"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as refused:
        load_settings({})
    complaint = str(refused.value)
    assert complaint == f".env: cannot be read: it is not UTF-8 text ({tmp_path / '.env'})"


def test_a_dotenv_that_is_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    (complaint,) = complaints(tmp_path)
    assert complaint == f".env: cannot be read: Is a directory ({tmp_path / '.env'})"


def test_a_dotenv_that_leads_in_a_circle_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").symlink_to(".env")
    (complaint,) = complaints(tmp_path)
    assert complaint.startswith(".env: cannot be read: Too many levels of symbolic links")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_dotenv_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").touch(mode=0)
    (complaint,) = complaints(tmp_path)
    assert complaint.startswith(".env: cannot be read: Permission denied")


def test_a_working_directory_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SettingsError, match=r"^TESTRUNS_HOME: ") as refused:
        load_settings({})
    assert len(str(refused.value).splitlines()) == 1
    assert load_settings({"TESTRUNS_HOME": "/var/lib/x"}).testruns_home == Path("/var/lib/x")


# --- secrets --------------------------------------------------------------------------------

HUSH = "hush7f3a"
ANY = st.text(max_size=5) | st.text("[]:@/%?#& \\\0\n\t\udcff℀", max_size=5)


@st.composite
def secretive_variables(draw: st.DrawFn) -> dict[str, str]:
    """Variables of all kinds that hold the same secret where a secret may stand, well or badly."""
    around = [draw(ANY) + HUSH + draw(ANY) for _ in range(6)]
    own = {
        "TESTRUNS_WAREHOUSE_URL": draw(
            st.sampled_from(
                ["", "postgresql://u:", "postgres+x://", "mysql://u:", "postgresql://h:"]
            )
        )
        + around[0]
        + draw(st.sampled_from(["", "@db/x", "@[::1]/x", "@[/x"])),
        "POSTMAN_API_KEY": around[1],
        "TESTMO_API_TOKEN": around[2],
        "TESTRUNS_ALERT_WEBHOOK": draw(
            st.sampled_from(["{}", "https://{}", "https://h/{}", "https://[{}]/", "https://{}℀/"])
        ).format(around[3]),
        "POSTMAN_API_URL": f"https://u:{around[4]}@api.test",
        "TESTMO_API_URL": f"https://{around[5]}@api.test",
    }
    chosen = draw(st.sets(st.sampled_from(sorted(own))))
    rest = draw(st.sampled_from([{}, {"POSTMAN_COLLECTION_IDS": "c", "TESTMO_PROJECT_IDS": "1"}]))
    return {**{name: own[name] for name in chosen}, **rest}


@given(secretive_variables())
def test_no_secret_is_in_a_complaint_or_in_what_settings_say_of_themselves(
    variables: dict[str, str],
) -> None:
    try:
        settings = load_settings(variables, Path("/nowhere"))
    except SettingsError as refused:
        told = [*traceback.format_exception(refused), repr(refused)]
        for line in str(refused).splitlines():
            assert line.split(": ")[0] in VARIABLES
    else:
        told = [repr(settings), str(settings), f"{settings}", settings.model_dump_json()]
        told += [repr(vars(settings)), repr(settings.model_dump())]
    assert HUSH not in "".join(told)


@given(st.dictionaries(st.sampled_from(sorted(VARIABLES)), st.text() | st.sampled_from("01,/:[")))
def test_any_values_are_settings_or_lines_that_name_variables(variables: dict[str, str]) -> None:
    try:
        load_settings(variables, Path("/nowhere"))
    except SettingsError as refused:
        lines = str(refused).splitlines()
        assert lines
        assert all(line.split(": ")[0] in VARIABLES for line in lines)


@given(st.binary(max_size=60) | st.text("AB_=\"'#$\\\r\n \0é", max_size=40).map(str.encode))
def test_any_bytes_are_a_dotenv_or_one_line_of_complaint(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    (folder / ".env").write_bytes(content)
    try:
        load_settings({}, folder)
    except SettingsError as refused:
        (line,) = str(refused).splitlines()
        assert line.startswith(".env: ")
