"""The vocabulary of notices: closed, and bounded however much happens between two turns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalfsm.session import prompt_notices as notices
from goalfsm.session.prompt_notices import KINDS, MAX_DETAIL_LENGTH, Notice, add, encode, parse

DETAILS = st.text(max_size=50)


@given(st.sampled_from(KINDS), DETAILS)
def test_notice_survives_its_encoding(kind: notices.NoticeKind, detail: str) -> None:
    assert parse(encode(kind, detail)) == Notice(kind, detail.strip())


def test_notice_without_detail_is_its_kind() -> None:
    assert encode("woken") == encode("woken", " \n") == "woken"
    assert encode("woken", "a:b") == "woken:a:b"


@pytest.mark.parametrize("text", ["", "paused", "Woken", " woken", "woken done", ":woken"])
def test_other_text_is_no_notice(text: str) -> None:
    with pytest.raises(ValueError, match="not a notice"):
        parse(text)


def test_long_detail_is_cut_and_says_so() -> None:
    encoded = encode("woken", "x" * (MAX_DETAIL_LENGTH + 1_500))
    assert encoded == f"woken:{'x' * MAX_DETAIL_LENGTH}… (1,500 more characters)"


def test_later_notice_takes_the_place_of_one_of_its_kind() -> None:
    kept = add(add(add((), "interrupted", "first"), "resumed"), "interrupted", "second")
    assert kept == ("resumed", "interrupted:second")


@given(st.lists(st.tuples(st.sampled_from(KINDS), DETAILS), max_size=40))
def test_there_is_one_notice_of_a_kind_the_last(
    added: list[tuple[notices.NoticeKind, str]],
) -> None:
    kept: tuple[str, ...] = ()
    for kind, detail in added:
        kept = add(kept, kind, detail)
    last = dict(added)
    assert {parse(text).kind: parse(text).detail for text in kept} == {
        kind: detail.strip() for kind, detail in last.items()
    }
    assert len(kept) == len(last)
