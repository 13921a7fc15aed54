"""Codex's own terminal interface on goals of ours: the real program, in a real terminal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, unix_connect

from goalfsm.daemon.remote.socket_path import clients_socket
from tests.agents import homes
from tests.agents.screen import PATIENCE_S, PROMPT, TMUX, Screen
from tests.agents.terminal import DONE
from tests.providers.script import Reply, calls, says
from tests.providers.server import Provider

FREE = """
sandbox_mode = "danger-full-access"
approval_policy = "never"
"""
EMPTY = "Ask Codex to do anything"
pytestmark = [
    pytest.mark.skipif(TMUX is None, reason="needs tmux"),
    pytest.mark.timeout(240),
]


@pytest.fixture
def db(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if not homes.installed("codex"):
        pytest.skip("codex is not installed: sh .ci/tools")
    path = place.parent / "goals.db"
    monkeypatch.setenv("GOALFSM_DB", str(path))
    monkeypatch.setenv("TERM", "xterm-256color")
    config = Path(os.environ["CODEX_HOME"], "config.toml")
    config.write_text(FREE + config.read_text())
    return path


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    window = Screen(tmp_path / "t")
    yield window
    window.close()


def begin(screen: Screen, place: Path) -> None:
    screen.start(sys.executable, "-m", "goalfsm.cli", "codex", cwd=place)
    screen.shows(EMPTY)


def busy(place: Path, number: int) -> Reply:
    """Return an answer with a command that goes on until something ends it."""
    command = f"touch {place}/begun-{number}; exec sleep 600"
    return calls("exec_command", cmd=command, yield_time_ms=1_500)


def wait_for(place: Path, number: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not (place / f"begun-{number}").exists():
        assert time.monotonic() < deadline, f"turn {number} never began"
        time.sleep(0.02)


def processes(db: Path) -> dict[str, list[psutil.Process]]:
    """Return what is there of it all, by what it is; the shell of the window is not of it."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter(["cmdline", "environ", "status"]):
        words = process.info["cmdline"] or [""]
        ours = (process.info["environ"] or {}).get("GOALFSM_DB") == str(db)
        if not ours or process.info["status"] == psutil.STATUS_ZOMBIE or words[0] in {"sh", TMUX}:
            continue
        kind = next((one for one in ("--passthrough", "--remote", "codex") if one in words), "")
        found.setdefault(kind or words[0], []).append(process)
    return found


def gone(db: Path) -> None:
    """Return when nothing is left of it all."""
    deadline = time.monotonic() + PATIENCE_S
    while left := processes(db):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_a_goal_lives_in_the_terminal_of_codex(
    screen: Screen, provider: Provider, place: Path, db: Path
) -> None:
    provider.rewrite([says("The seed is in."), busy(place, 1)])
    begin(screen, place)
    screen.type("/goal Plant a tree", "The seed is in.", "Pursuing goal")
    wait_for(place, 1)

    # Escape pauses, in one go with ending the turn.
    provider.rewrite([busy(place, 2)])
    screen.press("Escape")
    screen.shows("Goal paused (/goal resume)")
    screen.type("/goal resume", "Pursuing goal")
    wait_for(place, 2)

    # What is written meanwhile reaches the running turn, and is shown as it was written.
    screen.type("use the green door", f"{PROMPT} use the green door", EMPTY)

    # The engine is killed in the turn: Codex connects again, and the goal goes on.
    provider.rewrite([busy(place, 3)])
    (server,) = processes(db)["--passthrough"]
    server.kill()
    wait_for(place, 3)
    prompt = provider.requests[-1].text
    assert "The seed is in." in prompt
    assert "use the green door" in prompt
    screen.shows("Pursuing goal")

    # What a person edits is told to the running turn, which another terminal ends.
    screen.type("/goal edit", "Edit goal")
    screen.type(
        " and a hedge",
        "Goal active Objective: Plant a tree and a hedge",
        whole="Plant a tree and a hedge",
    )
    screen.type("/goal pause", "Goal paused (/goal resume)")
    screen.type("/goal clear", "Goal cleared")

    provider.rewrite([DONE, says("It stands.")])
    screen.type("/goal Water the tree", "Goal achieved", "It stands.")

    screen.type("/quit", "ended with 0")
    gone(db)


async def ask(client: ClientConnection, number: int, method: str, **params: Any) -> Any:
    await client.send(json.dumps({"id": number, "method": method, "params": params}))
    while True:
        message = json.loads(await client.recv())
        if message.get("id") == number and "method" not in message:
            return message["result"]


async def told(client: ClientConnection, method: str) -> Any:
    while True:
        message = json.loads(await client.recv())
        if message.get("method") == method:
            return message["params"]


def test_two_clients_are_told_of_the_same_goal(
    screen: Screen, provider: Provider, place: Path, db: Path
) -> None:
    provider.rewrite([busy(place, 1)])
    begin(screen, place)
    screen.type("/goal Plant a tree")
    wait_for(place, 1)

    async def other() -> None:
        place = str(clients_socket(str(db)))
        async with unix_connect(place, uri="ws://localhost/rpc", max_size=None) as client:
            await ask(client, 1, "initialize", clientInfo={"name": "t", "version": "1"})
            (thread_id,) = (await ask(client, 2, "thread/loaded/list"))["data"]
            await ask(client, 3, "thread/resume", threadId=thread_id, excludeTurns=True)
            goal = (await told(client, "thread/goal/updated"))["goal"]
            assert (goal["objective"], goal["status"]) == ("Plant a tree", "active")
            await ask(client, 4, "thread/goal/set", threadId=thread_id, status="paused")
            screen.shows("Goal paused (/goal resume)")
            screen.type("/goal clear")
            await told(client, "thread/goal/cleared")
            ended = await told(client, "turn/completed")
            assert ended["turn"]["status"] == "interrupted"

    asyncio.run(other())
    screen.type("/quit", "ended with 0")
    gone(db)


def test_a_second_terminal_joins_the_first_and_may_stay_longer(
    screen: Screen, provider: Provider, place: Path, db: Path
) -> None:
    provider.rewrite([busy(place, 1)])
    begin(screen, place)
    screen.type("/goal Plant a tree", "Pursuing goal")
    wait_for(place, 1)
    second = Screen(place.parent / "u")
    try:
        second.start(sys.executable, "-m", "goalfsm.cli", "codex", cwd=place)
        second.shows("Pursuing goal")
        screen.type("/quit", "ended with 0")
        (server,) = processes(db)["--passthrough"]
        second.type("/goal pause", "Goal paused (/goal resume)")
        second.type("/quit", "ended with 0", "goalfsm codex goes on with it")
        server.wait(PATIENCE_S)
    finally:
        second.close()
    gone(db)


def test_an_unfinished_goal_goes_on_in_the_next_terminal(
    screen: Screen, provider: Provider, place: Path, db: Path
) -> None:
    provider.rewrite([says("The seed is in."), busy(place, 1)])
    begin(screen, place)
    screen.type("/goal Plant a tree")
    wait_for(place, 1)
    (first,) = processes(db)["codex"]
    os.kill(first.pid, signal.SIGKILL)
    screen.shows("ended with 137")
    gone(db)

    provider.rewrite([DONE, says("It stands.")])
    begin(screen, place)
    screen.shows("The seed is in.", "Goal achieved", "It stands.")
    assert "The seed is in." in provider.requests[-1].text
    screen.type("/quit", "ended with 0")
    gone(db)
