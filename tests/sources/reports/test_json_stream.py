"""Parts of a JSON document, as they stream by."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sources.reports.json_stream import ITEM, Wanted, pick
from pipelines.sources.reports.report import ReportError

WANTED: Wanted = {
    "meta": frozenset(),
    "run": {"items": {ITEM: frozenset({"stream"})}, "name": frozenset()},
}


def pieces(text: str, size: int) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


def picked(text: str, size: int = 65_536) -> list[tuple[tuple[str, ...], Any]]:
    return list(pick(pieces(text, size), WANTED, lambda: len(text)))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(['"', "\\", '\\"', "\\\\", '"data":[1,2', "\\u", "😀", "[1,2,3]"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "data", "stream", "meta"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def without_streams(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_streams(v) for k, v in value.items() if k != "stream"}
    return [*map(without_streams, value)] if isinstance(value, list) else value


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine
@given(
    meta=VALUES,
    items=st.lists(VALUES, max_size=4),
    size=st.integers(1, 40),
    is_ascii=st.booleans(),
)
def test_what_is_picked_is_what_stands_there(
    meta: Any, items: list[Any], size: int, *, is_ascii: bool
) -> None:
    document = {"other": [meta], "meta": meta, "run": {"x": {"items": 1}, "items": items}}
    text = json.dumps(document, ensure_ascii=is_ascii)

    found = picked(text, size)

    expected = [(("meta",), meta), *((("run", "items", ITEM), one) for one in items)]
    assert [path for path, _ in found] == [path for path, _ in expected]
    for (path, value), (_, sent) in zip(found, expected, strict=True):
        whole = without_streams(sent) if path[0] == "run" else sent
        # Numbers under `data` are left out where they stand in one piece.
        if '"data": [' not in json.dumps(sent):
            assert value == whole


def test_bodies_are_left_out_however_they_are_cut(tmp_path: Any) -> None:  # noqa: ARG001
    body = list(range(256)) * 400
    sent = {"run": {"items": [{"a": 1, "stream": {"type": "Buffer", "data": body}, "b": "é"}]}}
    text = json.dumps(sent, indent=2)

    for size in (7, 1000, 65_536, len(text)):
        assert picked(text, size) == [(("run", "items", ITEM), {"a": 1, "b": "é"})]


@pytest.mark.parametrize("unit", ["x", "é", '\\"', "\\\\", "\\u00e9", "\\ud83d\\ude00", " 1,", "e"])
def test_a_long_text_is_cut_and_what_follows_is_whole(unit: str) -> None:
    text = unit * (3_000_000 // len(unit))
    document = f'{{"meta": {{"long": "{text}", "after": "[1, 2]"}}, "run": {{"name": "n"}}}}'

    [(_, meta), (_, name)] = picked(document)

    whole = json.loads(f'"{text}"')
    assert whole.startswith(meta["long"][:65_000])
    assert 65_000 < len(meta["long"]) < len(whole)
    assert meta["after"] == "[1, 2]"
    assert name == "n"


def test_half_a_character_and_nul_are_replaced() -> None:
    assert picked(
        '{"meta": ["a\\ud800b", "\\udc00", "\\ud83d\\ude00", "\\\\ud800", "\\u0000"]}'
    ) == [(("meta",), ["a\ufffdb", "\ufffd", "😀", "\\ud800", "\ufffd"])]


def test_numbers_beyond_64_bits_are_doubles() -> None:
    assert picked('{"meta": [1.5, 1e2, 123456789012345678901234567890, 9007199254740993]}') == [
        (("meta",), [1.5, 100.0, 1.2345678901234568e29, 9007199254740993])
    ]


def test_the_end_of_a_text_is_named() -> None:
    with pytest.raises(ReportError, match="JSON ends at byte 9"):
        picked('{"meta": ')


# ijson would go on with nothing for a value, and crash the process now and then.
@pytest.mark.parametrize("size", [1, 977, 4000, 65_536])
@pytest.mark.parametrize("before", ["", '"name": "x",', '"a": "\\\\", "b": "\\"",'])
@pytest.mark.parametrize("number", ["9" * 4001, "-" + "1" * 6000, "1" + "0" * 9000 + ".5"])
def test_a_number_that_python_refuses_is_a_reason_wherever_it_is_cut(
    size: int, before: str, number: str
) -> None:
    text = f'{{"run": {{{before} "items": [1, {number}]}}}}'
    with pytest.raises(ReportError, match=r"^JSON with a number that is too long$"):
        picked(text, size)


@pytest.mark.parametrize("size", [1, 977, 4000, 65_536])
def test_digits_of_a_text_are_no_number(size: int) -> None:
    digits = "9" * 9000
    text = json.dumps({"run": {"name": f'a\\"{digits}', "items": [{digits: digits}, 7]}})
    assert picked(text, size) == [
        (("run", "name"), f'a\\"{digits}'),
        (("run", "items", ITEM), {digits: digits}),
        (("run", "items", ITEM), 7),
    ]


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-2.5E-99999999999999999999"])
def test_an_exponent_that_python_refuses_is_a_reason(number: str) -> None:
    with pytest.raises(ReportError, match=r"^JSON with a number that is too long$"):
        picked(f'{{"run": {{"items": [{number}]}}}}')
