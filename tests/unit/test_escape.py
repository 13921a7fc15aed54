"""Text as data: what is shown cannot act on what shows it."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalfsm.text import attribute, line, shortened, visible, xml


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tab\tand\nnewline", "tab\tand\nnewline"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("\x1b[2J\x07\x00\x9b\x7f", "\ufffd[2J\ufffd\ufffd\ufffd\ufffd"),
        ("\u202eabc\u2069\u200b\ufeff\u2028", "\ufffdabc\ufffd\ufffd\ufffd\ufffd"),
        ("\ud83d lone", "\ufffd lone"),
        ("\U000e0041", "\ufffd"),
        ("naïve 漢字 👩\u200d🚀 עברית", "naïve 漢字 👩\u200d🚀 עברית"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    """What hides, reorders or controls is replaced; every script and joined emoji stay."""
    assert visible(text) == shown


@given(st.text(alphabet=st.characters()))
def test_visible_text_encodes_and_is_visible_already(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert visible(shown) == shown


@given(st.text())
def test_xml_has_no_markup_and_loses_nothing(text: str) -> None:
    escaped = xml(text)
    assert "<" not in escaped
    assert ">" not in escaped
    assert html.unescape(escaped) == visible(text)


@given(st.text())
def test_attribute_stays_in_its_quotes(text: str) -> None:
    assert not set("<>\"'\n") & set(attribute(text))
    assert html.unescape(attribute(text)) == line(text)


def test_line() -> None:
    assert line("  a\n\tb \r\n c ") == "a b c"


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "abc… (1 more characters)"), ("", 0, "")],
)
def test_shortened(text: str, limit: int, shown: str) -> None:
    assert shortened(text, limit) == shown
