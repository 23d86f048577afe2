"""Files of any kind: recognised by their content, or refused with a plain reason."""

import gzip
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sources.reports.file_bytes import MOST_BYTES, FileBytes
from pipelines.sources.reports.report import ReportError
from tests.support.reports import as_bytes, case, execution, junit, newman, passed, read, refusal

# A busy machine makes examples slowly; the folder may be used again by each.
SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
NEWMAN = newman([execution(0, assertions=[passed("é 😀")]), execution(1)])
JUNIT = junit(case("é 😀", "<failure>no</failure>"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("is_gzip", [False, True])
def test_encoding_and_gzip_make_no_difference(
    tmp_path: Path, encoding: str, *, is_gzip: bool
) -> None:
    for content in (json.dumps(NEWMAN, ensure_ascii=False), JUNIT.partition("\n")[2]):
        plain = read(tmp_path, content)
        data = content.encode(encoding)

        other = read(tmp_path, gzip.compress(data) if is_gzip else data)

        assert other.rows == plain.rows
        assert other.report.identity.run_id == plain.report.identity.run_id


def test_xml_is_read_in_the_encoding_that_it_declares(tmp_path: Path) -> None:
    text = junit(case("café")).replace("UTF-8", "ISO-8859-1")

    assert read(tmp_path, text.encode("latin-1")).rows["tests"][0]["name"] == "café"


def test_a_gzip_of_several_members_is_one_text(tmp_path: Path) -> None:
    data = as_bytes(NEWMAN)

    parts = gzip.compress(data[:900]) + gzip.compress(data[900:]) + b"\0" * 10

    assert len(read(tmp_path, parts).rows["executions"]) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b" \n\t", "an empty file"),
        (b"\x89PNG\r\n\x1a\n", "neither JSON nor XML"),
        (b"hello", "neither JSON nor XML"),
        (b"{}", "JSON, but no report: it is no object with anything in it"),
        (b"[1, 2]", "JSON, but no report: it is no object with anything in it"),
        (b'{"stats": {}, "results": []}', "JSON, but no report: it holds 'stats', 'results'"),
        (b'{"info": {}, "item": []}', "JSON, but no report: it is a Postman collection"),
        (
            b'{"_postman_variable_scope": "environment", "values": []}',
            "JSON, but no report: it is a Postman environment",
        ),
        (b'{"a": 1} {"b": 2}', "JSON with more text after its end"),
        (b'{"a": nope}', "not JSON: invalid string in json text."),
        (b'{"a": ' + b"9" * 6000 + b"}", "JSON with a number that is too long"),
        (b"<body></body>", "XML, but no JUnit report: its root is 'body'"),
        (b"<result/>", "XML, but no JUnit report: Jenkins' own junitResult.xml"),
        (b"<test-run/>", "XML, but no JUnit report: NUnit 3"),
        (b'<TestRun xmlns="x"/>', "XML, but no JUnit report: Visual Studio's TRX"),
        (b"<testsuite><a></b></testsuite>", "not XML: mismatched tag at line 1, column 16"),
        (b"\x1f\x8b\x08garbage", "gzip that cannot be decompressed"),
    ],
)
def test_what_is_no_report_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    assert str(refusal(tmp_path, content)) == reason


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE t [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><testsuite name="&b;"/>',
        '<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite name="&x;"/>',
        '<!DOCTYPE testsuite SYSTEM "http://127.0.0.1:9/x.dtd"><testsuite/>',
    ],
)
def test_entities_are_never_read(tmp_path: Path, document: str) -> None:
    assert str(refusal(tmp_path, document)) == "XML with a DOCTYPE: its entities are never read"


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    deep = 100_000
    assert "200 levels" in str(refusal(tmp_path, '{"a":' * deep + "1" + "}" * deep))
    assert "200 levels" in str(refusal(tmp_path, "[" * deep))
    assert "200 levels" in str(refusal(tmp_path, "<testsuite>" * deep))


def test_a_tag_without_an_end_is_refused(tmp_path: Path) -> None:
    endless = f'<testsuite name="{"x" * 17_000_000}"/>'

    assert str(refusal(tmp_path, endless)) == "XML with a tag of more than 16 MB"


@settings(suppress_health_check=SLOW, max_examples=150)
@given(st.data())
def test_a_report_that_is_cut_anywhere_says_where_it_ends(
    tmp_path: Path, data: st.DataObject
) -> None:
    whole = data.draw(st.sampled_from([as_bytes(NEWMAN), JUNIT.strip().encode()]))
    size = data.draw(st.integers(1, len(whole) - 1))

    error = refusal(tmp_path, whole[:size])

    assert error.is_cut
    assert str(error) in (f"JSON ends at byte {size}", f"XML ends at byte {size}")


def test_a_gzip_that_is_cut_says_so(tmp_path: Path) -> None:
    error = refusal(tmp_path, gzip.compress(as_bytes(NEWMAN))[:-9])

    assert (str(error), error.is_cut) == ("gzip that ends too early", True)


@settings(suppress_health_check=SLOW, max_examples=150)
@given(st.data())
def test_no_damage_is_more_than_a_reason(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(data.draw(st.sampled_from([as_bytes(NEWMAN), JUNIT.encode()])))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))

    with suppress(ReportError):
        read(tmp_path, bytes(whole))


def test_more_than_2_gib_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)

    content = FileBytes(path)
    with pytest.raises(ReportError, match="larger than 2 GiB"):
        list(content.chunks())
    content.close()


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(ReportError, match="not a regular file"):
        FileBytes(tmp_path / "pipe")


def test_the_digest_is_that_of_the_file_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(b"hello", mtime=0))
    content = FileBytes(path)

    next(content.chunks())

    assert content.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    content.close()


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("<!DOCTYPE html><html><br></html>", "an HTML page, and no report"),
        ("\n<!doctype html>\n<html lang=en><br>", "an HTML page, and no report"),
        ("<HTML><br></HTML>", "an HTML page, and no report"),
        (
            '<?xml version="1.0"?><!DOCTYPE coverage SYSTEM "http://127.0.0.1:9/c.dtd"><coverage/>',
            "XML, but no JUnit report: code coverage",
        ),
        (
            '<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD" "x.dtd"><html/>',
            "XML, but no JUnit report: an HTML page",
        ),
        (
            '<!DOCTYPE report PUBLIC "-//JACOCO//DTD Report 1.1//EN" "report.dtd"><report/>',
            "XML, but no JUnit report: code coverage",
        ),
    ],
)
def test_what_ci_leaves_beside_reports_does_no_harm(
    document: str, reason: str, tmp_path: Path
) -> None:
    error = refusal(tmp_path, document)

    assert str(error) == reason
    assert error.is_foreign
