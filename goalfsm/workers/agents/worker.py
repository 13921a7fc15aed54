"""Coding agents as workers: one worker serves every thread whose agent is started alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from goalfsm.workers.agents.run import AgentRun
from goalfsm.workers.protocol import (
    Capability,
    Compaction,
    ErrorReported,
    SessionSaved,
    UsageReported,
    Work,
)
from goalfsm.workers.supervised import SupervisedWorker

if TYPE_CHECKING:
    from goalfsm.workers.agents.spec import AgentSpec
    from goalfsm.workers.isolating import Isolation
    from goalfsm.workers.supervisor.client import Supervisor

GRACE_S: Final = 2.0
_CAN: Final[frozenset[Capability]] = frozenset({"abort", "steer", "compact", "tool_result"})


class AgentWorker(SupervisedWorker[AgentRun]):
    """Runs a coding agent for each turn, in one session of the agent's that goes on."""

    def __init__(
        self,
        spec: AgentSpec,
        supervisor: Supervisor | None = None,
        *,
        grace_s: float = GRACE_S,
    ) -> None:
        """Run ``spec``; an agent that does not stop has ``grace_s`` seconds after SIGTERM.

        Without a ``supervisor`` the engine's own is used, which it binds.
        """
        super().__init__(isolate=spec.isolate)
        self.spec = spec
        self._supervisor = supervisor
        self._find: Callable[[], Awaitable[Supervisor]] | None = None
        self._grace = grace_s

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what the agent can do; over ACP a turn can be ended early, and no more."""
        return _CAN if self.spec.agent != "acp" else frozenset({"abort"})

    def bind(self, supervisor: Callable[[], Awaitable[Supervisor]]) -> None:
        """Start every process of later runs under the supervisor that this returns."""
        self._find = supervisor

    async def compact(self, work: Work) -> Compaction:
        """Have the agent shorten its session's context, and say what that consumed."""
        usage: list[UsageReported] = []
        session, failed = None, False
        async with self._isolated(work) as isolation:
            run = await self._prepare(work, isolation, compact=True)
            async for event in run.events():
                match event:
                    case UsageReported():
                        usage.append(event)
                    case SessionSaved():
                        session = event.session
                    case ErrorReported():
                        failed = True
        changed = run.changed and not failed
        return Compaction(changed=changed, usage=tuple(usage), session=session)

    async def _prepare(
        self, work: Work, isolation: Isolation | None, *, compact: bool = False
    ) -> AgentRun:
        supervisor = self._supervisor if self._find is None else await self._find()
        return AgentRun(
            self.spec,
            supervisor,
            work,
            grace_s=self._grace,
            compact=compact,
            isolation=isolation,
        )
