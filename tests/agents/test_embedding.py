from __future__ import annotations

from pathlib import Path

import pytest

from goalfsm import AgentSpec, AgentWorker, Engine, events
from goalfsm.errors import GoalError
from goalfsm.store.sqlite import SqliteStore
from tests.agents import homes
from tests.agents.driving import Agent
from tests.agents.terminal import DONE
from tests.providers.script import says
from tests.providers.server import Provider

pytestmark = pytest.mark.asyncio


async def test_an_embedded_engine_gives_an_agent_its_own_supervisor(
    name: str, place: Path, provider: Provider
) -> None:
    if not homes.installed(name):
        pytest.skip(f"{name} is not installed: sh .ci/tools")
    provider.rewrite([says("I know the apple."), DONE, says("Done.")])
    worker = AgentWorker(AgentSpec(agent=name, cwd=str(place)))  # type: ignore[arg-type]
    store = SqliteStore.open(place / "goal.db")
    try:
        async with Engine(store, workers=worker) as engine:
            await engine.submit("tree", events.ObjectiveGiven(objective="Plant a tree"))
            status = await engine.settled("tree")
    finally:
        store.close()
    assert status.goal is not None
    assert status.goal.status == "complete"
    assert "I know the apple." in provider.requests[-1].text


async def test_without_a_supervisor_it_says_what_is_missing() -> None:
    worker = AgentWorker(AgentSpec(agent="codex"))
    work = Agent("codex", "/", None).work("Do it.")  # type: ignore[arg-type]
    with pytest.raises(GoalError, match="needs a supervisor"):
        await anext(worker.run(work))
