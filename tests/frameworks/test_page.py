"""The page of the frameworks says what runs."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frameworks.playing import PAGE
from tests.providers.script import calls, says
from tests.providers.server import Provider

EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_worker_of_ones_own_prints_what_the_page_says(tmp_path: Path) -> None:
    (example,) = (text for text in EXAMPLES if "@goalfsm.worker" in text)
    ran = subprocess.run(
        [sys.executable, "-c", example], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert ran.stdout == "complete 100\n"


def test_every_example_imports_what_there_is() -> None:
    for example in EXAMPLES:
        imports = [
            ast.unparse(node)
            for node in ast.parse(example).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        exec("\n".join(imports), {})  # noqa: S102 - the page's own words


@pytest.mark.parametrize("name", ["PydanticAI", "OpenAIAgents", "LangGraph"])
def test_an_example_completes_its_goal_as_it_stands(name: str, tmp_path: Path) -> None:
    """Only where the provider is comes from the environment, as for every client of its."""
    (example,) = (text for text in EXAMPLES if f"import {name}\n" in text)
    with Provider() as provider:
        done = calls("update_goal", status="complete", evidence=["the sums agree"])
        provider.rewrite([done, says("Done.")])
        environment = {
            **os.environ,
            "OPENAI_BASE_URL": f"{provider.url}/v1",
            "OPENAI_API_KEY": "key-of-a-test",
            "OPENAI_AGENTS_DISABLE_TRACING": "1",
        }
        ran = subprocess.run(
            [sys.executable, "-c", example],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=60,
            check=False,
        )
        assert ran.stdout == "complete\n", ran
        assert "Balance the ledger" in provider.requests[0].text
