"""A goal that a client sets over the app-server is worked on by the real Codex."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.agents import homes
from tests.agents.terminal import DONE
from tests.agents.tools import ARGS
from tests.providers.script import says
from tests.providers.server import Provider

_HELLO = {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "t", "version": "1"}}}


def test_codex_works_on_what_a_client_has_set(place: Path, provider: Provider) -> None:
    if not homes.installed("codex"):
        pytest.skip("codex is not installed: sh .ci/tools")
    provider.rewrite([says("Half of it."), DONE, says("Done.")])
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "goalfsm.cli", "app-server", "--db", str(place / "g.db")),
            *("--agent", "codex", "--", *ARGS["codex"]),
        ],
        cwd=place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    told: list[dict[str, Any]] = []
    with server, server.stdin as asking:
        try:
            for message in (_HELLO, {"id": 2, "method": "thread/start", "params": {}}):
                asking.write(json.dumps(message) + "\n")
            asking.flush()
            for line in server.stdout:
                message = json.loads(line)
                told.append(message)
                if message.get("id") == 2:
                    goal = {"threadId": message["result"]["thread"]["id"], "objective": "Write"}
                    given = {"id": 3, "method": "thread/goal/set", "params": goal}
                    asking.write(json.dumps(given) + "\n")
                    asking.flush()
                ended = [one for one in told if one.get("method") == "turn/completed"]
                if len(ended) == 2:
                    break
        finally:
            server.kill()
    assert [one["params"]["turn"]["status"] for one in ended] == ["completed", "completed"]
    items = [one["params"]["item"] for one in told if one.get("method") == "item/completed"]
    assert [item["text"] for item in items] == ["Half of it.", "Done."]
    goals = [one["params"]["goal"] for one in told if one.get("method") == "thread/goal/updated"]
    assert goals[0]["tokensUsed"] == 0
    assert goals[-1]["status"] == "complete"
    charged = provider.charged
    assert goals[-1]["tokensUsed"] == charged.input_tokens + charged.output_tokens
