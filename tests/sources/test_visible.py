"""A text as people may read it: one line, nothing hidden, no password."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.redaction import visible


@given(st.text(st.characters(codec=None)))
def test_a_text_is_one_line_without_anything_that_cannot_be_seen(text: str) -> None:
    shown = visible(text)
    assert len(shown.splitlines()) <= 1
    hidden = {char for char in shown if unicodedata.category(char) in ("Cc", "Cs")}
    assert hidden <= {"\t"}
    assert visible(shown) == shown


@given(st.text(st.characters(categories=["L", "N", "Zs"], include_characters="-_.,!()%é‌‍")))
def test_a_plain_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jgone", "⟨U+001B⟩[2Jgone"),
        ("run 7\ntestruns: all is well", "run 7⟨U+000A⟩testruns: all is well"),
        ("failed\rpassed", "failed⟨U+000D⟩passed"),
        ("safe \u202egnp.exe", "safe ⟨U+202E⟩gnp.exe"),
        ("\ud800", "⟨U+D800⟩"),
        ("postgresql://me:s3cret@h/d", "postgresql://me:REDACTED@h/d"),
        ("postgresql://me:s3@cret@h/d", "postgresql://me:REDACTED@h/d"),
        ("postgresql://me@h/d", "postgresql://me@h/d"),
        ("at https://t0ken@h/x and http://u:p@h", "at https://REDACTED@h/x and http://REDACTED@h"),
        ("http://h/a@b", "http://h/a@b"),
        ("mail me@example.com", "mail me@example.com"),
    ],
)
def test_what_cannot_be_seen_is_written_out_and_passwords_are_masked(text: str, shown: str) -> None:
    assert visible(text) == shown
