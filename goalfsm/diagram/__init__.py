"""Draw state machines: ours, and any ``transitions`` machine.

It may use machines, sessions and stores, to read them; it triggers and writes nothing of theirs.

``extract()`` reads a live machine into a ``Diagram``; ``render()`` writes that as Mermaid, DOT,
PlantUML, SVG, Markdown or JSON; ``named()`` gives the machines that goalfsm itself runs. Nothing
beyond goalfsm has to be installed for any of it, but for ``render_png()``.
"""

from __future__ import annotations

from goalfsm.diagram.extract import extract
from goalfsm.diagram.model import (
    Diagram,
    DiagramError,
    Edge,
    Frame,
    Message,
    Node,
    Participant,
    Remark,
    Sequence,
)
from goalfsm.diagram.ours.machines import BUILTINS, named
from goalfsm.diagram.png import render_png
from goalfsm.diagram.render import DIRECTIONS, FORMATS, render, with_path
from goalfsm.diagram.rows import from_rows

__all__ = [
    "BUILTINS",
    "DIRECTIONS",
    "FORMATS",
    "Diagram",
    "DiagramError",
    "Edge",
    "Frame",
    "Message",
    "Node",
    "Participant",
    "Remark",
    "Sequence",
    "extract",
    "from_rows",
    "named",
    "render",
    "render_png",
    "with_path",
]
