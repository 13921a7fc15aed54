"""A goal goes on in a person's own session of Claude Code, through its Stop hook."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agents import homes
from tests.agents.terminal import Terminal
from tests.agents.tools import shell
from tests.providers.script import says
from tests.providers.server import Provider

_CLAIM = "goalfsm tool update_goal --status complete --evidence 'the tree stands'"


def test_a_session_goes_on_until_its_goal_is_verified(place: Path, provider: Provider) -> None:
    if not homes.installed("claude"):
        pytest.skip("claude is not installed: sh .ci/tools")
    terminal = Terminal("claude", place)
    given = terminal.start("set", "Plant a tree", "--verify", "test -e tree")
    assert "the goal is" in terminal.end(given) or given.returncode == 0
    hook = {"type": "command", "command": f"{sys.executable} -m goalfsm.cli hook stop"}
    settings = {"hooks": {"Stop": [{"hooks": [hook]}]}}
    claim = f"PATH={Path(sys.executable).parent}:$PATH {_CLAIM}"
    provider.rewrite(
        [
            says("I know the apple."),
            shell("claude", claim),
            says("I claim it."),
            shell("claude", f"touch tree; {claim}"),
            says("It stands."),
        ]
    )
    done = subprocess.run(
        [
            *("claude", "-p", "Good morning.", "--settings", json.dumps(settings)),
            *("--allowedTools", "Bash", "--output-format", "stream-json", "--verbose"),
        ],
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(provider.requests) == 5, done.stdout
    assert "Plant a tree" not in provider.requests[0].text
    assert "Plant a tree" in provider.requests[1].text
    assert "test -e tree" in provider.requests[3].text
    assert "I know the apple." in provider.requests[-1].text
    status = terminal.status()
    assert status["goal"]["status"] == "complete"
    assert status["goal"]["continuations"] == 2
