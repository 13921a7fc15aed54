"""Run an agent of pydantic-ai as a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic_ai import Agent
from pydantic_ai import Tool as AgentTool
from pydantic_ai.exceptions import UsageLimitExceeded
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.toolsets import FunctionToolset

from goalfsm.workers.frameworks.histories import LOST, Histories, shown
from goalfsm.workers.turn import Turn, TurnWorker

if TYPE_CHECKING:
    from goalfsm.workers.protocol import Tool

_NAME: Final = "pydantic-ai"


class PydanticAI(TurnWorker):
    """Runs each turn of a goal as one run of ``agent``, with the goal's tools beside its own.

    The turns of a goal share one history, kept in a file beside the engine's database. A turn that
    fails or dies leaves the history as it was before it. Usage is reported for each model call,
    steering enters at the next one. A limit of the agent's own (`UsageLimitExceeded`) ends the turn
    and is no failure of it. ``options`` are passed to ``agent.iter``: ``deps``, ``usage_limits``,
    ``model_settings`` …
    """

    def __init__(self, agent: Agent[Any, Any], **options: Any) -> None:
        """Run ``agent``; it is not changed."""
        super().__init__(self._play)
        self._agent = agent
        self._options = options
        self._histories = Histories()

    async def _play(self, turn: Turn) -> None:
        stored = self._histories.load(turn.work, _NAME)
        lost = turn.session is not None and stored is None
        history = [] if stored is None else ModelMessagesTypeAdapter.validate_json(stored)
        own = {tool.name for tool in turn.tools.definitions}
        toolset = FunctionToolset([_offered(turn, tool) for tool in turn.tools.definitions])
        async with self._agent.iter(
            turn.prompt + (LOST if lost else ""),
            message_history=history,
            toolsets=[toolset],
            **self._options,
        ) as run:
            try:
                async for node in run:
                    if Agent.is_model_request_node(node):
                        _tools_ended(turn, node.request.parts, own)
                        for message in turn.steering.waiting():
                            node.request.parts = [
                                *node.request.parts,
                                UserPromptPart(content=message.text),
                            ]
                            message.took()
                    elif Agent.is_call_tools_node(node):
                        _answered(turn, node.model_response)
            except UsageLimitExceeded as error:
                turn.text(f"\n(the turn ended at a limit of the agent: {error})")
            messages = _complete(run.all_messages())
        stored = ModelMessagesTypeAdapter.dump_json(messages)
        turn.save(self._histories.store(turn.work, _NAME, stored))


def _complete(messages: list[ModelMessage]) -> list[ModelMessage]:
    """Return the messages without calls at the end that nobody has answered.

    A model that is shown a call without its answer refuses the whole conversation.
    """
    while messages and isinstance(messages[-1], ModelResponse) and messages[-1].tool_calls:
        messages = messages[:-1]
    return messages


def _offered(turn: Turn, tool: Tool) -> AgentTool[Any]:
    async def call(**arguments: Any) -> str:
        return shown(await turn.tools.call(tool.name, arguments))

    return AgentTool.from_schema(call, tool.name, tool.description, dict(tool.parameters))


def _answered(turn: Turn, response: ModelResponse) -> None:
    usage = response.usage
    turn.usage(
        input_tokens=usage.input_tokens - usage.cache_read_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cache_read_tokens,
    )
    for part in response.parts:
        if isinstance(part, TextPart) and part.content:
            turn.text(part.content)


def _tools_ended(turn: Turn, parts: Any, own: set[str]) -> None:
    for part in parts:
        if isinstance(part, ToolReturnPart) and part.tool_name not in own:
            turn.tool_end(part.tool_name)
        elif isinstance(part, RetryPromptPart) and part.tool_name:
            turn.tool_end(part.tool_name, ok=False)
