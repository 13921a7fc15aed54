"""Runs, states and plans of superseded work, as its tests write them."""

from __future__ import annotations

from typing import Final

from recovery.obligations import (
    AbortingTurn,
    AgentEnd,
    AwaitingTerminalCleanup,
    Cleanup,
    GoalWork,
    PendingAgentEnd,
    RunMessage,
)
from recovery.stale_work import EffectName, Plan

CLEAR_REFRESH: Final[tuple[EffectName, ...]] = ("clear_accounting", "refresh_ui")
ASK_ABORT: Final[tuple[EffectName, ...]] = ("clear_accounting", "abort", "refresh_ui")


def run_of(*goal_ids: str, stop: str | None = None) -> AgentEnd:
    """Return the end of a run with queued work of ``goal_ids``, or an anonymous one."""
    named = [
        RunMessage(role="custom", goal_work=GoalWork(kind="continuation", goal_id=goal_id))
        for goal_id in goal_ids
    ]
    return AgentEnd(messages=(*named, RunMessage(role="assistant", stop_reason=stop)))


def aborting(index: int | None, turns: tuple[int, ...], *runs: PendingAgentEnd) -> AbortingTurn:
    """Return an aborting state."""
    return AbortingTurn(
        active_turn_index=index, cleanup=Cleanup(pending_turn_ends=turns, pending_agent_ends=runs)
    )


def awaiting(turns: tuple[int, ...], *runs: PendingAgentEnd) -> AwaitingTerminalCleanup:
    """Return an awaiting state."""
    return AwaitingTerminalCleanup(
        cleanup=Cleanup(pending_turn_ends=turns, pending_agent_ends=runs)
    )


def skipping(*effects: EffectName) -> Plan:
    """Return a plan that skips the event."""
    return Plan(skip=True, effects=effects)
