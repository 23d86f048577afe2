"""One value at a time: what passes, what is refused and in which words, what is kept beside."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.fields import (
    BadFieldError,
    Json,
    bigint,
    boolean,
    canonical_json,
    each,
    instant,
    integer,
    items,
    leftovers,
    obj,
    required,
    storable,
    text,
    with_nested,
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
def test_every_other_type_is_refused_and_told_apart(
    reader: str, fits: list[str], expected: str
) -> None:
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


@pytest.mark.parametrize("record", [{}, {"stats": None}, {"stats": []}, {"stats": {}}])
def test_an_object_that_is_absent_null_or_phps_empty_list_is_empty(record: Json) -> None:
    assert obj(record, "stats", lambda inner: (inner, text(inner, "name"))) == ({}, None)


@pytest.mark.parametrize("record", [{}, {"tags": None}, {"tags": {}}, {"tags": []}])
def test_a_list_that_is_absent_null_or_an_empty_object_is_empty(record: Json) -> None:
    assert items(record, "tags") == []


def test_objects_and_lists_are_given_as_they_stand() -> None:
    assert obj({"stats": {"total": 7}}, "stats", lambda inner: integer(inner, "total")) == 7
    assert items({"tags": ["a", None, 7]}, "tags") == ["a", None, 7]
    assert each({"rows": [{"n": 7}, {}]}, "rows", lambda at, row: (at, integer(row, "n"))) == [
        (0, 7),
        (1, None),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_object_and_no_list_is_refused(kind: str) -> None:
    value = KINDS[kind]
    if kind != "an object":
        problem = complaint(lambda record, key: obj(record, key, dict), value)
        assert problem == f"expected an object, got {kind}"
    if kind != "a list":
        assert complaint(items, value) == f"expected a list, got {kind}"


def test_a_complaint_names_the_whole_way_to_its_field() -> None:
    run = {"executions": [{}, {"response": {"statusCode": "200"}}]}
    with pytest.raises(BadFieldError) as refused:
        each(
            run,
            "executions",
            lambda _at, row: obj(row, "response", lambda inner: integer(inner, "statusCode")),
        )
    assert str(refused.value) == (
        "executions[1].response.statusCode: expected a whole number, got text"
    )
    assert str(refused.value.inside("[3]").inside("runs")).startswith("runs[3].executions[1].")


def test_what_is_no_object_in_a_list_is_named_by_its_position() -> None:
    with pytest.raises(BadFieldError, match=r"^rows\[1\]: expected an object, got text$"):
        each({"rows": [{}, "x"]}, "rows", lambda _at, row: row)


def test_a_required_value_is_itself_or_is_missing() -> None:
    assert required(0, "id") == 0
    assert required("", "id") == ""
    with pytest.raises(BadFieldError, match=r"^id: is missing$"):
        required(None, "id")


# --- what has no column ---------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
RECORDS = st.dictionaries(st.sampled_from("abcdefgh") | st.text(), VALUES, max_size=4)


@settings(max_examples=50)
@given(RECORDS, st.frozensets(st.sampled_from("abcdefgh")))
def test_known_and_left_over_together_are_all_that_was_sent(
    record: Json, known: frozenset[str]
) -> None:
    rest = leftovers(record, known)
    assert rest is None or rest
    assert {key: record[key] for key in record.keys() & known} | (rest or {}) == record
    assert not (rest or {}).keys() & known


def test_what_known_objects_leave_over_stands_under_their_name() -> None:
    known = frozenset({"id", "response", "request"})
    record = {"id": 1, "response": {"x": 1}, "request": {}, "new": None}
    assert with_nested(leftovers(record, known), response={"x": 1}, request=None) == {
        "new": None,
        "response": {"x": 1},
    }
    assert with_nested(leftovers({"id": 1}, known), response=None) is None


# --- what Postgres can hold -----------------------------------------------------------------

ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]) | st.just("\0"))
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    max_leaves=10,
)


@given(ANY_JSON)
def test_what_is_stored_is_unicode_without_nul(value: Any) -> None:
    canonical = json.dumps(storable(value), ensure_ascii=False)
    canonical.encode()
    assert "\\u0000" not in canonical.replace("\\\\", "")
    assert storable(storable(value)) == storable(value)


@given(VALUES)
def test_what_can_be_stored_is_not_changed(value: Any) -> None:
    if "\\u0000" not in json.dumps(value):
        assert storable(value) == value


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("a\0b", "a\ufffdb"),
        ("a\ud800b", "a\ufffdb"),
        ("a\udc00", "a\ufffd"),
        ("\ud800", "\ufffd"),
        ("\ud800\ud800\udc00", "\ufffd\U00010000"),
        ("\ufeffa", "\ufeffa"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_each_character_that_cannot_be_stored_becomes_one_mark(sent: str, stored: str) -> None:
    assert storable(sent) == stored
    assert storable({sent: [sent]}) == {stored: [stored]}


def test_what_can_be_decoded_is_not_too_deep_to_be_stored() -> None:
    # 990 levels are about what the JSON decoder takes.
    value: Any = "\0"
    for _ in range(450):
        value = [{"deeper": value}]
    assert '"\ufffd"' in json.dumps(storable(value), ensure_ascii=False)


# --- one spelling ---------------------------------------------------------------------------


@settings(max_examples=50)
@given(RECORDS, st.randoms(use_true_random=False))
def test_the_spelling_does_not_depend_on_the_order_of_keys(record: Json, chance: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffled(item) for item in value]
        if isinstance(value, dict):
            keys = list(value)
            chance.shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return value

    assert canonical_json(shuffled(record)) == canonical_json(record)


@settings(max_examples=50)
@given(RECORDS, RECORDS)
def test_different_records_are_spelled_differently(one: Json, other: Json) -> None:
    is_same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical_json(one) == canonical_json(other)) is is_same


def test_whole_numbers_of_any_size_are_spelled_out() -> None:
    assert canonical_json({"n": 2**70}) == b'{"n":1180591620717411303424}'
