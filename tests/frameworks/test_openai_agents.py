"""The adapter of openai-agents, with real agents whose model is scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, Model, function_tool, set_tracing_disabled
from agents.items import ModelResponse
from agents.usage import Usage
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from goalfsm.workers.frameworks.openai_agents import OpenAIAgents
from tests.frameworks.playing import EVIDENCE, achieve, charged, left_open, status


@pytest.fixture(autouse=True)
def _nothing_is_sent_elsewhere() -> None:
    set_tracing_disabled(disabled=True)


class Scripted(Model):
    """Answers each request with the next of its answers, and keeps what it was sent."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[list[Any]] = []
        self.tools: list[set[str]] = []

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        names = ("system_instructions", "input", "model_settings", "tools")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        asked = given["input"]
        self.requests.append([asked] if isinstance(asked, str) else list(asked))
        self.tools.append({tool.name for tool in given["tools"]})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        usage = Usage(
            requests=1,
            input_tokens=100,
            output_tokens=20,
            total_tokens=120,
            input_tokens_details=InputTokensDetails(cached_tokens=40, cache_write_tokens=0),
            output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
        )
        return ModelResponse(output=[answer], usage=usage, response_id=None)

    def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        del args, kwargs
        raise NotImplementedError

    def said(self, request: int, role: str) -> list[str]:
        """Return the texts of a role in a request."""
        found = []
        for item in self.requests[request]:
            if isinstance(item, dict) and item.get("role") == role:
                content = item["content"]
                found.append(content if isinstance(content, str) else content[0]["text"])
        return found


def calls(name: str, arguments: str = "{}") -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(
        type="function_call", call_id=f"call-{name}", name=name, arguments=arguments
    )


def claims() -> ResponseFunctionToolCall:
    return calls("update_goal", str(EVIDENCE).replace("'", '"'))


def says(text: str) -> ResponseOutputMessage:
    return ResponseOutputMessage(
        id="m",
        type="message",
        role="assistant",
        status="completed",
        content=[ResponseOutputText(type="output_text", text=text, annotations=[])],
    )


def test_an_agent_completes_a_goal_and_is_charged_what_its_model_counted(tmp_path: Path) -> None:
    model = Scripted(claims(), says("Done."))
    session = achieve(tmp_path, OpenAIAgents(Agent("writer", model=model)))
    assert status(session) == "complete"
    assert {"get_goal", "update_goal"} <= model.tools[0]
    assert charged(session) == 2 * (60 + 20)


@pytest.mark.parametrize("on_disk", [True, False])
def test_the_turns_of_a_goal_share_one_session(tmp_path: Path, *, on_disk: bool) -> None:
    model = Scripted(says("Looked around."), says("Wrote a part."), claims(), says("Done."))
    worker = OpenAIAgents(Agent("writer", model=model))
    session = achieve(tmp_path if on_disk else None, worker)
    assert status(session) == "complete"
    assert model.said(2, "assistant") == ["Looked around.", "Wrote a part."]
    assert len(model.said(2, "user")) == 3
    assert left_open(tmp_path) == []
    if on_disk:
        assert (tmp_path / "goals.db.openai-agents.db").stat().st_mode & 0o777 == 0o600


def test_tools_of_the_agent_are_used_beside_those_of_the_goal(tmp_path: Path) -> None:
    used: list[str] = []

    @function_tool
    def look() -> str:
        """Look around."""
        used.append("look")
        return "two files"

    model = Scripted(calls("look"), claims(), says("Done."))
    session = achieve(tmp_path, OpenAIAgents(Agent("writer", model=model, tools=[look])))
    assert status(session) == "complete"
    assert used == ["look"]


def test_a_limit_of_the_agents_own_ends_the_turn_and_fails_nothing(tmp_path: Path) -> None:
    @function_tool
    def look() -> str:
        """Look around."""
        return "two files"

    model = Scripted(calls("look"), claims())
    agent = Agent("writer", model=model, tools=[look])
    session = achieve(tmp_path, OpenAIAgents(agent, max_turns=1))
    assert status(session) == "complete"


def test_what_the_client_raises_is_told_as_it_is(tmp_path: Path) -> None:
    model = Scripted(KeyError("the embedder's own"))
    session = achieve(tmp_path, OpenAIAgents(Agent("writer", model=model)))
    assert status(session) == "paused"
    assert session.goal is not None
    assert "KeyError" in session.goal.note
