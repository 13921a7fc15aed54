"""An isolated agent: it works, claims and keeps its session, and sees no goals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goalfsm import AgentSpec, AgentWorker, Engine, events
from goalfsm.cli import exits
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.supervisor import isolation
from tests.agents import homes
from tests.agents.terminal import DONE, Terminal
from tests.agents.tools import ARGS, shell
from tests.providers.script import says
from tests.providers.server import Provider

pytestmark = pytest.mark.skipif(
    isolation.is_possible() != "", reason="this machine allows no namespaces"
)


def test_one_that_starts_the_server_of_the_tools_itself_reaches_its_goal(
    place: Path, provider: Provider, tmp_path: Path
) -> None:
    """It hands the server an environment of its own."""
    if not homes.OPENCODE.exists():
        pytest.skip("OpenCode is not installed: sh .ci/tools")
    (tmp_path / "goals").mkdir(mode=0o700)
    provider.rewrite([DONE, says("It stands.")])
    terminal = Terminal("acp", place, str(homes.OPENCODE), "acp")
    process = terminal.goal("Plant a tree", "--isolate", "--db", str(tmp_path / "goals/g.db"))
    said = terminal.end(process)
    assert process.returncode == exits.OK, said


@pytest.mark.asyncio
async def test_an_embedder_isolates_it_by_its_spec(
    name: str, place: Path, provider: Provider, tmp_path: Path
) -> None:
    if not homes.installed(name):
        pytest.skip(f"{name} is not installed: sh .ci/tools")
    goals = tmp_path / "goals"
    goals.mkdir(mode=0o700)
    look = f"ls -A {goals} > seen; ls -d /proc/[0-9]* | wc -l > processes"
    provider.rewrite([shell(name, look), DONE, says("Done.")])
    spec = AgentSpec(agent=name, args=tuple(ARGS[name]), cwd=str(place), isolate=True)  # type: ignore[arg-type]
    store = SqliteStore.open(goals / "g.db")
    async with Engine(store, workers=AgentWorker(spec)) as engine:
        await engine.submit("t", events.ObjectiveGiven(objective="Look around"))
        session = await engine.settled("t")
    store.close()
    assert session.goal is not None
    assert session.goal.status == "complete"
    assert (place / "seen").read_text() == ""


def test_it_claims_by_its_tools_and_sees_no_goals(
    name: str, place: Path, provider: Provider, tmp_path: Path
) -> None:
    if not homes.installed(name):
        pytest.skip(f"{name} is not installed: sh .ci/tools")
    goals = tmp_path / "goals"
    goals.mkdir(mode=0o700)
    terminal = Terminal(name, place, *ARGS[name])
    look = f"ls -A {goals} > seen; ls -d /proc/[0-9]* | wc -l > processes"
    provider.rewrite([shell(name, look), says("I looked."), DONE, says("Done.")])
    db = ("--db", str(goals / "g.db"))
    said = terminal.end(terminal.goal("Look around", *db, "--isolate", "--verify", "test -e seen"))
    assert (place / "seen").read_text() == "", said
    assert int((place / "processes").read_text()) < 40
    status = json.loads(terminal.end(terminal.start("status", *db, "--json")))
    assert status["goal"]["status"] == "complete", said
    # Its session, in its home, went on in the second turn.
    assert "I looked." in provider.requests[2].text
