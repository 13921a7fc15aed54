"""An MkDocs hook that draws machines while a site is built, so that no picture is ever stale.

In ``mkdocs.yml``::

    hooks:
      - docs/hooks.py

and in that file::

    from goalfsm.diagram.mkdocs import on_page_markdown

A page then draws a machine with a fence, or between the markers that ``goalfsm diagram --update``
keeps fresh::

    ```goalfsm-diagram
    package.module:machine direction=LR effects=yes
    ```

A fence is drawn as SVG unless it says ``format=mermaid`` (which needs a theme that shows Mermaid),
``table`` or another format.
"""

from __future__ import annotations

import re
from typing import Any, Final

from mkdocs.exceptions import PluginError

from goalfsm.diagram.docs.blocks import block_body, refreshed
from goalfsm.diagram.docs.order import fulfil, read_order
from goalfsm.diagram.model import DiagramError, Drawing

_FENCE: Final = re.compile(
    r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,}) *goalfsm-diagram *\n"
    r"(?P<body>.*?)^(?P=indent)(?P=ticks)[ \t]*$",
    re.DOTALL | re.MULTILINE,
)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page with its diagrams drawn; a diagram that cannot be drawn stops the build."""
    drawings: dict[str, Drawing] = {}

    def draw(match: re.Match[str]) -> str:
        text = _drawn(" ".join(match["body"].split()), drawings)
        return "".join(match["indent"] + line for line in text.splitlines(keepends=True))

    try:
        return refreshed(_FENCE.sub(draw, markdown))[0]
    except DiagramError as error:
        where = getattr(getattr(page, "file", None), "src_uri", "a page")
        raise PluginError(f"{where}: {error.message}. Hint: {error.hint}") from error


def _drawn(text: str, drawings: dict[str, Drawing]) -> str:
    order = read_order(text, default_format="svg")
    if order.format != "svg":
        return block_body(order, drawings)
    # Markdown leaves a block-level element alone up to its end tag.
    return f'<figure class="goalfsm-diagram">\n{fulfil(order, drawings=drawings)}</figure>'
