"""Every command of the page about agents, as it is written there, by the agent that it names."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from tests.agents import homes
from tests.agents.terminal import DONE
from tests.cli.processes import goalfsm
from tests.providers.script import says
from tests.providers.server import Provider

DOCS: Final = Path(__file__).parents[2]
PAGE: Final = (DOCS / "docs" / "agents.md").read_text("utf-8")
README: Final = (DOCS / "README.md").read_text("utf-8")
RUNS: Final = tuple(
    dict.fromkeys(
        shlex.join(shlex.split(written, comments=True))
        for written in re.findall(r"^ *(goalfsm run .*--agent .*)$", PAGE + README, re.MULTILINE)
    )
)
"""What a person types to have an agent reach a goal."""


@pytest.fixture
def project(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project whose tests pass, in an environment with every agent installed."""
    (place / "Makefile").write_text("test:\n\ttrue\n")
    programs = place.parent / "programs"
    programs.mkdir()
    (programs / "opencode").symlink_to(homes.OPENCODE)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    monkeypatch.setenv("XDG_STATE_HOME", str(place.parent / "state"))
    monkeypatch.delenv("GOALFSM_DB", raising=False)
    monkeypatch.chdir(place)
    return place


def test_the_page_has_a_command_for_each_agent() -> None:
    named = {re.search(r"--agent (\w+)", run).group(1) for run in RUNS}  # type: ignore[union-attr]
    assert named == {"codex", "claude", "pi", "acp"}
    assert len(RUNS) >= 9


@pytest.mark.parametrize("command", RUNS)
def test_a_command_of_the_page_completes_its_goal(
    command: str, project: Path, provider: Provider
) -> None:
    del project
    words = shlex.split(command)[1:]
    agent = words[words.index("--agent") + 1]
    if not (homes.OPENCODE.exists() if agent == "acp" else homes.installed(agent)):
        pytest.skip(f"{agent} is not installed: sh .ci/tools")
    provider.rewrite([DONE, says("Done.")])
    done = goalfsm(*words)
    assert done.status == 0, (done.out, done.err)
    status = json.loads(goalfsm("status", "--json").out)
    assert status["activity"] == "complete"
    assert status["goal"]["tokens_used"] > 0
