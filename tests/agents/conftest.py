"""What the tests of agents share: a provider, a home, and the agent itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from goalfsm.workers.supervisor.client import Supervisor
from tests.agents import homes
from tests.agents.driving import Agent
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
async def agent(name: str, place: Path) -> AsyncIterator[Agent]:
    if not homes.installed(name):
        pytest.skip(f"{name} is not installed: sh .ci/tools")
    supervisor = await Supervisor.start(db=str(place / "goal.db"))
    yield Agent(name, str(place), supervisor)
    await supervisor.close()
