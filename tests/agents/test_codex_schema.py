"""What we write to Codex is what Codex's own schema, which it prints, says that it takes."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.agents import homes
from tests.agents.recording import FOLDER
from tests.agents.test_transcripts import read


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not homes.installed("codex"):
        pytest.skip("codex is not installed: sh .ci/tools")
    folder = tmp_path_factory.mktemp("schema")
    program = str(homes.NODE_MODULES / ".bin" / "codex")
    argv = [program, "app-server", "generate-json-schema", "--experimental", "--out", str(folder)]
    path = f"{homes.NODE}:/usr/bin:/bin"
    subprocess.run(argv, check=True, env={"PATH": path, "HOME": str(folder)}, timeout=60)
    return folder


def written() -> list[dict[str, Any]]:
    """Return every message that was recorded as written to Codex."""
    found = []
    for path in sorted(FOLDER.glob("codex-*/*.jsonl")):
        _, steps = read(path)
        found += [json.loads(row) for step in steps for row in step["wrote"]]
    return found


def test_every_request_is_one_that_codex_knows(schema: Path) -> None:
    told = Draft7Validator(json.loads((schema / "ClientRequest.json").read_text()))
    requests = [message for message in written() if "method" in message and "id" in message]
    assert {"thread/start", "thread/resume", "turn/start", "turn/steer", "turn/interrupt"} <= {
        message["method"] for message in requests
    }
    for message in requests:
        told.validate(message)


def test_every_answer_to_a_tool_call_is_one_that_codex_takes(schema: Path) -> None:
    told = Draft7Validator(json.loads((schema / "DynamicToolCallResponse.json").read_text()))
    answers = [message["result"] for message in written() if "result" in message]
    assert answers
    for answer in answers:
        told.validate(answer)
