"""A PNG is the SVG in pixels."""

from __future__ import annotations

import re
import struct
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from goalfsm.diagram import DiagramError, named, png, render, render_png


def drawn(**options: Any) -> bytes:
    """Return a drawing as PNG; without resvg, or without a font, there is nothing to test."""
    try:
        return render_png(named("goal"), **options)
    except DiagramError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_png_is_as_large_as_its_svg_times_the_scale(scale: float) -> None:
    data = drawn(scale=scale, title="A goal")
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    svg = render(named("goal"), format="svg", title="A goal")
    found = re.search(r'width="([\d.]+)" height="([\d.]+)" role', svg)
    assert found is not None
    expected = [float(side) * scale for side in found.groups()]
    assert struct.unpack(">II", data[16:24]) == pytest.approx(expected, abs=1.5)
    # Something is drawn in it.
    assert len(data) > 10_000


def test_a_png_shows_the_texts() -> None:
    """In whatever font there is: resvg draws nothing where the SVG's own are missing."""
    resvg = pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    without = re.sub(r"<text.*?</text>", "", render(named("goal"), format="svg"), flags=re.DOTALL)
    bare = bytes(resvg.svg_to_bytes(svg_string=without, zoom=2.0))
    assert len(drawn()) > 1.5 * len(bare)


def test_without_a_font_there_is_no_png(monkeypatch: pytest.MonkeyPatch) -> None:
    def blank(**_: Any) -> bytes:
        return b"nothing"

    resvg = SimpleNamespace(svg_to_bytes=blank)
    monkeypatch.setitem(sys.modules, "resvg_py", resvg)
    monkeypatch.setattr("goalfsm.diagram.png._family", png._family.__wrapped__)
    with pytest.raises(DiagramError, match="no font") as refused:
        render_png(named("goal"))
    assert "fonts-dejavu-core" in refused.value.hint
