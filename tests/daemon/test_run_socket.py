"""A run's own socket: who may come to it, and what it answers."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goalfsm.daemon.remote import client, wire
from goalfsm.daemon.remote.run_socket import RunSockets
from goalfsm.daemon.remote.socket_path import SOCKET
from goalfsm.errors import GoalError
from goalfsm.session.codec import token_digest
from goalfsm.session.events import ToolCalled, WaitDeclared
from goalfsm.session.state import Reply, Session
from goalfsm.workers.isolating import Isolation
from goalfsm.workers.supervisor.identity import LINUX, start_time
from tests.work import make_work

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(not LINUX, reason="only Linux has the namespaces for it"),
]
WAIT = wire.CallTool(name="wait", arguments={"for": "timer", "seconds": 5})
WORK = make_work(db="", thread_id="t", run_token="secret")


class Sent:
    """Takes what a run's calls become."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def send(self, thread_id: str, event: Any, **_: Any) -> asyncio.Future[Reply]:
        self.events.append((thread_id, event))
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        answered.set_result(Reply(ok=True))
        return answered


def _sockets(sent: Sent, first: tuple[int, str] | None) -> RunSockets:
    sessions: Any = SimpleNamespace(session=lambda _: Session())
    clock: Any = SimpleNamespace(now_ms=lambda: 0)
    inbox: Any = sent
    return RunSockets(inbox, sessions, clock, lambda _: first, db="")


def _place(isolation: Isolation) -> Path:
    return Path(isolation.bind[0][0], SOCKET)


def _of_this_process() -> tuple[int, str]:
    return os.getpid(), start_time(os.getpid())


async def _raw(place: Path, *lines: bytes) -> list[dict[str, Any]]:
    reader, writer = await asyncio.open_unix_connection(str(place))
    writer.write(b"".join(line + b"\n" for line in lines))
    answers = [json.loads(await reader.readline()) for _ in lines]
    writer.close()
    return answers


async def test_a_call_is_the_runs_own_and_needs_no_token() -> None:
    sent = Sent()
    async with _sockets(sent, _of_this_process()).around(WORK) as isolation:
        place = _place(isolation)
        told = await asyncio.to_thread(client.call_own, place, wire.CallTool(name="get_goal"))
        await asyncio.to_thread(client.call_own, place, WAIT)
    assert told.ok
    (first, called), (second, waits) = sent.events
    assert (first, second) == ("t", "t")
    assert isinstance(called, ToolCalled)
    assert isinstance(waits, WaitDeclared)
    assert called.run_token == waits.run_token == token_digest("secret")
    assert not place.parent.exists()


async def test_somebody_who_is_not_of_the_run_is_refused() -> None:
    sent = Sent()
    for first in (None, (1, "somebody else's start")):
        async with _sockets(sent, first).around(WORK) as isolation:
            with pytest.raises(GoalError, match="you are not of it") as refused:
                await asyncio.to_thread(
                    client.call_own, _place(isolation), wire.CallTool(name="get_goal")
                )
            assert refused.value.code == "origin_not_allowed"
    assert sent.events == []


async def test_it_answers_for_the_goals_tools_alone() -> None:
    sent = Sent()
    pause = b'{"op":"submit","thread_id":"t","event_id":"e","event":{"type":"PauseRequested"}}'
    asked = (pause, b'{"op":"status","thread_id":"t"}', b'{"op":"follow","thread_id":"t"}')
    async with _sockets(sent, _of_this_process()).around(WORK) as isolation:
        refused = await _raw(_place(isolation), *asked)
        (pong,) = await _raw(_place(isolation), b'{"op":"ping"}')
    assert [each["code"] for each in refused] == ["origin_not_allowed"] * 3
    assert pong == {"answer": "pong", "held": "", "brings_workers": False}
    assert sent.events == []


async def test_a_call_that_makes_no_sense_is_refused_with_what_to_do() -> None:
    sent = Sent()
    async with _sockets(sent, _of_this_process()).around(WORK) as isolation:
        asked = (
            b'{"op":"tool","name":"no_such"}',
            b'{"op":"tool","name":"wait","arguments":{"for":"process","pid":1}}',
        )
        unknown, process = await _raw(_place(isolation), *asked)
    assert unknown["answer"] == "error"
    assert unknown["hint"]
    assert process["code"] == "wait_invalid"
    assert sent.events == []


async def test_a_turn_that_says_too_much_is_refused_and_nothing_more_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("goalfsm.daemon.remote.run_socket.MAX_SAID", 1_000)
    sent = Sent()
    given = {"status": "blocked", "reason": "x" * 600}
    call = json.dumps({"op": "tool", "name": "update_goal", "arguments": given}).encode()
    async with _sockets(sent, _of_this_process()).around(WORK) as isolation:
        answers = await _raw(_place(isolation), call, call, call)
    assert [each.get("code") for each in answers] == [None, "too_much", "too_much"]
    assert len(sent.events) == 1
