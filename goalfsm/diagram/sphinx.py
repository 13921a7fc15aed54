"""A Sphinx extension that draws machines while the documents are built.

In ``conf.py``: ``extensions = ["goalfsm.diagram.sphinx"]``; in a document::

    .. goalfsm-diagram:: package.module:machine
       :direction: LR
       :effects:
       :caption: How an order is handled

HTML gets the picture; what cannot show one (LaTeX, plain text, manual pages) gets the tables of
the machine's rows and states. ``:format: table`` gives the tables everywhere. ``mermaid`` is drawn
by sphinxcontrib.mermaid where that is among the extensions; without it, and for ``dot``, the source
is a literal block.
"""

from __future__ import annotations

import importlib.util
from typing import Any, ClassVar, Final

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from goalfsm.diagram.model import Diagram, DiagramError, Drawing
from goalfsm.diagram.ours.machines import BUILTINS, named
from goalfsm.diagram.render import DIRECTIONS, render
from goalfsm.diagram.table import NOTHING, Cell, Table, states_of, table_of
from goalfsm.version import __version__

MERMAID: Final = "sphinxcontrib.mermaid"
SHOWN: Final = ("svg", "table", "mermaid", "dot", "plantuml", "json")


WIDEST: Final = 40


def _shown(value: str | None) -> str:
    return str(directives.choice(value or "", SHOWN))


def _direction(value: str | None) -> str:
    # choice() compares in lower case.
    return str(directives.choice(value or "", [known.lower() for known in DIRECTIONS])).upper()


class GoalfsmDiagram(SphinxDirective):
    """``.. goalfsm-diagram:: MACHINE``: one of goalfsm's machines, or ``package.module:object``."""

    required_arguments = 1
    final_argument_whitespace = False
    option_spec: ClassVar[dict[str, Any]] = {
        "format": _shown,
        "direction": _direction,
        "no-guards": directives.flag,
        "effects": directives.flag,
        "highlight": directives.unchanged_required,
        "title": directives.unchanged,
        "caption": directives.unchanged_required,
        "class": directives.class_option,
        "name": directives.unchanged,
    }

    def run(self) -> list[nodes.Node]:
        """Return the drawing's nodes; what cannot be drawn is an error of the document."""
        name = self.arguments[0]
        for module in _modules(name):
            spec = importlib.util.find_spec(module)
            if spec is not None and spec.origin:
                self.env.note_dependency(spec.origin)
        try:
            found = self._content(named(name))
        except DiagramError as error:
            raise self.error(f"{error.message}. Hint: {error.hint}") from error
        figure = nodes.figure(
            "", *found, classes=["goalfsm-diagram", *self.options.get("class", [])]
        )
        self.set_source_info(figure)
        if "caption" in self.options:
            inline, messages = self.parse_inline(self.options["caption"])
            figure += nodes.caption(self.options["caption"], "", *inline)
            self.add_name(figure)
            return [figure, *messages]
        self.add_name(figure)
        return [figure]

    def _content(self, drawing: Drawing) -> list[nodes.Node]:
        guards, effects = "no-guards" not in self.options, "effects" in self.options
        shown = self.options.get("format", "svg")
        tables = [table_of(drawing, guards=guards, effects=effects)]
        if isinstance(drawing, Diagram):
            tables.append(states_of(drawing, effects=effects))
        found: list[nodes.Node] = [_table(table) for table in tables if table.rows]
        if shown == "table":
            return found
        highlight = [part.strip() for part in self.options.get("highlight", "").split(",")]
        text = render(
            drawing,
            format=shown,
            guards=guards,
            effects=effects,
            highlight=[part for part in highlight if part] or None,
            direction=self.options.get("direction"),
            title=self.options.get("title"),
        )
        if shown == "mermaid" and MERMAID in self.env.app.extensions:
            return [_mermaid(text)]
        if shown != "svg":
            block = nodes.literal_block(text, text)
            block["language"] = "json" if shown == "json" else "text"
            return [block]
        return [
            addnodes.only("", nodes.raw("", text, format="html"), expr="html"),
            addnodes.only("", *found, expr="not html"),
        ]


def _mermaid(code: str) -> nodes.Node:
    """Return what the Mermaid extension draws."""
    from sphinxcontrib.mermaid import mermaid  # noqa: PLC0415  only where it is loaded

    node: nodes.Node = mermaid("", code=code, options={})
    return node


def _modules(name: str) -> tuple[str, ...]:
    """Return the modules whose change makes the drawing of ``name`` stale."""
    if name in BUILTINS:
        return BUILTINS[name].modules
    module = name.partition(":")[0]
    try:
        importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return ()
    return (module,)


def _table(table: Table) -> nodes.table:
    group = nodes.tgroup(cols=len(table.heads))
    group.extend(nodes.colspec(colwidth=_width(table, at)) for at in range(len(table.heads)))
    group += nodes.thead("", nodes.row("", *(_entry(nodes.Text(head)) for head in table.heads)))
    group += nodes.tbody(
        "", *(nodes.row("", *(_entry(*_cell(cell)) for cell in row)) for row in table.rows)
    )
    return nodes.table("", group)


def _width(table: Table, column: int) -> int:
    """Return how many letters wide a column is to be; the widest go on in further lines."""
    cells = [", ".join(piece.text for piece in row[column]) for row in table.rows]
    return min(max(map(len, [table.heads[column], *cells])) + 2, WIDEST)


def _entry(*content: nodes.Node) -> nodes.entry:
    return nodes.entry("", nodes.paragraph("", "", *content))


def _cell(cell: Cell) -> list[nodes.Node]:
    found: list[nodes.Node] = []
    for piece in cell:
        if found:
            found.append(nodes.Text(", "))
        text = nodes.literal(piece.text, piece.text) if piece.is_name else nodes.Text(piece.text)
        found.append(text)
    return found or [nodes.Text(NOTHING)]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("goalfsm-diagram", GoalfsmDiagram)
    return {
        "version": __version__,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
