"""What docs/diagrams.md teaches works as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from goalfsm.cli.drawing import diagram_command
from goalfsm.diagram import FORMATS
from goalfsm.diagram.docs import blocks
from goalfsm.diagram.docs.order import OPTIONS

PAGE = Path(__file__).parents[2] / "docs" / "diagrams.md"


def code(language: str) -> list[str]:
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_every_option_that_is_named_exists() -> None:
    found = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE.read_text(encoding="utf-8")))
    known = {
        name for option in diagram_command.params for name in (*option.opts, *option.secondary_opts)
    }
    assert {"--update", "--check", "--thread", "--highlight"} <= found <= known


def test_the_example_in_python_draws_what_it_says() -> None:
    example = next(block for block in code("python") if "render(" in block)
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102  the document is ours
    assert "A ticket" in names["svg"]
    assert "is_assigned" in names["svg"]
    assert "/ notify" in names["svg"]
    assert "comment \N{MULTIPLICATION SIGN}1" in names["mermaid"]
    assert "classDef now" in names["mermaid"]


def test_the_hook_of_the_example_exists() -> None:
    hook = next(block for block in code("python") if "mkdocs" in block)
    assert "goalfsm.diagram.mkdocs import on_page_markdown" in hook


def test_every_format_and_option_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in FORMATS)
    assert all(f"`{name}=" in text for name in OPTIONS)


def test_the_markers_in_the_document_are_examples() -> None:
    assert blocks.read_blocks(PAGE.read_text(encoding="utf-8")) == ()
