"""How Sphinx builds the documentation site and the manual page: `make docs`, `make man`.

The source folder is the project's, so that a link means the same here as in a checkout.
"""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "goalfsm"
author = "The goalfsm authors"
release = version = version_of("goalfsm")

extensions = ["myst_parser", "sphinx_click", "sphinxcontrib.mermaid"]
myst_fence_as_directive = ["mermaid"]
include_patterns = ["docs/*.md", "diagrams/*.md", "CHANGELOG.md"]
# Sphinx walks through every folder that is not left out.
exclude_patterns = [".*", "build", "dist", "goalfsm", "recovery", "tests"]
root_doc = "docs/index"
myst_heading_anchors = 4
# Blocks of the pages that are no Python: as they are, where no lexer knows them.
highlight_language = "text"

html_theme = "furo"
html_title = f"goalfsm {release}"
html_baseurl = "https://goalfsm.readthedocs.io/"
templates_path = ["_templates"]
# A site is entered at its root, and the first page is in docs/.
html_additional_pages = {"index": "redirect.html"}
html_copy_source = False

man_pages = [("docs/commands", "goalfsm", "drive agents to objectives", author, 1)]

_MERMAID = re.compile(r"^```mermaid\n.*?^```\n", re.MULTILINE | re.DOTALL)
_PAGE = re.compile(r"\[([^\]]+)\]\(([\w-]+\.md)\)")


def _as_shown(app: Sphinx, name: str, source: list[str]) -> None:
    """Show the pages of the machines with the picture that they link, which needs no script.

    A manual page has no links: there a page is named by its file.
    """
    folder, _, page = name.rpartition("/")
    if folder == "diagrams" and page != "README":
        source[0] = _MERMAID.sub(f"![]({page}.svg)\n", source[0])
    if app.builder.name == "man":
        source[0] = _PAGE.sub(rf"\1 ({folder}/\2)", source[0])


def setup(app: Sphinx) -> None:
    """Register what this project's pages need."""
    app.connect("source-read", _as_shown)
