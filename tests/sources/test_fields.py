"""One value at a time: what passes, what is refused and in which words, what is kept beside."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.fields import (
    BadFieldError,
    Json,
    bigint,
    boolean,
    count,
    instant,
    integer,
    items,
    required,
    short_text,
    text,
)

READERS: dict[str, Callable[[Json, str], Any]] = {
    "text": text,
    "integer": integer,
    "bigint": bigint,
    "boolean": boolean,
    "instant": instant,
}

# A value of each type that JSON has, by what a complaint calls it.
KINDS: dict[str, Any] = {
    "a boolean": True,
    "a number": 7,
    "a fraction": 7.5,
    "text": "seven",
    "a list": [7],
    "an object": {"seven": 7},
}


def complaint(read: Callable[[Json, str], Any], value: object) -> str:
    """What is said of a value that is refused."""
    with pytest.raises(BadFieldError) as refused:
        read({"field": value}, "field")
    assert refused.value.path == "field"
    assert "\n" not in str(refused.value)
    prefix, problem = str(refused.value).split(": ", 1)
    assert prefix == "field"
    return problem


@pytest.mark.parametrize("reader", READERS)
def test_absent_and_null_are_none(reader: str) -> None:
    assert READERS[reader]({}, "field") is None
    assert READERS[reader]({"field": None}, "field") is None


@pytest.mark.parametrize(
    ("reader", "fits", "expected"),
    [
        ("text", ["text"], "text"),
        ("integer", ["a number"], "a whole number"),
        ("bigint", ["a number"], "a whole number"),
        ("boolean", ["a boolean"], "true or false"),
        ("instant", [], "a time"),
    ],
)
def test_every_other_type_is_refused_and_named(reader: str, fits: list[str], expected: str) -> None:
    for kind, value in KINDS.items():
        if kind in fits:
            assert READERS[reader]({"field": value}, "field") is value
        elif (reader, kind) != ("instant", "text"):
            assert complaint(READERS[reader], value) == f"expected {expected}, got {kind}"


@given(st.text())
def test_text_passes_as_it_was_sent(value: str) -> None:
    assert text({"field": value}, "field") is value


# --- whole numbers --------------------------------------------------------------------------


@given(st.integers(-(2**31), 2**31 - 1))
def test_what_fits_32_bits_passes(value: int) -> None:
    assert integer({"field": value}, "field") == value
    assert bigint({"field": value}, "field") == value


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 2**63, 10**30])
def test_what_binary_copy_would_wrap_silently_is_refused(value: int) -> None:
    assert complaint(integer, value) == "a whole number beyond 32 bits"


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
def test_the_ends_of_64_bits_pass(value: int) -> None:
    assert bigint({"field": value}, "field") == value


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_what_is_beyond_64_bits_is_refused(value: int) -> None:
    assert complaint(bigint, value) == "a whole number beyond 64 bits"


@pytest.mark.parametrize("read", [integer, bigint])
@pytest.mark.parametrize("value", [3.0, -2147483648.0, 2147483647.0, 0.0])
def test_a_fraction_without_a_rest_is_a_whole_number(
    read: Callable[[Json, str], int | None], value: float
) -> None:
    got = read({"field": value}, "field")
    assert got == value
    assert type(got) is int


def test_a_fraction_is_a_whole_number_as_far_as_it_can_be_exact() -> None:
    assert bigint({"field": 291600011423.0}, "field") == 291600011423
    assert bigint({"field": -(2.0**53 - 1)}, "field") == -(2**53 - 1)
    # 9007199254740993 is sent, 9007199254740992.0 is read: beyond here a fraction may be rounded.
    assert complaint(bigint, 2.0**53) == "expected a whole number, got a fraction"
    assert complaint(integer, 2147483648.0) == "a whole number beyond 32 bits"


@pytest.mark.parametrize("value", ["7", "1e999", "NaN", ""])
def test_digits_in_text_are_no_number(value: str) -> None:
    assert complaint(bigint, value) == "expected a whole number, got text"


# --- times ----------------------------------------------------------------------------------


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("sent", "moment"),
    [
        ("2026-07-01T02:04:51Z", utc(2026, 7, 1, 2, 4, 51)),
        ("2026-07-01T02:04:51.3Z", utc(2026, 7, 1, 2, 4, 51, 300_000)),
        ("2026-07-01T02:04:51.332Z", utc(2026, 7, 1, 2, 4, 51, 332_000)),
        ("2026-07-01T02:04:51.123456789Z", utc(2026, 7, 1, 2, 4, 51, 123_456)),
        ("2026-07-01T02:04:51+00:00", utc(2026, 7, 1, 2, 4, 51)),
        ("2026-07-01T02:04:51+0530", utc(2026, 6, 30, 20, 34, 51)),
        ("2026-07-01T02:04:51-08:00", utc(2026, 7, 1, 10, 4, 51)),
        ("2026-07-01 02:04:51+02", utc(2026, 7, 1, 0, 4, 51)),
        ("2026-10-25T02:30:00+02:00", utc(2026, 10, 25, 0, 30)),
        ("20260701T020451Z", utc(2026, 7, 1, 2, 4, 51)),
        ("0001-01-01T00:00:00Z", utc(1, 1, 1)),
        ("9999-12-31T23:59:59.999999Z", utc(9999, 12, 31, 23, 59, 59, 999_999)),
    ],
)
def test_a_time_with_its_zone_is_read_as_utc(sent: str, moment: datetime) -> None:
    read = instant({"field": sent}, "field")
    assert read == moment
    assert read is not None
    assert read.tzinfo is UTC


@given(st.datetimes(timezones=st.timezones()))
def test_a_time_in_any_zone_is_the_same_moment_in_utc(moment: datetime) -> None:
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        assert "not an ISO 8601 time" in complaint(instant, moment.isoformat())
    else:
        assert instant({"field": moment.isoformat()}, "field") == expected


@pytest.mark.parametrize("sent", ["2026-07-01T02:04:51", "2026-07-01", "20260701"])
def test_a_time_without_a_zone_is_refused(sent: str) -> None:
    assert complaint(instant, sent) == f"a time without a zone: {sent!r}"


@pytest.mark.parametrize(
    "sent",
    [
        "", "soon", "10000-01-01T00:00:00Z", "+010000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-07-01T25:00:00Z",
        "2026-07-01T02:04:60Z", "2026-07-01T02:04:51+24:00", "1751335491", "1751335491000",
        "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "Wed, 01 Jul 2026 02:04:51 GMT",
        "2026-07-01T02:04:51Z\ufffd", "2026-07-01\n02:04:51Z extra", "٢٠٢٦-07-01T02:04:51Z",
    ],
)  # fmt: skip
def test_a_time_that_no_calendar_here_can_hold_is_refused(sent: str) -> None:
    assert complaint(instant, sent) == f"not an ISO 8601 time: {sent!r}"


@pytest.mark.parametrize(
    ("epoch", "kind"), [(1751335491, "a number"), (1751335491.5, "a fraction")]
)
def test_an_epoch_is_no_time(epoch: float, kind: str) -> None:
    assert complaint(instant, epoch) == f"expected a time, got {kind}"


def test_a_long_text_is_not_quoted_even_in_part() -> None:
    # Were it our own key, half of it would pass every mask.
    secret = "PMAK-" + "0123456789abcdef" * 4
    assert complaint(instant, secret) == "not an ISO 8601 time: 69 characters of text"
    assert complaint(instant, "2026-07-01T02:04:51" + ".0" + "0" * 60).startswith("a time without")


@given(st.text())
def test_any_text_is_a_time_or_one_line_of_complaint(sent: str) -> None:
    try:
        read = instant({"field": sent}, "field")
    except BadFieldError:
        complaint(instant, sent)
    else:
        assert read is not None
        assert read.tzinfo is UTC


# --- objects and lists ----------------------------------------------------------------------


@pytest.mark.parametrize("record", [{}, {"tags": None}, {"tags": {}}, {"tags": []}])
def test_a_list_that_is_absent_null_or_an_empty_object_is_empty(record: Json) -> None:
    assert items(record, "tags") == []


def test_a_list_is_given_as_it_stands() -> None:
    assert items({"tags": ["a", None, 7]}, "tags") == ["a", None, 7]


@pytest.mark.parametrize("kind", set(KINDS) - {"a list"})
def test_what_is_no_list_is_refused(kind: str) -> None:
    assert complaint(items, KINDS[kind]) == f"expected a list, got {kind}"


def test_a_complaint_names_the_whole_way_to_its_field() -> None:
    bad = BadFieldError("statusCode", "is missing")
    assert str(bad.inside("response").inside("executions[1]")) == (
        "executions[1].response.statusCode: is missing"
    )
    assert str(BadFieldError("[3]", "is missing").inside("runs")) == "runs[3]: is missing"


def test_a_required_value_is_itself_or_is_missing() -> None:
    assert required(0, "id") == 0
    assert required("", "id") == ""
    with pytest.raises(BadFieldError, match=r"^id: is missing$"):
        required(None, "id")


# --- ceilings -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [10**15, -(10**15), 0])
def test_a_count_may_be_large(value: int) -> None:
    assert count({"field": value}, "field") == value


@pytest.mark.parametrize("value", [10**15 + 1, -(10**15) - 1, 2**63 - 1])
def test_a_count_that_nothing_comes_to_is_refused(value: int) -> None:
    assert complaint(count, value) == "a count beyond 10^15"


@pytest.mark.parametrize("value", ["", "x" * 1000, "\u00e4" * 500, "\U0001f600" * 250])
def test_text_that_an_index_holds_passes(value: str) -> None:
    assert short_text({"field": value}, "field") is value


@pytest.mark.parametrize("value", ["x" * 1001, "\u00e4" * 501, "\U0001f600" * 251, "\ud800" * 334])
def test_text_that_no_index_holds_is_refused(value: str) -> None:
    assert complaint(short_text, value) == "longer than the 1,000 bytes of a key"
