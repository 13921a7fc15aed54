"""What `goalfsm mcp --print-config` prints, put where the agent looks: its model has the tools."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.agents import homes
from tests.cli.processes import goalfsm
from tests.providers.script import calls, says
from tests.providers.server import Provider

ASKS = {
    "codex": ("codex", "exec", "--skip-git-repo-check", "Which goal is there?"),
    "claude": ("claude", "-p", "Which goal is there?", "--allowedTools", "mcp__goalfsm"),
    "pi": ("pi", "--mode", "json", "Which goal is there?"),
    "opencode": ("opencode", "run", "Which goal is there?"),
}
"""How each agent is asked one thing."""


def put(agent: str, printed: str, place: Path) -> None:
    """Put a configuration where the agent's own documentation has it."""
    home = place.parent / "home"
    match agent:
        case "codex":
            with (home / "codex" / "config.toml").open("a") as file:
                file.write(f"\n{printed}")
        case "claude":
            (place / ".mcp.json").write_text(printed)
            allowed = {"enabledMcpjsonServers": ["goalfsm"]}
            (place / ".claude").mkdir()
            (place / ".claude" / "settings.local.json").write_text(json.dumps(allowed))
        case "pi":
            (home / "pi" / "mcp.json").write_text(printed)
        case _:
            (place / "opencode.json").write_text(printed)


@pytest.mark.parametrize("agent", ASKS)
def test_the_printed_configuration_gives_the_model_the_goal(
    agent: str, place: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (homes.OPENCODE.exists() if agent == "opencode" else homes.installed(agent)):
        pytest.skip(f"{agent} is not installed: sh .ci/tools")
    programs = place.parent / "programs"
    programs.mkdir()
    (programs / "opencode").symlink_to(homes.OPENCODE)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("XDG_STATE_HOME", str(place.parent / "state"))
    monkeypatch.delenv("GOALFSM_DB", raising=False)
    monkeypatch.chdir(place)
    monkeypatch.setenv("PWD", str(place))
    assert goalfsm("set", "Plant a tree behind the shed", "--", "true").status == 0
    printed = goalfsm("mcp", "--print-config", agent)
    assert printed.status == 0, printed.err
    put(agent, printed.out, place)
    provider.rewrite([calls("get_goal"), says("There is one.")])
    asked = subprocess.run(
        ASKS[agent],
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    told = [request.text for request in provider.requests]
    assert any("Plant a tree behind the shed" in text for text in told), (asked, told)
    assert asked.returncode == 0, asked
