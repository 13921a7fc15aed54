"""States, events and plans of the stale-work reducer (``recovery.stale_work``)."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from recovery.obligations import Cleanup, RunMessage


class _State(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    pass


class Idle(_State, frozen=True, kw_only=True, tag="idle"):
    """Nothing is observed and nothing is owed."""


class ObservingTurn(_State, frozen=True, kw_only=True, tag="observing_turn"):
    """Work has entered the turn that is being prepared; ends of older turns may be owed."""

    stale_goal_ids: tuple[str, ...] = ()
    has_runnable_work: bool = False
    cleanup: Cleanup | None = None


class AbortingTurn(_State, frozen=True, kw_only=True, tag="aborting_turn"):
    """An abort was asked for; ``active_turn_index`` is None when the host did not say."""

    active_turn_index: int | None
    cleanup: Cleanup


class AwaitingTerminalCleanup(_State, frozen=True, kw_only=True, tag="awaiting_terminal_cleanup"):
    """Nothing is observed, ends of aborted turns are owed."""

    cleanup: Cleanup


State: TypeAlias = Idle | ObservingTurn | AbortingTurn | AwaitingTerminalCleanup

IDLE: Final = Idle()


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    pass


class RunnableWorkStarted(_Event, frozen=True, kw_only=True, tag="runnable_work_started"):
    """Work that may run entered the turn: a person's message or the current goal's."""


class StaleWorkStarted(_Event, frozen=True, kw_only=True, tag="stale_work_started"):
    """Queued work of a goal that is not the current one any more entered the turn."""

    goal_id: str


class ContextAbort(_Event, frozen=True, kw_only=True, tag="context_abort"):
    """The provider is about to be called: the last moment to abort."""

    turn_index: int | None = None


class TurnStart(_Event, frozen=True, kw_only=True, tag="turn_start"):
    """A turn started: what was observed belongs to the turn before."""


class TurnEnd(_Event, frozen=True, kw_only=True, tag="turn_end"):
    """A turn ended."""

    turn_index: int | None = None


class AgentEnd(_Event, frozen=True, kw_only=True, tag="agent_end"):
    """A run ended; ``messages`` tell whose it was."""

    messages: tuple[RunMessage, ...] = ()


class ToolExecutionEnd(_Event, frozen=True, kw_only=True, tag="tool_execution_end"):
    """A tool call ended."""


class SessionBeforeCompact(_Event, frozen=True, kw_only=True, tag="session_before_compact"):
    """The host is about to compact the context."""


class SessionCompact(_Event, frozen=True, kw_only=True, tag="session_compact"):
    """The host compacted the context."""


class SessionShutdown(_Event, frozen=True, kw_only=True, tag="session_shutdown"):
    """The session is over: no terminal event will come any more."""


class UserInputClearAbort(_Event, frozen=True, kw_only=True, tag="user_input_clear_abort"):
    """A person wrote something: what follows is not the turn that is being aborted."""


class BeforeAgentStartClearAbort(
    _Event, frozen=True, kw_only=True, tag="before_agent_start_clear_abort"
):
    """A run that may proceed is about to start."""


class ExtensionContinuationClearAbort(
    _Event, frozen=True, kw_only=True, tag="extension_continuation_clear_abort"
):
    """A continuation that may proceed reached the host."""


Event: TypeAlias = (
    RunnableWorkStarted
    | StaleWorkStarted
    | ContextAbort
    | TurnStart
    | TurnEnd
    | AgentEnd
    | ToolExecutionEnd
    | SessionBeforeCompact
    | SessionCompact
    | SessionShutdown
    | UserInputClearAbort
    | BeforeAgentStartClearAbort
    | ExtensionContinuationClearAbort
)

EffectName: TypeAlias = Literal["clear_accounting", "abort", "refresh_ui"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about an event: ``skip`` its ordinary handling; do ``effects`` in order."""

    skip: bool = False
    effects: tuple[EffectName, ...] = ()


class Reduction(msgspec.Struct, frozen=True, kw_only=True):
    """The next state, and the plan; None when the question was an abort and there is none."""

    state: State
    plan: Plan | None


PASS: Final = Plan()
"""Handle the event as if there were no stale work."""
