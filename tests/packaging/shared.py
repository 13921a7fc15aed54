"""How much of the daemon a node shares: ``python -m tests.packaging.shared``."""

from __future__ import annotations

import sys
from pathlib import Path

import grimp

NODE = "goalfsm.cluster.engine"


def lines(module: str) -> int:
    """Return how many lines a module has that are neither empty nor a comment."""
    path = Path(module.replace(".", "/"))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    rows = (row.strip() for row in path.read_text("utf-8").splitlines())
    return sum(bool(row) and not row.startswith("#") for row in rows)


def counted() -> dict[str, tuple[int, int]]:
    """Return lines and files of the daemon that a node runs, that it does not, and its own."""
    graph = grimp.build_graph("goalfsm")
    reached = graph.find_upstream_modules(NODE)
    daemon = {each for each in graph.modules if each.startswith("goalfsm.daemon")}
    parts = {
        "the daemon's, and a node's too": daemon & reached,
        "the daemon's alone": daemon - reached,
        "a node's alone": {each for each in graph.modules if each.startswith("goalfsm.cluster")},
    }
    return {name: (sum(map(lines, each)), len(each)) for name, each in parts.items()}


def main() -> int:
    """Print what was counted."""
    for name, (written, files) in counted().items():
        sys.stdout.write(f"{written:>6,} lines, {files} files: {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
