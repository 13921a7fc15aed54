"""What stale work is told and keeps: the ends that aborted turns still owe, states and events.

Which ends are owed, how they age and which end settles one is decided here.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec.structs import replace

MAX_TRACKED: Final = 64
"""How many ids or obligations of one sort are kept; the oldest (lowest) are let go beyond it."""

TERMINAL_STOPS: Final = frozenset({"stop", "error", "aborted"})
"""Stop reasons that end a run of an agent. A turn may stop for others and the run goes on."""


class GoalWork(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Metadata of a message that was queued on behalf of a goal."""

    kind: str
    goal_id: str


class RunMessage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is needed of one message of a finished run to tell whose run it was."""

    role: str
    stop_reason: str | None = None
    goal_work: GoalWork | None = None


class PendingAgentEnd(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An ``agent_end`` that is owed for work of ``goal_ids``.

    ``accepts_anonymous`` says whether a run that names no goal may settle it. ``phase`` is
    ``active`` while the aborted turn is the current one, ``older`` afterwards.
    """

    goal_ids: tuple[str, ...]
    accepts_anonymous: bool = True
    phase: Literal["active", "older"] = "active"


class Cleanup(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All terminal events that are owed: turn indices in ascending order, runs oldest first."""

    pending_turn_ends: tuple[int, ...] = ()
    pending_agent_ends: tuple[PendingAgentEnd, ...] = ()


class Settlement(NamedTuple):
    """The outcome of a terminal event that was owed: what is left, and whose end it was."""

    remaining: Cleanup
    was_active: bool


NOTHING_OWED: Final = Cleanup()


class _State(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="kind"):
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


class _Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
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


def owe(cleanup: Cleanup, turn_index: int | None, goal_ids: tuple[str, ...]) -> Cleanup:
    """Return ``cleanup`` with the terminal events of the turn that is being aborted.

    A turn of unknown index owes no ``turn_end``: nothing could be told from another turn's end.
    """
    turn_ends = cleanup.pending_turn_ends
    if turn_index is not None and turn_index not in turn_ends:
        turn_ends = tuple(sorted((*turn_ends, turn_index)))[-MAX_TRACKED:]
    agent_ends = (*cleanup.pending_agent_ends, PendingAgentEnd(goal_ids=goal_ids))
    return Cleanup(pending_turn_ends=turn_ends, pending_agent_ends=agent_ends[-MAX_TRACKED:])


def age(cleanup: Cleanup) -> Cleanup:
    """Return ``cleanup`` with every run marked as older than the current turn."""
    return _with_each(cleanup, phase="older")


def refuse_anonymous(cleanup: Cleanup) -> Cleanup:
    """Return ``cleanup`` settled by runs that name their goal only.

    Runnable work has reached the provider: the next anonymous end may well be its own.
    """
    return _with_each(cleanup, accepts_anonymous=False)


def _with_each(cleanup: Cleanup, **changes: object) -> Cleanup:
    runs = tuple(replace(owed, **changes) for owed in cleanup.pending_agent_ends)
    return replace(cleanup, pending_agent_ends=runs)


def settle_turn_end(
    cleanup: Cleanup, turn_index: int | None, active_turn_index: int | None
) -> Settlement | None:
    """Return what is left after the end of ``turn_index``, or None when that end is not owed."""
    turn_ends = cleanup.pending_turn_ends
    if turn_index not in turn_ends:
        return None
    remaining = Cleanup(
        pending_turn_ends=tuple(index for index in turn_ends if index != turn_index),
        pending_agent_ends=cleanup.pending_agent_ends,
    )
    return Settlement(remaining, turn_index == active_turn_index)


def settle_agent_end(cleanup: Cleanup, messages: tuple[RunMessage, ...]) -> Settlement | None:
    """Return what is left after the run that consisted of ``messages``, or None: not owed.

    One end settles one run, the oldest that fits. A run that names goals fits by name alone; one
    that names none fits where anonymous runs are accepted, once it shows that it really ended.
    """
    agent_ends = cleanup.pending_agent_ends
    if not agent_ends:
        return None
    named = {message.goal_work.goal_id for message in messages if message.goal_work is not None}
    if not named and not _ended(messages):
        return None
    for position, owed in enumerate(agent_ends):
        if not named.isdisjoint(owed.goal_ids) if named else owed.accepts_anonymous:
            remaining = Cleanup(
                pending_turn_ends=cleanup.pending_turn_ends,
                pending_agent_ends=agent_ends[:position] + agent_ends[position + 1 :],
            )
            return Settlement(remaining, owed.phase == "active")
    return None


def _ended(messages: tuple[RunMessage, ...]) -> bool:
    return any(
        message.role == "assistant" and message.stop_reason in TERMINAL_STOPS
        for message in messages
    )
