"""The beginning and the end of a text, however it comes in pieces."""

from __future__ import annotations

import random

import pytest

from goalfsm.workers.output import BoundedText


def bounded(parts: list[str], keep: int) -> str:
    """Return what is kept of a text that comes in these parts."""
    kept = BoundedText(keep)
    return "".join([*map(kept.add, parts), kept.finish()])


@pytest.mark.parametrize("size", [1, 7, 40, 400])
@pytest.mark.parametrize("length", [0, 49, 50, 99, 100, 101, 6_000])
def test_the_pieces_make_no_difference(size: int, length: int) -> None:
    rng = random.Random(length)
    text = "".join(rng.choice("abcdefgh\n") for _ in range(length))
    cut = length - 100
    expected = (
        text if cut <= 0 else f"{text[:50]}\n[... {cut:,} characters left out ...]\n{text[-50:]}"
    )
    assert bounded([text[at : at + size] for at in range(0, length, size)], 50) == expected
