"""The page of the frameworks says what runs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_worker_of_ones_own_prints_what_the_page_says(tmp_path: Path) -> None:
    (example,) = (text for text in EXAMPLES if "@goalfsm.worker" in text)
    ran = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert ran.stdout == "complete 100\n"


def test_every_example_imports_what_there_is() -> None:
    """Only the client of a model's provider is nobody's dependency here."""
    for example in EXAMPLES:
        imports = [
            ast.unparse(node)
            for node in ast.parse(example).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            and "langchain_openai" not in ast.unparse(node)
        ]
        exec("\n".join(imports), {})  # noqa: S102 - the page's own words
