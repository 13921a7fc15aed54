"""The goal's tools over the Model Context Protocol, asked by its own client."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import CallToolResult, TextContent

from goalfsm.session.tools import TOOLS
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.turn import Turn, TurnWorker
from tests.frameworks.playing import THREAD, achieve, status

Asking = Callable[[ClientSession], Awaitable[None]]


def variables(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "GOALFSM_DB": str(folder / "goals.db"), "GOALFSM_THREAD": THREAD, **more}


async def ask(environment: dict[str, str], asking: Asking) -> None:
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "goalfsm.cli", "mcp"], env=environment
    )
    async with stdio_client(server) as (read, write), ClientSession(read, write) as client:
        await client.initialize()
        await asking(client)


def text(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    assert result.structured_content is None
    return block.text


def test_the_tools_are_listed_as_they_are_everywhere(tmp_path: Path) -> None:
    async def asking(client: ClientSession) -> None:
        listed = (await client.list_tools()).tools
        assert [tool.name for tool in listed] == [tool.name for tool in TOOLS]
        assert [tool.input_schema for tool in listed] == [tool.parameters for tool in TOOLS]

    asyncio.run(ask(variables(tmp_path), asking))


def test_outside_a_run_a_goal_can_be_made_and_read_but_not_claimed(tmp_path: Path) -> None:
    async def asking(client: ClientSession) -> None:
        none = await client.call_tool("get_goal", {})
        assert none.is_error
        made = await client.call_tool("create_goal", {"objective": "Write the report"})
        assert not made.is_error, text(made)
        assert "Write the report" in text(await client.call_tool("get_goal", {}))
        claim = {"status": "complete", "evidence": ["done"]}
        for name, arguments in (("update_goal", claim), ("wait", {"for": "person"})):
            refused = await client.call_tool(name, arguments)
            assert refused.is_error
            assert "only a run can" in text(refused)

    asyncio.run(ask(variables(tmp_path), asking))
    store = SqliteStore.open(tmp_path / "goals.db", read_only=True)
    assert store.sessions.load(THREAD) is not None
    store.close()


@pytest.mark.parametrize("name", ["nonsense", "update_goal"])
def test_a_call_that_makes_no_sense_is_an_answer(name: str, tmp_path: Path) -> None:
    async def asking(client: ClientSession) -> None:
        refused = await client.call_tool(name, {"unheard": 1})
        assert refused.is_error

    asyncio.run(ask(variables(tmp_path), asking))


def test_inside_a_run_the_model_claims_over_it(tmp_path: Path) -> None:
    said: list[str] = []

    async def turn(t: Turn) -> None:
        async def asking(client: ClientSession) -> None:
            refused = await client.call_tool("update_goal", {"status": "complete"})
            assert refused.is_error
            said.append(text(refused))
            claim = {"status": "complete", "evidence": ["report.md holds the figures"]}
            said.append(text(await client.call_tool("update_goal", claim)))

        run = {"GOALFSM_RUN_TOKEN": t.work.run_token, "GOALFSM_RUN_ID": t.work.run_id}
        await ask(variables(tmp_path, **run), asking)

    session = achieve(tmp_path, TurnWorker(turn), serve=True)
    assert status(session) == "complete"
    assert "evidence" in said[0]


def test_it_ends_with_its_stdin(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "goalfsm.cli", "mcp"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=variables(tmp_path),
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0
    assert ended.stdout == b""


@pytest.mark.parametrize("agent", ["codex", "claude", "pi", "opencode"])
def test_a_configuration_starts_this_very_program(agent: str, tmp_path: Path) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "goalfsm.cli", "mcp", "--print-config", agent],
        capture_output=True,
        text=True,
        env=variables(tmp_path),
        check=True,
    ).stdout
    assert str(Path(sys.executable).with_name("goalfsm")) in printed
    assert '"mcp"' in printed
    assert "TOKEN=" not in printed
