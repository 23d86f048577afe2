"""A .env is read as people write it, and each complaint about it is one line."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pipelines.errors import SettingsError
from pipelines.settings import load_settings
from tests.support.variables import POSTMAN, complaints, load, of_postman, of_testmo


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


def test_a_working_directory_that_is_gone_is_reported(
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
