"""The adapter of LangGraph, with real graphs whose model is scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from goalfsm.workers.frameworks.langgraph import LangGraph
from tests.frameworks.playing import EVIDENCE, PAGE, achieve, charged, status, work_with

USAGE = {
    "input_tokens": 100,
    "output_tokens": 20,
    "total_tokens": 120,
    "input_token_details": {"cache_read": 40},
}


class Scripted(BaseChatModel):
    """Answers each request with the next of its answers, and keeps what it was sent."""

    answers: list[Any]
    requests: list[list[BaseMessage]] = []  # noqa: RUF012 - pydantic copies it
    bound: set[str] = set()  # noqa: RUF012 - the same

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Self:
        """Keep which tools the model is offered."""
        del kwargs
        self.bound.update(tool.name for tool in tools)
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        del args, kwargs
        self.requests.append(list(messages))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        message = AIMessage(usage_metadata=USAGE, **answer)
        return ChatResult(generations=[ChatGeneration(message=message)])


def agent(model: Scripted, *own: BaseTool) -> Any:
    """Return a factory of graphs: a model in a loop with its tools."""

    def build(tools: list[BaseTool]) -> Any:
        every = [*own, *tools]
        model.bound.update(tool.name for tool in every)

        async def think(state: MessagesState) -> dict[str, Any]:
            return {"messages": [await model.ainvoke(state["messages"])]}

        graph = StateGraph(MessagesState)
        graph.add_node("think", think)
        graph.add_node("tools", ToolNode(every))
        graph.add_edge(START, "think")
        graph.add_conditional_edges("think", tools_condition)
        graph.add_edge("tools", "think")
        return graph.compile()

    return build


def calls(name: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    call = {"name": name, "args": arguments or {}, "id": f"call-{name}"}
    return {"content": "", "tool_calls": [call]}


def says(text: str) -> dict[str, Any]:
    return {"content": text}


def claims() -> dict[str, Any]:
    return calls("update_goal", EVIDENCE)


@tool
def look() -> str:
    """Look around."""
    return "two files"


def test_a_graph_completes_a_goal_and_is_charged_what_its_model_counted(tmp_path: Path) -> None:
    model = Scripted(answers=[claims(), says("Done.")])
    session = achieve(tmp_path, LangGraph(agent(model)))
    assert status(session) == "complete"
    assert {"get_goal", "update_goal"} <= model.bound
    assert charged(session) == 2 * (60 + 20)


def test_an_agent_of_langchain_completes_a_goal_with_its_own_tools_beside_the_goals(
    tmp_path: Path,
) -> None:
    """The factory is the line that the page gives."""
    assert "LangGraph(lambda tools: create_agent(model, [*mine, *tools]))" in PAGE
    model, mine = Scripted(answers=[calls("look"), claims(), says("Done.")]), [look]
    worker = LangGraph(lambda tools: create_agent(model, [*mine, *tools]))
    session = achieve(tmp_path, worker)
    assert status(session) == "complete"
    assert {"look", "get_goal", "update_goal"} <= model.bound
    sent = [m for m in model.requests[-1] if isinstance(m, ToolMessage)]
    assert [m.name for m in sent] == ["look", "update_goal"]
    assert charged(session) == 3 * (60 + 20)


def test_the_turns_of_a_goal_share_one_thread_on_disk(tmp_path: Path) -> None:
    model = Scripted(answers=[says("Looked around."), says("Wrote."), claims(), says("Done.")])
    session = achieve(tmp_path, LangGraph(agent(model)))
    assert status(session) == "complete"
    sent = model.requests[2]
    assert [m.text for m in sent if isinstance(m, AIMessage)] == ["Looked around.", "Wrote."]
    assert sum(isinstance(m, HumanMessage) for m in sent) == 3
    assert (tmp_path / "goals.db.langgraph.db").stat().st_mode & 0o777 == 0o600


def test_tools_of_the_graph_are_used_beside_those_of_the_goal(tmp_path: Path) -> None:
    model = Scripted(answers=[calls("look"), claims(), says("Done.")])
    session = achieve(tmp_path, LangGraph(agent(model, look)))
    assert status(session) == "complete"
    assert [m.content for m in model.requests[1] if isinstance(m, ToolMessage)] == ["two files"]


def test_a_limit_of_the_graph_ends_the_turn_and_fails_nothing(tmp_path: Path) -> None:
    model = Scripted(answers=[calls("look"), claims(), says("Done.")])
    worker = LangGraph(agent(model, look), config={"recursion_limit": 2})
    session = achieve(tmp_path, worker)
    assert status(session) == "complete"


def test_a_call_that_a_crash_left_open_is_answered_before_the_model_sees_it(
    tmp_path: Path,
) -> None:
    saver = InMemorySaver()
    first = Scripted(answers=[calls("look"), says("never reached")])

    class Killed(BaseException):
        """What ends a process ends a turn as well."""

    @tool("look")
    def dies() -> str:
        """Look around."""
        raise Killed

    async def play(model: Scripted, own: BaseTool) -> bytes | None:
        saved = None
        worker = LangGraph(agent(model, own), checkpointer=saver)
        async for event in worker.run(work_with(tmp_path, None)):
            saved = getattr(event, "session", saved)
        return saved

    asyncio.run(play(first, dies))
    second = Scripted(answers=[says("I see.")])
    asyncio.run(play(second, look))
    answered = [m for m in second.requests[0] if isinstance(m, ToolMessage)]
    assert [m.tool_call_id for m in answered] == ["call-look"]
    assert "interrupted" in str(answered[0].content)
