"""What can be stored of a record, and its canonical JSON."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.sources.content import canonical_json, redaction_salt, storable
from pipelines.sources.redaction import Redactor

Json = dict[str, Any]

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)
RECORDS = st.dictionaries(st.sampled_from("abcdefgh") | st.text(), VALUES, max_size=4)


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
def test_different_records_are_written_differently(one: Json, other: Json) -> None:
    is_same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical_json(one) == canonical_json(other)) is is_same


def test_whole_numbers_of_any_size_are_written_out() -> None:
    assert canonical_json({"n": 2**70}) == b'{"n":1180591620717411303424}'


def test_rows_depend_on_the_parameters_that_are_masked() -> None:
    salt = redaction_salt(Redactor(["token", "sig"]))
    assert salt == redaction_salt(Redactor(["SIG", "token"]))
    assert salt != redaction_salt(Redactor(["token"]))
