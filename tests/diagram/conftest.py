"""The real parsers: Mermaid from npm and dot from Graphviz, or a reason why they are missing."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NODE = Path(__file__).parent / "node"


class Mermaid:
    """A Node process that answers what the real Mermaid understands of a text and draws of it."""

    def __init__(self, node: str) -> None:
        self.process = subprocess.Popen(
            [node, str(NODE / "read.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __call__(self, text: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"text": text}) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert answer["ok"], f"{answer['error']}\n{text}"
        assert not answer["undecoded"], f"an entity is shown as it is written\n{text}"
        return answer

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture(scope="session")
def _mermaid_process() -> Iterator[Mermaid]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    if not (NODE / "node_modules" / "mermaid").is_dir():
        pytest.skip("Mermaid is not installed: npm ci --prefix tests/diagram/node")
    process = Mermaid(node)
    yield process
    process.close()


@pytest.fixture
def mermaid(_mermaid_process: Mermaid) -> Callable[[str], dict[str, Any]]:
    """Parse and draw a text with the real Mermaid; an error there fails the test."""
    return _mermaid_process


@pytest.fixture
def dot() -> Callable[[str], dict[str, Any]]:
    """Lay a graph out with the real dot and return what it understood, as JSON."""
    program = shutil.which("dot")
    if program is None:
        pytest.skip("Graphviz is not installed")

    def read(text: str) -> dict[str, Any]:
        result = subprocess.run(
            [program, "-Tdot_json"], input=text.encode(), capture_output=True, check=False
        )
        assert (result.returncode, result.stderr.decode()) == (0, ""), text
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    return read
