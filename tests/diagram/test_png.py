"""A PNG is the SVG in pixels."""

from __future__ import annotations

import re
import struct

import pytest

from goalfsm.diagram import named, render, render_png


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_a_png_is_as_large_as_its_svg_times_the_scale(scale: float) -> None:
    pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    data = render_png(named("goal"), scale=scale, title="A goal")
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    svg = render(named("goal"), format="svg", title="A goal")
    found = re.search(r'width="([\d.]+)" height="([\d.]+)" role', svg)
    assert found is not None
    expected = [float(side) * scale for side in found.groups()]
    assert struct.unpack(">II", data[16:24]) == pytest.approx(expected, abs=1.5)
    # Something is drawn in it.
    assert len(data) > 10_000
