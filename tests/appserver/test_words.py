"""Requests that are odd or wrong, and what Codex's app-server says to them: the same words here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goalfsm.testing import MemoryGoals
from tests.agents import homes
from tests.appserver.piping import Pipe
from tests.appserver.playing import Client, serving
from tests.providers.server import Provider

RECORDED: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "words.json").read_text(encoding="utf-8")
)
"""Requests in their order, in one thread, each with all that was said to it."""
THREAD = "<id-1>"
_CLOCK = ("createdAt", "updatedAt", "timeUsedSeconds")


def plain(message: dict[str, Any], thread_id: str) -> dict[str, Any]:
    """Return a message without what differs each time."""
    told = json.loads(json.dumps(message).replace(thread_id, THREAD))
    told.pop("id", None)
    told.pop("emittedAtMs", None)
    body = told.get("result") or told.get("params") or {}
    goal = body.get("goal") if isinstance(body, dict) else None
    for name in _CLOCK if goal else ():
        goal[name] = 0
    return dict(told)


def test_odd_requests_are_answered_in_the_same_words() -> None:
    goals = MemoryGoals()
    server = serving(goals)
    said: list[list[dict[str, Any]]] = []

    async def playing() -> None:
        client = Client(goals, server)
        thread_id = await client.open()
        for step in RECORDED:
            client.told.messages.clear()
            line = json.dumps({"id": 1, **step["send"]}).replace(THREAD, thread_id)
            await client.say(line)
            await client.answer(1)
            await client.say("")
            said.append([plain(message, thread_id) for message in client.told.messages])
        await client.close()
        await server.close()

    try:
        goals.clock.run(playing())
    finally:
        goals.close()
    for step, ours in zip(RECORDED, said, strict=True):
        assert ours == step["said"], step["send"]


@pytest.fixture
def codex(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    if not homes.installed("codex"):
        pytest.skip("codex is not installed: sh .ci/tools")
    with Provider() as provider:
        env = homes.environment(tmp_path, provider)
        with subprocess.Popen(
            ["codex", "app-server"],
            env=env,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            yield process
            process.kill()


def test_codex_still_uses_these_words(codex: subprocess.Popen[str]) -> None:
    pipe = Pipe(codex)
    info = {"name": "test", "version": "1"}
    pipe.say({"id": 1, "method": "initialize", "params": {"clientInfo": info}})
    pipe.say({"method": "initialized"})
    pipe.say({"id": 2, "method": "thread/start", "params": {}})
    thread_id = pipe.until_answered(2)[-1]["result"]["thread"]["id"]
    told: list[dict[str, Any]] = []
    for number, step in enumerate(RECORDED, 10):
        line = json.dumps({"id": number, **step["send"]}).replace(THREAD, thread_id)
        pipe.say(json.loads(line))
        *before, answer = pipe.until_answered(number)
        told += about_goals(before)
        assert plain(answer, thread_id) == step["said"][0], step["send"]
    # How soon a notification follows its answer is not promised; their order is.
    recorded = [message for step in RECORDED for message in step["said"][1:]]
    while len(told) < len(recorded):
        told += about_goals([pipe.next()])
    assert [plain(message, thread_id) for message in told] == recorded


def about_goals(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the notifications of goals among messages."""
    return [one for one in messages if one.get("method", "").startswith("thread/goal/")]
