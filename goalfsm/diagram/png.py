"""A drawing as PNG, for what shows no SVG: the SVG, drawn by resvg."""

from __future__ import annotations

import importlib
from typing import Any, Final

from goalfsm.diagram.model import DiagramError, Drawing
from goalfsm.diagram.render import render

SCALE: Final = 2.0
"""How many pixels a unit of the drawing gets: enough for a screen of twice the usual density."""


def render_png(machine: Any | Drawing, *, scale: float = SCALE, **options: Any) -> bytes:
    """Return a drawing of ``machine`` as PNG, in the colours of a light page.

    ``scale`` is in pixels for each unit of the SVG; ``options`` are those of ``render()`` but
    ``format``. Texts are set in the fonts of the machine that draws. Raises ``DiagramError`` where
    resvg is not installed: it comes with the extra ``png``.
    """
    text = render(machine, format="svg", **options)
    try:
        resvg: Any = importlib.import_module("resvg_py")
    except ImportError as error:
        raise DiagramError(
            "a PNG is drawn by resvg, which is not installed",
            hint="pip install 'goalfsm[png]', or write an SVG",
        ) from error
    return bytes(resvg.svg_to_bytes(svg_string=text, zoom=scale))
