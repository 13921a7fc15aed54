"""The adapter of pydantic-ai, with real agents whose model is a function."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage, UsageLimits

from goalfsm.workers.frameworks.histories import LOST, Histories
from goalfsm.workers.frameworks.pydantic_ai import PydanticAI
from tests.frameworks.playing import EVIDENCE, achieve, charged, left_open, status, work_with

USAGE = RequestUsage(input_tokens=100, cache_read_tokens=40, output_tokens=20)


class Scripted:
    """Answers each request with the next of its answers, and keeps what it was sent."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[list[ModelMessage]] = []
        self.tools: list[set[str]] = []

    def __call__(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.requests.append(list(messages))
        self.tools.append({tool.name for tool in info.function_tools})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return ModelResponse(parts=list(answer), usage=USAGE)

    def prompts(self, request: int) -> list[str]:
        return [
            str(part.content)
            for message in self.requests[request]
            if isinstance(message, ModelRequest)
            for part in message.parts
            if isinstance(part, UserPromptPart)
        ]

    def agent(self) -> Agent[None, str]:
        return Agent(FunctionModel(self))


def claims() -> list[ToolCallPart]:
    return [ToolCallPart("update_goal", EVIDENCE, tool_call_id="c1")]


def says(text: str) -> list[TextPart]:
    return [TextPart(text)]


def looks() -> list[ToolCallPart]:
    return [ToolCallPart("look", {}, tool_call_id="c0")]


def test_an_agent_completes_a_goal_and_is_charged_what_its_model_counted(tmp_path: Path) -> None:
    model = Scripted(claims(), says("Done."))
    session = achieve(tmp_path, PydanticAI(model.agent()))
    assert status(session) == "complete"
    assert {"get_goal", "update_goal"} <= model.tools[0]
    assert charged(session) == 2 * (60 + 20)


@pytest.mark.parametrize("on_disk", [True, False])
def test_the_turns_of_a_goal_share_one_history(tmp_path: Path, *, on_disk: bool) -> None:
    model = Scripted(says("Looked around."), says("Wrote a part."), claims(), says("Done."))
    worker = PydanticAI(model.agent())
    session = achieve(tmp_path if on_disk else None, worker)
    assert status(session) == "complete"
    assert [len(model.prompts(request)) for request in range(3)] == [1, 2, 3]
    answers = [m.text for m in model.requests[2] if isinstance(m, ModelResponse)]
    assert answers == ["Looked around.", "Wrote a part."]
    assert left_open(tmp_path) == []


def test_a_turn_that_failed_is_not_in_the_history_of_the_next_process(tmp_path: Path) -> None:
    model = Scripted(says("Looked around."), KeyError("the embedder's own"))
    session = achieve(tmp_path, PydanticAI(model.agent()))
    assert status(session) == "paused"
    found = Histories().load(work_with(tmp_path, session.worker_session), "pydantic-ai")
    assert found is not None
    assert found.count(b'"user-prompt"') == 1
    assert b"Looked around." in found


def test_tools_of_the_agent_are_used_beside_those_of_the_goal(tmp_path: Path) -> None:
    model = Scripted(looks(), claims(), says("Done."))
    agent = model.agent()

    @agent.tool_plain
    def look() -> str:
        return "two files"

    session = achieve(tmp_path, PydanticAI(agent))
    assert status(session) == "complete"
    returned = [
        part.content
        for message in model.requests[1]
        for part in message.parts
        if isinstance(part, ToolReturnPart)
    ]
    assert returned == ["two files"]


def test_a_limit_of_the_agents_own_ends_the_turn_and_fails_nothing(tmp_path: Path) -> None:
    """Nor does the call that nobody answered stay in the history."""
    model = Scripted(looks(), claims(), looks(), claims(), looks(), claims())
    agent = model.agent()

    @agent.tool_plain
    def look() -> str:
        return "two files"

    worker = PydanticAI(agent, usage_limits=UsageLimits(request_limit=1))
    session = achieve(tmp_path, worker)
    assert status(session) == "complete"
    assert len(model.requests) == 2


@pytest.mark.parametrize("saved", [b"1:gone", b"nonsense"])
def test_a_lost_history_is_told_to_the_model(saved: bytes, tmp_path: Path) -> None:
    model = Scripted(says("I see."))

    async def run() -> None:
        worker = PydanticAI(model.agent())
        async for _ in worker.run(work_with(tmp_path, saved)):
            pass

    asyncio.run(run())
    assert model.prompts(0) == [f"Go on.{LOST}"]


def test_a_message_enters_at_the_next_model_call(tmp_path: Path) -> None:
    model = Scripted(looks(), says("Used tabs."))
    agent = model.agent()
    worker = PydanticAI(agent)
    taken: list[str] = []

    @agent.tool_plain
    async def look() -> str:
        assert await worker.steer("r", "m1", "use tabs")
        return "two files"

    async def run() -> None:
        async for event in worker.run(work_with(tmp_path, None)):
            taken.extend([event.id] if type(event).__name__ == "SteeringAcknowledged" else [])

    asyncio.run(run())
    assert model.prompts(1) == ["Go on.", "use tabs"]
    assert taken == ["m1"]
