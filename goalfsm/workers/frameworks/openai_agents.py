"""Run an agent of openai-agents as a worker."""

from __future__ import annotations

import contextlib
import json
import weakref
from typing import TYPE_CHECKING, Any, Final

from agents import Agent, FunctionTool, RunHooks, Runner, SQLiteSession
from agents.exceptions import MaxTurnsExceeded
from agents.items import ItemHelpers

from goalfsm.workers.frameworks.histories import conversation_of, file_for, shown
from goalfsm.workers.turn import Turn, TurnWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents.items import ModelResponse
    from agents.memory import Session

    from goalfsm.workers.protocol import Tool, Work

_NAME: Final = "openai-agents"


class OpenAIAgents(TurnWorker):
    """Runs each turn of a goal as one run of ``agent``, with the goal's tools beside its own.

    The turns of a goal share one `agents.SQLiteSession`, in a file beside the engine's database.
    Usage is reported for each model call. `MaxTurnsExceeded` ends the turn and is no failure of it.
    A message for the running turn goes into the next prompt. ``options`` are passed to
    ``Runner.run``: ``context``, ``max_turns``, ``run_config`` …
    """

    def __init__(self, agent: Agent[Any], **options: Any) -> None:
        """Run ``agent``; it is not changed."""
        super().__init__(self._play)
        self._agent = agent
        self._options = options
        self._in_memory: dict[str, SQLiteSession] = {}

    async def _play(self, turn: Turn) -> None:
        conversation = conversation_of(turn.work)
        turn.save(conversation.encode())
        offered = [_offered(turn, tool) for tool in turn.tools.definitions]
        agent = self._agent.clone(tools=[*self._agent.tools, *offered])
        with self._session(turn.work, conversation) as session:
            try:
                await Runner.run(
                    agent,
                    turn.prompt,
                    session=session,
                    hooks=_Told(turn, {tool.name for tool in offered}),
                    **self._options,
                )
            except MaxTurnsExceeded as error:
                turn.text(f"\n(the turn ended at a limit of the agent: {error})")

    @contextlib.contextmanager
    def _session(self, work: Work, conversation: str) -> Iterator[Session]:
        """Open the conversation for one turn; one without a file lives as long as the worker."""
        if work.db:
            with contextlib.closing(SQLiteSession(conversation, file_for(work, _NAME))) as session:
                yield session
            return
        if conversation not in self._in_memory:
            self._in_memory[conversation] = SQLiteSession(conversation)
            weakref.finalize(self, self._in_memory[conversation].close)
        yield self._in_memory[conversation]


class _Told(RunHooks[Any]):
    """Reports what happens in a run."""

    def __init__(self, turn: Turn, goal_tools: set[str]) -> None:
        self._turn = turn
        self._goal_tools = goal_tools

    async def on_llm_end(self, context: Any, agent: Any, response: ModelResponse) -> None:
        """Report the usage and the text of a model call."""
        del context, agent
        usage = response.usage
        cached = usage.input_tokens_details.cached_tokens or 0
        self._turn.usage(
            input_tokens=usage.input_tokens - cached,
            output_tokens=usage.output_tokens,
            cached_tokens=cached,
        )
        for item in response.output:
            if text := ItemHelpers.extract_text(item):
                self._turn.text(text)

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        """Report that a tool of the agent's own was used."""
        del context, agent, result
        if tool.name not in self._goal_tools:
            self._turn.tool_end(tool.name)


def _offered(turn: Turn, tool: Tool) -> FunctionTool:
    async def call(_context: Any, arguments: str) -> str:
        return shown(await turn.tools.call(tool.name, json.loads(arguments or "{}")))

    return FunctionTool(
        name=tool.name,
        description=tool.description,
        params_json_schema=dict(tool.parameters),
        on_invoke_tool=call,
        strict_json_schema=False,
    )
