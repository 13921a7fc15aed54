"""Run a graph of LangGraph as a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.errors import GraphRecursionError

from goalfsm.errors import GoalError
from goalfsm.workers.frameworks.histories import conversation_of, file_for, shown
from goalfsm.workers.turn import Turn, TurnWorker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.graph.state import CompiledStateGraph

    from goalfsm.workers.protocol import Tool

_NAME: Final = "langgraph"
_INTERRUPTED: Final = "interrupted: nobody knows whether it was done, so look before you repeat it"

GraphFactory = Callable[[list[BaseTool]], Any]
"""Builds the graph of one turn, given the goal's tools; its state has ``messages``."""


class LangGraph(TurnWorker):
    """Runs each turn of a goal as one run of the graph that ``build`` makes of the goal's tools.

    ``LangGraph(lambda tools: create_agent(model, [*mine, *tools]))``. The turns of a goal share one
    thread of the checkpointer: ``checkpointer``, or an `AsyncSqliteSaver` on a file beside the
    engine's database. A call that a crash left without its answer is answered as interrupted,
    because a provider rejects a history that holds one. Usage is reported for each model call.
    Reaching the recursion limit ends the turn and is no failure of it. A message for the running
    turn goes into the next prompt. ``config`` is merged into the run's.
    """

    def __init__(
        self,
        build: GraphFactory,
        *,
        checkpointer: BaseCheckpointSaver[Any] | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        """Run the graphs that ``build`` makes."""
        super().__init__(self._play)
        self._build = build
        self._checkpointer = checkpointer
        self._config = config or {}

    async def _play(self, turn: Turn) -> None:
        conversation = conversation_of(turn.work)
        turn.save(conversation.encode())
        tools: list[BaseTool] = [_offered(turn, tool) for tool in turn.tools.definitions]
        own = {tool.name for tool in tools}
        configurable = {**self._config.get("configurable", {}), "thread_id": conversation}
        config: Any = {**self._config, "configurable": configurable}
        async with self._saver(turn) as saver:
            graph: CompiledStateGraph[Any, Any, Any, Any] = self._build(tools)
            graph.checkpointer = saver
            dangling = _dangling((await graph.aget_state(config)).values)
            given = [*dangling, HumanMessage(turn.prompt)]
            try:
                steps = graph.astream({"messages": given}, config, stream_mode="updates")
                async for update in steps:
                    for message in _messages(update):
                        _report(turn, message, own)
            except GraphRecursionError as error:
                turn.text(f"\n(the turn ended at a limit of the graph: {error})")

    @contextlib.asynccontextmanager
    async def _saver(self, turn: Turn) -> AsyncIterator[BaseCheckpointSaver[Any]]:
        if self._checkpointer is not None:
            yield self._checkpointer
            return
        if not turn.work.db:
            # A store in memory is forgotten with its engine; so is what belongs to it.
            from langgraph.checkpoint.memory import InMemorySaver  # noqa: PLC0415  seldom needed

            self._checkpointer = InMemorySaver()
            yield self._checkpointer
            return
        try:
            from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver  # noqa: PLC0415  the same
        except ImportError as error:
            raise GoalError(
                "the turns of a graph need somewhere to keep their messages",
                code="checkpointer_missing",
                hint="pip install langgraph-checkpoint-sqlite, or give LangGraph a checkpointer=",
            ) from error
        async with AsyncSqliteSaver.from_conn_string(file_for(turn.work, _NAME)) as saver:
            yield saver


def _dangling(state: Any) -> list[BaseMessage]:
    """Return answers for the calls that the last run left without one."""
    messages: Sequence[BaseMessage] = state.get("messages", ()) if isinstance(state, dict) else ()
    answered = {m.tool_call_id for m in messages if isinstance(m, ToolMessage)}
    return [
        ToolMessage(_INTERRUPTED, tool_call_id=call["id"], name=call["name"], status="error")
        for message in messages
        if isinstance(message, AIMessage)
        for call in message.tool_calls
        if call["id"] not in answered
    ]


def _messages(update: Any) -> list[BaseMessage]:
    """Return the messages that the nodes of one step have added."""
    found: list[BaseMessage] = []
    for change in update.values() if isinstance(update, dict) else ():
        added = change.get("messages", []) if isinstance(change, dict) else []
        found += added if isinstance(added, list) else [added]
    return found


def _report(turn: Turn, message: BaseMessage, own: set[str]) -> None:
    if isinstance(message, ToolMessage):
        if message.name not in own:
            turn.tool_end(message.name or "tool", ok=message.status != "error")
    elif isinstance(message, AIMessage):
        usage = message.usage_metadata
        if usage is not None:
            cached = usage.get("input_token_details", {}).get("cache_read", 0)
            turn.usage(
                input_tokens=usage["input_tokens"] - cached,
                output_tokens=usage["output_tokens"],
                cached_tokens=cached,
            )
        if text := str(message.text):
            turn.text(text)


def _offered(turn: Turn, tool: Tool) -> StructuredTool:
    async def call(**arguments: Any) -> str:
        return shown(await turn.tools.call(tool.name, arguments))

    return StructuredTool.from_function(
        coroutine=call,
        name=tool.name,
        description=tool.description,
        args_schema=dict(tool.parameters),
    )
