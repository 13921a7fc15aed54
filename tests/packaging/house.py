"""The picture of the house on the page of its architecture: ``python -m tests.packaging.house``.

It is read from the contracts that import-linter checks, and from the engine's order of stages.
"""

from __future__ import annotations

import ast
import re
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- house -->\n", "<!-- /house -->\n"


def layers(contract: str) -> list[list[str]]:
    """Return the layers of a contract, the highest first, each as its packages."""
    loaded: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = loaded["tool"]["importlinter"]["contracts"]
    (found,) = (one for one in contracts if one["id"] == contract)
    layers = [[part.strip() for part in layer.split(":")] for layer in found["layers"]]
    # How Python starts a package is no room of the house.
    return [layer for layer in layers if layer != ["__main__"]]


def stages() -> list[str]:
    """Return the parts that follow a commit, in the order in which the engine asks them."""
    tree = ast.parse((ROOT / "goalfsm/daemon/composition.py").read_text(encoding="utf-8"))
    (order,) = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "self.stages"
    )
    assert isinstance(order, ast.Tuple)
    parts = [ast.unparse(part).removeprefix("self.") for part in order.elts]
    made = [part.removesuffix("()") for part in parts]
    return [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", part).lower() for part in made]


def picture() -> str:
    """Return the picture, as Mermaid."""
    lines = ["```mermaid", "flowchart TB"]
    lines += _stack("house", layers("layers"), inside="daemon")
    lines += _stack("daemon", layers("daemon"), inside="")
    lines.append("  house_daemon -.-> daemon_engine")
    lines.append('  subgraph after["after a commit, in this order"]')
    lines.append("    direction LR")
    lines.append("    " + " --> ".join(f"after_{name}[{name}]" for name in stages()))
    lines += ["  end", "  daemon_stages -.-> after", "```", ""]
    return "\n".join(lines)


def _stack(name: str, stack: list[list[str]], *, inside: str) -> list[str]:
    lines = [
        f'  subgraph {name}["{"goalfsm" if inside else "goalfsm.daemon"}"]',
        "    direction TB",
    ]
    lines += ["    " + " ~~~ ".join(f"{name}_{part}[{part}]" for part in layer) for layer in stack]
    below = [f"    {name}_{upper[0]} --> {name}_{lower[0]}" for upper, lower in pairwise(stack)]
    lines += below
    return [*lines, "  end"]


def main() -> None:
    """Write the picture anew."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + picture() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
