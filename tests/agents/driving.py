"""Drive one agent turn by turn, as an engine would, and keep what it reported."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Final

from goalfsm.session.tools import TOOLS
from goalfsm.workers import protocol as w
from goalfsm.workers.agents.spec import AgentSpec
from goalfsm.workers.agents.worker import AgentWorker
from goalfsm.workers.supervisor.client import Supervisor
from tests.providers.script import Usage
from tests.work import make_work

_TOOLS: Final = tuple(
    w.Tool(name=tool.name, description=tool.description, parameters=tool.parameters)
    for tool in TOOLS
)
_LIMIT_S: Final = 60.0
Answering = Callable[[w.ToolCalled], w.ToolResult]


def accepts(call: w.ToolCalled) -> w.ToolResult:
    """Answer every goal tool well."""
    return w.ToolResult(ok=True, result={"text": f"{call.name}: accepted"})


@dataclasses.dataclass
class Turn:
    """What a turn reported."""

    events: list[w.TurnEvent]

    def all(self, kind: type[Any]) -> list[Any]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def exited(self) -> w.Exited:
        """Return its end."""
        assert isinstance(self.events[-1], w.Exited)
        return self.events[-1]

    @property
    def error(self) -> w.ErrorReported:
        """Return its only error."""
        (error,) = self.all(w.ErrorReported)
        return error

    @property
    def text(self) -> str:
        """Return its answer."""
        return "".join(event.text for event in self.all(w.Text))

    @property
    def used(self) -> Usage:
        """Return what it charges."""
        return usage_of(self.all(w.UsageReported))

    @property
    def acknowledged(self) -> list[str]:
        """Return the messages that it took."""
        return [event.id for event in self.all(w.SteeringAcknowledged)]


def usage_of(reported: list[w.UsageReported] | tuple[w.UsageReported, ...]) -> Usage:
    """Return the sum of what was reported."""
    total = Usage()
    for each in reported:
        total += Usage(each.input_tokens, each.output_tokens, each.cached_tokens)
    return total


class Agent:
    """An agent with its session, as long as a test."""

    def __init__(self, name: str, cwd: str, supervisor: Supervisor, *args: str) -> None:
        """Start ``name`` in ``cwd`` for each turn."""
        spec = AgentSpec(agent=name, cwd=cwd, args=args)  # type: ignore[arg-type]
        self.supervisor = supervisor
        self.worker = AgentWorker(spec, supervisor, grace_s=1.0)
        self.session: bytes | None = None
        self.charged = Usage()
        self.reported = Usage()
        self.turns = 0
        self._prefix = f"run-{cwd.rpartition('/')[2]}"
        self._numbers = itertools.count(1)
        self.run_id = ""

    def work(self, prompt: str, **given: Any) -> w.Work:
        """Return the next work."""
        self.turns += 1
        self.run_id = f"{self._prefix}-{next(self._numbers)}"
        return make_work(
            run_id=self.run_id,
            turn=self.turns,
            prompt=prompt,
            session=self.session,
            tools=_TOOLS,
            **given,
        )

    async def turn(
        self,
        prompt: str,
        *,
        answer: Answering = accepts,
        meanwhile: Callable[[w.TurnEvent], Awaitable[None]] | None = None,
        **given: Any,
    ) -> Turn:
        """Do one turn, answer its goal tools, and keep its session and what it charged."""
        turn = Turn([])
        async with asyncio.timeout(_LIMIT_S):
            async for event in self.worker.run(self.work(prompt, **given)):
                turn.events.append(event)
                if isinstance(event, w.SessionSaved):
                    self.session = event.session
                if isinstance(event, w.ToolCalled):
                    sent = await self.worker.tool_result(self.run_id, event.id, answer(event))
                    assert sent
                if meanwhile is not None:
                    await meanwhile(event)
        self.charged += turn.used
        self.reported += turn.used
        return turn

    async def compact(self) -> w.Compaction:
        """Have the context shortened."""
        done = await self.worker.compact(self.work(""))
        self.session = done.session or self.session
        self.charged += usage_of(done.usage)
        self.reported += usage_of(done.usage)
        return done
