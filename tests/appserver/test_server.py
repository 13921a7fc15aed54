"""What clients can rely on beyond the recorded sessions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goalfsm.appserver import outgoing
from goalfsm.goal.model import PauseReason
from goalfsm.session import events as e
from goalfsm.testing import MemoryGoals, fails, hangs, says, takes, takes_steering, waits
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


def test_what_a_turn_says_is_told_as_it_is_said_and_once_more_at_its_end(
    goals: MemoryGoals,
) -> None:
    """A client that comes in the middle is told what was said before it came."""
    goals.worker.turn(says("I dig a hole. "), takes("10s"), says("The tree stands."))
    goals.worker.turn(hangs())
    server = serving(goals)

    async def playing() -> None:
        one, other, third = (Client(goals, server) for _ in range(3))
        thread_id = await one.open()
        info = {"name": "b", "version": "1"}
        quiet = {"optOutNotificationMethods": ["item/agentMessage/delta"]}
        await other.ask("initialize", clientInfo=info)
        await third.ask("initialize", clientInfo=info, capabilities=quiet)
        await third.ask("thread/resume", threadId=thread_id)
        one.told.messages.clear()
        await one.ask("thread/goal/set", threadId=thread_id, objective="Plant")
        await one.until(lambda: bool(one.told.said("item/agentMessage/delta")))
        await other.ask("thread/resume", threadId=thread_id)
        await one.until(lambda: bool(one.told.said("turn/completed")))
        told = [m["method"] for m in one.told.messages if "method" in m]
        assert told[1:6] == [
            "turn/started",
            "item/started",
            "item/agentMessage/delta",
            "item/agentMessage/delta",
            "item/completed",
        ]
        (begun,), (over,) = one.told.said("item/started"), one.told.said("item/completed")
        deltas = one.told.said("item/agentMessage/delta")
        assert [delta["delta"] for delta in deltas] == ["I dig a hole. ", "The tree stands."]
        assert over["item"] == {**begun["item"], "text": "I dig a hole. The tree stands."}
        assert begun["item"]["text"] == ""
        turn_id = one.told.said("turn/started")[0]["turn"]["id"]
        assert {each["turnId"] for each in (begun, over, *deltas)} == {turn_id}
        assert {each["itemId"] for each in deltas} == {begun["item"]["id"]}
        (begun,) = other.told.said("item/started")
        assert begun["item"]["text"] == "I dig a hole. "
        assert other.told.said("item/agentMessage/delta") == deltas[1:]
        assert other.told.said("item/completed") == third.told.said("item/completed") == [over]
        assert third.told.said("item/agentMessage/delta") == []
        for client in (one, other, third):
            await client.close()
        await server.close()

    goals.clock.run(playing())
    goals.check()


STOPPED = "the goal has stopped; the text is kept for its next turn"
PAGE = Path(__file__).parents[2] / "docs" / "app-server.md"


def test_what_a_thread_without_an_active_goal_is_refused_is_what_the_page_says(
    goals: MemoryGoals,
) -> None:
    """Nothing is written of it, and no program starts."""
    text = [{"type": "text", "text": "How are you?"}]
    image = [{"type": "image", "url": "x"}]

    async def scene(client: Client, thread_id: str) -> None:
        quick = await client.ask("thread/start", ephemeral=True)
        passing = quick["result"]["thread"]["id"]
        said: list[str] = []

        async def refused(method: str, thread: str = thread_id, **params: Any) -> None:
            answer = await client.ask(method, threadId=thread, **params)
            assert answer["error"]["code"] == -32600
            said.append(answer["error"]["message"].replace(thread, "THREAD"))

        await refused("turn/start", input=text)
        assert goals.engine.status(thread_id).goal is None
        await client.ask("thread/goal/set", threadId=thread_id, objective="Plant", status="paused")
        await refused("turn/start", input=text)
        assert said.pop() == said[0]
        assert goals.engine.status(thread_id).steering_pending == 0
        await refused("turn/steer", input=text, expectedTurnId="x")
        await refused("turn/interrupt", turnId="x")
        await refused("turn/start", passing, input=text)
        await refused("turn/start", input=image)
        assert client.told.said("turn/started") == []
        rows = PAGE.read_text("utf-8").partition("### A turn without a goal")[2].splitlines()
        listed = [row.split("`")[-2] for row in rows if row.startswith("| `turn/")]
        listed.remove(STOPPED)
        assert listed == said

    act(goals, scene)


def test_a_text_whose_turn_does_not_come_is_refused_and_kept(goals: MemoryGoals) -> None:
    goals.worker.turn(fails("overloaded", status=503))

    async def scene(client: Client, thread_id: str) -> None:
        await client.ask("thread/goal/set", threadId=thread_id, objective="Plant")
        await client.until(lambda: bool(client.told.said("turn/completed")))
        params = {"threadId": thread_id, "input": [{"type": "text", "text": "Use a spade."}]}
        await client.say(json.dumps({"id": "a", "method": "turn/start", "params": params}))
        await client.ask("thread/goal/set", threadId=thread_id, status="paused")
        assert (await client.answer("a"))["error"] == {"code": -32600, "message": STOPPED}
        assert goals.engine.status(thread_id).steering_pending == 1

    act(goals, scene)


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
