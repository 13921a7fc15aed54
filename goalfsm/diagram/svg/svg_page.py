"""The elements of an SVG document, with everything that comes from outside escaped."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from goalfsm.diagram.labels import Line
from goalfsm.diagram.style import (
    DARK,
    FONT,
    LIGHT,
    NAME_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    Palette,
)
from goalfsm.diagram.svg.layout.measure import LINE, text_width, wrap
from goalfsm.diagram.svg.layout.place import Frame
from goalfsm.diagram.svg.layout.region import Point

MARGIN: Final = 22.0
BASE: Final = 0.76
"""Where in a line its letters stand, as a share of the line's height."""
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TIPS: Final = ("edge", "taken", "fault")
_MARK: Final = "\0"
"""Stands for what makes identifiers this drawing's own, until all of it is known."""

_SHAPE: Final = (
    f".fsm{{font-family:{FONT};color-scheme:light dark;"
    # Inside a page it is never wider than its column.
    "max-width:100%;height:auto}"
    ".fsm text{text-anchor:middle}"
    f".fsm .title{{font-size:{TITLE_SIZE:g}px;font-weight:600}}"
    f".fsm .name{{font-size:{NAME_SIZE:g}px;font-weight:600}}"
    f".fsm .text{{font-size:{TEXT_SIZE:g}px}}"
    ".fsm .node,.fsm .edge,.fsm .lifeline{stroke-width:1.5}"
    ".fsm .any,.fsm .region{stroke-dasharray:5 4}"
    ".fsm .inner,.fsm .now.inner{stroke-width:1}"
    ".fsm .now,.fsm .edge.taken{stroke-width:2.5}"
    ".fsm .rule{stroke-opacity:.55}"
    ".fsm .edge.fault,.fsm .edge.reply{stroke-dasharray:6 4}"
    ".fsm .count,.fsm .taken .trigger,.fsm .kind{font-weight:600}"
    ".fsm .lifeline,.fsm .note{stroke-opacity:.6}"
    ".fsm .frame{stroke-dasharray:3 3}"
    ".fsm .text.start{text-anchor:start}"
)


def _colours(palette: Palette, scope: str = ".fsm") -> str:
    """Return the rules that colour what is inside ``scope``.

    Colours stand in them as they are: converters, office programs and image viewers do not know
    custom properties, and would paint everything black.
    """
    p = palette
    rules = {
        ".page": f"fill:{p.page};stroke:{p.rim}",
        "text": f"fill:{p.ink}",
        ".node": f"fill:{p.node};stroke:{p.edge}",
        ".group,.decision": f"fill:{p.group}",
        ".any": f"fill:none;stroke:{p.line}",
        ".now": f"fill:{p.now};stroke:{p.accent}",
        ".inner,.now.inner": "fill:none",
        ".rule,.lifeline": f"stroke:{p.edge}",
        ".dot": f"fill:{p.ink}",
        ".edge": f"fill:none;stroke:{p.line}",
        ".edge.taken": f"stroke:{p.accent}",
        ".edge.fault": f"stroke:{p.fault}",
        ".tip-edge": f"fill:{p.line}",
        ".tip-taken": f"fill:{p.accent}",
        ".tip-fault,.fault .trigger": f"fill:{p.fault}",
        ".label": f"fill:{p.page}",
        ".label.grouped": f"fill:{p.group}",
        ".guard": f"fill:{p.guard}",
        ".effect,.order": f"fill:{p.muted}",
        ".count,.taken .trigger": f"fill:{p.accent_ink}",
        ".note": f"fill:{p.now};stroke:{p.accent}",
        ".frame": f"fill:none;stroke:{p.edge}",
        ".tag": f"fill:{p.group};stroke:{p.edge}",
    }
    return "".join(
        f"{','.join(f'{scope} {one}' for one in names.split(','))}{{{rule}}}"
        for names, rule in rules.items()
    )


_CSS: Final = (
    _SHAPE
    + _colours(LIGHT)
    + f"@media(prefers-color-scheme:dark){{{_colours(DARK)}}}"
    # Inside a page, the page's own switch wins: these are those of common themes.
    + _colours(LIGHT, ":is([data-theme=light],[data-md-color-scheme=default]) .fsm")
    + _colours(DARK, ":is([data-theme=dark],[data-md-color-scheme=slate]) .fsm")
)


def number(value: float) -> str:
    """Return a coordinate as short as it can be written, to a tenth."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def pair(point: Point) -> str:
    """Return a point as a path has it."""
    return f"{number(point[0])} {number(point[1])}"


def curve(points: Sequence[Point], *, across: bool, loop: bool = False) -> str:
    """Return the path through ``points``: straight where two are in line, S-shaped elsewhere.

    ``across`` says that the drawing runs from left to right; a ``loop`` is a single curve whose
    inner points are its handles.
    """
    at, *rest = points
    path = [f"M{pair(at)}"]
    if loop:
        return f"{path[0]}C{' '.join(map(pair, rest))}"
    for to in rest:
        if pair(at) == pair(to):
            continue  # an arrow's tip takes its direction from the last piece that has one
        if abs(at[across] - to[across]) < 0.5:  # noqa: PLR2004  less than can be seen
            path.append(f"L{pair(to)}")
        else:
            middle = ((at[0] + to[0]) / 2, (at[1] + to[1]) / 2)
            first, second = ((middle[0], at[1]), (middle[0], to[1]))
            if not across:
                first, second = ((at[0], middle[1]), (to[0], middle[1]))
            path.append(f"C{pair(first)} {pair(second)} {pair(to)}")
        at = to
    return "".join(path)


def bent(pieces: Sequence[Sequence[Point]]) -> str:
    """Return the path of straight pieces (to,) and corners (corner, to); the first one starts."""
    (start, *_), *rest = pieces
    path = (f"{'L' if len(piece) == 1 else 'Q'}{' '.join(map(pair, piece))}" for piece in rest)
    return f"M{pair(start)}{''.join(path)}"


def clean(text: str) -> str:
    """Return ``text`` escaped; a character that XML cannot hold becomes a replacement mark."""
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text))


class Page:
    """An SVG document that grows; coordinates of the drawing start at (0, 0)."""

    def __init__(self, title: str, width: float, height: float, description: str = "") -> None:
        self.title = title
        self.description = description
        self.heading = wrap(title, TITLE_SIZE, max(width, 260.0)) if title else ()
        head = len(self.heading) * TITLE_SIZE * LINE + 14 if self.heading else 0.0
        widest = max((text_width(t, TITLE_SIZE, bold=True) for t in self.heading), default=0.0)
        self.width = max(width, widest) + 2 * MARGIN
        self.height = height + head + 2 * MARGIN
        self.origin = ((self.width - width) / 2, MARGIN + head)
        self.elements: list[str] = []

    def box(self, frame: Frame, classes: str, radius: float) -> None:
        """Draw a rectangle with round corners."""
        x, y, width, height = map(number, frame)
        self.elements.append(
            f'<rect class="{classes}" x="{x}" y="{y}" width="{width}" height="{height}"'
            f' rx="{number(radius)}"/>'
        )

    def hexagon(self, frame: Frame, classes: str) -> None:
        """Draw a box with pointed ends."""
        x, y, width, height = frame
        tip = min(12.0, height / 3)
        corners = (
            (x, y + height / 2),
            (x + tip, y),
            (x + width - tip, y),
            (x + width, y + height / 2),
            (x + width - tip, y + height),
            (x + tip, y + height),
        )
        points = " ".join(f"{number(a)},{number(b)}" for a, b in corners)
        self.elements.append(f'<polygon class="{classes}" points="{points}"/>')

    def dot(self, x: float, y: float, radius: float) -> None:
        """Draw a start marker."""
        self.elements.append(
            f'<circle class="dot" cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"/>'
        )

    def stem(self, path: str) -> None:
        """Draw what several arrows share along ``path``: a line without a tip."""
        self.elements.append(f'<path class="edge" d="{path}"/>')

    def edge(self, path: str, classes: str) -> None:
        """Draw an arrow along ``path``."""
        tip = next((tip for tip in _TIPS[1:] if tip in classes.split()), _TIPS[0])
        self.elements.append(
            f'<path class="{classes}" d="{path}" marker-end="url(#{_MARK}-{tip})"/>'
        )

    def rule(self, start: Point, end: Point, classes: str = "rule") -> None:
        """Draw a straight line."""
        self.elements.append(f'<path class="{classes}" d="M{pair(start)}L{pair(end)}"/>')

    def lines(
        self, x: float, top: float, lines: Sequence[str], classes: str, size: float = NAME_SIZE
    ) -> None:
        """Write lines below each other, the first one's upper edge at ``top``."""
        for index, line in enumerate(lines):
            base = top + (index + BASE) * size * LINE
            self.elements.append(
                f'<text class="{classes}" x="{number(x)}" y="{number(base)}">{clean(line)}</text>'
            )

    def parts(self, x: float, top: float, lines: Sequence[Line], classes: str = "") -> None:
        """Write labels below each other, each part in its own colour."""
        for index, line in enumerate(lines):
            base = top + (index + BASE) * TEXT_SIZE * LINE
            spans = " ".join(
                f'<tspan class="{kind}">{clean(text)}</tspan>' for kind, text in line.parts
            )
            kinds = dict.fromkeys(("text", *classes.split(), *(["fault"] if line.fault else [])))
            self.elements.append(
                f'<text class="{" ".join(kinds)}" x="{number(x)}" y="{number(base)}">{spans}</text>'
            )

    def finish(self) -> str:
        """Return the document."""
        width, height = number(self.width), number(self.height)
        name = self.title or "State diagram"
        x, y = self.origin
        body = "\n".join(self.elements)
        self.elements = []
        self.lines(self.width / 2, MARGIN - 2, self.heading, "title", TITLE_SIZE)
        heading = "".join(f"{element}\n" for element in self.elements)
        # Several drawings may share one page: their identifiers must not be the same.
        digest = hashlib.sha256(f"{heading}{body}".encode()).hexdigest()[:8]
        document = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="fsm" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img"'
            f" aria-label={quoteattr(_NOT_XML.sub('', name))}>\n"
            f"<title>{clean(name)}</title>\n"
            f"<desc>{clean(self.description)}</desc>\n"
            f"<style>{_CSS}</style>\n"
            f"<defs>{''.join(map(_tip, _TIPS))}</defs>\n"
            f'<rect class="page" x="0.5" y="0.5" width="{number(self.width - 1)}"'
            f' height="{number(self.height - 1)}" rx="10"/>\n'
            f"{heading}"
            f'<g transform="translate({number(x)} {number(y)})">\n{body}\n</g>\n</svg>\n'
        )
        return document.replace(_MARK, f"fsm-{digest}")


def _tip(name: str) -> str:
    return (
        f'<marker id="{_MARK}-{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9"'
        ' markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">'
        f'<path class="tip-{name}" d="M0 .8L10 5L0 9.2L2.4 5Z"/></marker>'
    )
