"""What clients can rely on beyond the recorded sessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from goalfsm.appserver import outgoing
from goalfsm.goal.model import PauseReason
from goalfsm.session import events as e
from goalfsm.testing import MemoryGoals, hangs, says, takes, takes_steering, waits
from tests.appserver.playing import CALL, Client, serving

Scene = Callable[[Client, str], Awaitable[None]]


@pytest.fixture
def goals() -> Iterator[MemoryGoals]:
    made = MemoryGoals()
    yield made
    made.close()


def act(goals: MemoryGoals, scene: Scene) -> None:
    """Play ``scene`` with a client that has started a thread."""
    server = serving(goals)

    async def playing() -> None:
        client = Client(goals, server)
        thread_id = await client.open()
        await scene(client, thread_id)
        await client.close()
        await server.close()

    goals.clock.run(playing())
    goals.check()


def test_nothing_is_answered_before_the_client_has_introduced_itself(goals: MemoryGoals) -> None:
    server = serving(goals)

    async def playing() -> None:
        client = Client(goals, server)
        refused = await client.ask("thread/goal/get", threadId="x")
        assert refused["error"] == {"code": -32600, "message": "Not initialized"}
        assert "result" in await client.ask("initialize", clientInfo={"name": "a", "version": "1"})
        again = await client.ask("initialize", clientInfo={"name": "a", "version": "1"})
        assert again["error"]["message"] == "Already initialized"
        await client.close()

    goals.clock.run(playing())


def test_the_answer_comes_before_the_notification_and_the_turn(goals: MemoryGoals) -> None:
    goals.worker.turn(hangs())

    async def scene(client: Client, thread_id: str) -> None:
        client.told.messages.clear()
        await client.ask("thread/goal/set", threadId=thread_id, objective="Write")
        await client.until(lambda: bool(client.told.said("turn/started")))
        assert [message.get("method") for message in client.told.messages] == [
            None,
            "thread/goal/updated",
            "turn/started",
        ]

    act(goals, scene)


def test_ids_are_given_back_as_they_came_and_malformed_lines_get_no_answer(
    goals: MemoryGoals,
) -> None:
    async def scene(client: Client, thread_id: str) -> None:
        client.told.messages.clear()
        for line in ("{", "[]", "7", '{"id":1}', '{"id":true,"method":"thread/goal/get"}', ""):
            await client.say(line)
        asked = {"id": "one", "method": "thread/goal/get", "params": {"threadId": thread_id}}
        await client.say(json.dumps(asked))
        await client.answer("one")
        assert client.told.messages == [{"id": "one", "result": {"goal": None}}]

    act(goals, scene)


def test_two_clients_are_both_told(goals: MemoryGoals) -> None:
    server = serving(goals)

    async def playing() -> None:
        one, other = Client(goals, server), Client(goals, server)
        thread_id = await one.open()
        await other.ask("initialize", clientInfo={"name": "b", "version": "1"})
        await other.ask("thread/resume", threadId=thread_id)
        assert other.told.said("thread/goal/cleared") == [{"threadId": thread_id}]
        await one.ask("thread/goal/set", threadId=thread_id, objective="Write", status="paused")
        await asyncio.sleep(0.01)
        told = [client.told.said("thread/goal/updated") for client in (one, other)]
        assert told[0] == told[1]
        assert [params["goal"]["objective"] for params in told[0]] == ["Write"]
        await one.close()
        await other.ask("thread/goal/clear", threadId=thread_id)
        assert len(other.told.said("thread/goal/cleared")) == 2
        assert not one.told.said("thread/goal/cleared")
        await other.close()
        await server.close()

    goals.clock.run(playing())
    goals.check()


def test_what_is_done_elsewhere_is_told(goals: MemoryGoals) -> None:
    async def scene(client: Client, thread_id: str) -> None:
        await client.ask("thread/goal/set", threadId=thread_id, objective="Write", status="paused")
        await goals.engine.submit(thread_id, e.EditRequested(objective="y" * 8_000))
        await asyncio.sleep(0.01)
        assert client.told.said("thread/goal/updated")[-1]["goal"]["objective"] == "y" * 8_000
        refused = await client.ask("thread/goal/set", threadId=thread_id, objective="y" * 4_001)
        assert refused["error"]["message"] == "goal objective must be at most 4000 characters"

    act(goals, scene)


def test_a_program_cannot_take_up_what_a_person_has_blocked(goals: MemoryGoals) -> None:
    goals.worker.turn(hangs())

    async def scene(client: Client, thread_id: str) -> None:
        await client.ask("thread/goal/set", threadId=thread_id, objective="Write")
        blocked = await client.ask("thread/goal/set", threadId=thread_id, status="blocked")
        assert blocked["result"]["goal"]["status"] == "blocked"
        by_program = {"threadId": thread_id, "status": "active", "origin": "automatic"}
        refused = await client.ask("thread/goal/set", **by_program)
        assert "a person has declared the goal blocked" in refused["error"]["message"]
        by_person = {**by_program, "origin": "user"}
        taken = await client.ask("thread/goal/set", **by_person)
        assert taken["result"]["goal"]["status"] == "active"

    act(goals, scene)


def test_a_message_to_the_next_turn_is_answered_with_that_turn(goals: MemoryGoals) -> None:
    goals.worker.turn(takes("5s"), says("one"), CALL)
    goals.worker.turn(takes_steering(), says("two"), CALL)
    goals.worker.turn(hangs())

    async def scene(client: Client, thread_id: str) -> None:
        text = [{"type": "text", "text": "mention the narwhal"}]
        refused = await client.ask("turn/start", threadId=thread_id, input=text)
        assert "a turn belongs to an active goal" in refused["error"]["message"]
        await client.ask("thread/goal/set", threadId=thread_id, objective="Write")
        await client.until(lambda: len(client.told.said("turn/started")) == 2)
        running = client.told.said("turn/started")[1]["turn"]["id"]
        gone = client.told.said("turn/started")[0]["turn"]["id"]
        late = await client.ask("turn/steer", threadId=thread_id, expectedTurnId=gone, input=text)
        assert late["error"]["message"] == (
            f"expected active turn id `{gone}` but found `{running}`"
        )
        begun = await client.ask("turn/start", threadId=thread_id, input=text)
        assert begun["result"]["turn"]["id"] == running
        await client.until(lambda: len(client.told.said("turn/started")) == 3)
        ((_, said),) = goals.worker.runs[1].steered
        assert "mention the narwhal" in said

    act(goals, scene)


def test_a_message_while_a_timer_is_waited_for_starts_a_turn_that_carries_it(
    goals: MemoryGoals,
) -> None:
    goals.worker.turn(CALL, waits("timer", "2h"))
    goals.worker.turn(hangs())

    async def scene(client: Client, thread_id: str) -> None:
        await client.ask("thread/goal/set", threadId=thread_id, objective="Write")
        await client.until(lambda: bool(client.told.said("turn/completed")))
        text = [{"type": "text", "text": "go on"}]
        begun = await client.ask("turn/start", threadId=thread_id, input=text)
        assert len(goals.worker.runs) == 2
        assert begun["result"]["turn"]["id"] == goals.worker.runs[1].work.run_id
        assert "go on" in goals.worker.prompts[1]
        nothing = await client.ask("turn/interrupt", threadId=thread_id, turnId="x")
        assert nothing["error"]["message"].startswith("expected active turn id `x`")

    act(goals, scene)


def test_after_a_crash_the_goal_goes_on_by_itself_and_a_new_client_sees_it(
    goals: MemoryGoals,
) -> None:
    goals.worker.turn(hangs())
    goals.worker.turn(hangs())
    found = ""

    async def scene(client: Client, thread_id: str) -> None:
        nonlocal found
        found = thread_id
        await client.ask("thread/goal/set", threadId=thread_id, objective="Write", tokenBudget=900)
        await client.until(lambda: bool(client.told.said("turn/started")))

    act(goals, scene)
    goals.restart()
    server = serving(goals)

    async def afterwards() -> None:
        client = Client(goals, server)
        await client.ask("initialize", clientInfo={"name": "a", "version": "1"})
        resumed = await client.ask("thread/resume", threadId=found)
        assert resumed["result"]["thread"]["preview"] == "Write"
        await client.until(lambda: bool(client.told.said("turn/started")))
        (told,) = client.told.said("thread/goal/updated")
        assert (told["goal"]["status"], told["goal"]["tokenBudget"]) == ("active", 900)
        await client.close()
        await server.close()

    goals.clock.run(afterwards())


def test_a_client_that_does_not_read_is_hung_up_on(
    goals: MemoryGoals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "BACKLOG", 3)

    async def playing() -> list[Any]:
        out = outgoing.Outgoing()
        for number in range(9):
            out.send({"number": number})
        return [await out.next()]

    assert goals.clock.run(playing()) == [None]


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("user", "paused"),
        ("interrupt", "paused"),
        ("shutdown", "paused"),
        ("recovery", "blocked"),
        ("no_progress", "blocked"),
        ("verification", "blocked"),
        ("usage_limit", "usageLimited"),
    ],
)
def test_what_paused_a_goal_is_one_of_the_six_statuses(
    goals: MemoryGoals, reason: PauseReason, shown: str
) -> None:
    goals.worker.turn(hangs())

    async def scene(client: Client, thread_id: str) -> None:
        await client.ask("thread/goal/set", threadId=thread_id, objective="Write")
        await goals.engine.submit(thread_id, e.PauseRequested(reason=reason))
        told = client.told.said
        await client.until(lambda: told("thread/goal/updated")[-1]["goal"]["status"] == shown)
        found = await client.ask("thread/goal/get", threadId=thread_id)
        assert found["result"]["goal"]["status"] == shown
        assert goals.goal(thread_id).pause_reason == reason

    act(goals, scene)
