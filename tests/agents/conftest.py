"""What the tests of agents share: a provider, a home, and the agent itself."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from goalfsm.workers.agents.run import dialect_of
from goalfsm.workers.agents.spec import AGENTS
from goalfsm.workers.supervisor.client import Supervisor
from tests.agents import homes
from tests.agents.driving import Agent
from tests.agents.recording import FOLDER, recorded
from tests.providers.server import Provider


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture(params=homes.NATIVE)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory in an environment where only the provider can be reached."""
    for variable, value in homes.environment(tmp_path / "home", provider).items():
        monkeypatch.setenv(variable, value)
    work = tmp_path / "work"
    work.mkdir()
    return work


@pytest_asyncio.fixture
async def agent(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Agent]:
    if not homes.installed(name):
        pytest.skip(f"{name} is not installed: sh .ci/tools")
    supervisor = await Supervisor.start(db=str(place / "goal.db"))
    agent = Agent(name, str(place), supervisor)
    steps: list[dict[str, Any]] = []
    kind = recorded(dialect_of(name), steps, str(place.parent))
    monkeypatch.setattr("goalfsm.workers.agents.run.dialect_of", lambda _: kind)
    yield agent
    await supervisor.close()
    if os.environ.get("GOALFSM_RECORD"):
        _keep(request.node.name, name, agent, steps)


def _keep(test: str, name: str, agent: Agent, steps: list[dict[str, Any]]) -> None:
    """Write a transcript; see `tests.agents.recording`."""
    head = {"agent": name, "version": AGENTS[name].tested, "test": test}  # type: ignore[index]
    head["charged"] = dataclasses.asdict(agent.reported)
    folder = FOLDER / f"{name}-{head['version']}"
    folder.mkdir(parents=True, exist_ok=True)
    title = re.sub(
        r"\W+", "-", test.removeprefix("test_").replace(f"{name}-", "").replace(name, "")
    )
    rows = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in (head, *steps))
    (folder / f"{title.strip('-_')[:90]}.jsonl").write_text(rows, "utf-8")
