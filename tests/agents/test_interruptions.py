from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from goalfsm.workers import protocol as w
from tests.agents import tools
from tests.agents.driving import Agent
from tests.agents.family import SLEEPS, family, leave
from tests.agents.recording import PADDING
from tests.providers.script import Reply, Usage, says
from tests.providers.server import Provider

pytestmark = pytest.mark.asyncio


def shell(agent: Agent, command: str) -> Reply:
    """Return an answer that runs a command with the agent's own tool."""
    return tools.shell(agent.worker.spec.agent, command)


def with_shell(agent: Agent) -> None:
    """Let the agent run every command: a test has no sandbox, and its commands are harmless."""
    agent.worker.spec = type(agent.worker.spec)(
        agent=agent.worker.spec.agent,
        cwd=agent.worker.spec.cwd,
        args=tools.ARGS[agent.worker.spec.agent],
    )


async def until(path: Path) -> None:
    """Return when the file is there."""
    async with asyncio.timeout(30):
        while not path.exists():  # noqa: ASYNC110, ASYNC240 - nobody tells of a file
            await asyncio.sleep(0.01)


async def test_a_message_while_a_tool_runs_is_read_once(
    agent: Agent, provider: Provider, place: Path
) -> None:
    with_shell(agent)
    provider.rewrite(
        [shell(agent, "touch begun; while [ ! -e go ]; do sleep 0.02; done"), says("Ok.")]
    )
    started = asyncio.Event()

    async def steer() -> None:
        await until(place / "begun")
        assert await agent.worker.steer(agent.run_id, "message-1", "Use the green door.")
        await asyncio.sleep(0.2)  # the agent's own queue takes it before the tool ends
        (place / "go").touch()

    async def meanwhile(event: w.TurnEvent) -> None:
        if isinstance(event, w.Spawned) and not started.is_set():
            started.set()
            tasks.append(asyncio.ensure_future(steer()))

    tasks: list[asyncio.Task[None]] = []
    turn = await agent.turn("Do it.", meanwhile=meanwhile)
    await asyncio.gather(*tasks)
    assert turn.exited.ok, turn.events
    assert turn.acknowledged == ["message-1"]
    assert provider.requests[-1].text.count("Use the green door.") == 1
    assert agent.charged == provider.charged


async def test_a_message_in_the_last_text_is_read_once(agent: Agent, provider: Provider) -> None:
    provider.rewrite([Reply("The end.", linger=1.0), says("One more thing.")])
    tasks: list[asyncio.Task[bool]] = []

    async def steer() -> bool:
        await asyncio.to_thread(provider.wait_for, 1)
        await asyncio.sleep(0.3)  # the text is being streamed
        return await agent.worker.steer(agent.run_id, "message-1", "Use the green door.")

    async def meanwhile(event: w.TurnEvent) -> None:
        if isinstance(event, w.Spawned):
            tasks.append(asyncio.ensure_future(steer()))

    turn = await agent.turn("Do it.", meanwhile=meanwhile)
    assert await tasks[0]
    assert turn.exited.ok, turn.events
    assert turn.acknowledged == ["message-1"]
    assert turn.text.endswith("One more thing.")
    assert provider.requests[-1].text.count("Use the green door.") == 1
    assert agent.charged == provider.charged


async def test_a_message_after_the_end_is_not_taken(agent: Agent, provider: Provider) -> None:
    provider.rewrite([says("The end.")])
    await agent.turn("Do it.")
    assert not await agent.worker.steer(agent.run_id, "message-1", "Use the green door.")


async def test_an_interrupted_turn_leaves_nothing_and_its_session_goes_on(
    agent: Agent, provider: Provider, place: Path
) -> None:
    with_shell(agent)
    provider.rewrite([shell(agent, SLEEPS)])
    tasks: list[asyncio.Task[None]] = []

    async def abort(pid: int) -> None:
        await until(place / "begun")
        everything = family(pid)
        looking = asyncio.to_thread(leave, everything)
        _, aborted = await asyncio.gather(looking, agent.worker.abort(agent.run_id))
        assert aborted

    async def meanwhile(event: w.TurnEvent) -> None:
        if isinstance(event, w.Spawned):
            tasks.append(asyncio.ensure_future(abort(event.pid)))

    turn = await agent.turn("Remember the apple tree.", meanwhile=meanwhile)
    await tasks[0]
    assert turn.exited.aborted
    assert not turn.exited.ok
    provider.rewrite([says("I remember.")])
    turn = await agent.turn("Go on.")
    assert turn.exited.ok, turn.events
    assert "Remember the apple tree." in provider.requests[-1].text
    assert agent.charged == provider.charged


async def test_an_agent_that_is_killed_leaves_nothing_and_its_session_goes_on(
    agent: Agent, provider: Provider, place: Path
) -> None:
    with_shell(agent)
    provider.rewrite([shell(agent, SLEEPS)])
    tasks: list[asyncio.Task[None]] = []

    async def kill(pid: int) -> None:
        await until(place / "begun")
        await asyncio.sleep(0.3)  # what the agent says of the call before has come
        everything = family(pid)
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(leave, everything)

    async def meanwhile(event: w.TurnEvent) -> None:
        if isinstance(event, w.Spawned):
            tasks.append(asyncio.ensure_future(kill(event.pid)))

    turn = await agent.turn("Remember the apple tree.", meanwhile=meanwhile)
    await tasks[0]
    assert not turn.exited.ok
    assert turn.error.kind in {"signal", "exit"}
    provider.rewrite([says("I remember.")])
    turn = await agent.turn("Go on.")
    assert turn.exited.ok, turn.events
    assert "Remember the apple tree." in provider.requests[-1].text
    # Codex says what a call used when its tools are done: what was killed before is never said.
    unsaid = Usage(-100, -10, -20) if agent.worker.spec.agent == "codex" else Usage()
    assert agent.charged == provider.charged + unsaid


async def test_a_session_that_is_gone_becomes_a_new_one_and_the_prompt_says_so(
    agent: Agent, provider: Provider
) -> None:
    provider.rewrite([says("One.")])
    await agent.turn("Remember the apple tree.")
    assert agent.session is not None
    before = agent.session
    digits = bytes.maketrans(b"0123456789", b"9876543210")
    agent.session = agent.session.translate(digits)
    provider.rewrite([says("Two.")])
    turn = await agent.turn("Go on.")
    assert turn.exited.ok, turn.events
    assert turn.text == "Two."
    asked = provider.requests[-1].text
    assert "could not be found" in asked
    assert "apple" not in asked
    assert agent.session not in {before, before.translate(digits)}
    assert agent.charged == provider.charged


async def test_compaction_shortens_the_session_and_charges_what_it_used(
    agent: Agent, provider: Provider
) -> None:
    provider.rewrite([says("One."), says("Two.")])
    await agent.turn(f"Remember: {PADDING}")
    await agent.turn(f"And also: {PADDING}")
    before = agent.charged
    provider.rewrite([says("<summary>There is an apple tree.</summary>", Usage(500, 50, 5))])
    done = await agent.compact()
    assert done.changed
    assert agent.charged == provider.charged
    assert agent.charged != before
    provider.rewrite([says("Three.")])
    turn = await agent.turn("Go on.")
    assert turn.exited.ok, turn.events
    assert agent.charged == provider.charged


async def test_what_needs_a_permission_never_hangs(agent: Agent, provider: Provider) -> None:
    provider.rewrite([shell(agent, "mkdir /goalfsm-test-of-permissions/x"), says("So be it.")])
    turn = await agent.turn("Do it.")
    assert turn.exited.ok, turn.events
    assert turn.text == "So be it."
    (used,) = turn.all(w.ToolEnded)
    assert not used.ok
    assert agent.charged == provider.charged
