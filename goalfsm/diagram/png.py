"""A drawing as PNG, for what shows no SVG: the SVG, drawn by resvg."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, Final

from goalfsm.diagram.model import DiagramError, Drawing
from goalfsm.diagram.render import render

SCALE: Final = 2.0
"""How many pixels a unit of the drawing gets: enough for a screen of twice the usual density."""
_FAMILIES: Final = (
    *("Arial", "Helvetica", "Liberation Sans", "Noto Sans", "DejaVu Sans Condensed", "DejaVu Sans"),
    *("FreeSans", "Nimbus Sans", "Open Sans", "Roboto", "Ubuntu", "Cantarell", "Segoe UI"),
)
"""What may stand for a font without serifs, the nearest to what texts are measured by first."""
_PROBE: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20">'
    '<text y="16" font-family="{}">M</text></svg>'
)


def render_png(machine: Any | Drawing, *, scale: float = SCALE, **options: Any) -> bytes:
    """Return a drawing of ``machine`` as PNG, in the colours of a light page.

    ``scale`` is in pixels for each unit of the SVG; ``options`` are those of ``render()`` but
    ``format``. Texts are set in the fonts of the machine that draws. Raises ``DiagramError`` where
    resvg is not installed, which comes with the extra ``png``, and where there is no such font.
    """
    text = render(machine, format="svg", **options)
    try:
        resvg: Any = importlib.import_module("resvg_py")
    except ImportError as error:
        raise DiagramError(
            "a PNG is drawn by resvg, which is not installed",
            hint="pip install 'goalfsm[png]', or write an SVG",
        ) from error
    family = _family(resvg)
    return bytes(resvg.svg_to_bytes(svg_string=text, zoom=scale, sans_serif_family=family))


@cache
def _family(resvg: Any) -> str:
    """Return a font that is there: resvg asks the system for none, and leaves out what has none."""
    drawn = {
        family: bytes(resvg.svg_to_bytes(svg_string=_PROBE.format(family)))
        for family in ("", *_FAMILIES)
    }
    nothing = drawn.pop("")
    for family, picture in drawn.items():
        if picture != nothing:
            return family
    raise DiagramError(
        "a PNG would have no text: there is no font for it on this machine",
        hint="install one, such as apt install fonts-dejavu-core, or write an SVG",
    )
