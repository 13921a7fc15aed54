"""The recovery machine: what failed how often, what a person should know, and what may go on.

Every operation is a function of the state. ``PHASE_TRANSITIONS`` declares the phases of recovery
from a context overflow; operations look up the row to take, so that what is drawn is what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from msgspec.structs import replace

from recovery.observers import OBSERVERS, fired
from recovery.state import (
    NO_FAILURES,
    Action,
    Attention,
    Classified,
    Counters,
    Noop,
    Pause,
    Pending,
    PhaseName,
    RecoveryState,
    StartTurn,
)

OVERFLOW_SIGNATURE: Final = "context_overflow"
OVERFLOW_RECOVERY: Final = "recovering from context overflow"
REPEATED_OVERFLOW: Final = "context window recovery failed after repeated compaction attempts"
FINISHED_STOPS: Final = frozenset({"stop", "length", "toolUse"})
"""Stop reasons of a model call that the provider completed."""

Trigger: TypeAlias = Literal[
    "begin_overflow", "end_overflow", "require_user_start", "release_user_start", "compact"
]
GuardName: TypeAlias = Literal["attention_pending"]
EffectName: TypeAlias = Literal["announce_recovery", "drop_attention", "persist_user_start"]

IDLE: Final = "idle"
RECOVERING: Final = "host_overflow_recovering"
NEEDS_USER: Final = "host_overflow_needs_user_start"
RECOVERING_NEEDS_USER: Final = "host_overflow_recovering_needs_user_start"

_NOOP: Final = Noop()
_PAUSE_OVERFLOW: Final = Pause(reason=REPEATED_OVERFLOW)


class Phase(NamedTuple):
    """One phase: what it answers to the questions asked of the machine."""

    name: PhaseName
    blocks_continuation: bool
    needs_user_start: bool
    reason: str


class Row(NamedTuple):
    """One transition between phases: ``when`` names a guard, ``actions`` effects of taking it."""

    trigger: Trigger
    source: PhaseName
    dest: PhaseName
    when: GuardName | None = None
    actions: tuple[EffectName, ...] = ()
    reason: str = ""


PHASES: Final[tuple[Phase, ...]] = (
    Phase(IDLE, blocks_continuation=False, needs_user_start=False,
          reason="No overflow is being recovered from."),
    Phase(RECOVERING, blocks_continuation=True, needs_user_start=False,
          reason="The host compacts; the next turn may start unseen."),
    Phase(NEEDS_USER, blocks_continuation=False, needs_user_start=True,
          reason="The next turn starts as a person's turn."),
    Phase(RECOVERING_NEEDS_USER, blocks_continuation=True, needs_user_start=True,
          reason="The host compacts; the next turn starts as a person's turn."),
)  # fmt: skip

PHASE_TRANSITIONS: Final[tuple[Row, ...]] = (
    Row("begin_overflow", IDLE, RECOVERING_NEEDS_USER,
        actions=("announce_recovery", "persist_user_start"),
        reason="The context overflowed: only a turn like a person's survives the compaction."),
    Row("begin_overflow", RECOVERING, RECOVERING_NEEDS_USER,
        actions=("announce_recovery", "persist_user_start"),
        reason="It overflowed again after such a turn had started."),
    Row("begin_overflow", NEEDS_USER, RECOVERING_NEEDS_USER, actions=("announce_recovery",),
        reason="It overflowed again before such a turn started."),
    Row("begin_overflow", RECOVERING_NEEDS_USER, RECOVERING_NEEDS_USER,
        actions=("announce_recovery",),
        reason="The same overflow was seen twice."),
    Row("end_overflow", RECOVERING, IDLE,
        reason="A person wrote, recovery was reset, or the host is done."),
    Row("end_overflow", RECOVERING_NEEDS_USER, NEEDS_USER,
        reason="Recovery is over, and the next turn is still to start as a person's."),
    Row("require_user_start", IDLE, NEEDS_USER, actions=("persist_user_start",),
        reason="The next turn is to start as a person's."),
    Row("require_user_start", RECOVERING, RECOVERING_NEEDS_USER, actions=("persist_user_start",),
        reason="The turn after recovery is to start as a person's."),
    Row("release_user_start", NEEDS_USER, IDLE, actions=("persist_user_start",),
        reason="Such a turn started."),
    Row("release_user_start", RECOVERING_NEEDS_USER, RECOVERING, actions=("persist_user_start",),
        reason="Such a turn started while the host was recovering."),
    Row("compact", RECOVERING, RECOVERING, "attention_pending", ("drop_attention",),
        reason="The compaction that was announced has happened."),
    Row("compact", RECOVERING_NEEDS_USER, RECOVERING_NEEDS_USER, "attention_pending",
        ("drop_attention",),
        reason="The compaction that was announced has happened."),
)  # fmt: skip
"""The phases' transitions, complete: a trigger without a row leaves phase and attention alone."""

_Show: TypeAlias = Callable[[Attention | None], Attention | None]

_GUARDS: Final[Mapping[GuardName, Callable[[RecoveryState], bool]]] = MappingProxyType(
    {
        "attention_pending": lambda state: (
            state.attention is not None and state.attention.kind == "pending"
        ),
    }
)
_RECOVERING_NOTICE: Final = Attention(kind="pending", reason=OVERFLOW_RECOVERY)
_SHOW: Final[Mapping[EffectName, _Show]] = MappingProxyType(
    {"announce_recovery": lambda _: _RECOVERING_NOTICE, "drop_attention": lambda _: None}
)


class _Step(NamedTuple):
    """A row, ready to run. ``persist`` says that the user start is to be written down."""

    row: Row
    dest: PhaseName
    when: Callable[[RecoveryState], bool] | None
    show: tuple[_Show, ...]
    persist: bool


Table: TypeAlias = Mapping[tuple[Trigger, PhaseName], _Step]


def compile_phases(rows: Iterable[Row]) -> Table:
    """Return ``rows`` ready to run.

    Raise ValueError for a row that names an unknown trigger, phase, guard or effect, and for a
    second row of one trigger and source.
    """
    phases = get_args(PhaseName)
    table: dict[tuple[Trigger, PhaseName], _Step] = {}
    for row in rows:
        known = (
            row.trigger in get_args(Trigger)
            and row.source in phases
            and row.dest in phases
            and (row.when is None or row.when in _GUARDS)
            and set(row.actions) <= set(get_args(EffectName))
        )
        if not known:
            message = f"unknown trigger, phase, guard or effect in {row}"
            raise ValueError(message)
        key = row.trigger, row.source
        if key in table:
            message = f"a second row for trigger and source of {row}"
            raise ValueError(message)
        table[key] = _Step(
            row=row,
            dest=row.dest,
            when=None if row.when is None else _GUARDS[row.when],
            show=tuple(_SHOW[effect] for effect in row.actions if effect in _SHOW),
            persist="persist_user_start" in row.actions,
        )
    return MappingProxyType(table)


TABLE: Final = compile_phases(PHASE_TRANSITIONS)
_PHASES: Final = MappingProxyType({phase.name: phase for phase in PHASES})


def assistant_error(
    state: RecoveryState, error: Classified, *, source: str = "provider"
) -> tuple[RecoveryState, Action]:
    """Count a failed model call and return what to do about it.

    A first overflow is left to the host's compaction, another one before any success pauses. A
    retryable error may be tried again any number of times; its attempts are counted for as long
    as the signature stays the same. Everything else pauses. The reason names the ``source``.
    """
    if error.overflow:
        return silent_overflow(state)
    before = state.counters
    signature = error.signature
    if error.retryable:
        repeated = signature == before.signature
        attempts = before.transient_attempts + 1 if repeated else 1
        action: Action = Pending(reason=f"{source} error ({signature})")
    else:
        attempts = 0
        action = Pause(reason=f"non-retryable {source} error ({signature})")
    counters = replace(before, signature=signature, transient_attempts=attempts)
    return _changed(state, counters, state.attention, state.phase), action


def silent_overflow(state: RecoveryState) -> tuple[RecoveryState, Action]:
    """Count an overflow, reported or seen from usage alone, and return what to do about it."""
    before = state.counters
    attempts = before.compaction_attempts + 1
    counters = replace(before, signature=OVERFLOW_SIGNATURE, compaction_attempts=attempts)
    action = _PAUSE_OVERFLOW if repeat_overflow_due(state) else _NOOP
    return _changed(state, counters, state.attention, state.phase), action


def turn_finished(state: RecoveryState, stop_reason: str | None) -> tuple[RecoveryState, bool]:
    """Return the state after a model call, and whether the provider completed it.

    A completed call is the end of any trouble with the provider; the phase stays, because
    compaction may still be under way.
    """
    if stop_reason not in FINISHED_STOPS:
        return state, False
    return reset_counters(state), True


def session_compact(state: RecoveryState, *, table: Table = TABLE) -> RecoveryState:
    """Return the state after the host compacted the context.

    Retries start to count anew where the compaction came from an overflow, and a pending notice
    of that recovery is gone.
    """
    counters = state.counters
    if counters.compaction_attempts and counters.transient_attempts:
        counters = replace(counters, transient_attempts=0)
    phase, attention, _ = _move(state, "compact", table)
    return _changed(state, counters, attention, phase)


def begin_overflow(state: RecoveryState, *, table: Table = TABLE) -> tuple[RecoveryState, bool]:
    """Return the state while the host recovers from an overflow; whether to persist user start."""
    phase, attention, persist = _move(state, "begin_overflow", table)
    return _changed(state, state.counters, attention, phase), persist


def clear_overflow_active(state: RecoveryState, *, table: Table = TABLE) -> RecoveryState:
    """Return the state once the host is done recovering from an overflow."""
    phase, attention, _ = _move(state, "end_overflow", table)
    return _changed(state, state.counters, attention, phase)


def user_input(state: RecoveryState, *, table: Table = TABLE) -> RecoveryState:
    """Return the state after a person wrote something: they know, and a new attempt is theirs."""
    return reset(state, table=table)


def reset(state: RecoveryState, *, table: Table = TABLE) -> RecoveryState:
    """Return the state without failures, attention and overflow recovery.

    Whether the next turn must start as a person's stays: that is a fact of the history.
    """
    phase, _, _ = _move(state, "end_overflow", table)
    return _changed(state, NO_FAILURES, None, phase)


def reset_counters(state: RecoveryState) -> RecoveryState:
    """Return the state without failures and attention; the phase stays."""
    return _changed(state, NO_FAILURES, None, state.phase)


def require_user_start(state: RecoveryState, *, table: Table = TABLE) -> tuple[RecoveryState, bool]:
    """Require that the next turn starts as a person's; return whether that is to be persisted."""
    return persist_user_start(state, active=True, table=table)


def persist_user_start(
    state: RecoveryState, *, active: bool, table: Table = TABLE
) -> tuple[RecoveryState, bool]:
    """Require or release a person's start; return whether it changed and is to be persisted."""
    trigger: Trigger = "require_user_start" if active else "release_user_start"
    phase, attention, persist = _move(state, trigger, table)
    return _changed(state, state.counters, attention, phase), persist


def sync_user_start(state: RecoveryState, *, active: bool, table: Table = TABLE) -> RecoveryState:
    """Adopt what the history says about a person's start; there is nothing to persist."""
    return persist_user_start(state, active=active, table=table)[0]


def set_pending(state: RecoveryState, reason: str) -> RecoveryState:
    """Show that recovery is pending, for ``reason``."""
    return _changed(state, state.counters, Attention(kind="pending", reason=reason), state.phase)


def set_paused(state: RecoveryState, reason: str) -> RecoveryState:
    """Show that recovery gave up for ``reason`` and a person has to act."""
    return _changed(state, state.counters, Attention(kind="paused", reason=reason), state.phase)


def blocks_continuation(state: RecoveryState) -> bool:
    """Return whether no continuation may be sent, because the host recovers by itself."""
    return _PHASES[state.phase].blocks_continuation


def needs_user_start(state: RecoveryState) -> bool:
    """Return whether the next turn must start as a person's."""
    return _PHASES[state.phase].needs_user_start


def start_turn(state: RecoveryState) -> StartTurn:
    """Return how the next turn of the goal is to be started."""
    return "user_follow_up" if needs_user_start(state) else "hidden_follow_up"


def repeat_overflow_due(state: RecoveryState) -> bool:
    """Return whether one more overflow is a repeated one, which pauses."""
    return state.counters.compaction_attempts > 0


def _move(
    state: RecoveryState, trigger: Trigger, table: Table
) -> tuple[PhaseName, Attention | None, bool]:
    step = table.get((trigger, state.phase))
    attention = state.attention
    if step is None or (step.when is not None and not step.when(state)):
        return state.phase, attention, False
    if OBSERVERS:
        fired(table, step.row)
    for show in step.show:
        attention = show(attention)
    return step.dest, attention, step.persist


def _changed(
    state: RecoveryState, counters: Counters, attention: Attention | None, phase: PhaseName
) -> RecoveryState:
    if (
        phase == state.phase
        and (attention is state.attention or attention == state.attention)
        and (counters is state.counters or counters == state.counters)
    ):
        return state
    return RecoveryState(counters=counters, attention=attention, phase=phase)
