"""A real agent in another version than the tested one: it is named, and it works."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from goalfsm.workers.agents.spec import AGENTS
from tests.agents.terminal import DONE
from tests.cli.processes import goalfsm
from tests.providers.script import Usage, says
from tests.providers.server import Provider

OTHER = Path(__file__).parent / "node_other"
"""Where `.ci/tools` installs a version of pi that is not the tested one."""
VERSION = json.loads((OTHER / "package.json").read_text())["dependencies"][
    "@earendil-works/pi-coding-agent"
]


@pytest.fixture
def other(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = OTHER / "node_modules" / ".bin"
    if not (programs / "pi").exists():
        pytest.skip("pi is not installed: sh .ci/tools")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GOALFSM_DB", str(place.parent / "goals.db"))
    monkeypatch.chdir(place)


@pytest.mark.usefixtures("other")
def test_another_version_is_named_and_completes_a_goal(provider: Provider) -> None:
    tested = AGENTS["pi"].tested
    assert tested != VERSION
    provider.rewrite([says("The seed is in.", Usage(100, 10, 40)), DONE, says("Done.")])
    done = goalfsm("run", "Plant a tree", "--agent", "pi")
    assert done.status == 0, done.err
    assert f"pi {VERSION} was not tested with this goalfsm; {tested} was" in done.err
    assert f"{VERSION} was not tested" in goalfsm("agents").out
    status = json.loads(goalfsm("status", "--json").out)
    assert status["activity"] == "complete"
    counted = provider.charged
    assert status["goal"]["tokens_used"] == (counted.input_tokens or 0) + (
        counted.output_tokens or 0
    )
