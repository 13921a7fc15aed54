from __future__ import annotations

import pytest

from goalfsm.workers import protocol as w
from tests.agents.driving import Agent
from tests.providers.script import Usage, calls, says
from tests.providers.server import Provider

pytestmark = pytest.mark.asyncio


async def test_three_turns_share_one_history_and_charge_what_was_counted(
    agent: Agent, provider: Provider
) -> None:
    for number, word in enumerate(("apple", "birch", "cedar"), 1):
        provider.rewrite([says(f"I know {word}.", Usage(100 * number, 10 * number, number))])
        turn = await agent.turn(f"Remember the {word} tree.")
        assert turn.exited.ok, turn.events
        assert turn.text == f"I know {word}."
        assert turn.used == Usage(100 * number, 10 * number, number)
    last = provider.requests[-1].text
    for words in ("Remember the apple tree.", "I know apple.", "I know birch.", "the cedar tree"):
        assert words in last
    assert agent.charged == provider.charged


async def test_the_first_request_offers_the_goal_tools_and_their_answers_are_read(
    agent: Agent, provider: Provider
) -> None:
    evidence = [{"text": "make test exits 0"}]
    provider.rewrite(
        [
            calls("get_goal"),
            calls("update_goal", status="complete", evidence=evidence),
            says("Then I go on."),
        ]
    )

    def answer(call: w.ToolCalled) -> w.ToolResult:
        if call.name == "get_goal":
            return w.ToolResult(ok=True, result={"text": "the goal is to plant a tree"})
        return w.ToolResult(ok=False, error="the last criterion has no evidence", code="evidence")

    turn = await agent.turn("Do it.", answer=answer)
    assert turn.exited.ok, turn.events
    names = [tool.rpartition("__")[2] for tool in provider.requests[0].tools]
    assert {"get_goal", "create_goal", "update_goal"} <= set(names)
    called = [(call.name, call.arguments) for call in turn.all(w.ToolCalled)]
    assert called == [
        ("get_goal", {}),
        ("update_goal", {"status": "complete", "evidence": evidence}),
    ]
    assert "the goal is to plant a tree" in provider.requests[1].text
    assert "the last criterion has no evidence" in provider.requests[2].text
    assert turn.all(w.ToolEnded) == []
    assert agent.charged == provider.charged
