"""Stories of the recovery machine: what the recordings leave open, told with any table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from recovery.machine import OVERFLOW_SIGNATURE, REPEATED_OVERFLOW, Table
from recovery.state import CALM, Attention, Noop, Pause, Pending, RecoveryState
from tests.recovery.recovery_operations import (
    BEGIN,
    COMPACT,
    FATAL,
    NOTICE,
    OVERFLOW,
    RECOVERING,
    RECOVERING_USER,
    RELEASE,
    TRY_X,
    TRY_Y,
    USER,
    Op,
    counted,
    run,
    state_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


# name: (operations, the state after them, what the last one returned)
STORIES: Final[dict[str, tuple[tuple[Op, ...], RecoveryState, Any]]] = {
    "a transient error is tried any number of times": (
        (TRY_X,) * 9,
        state_of(counters=counted("x", 9)),
        Pending(reason="provider error (x)"),
    ),
    "attempts are counted for one signature at a time": (
        (TRY_X, TRY_X, TRY_Y),
        state_of(counters=counted("y", 1)),
        Pending(reason="provider error (y)"),
    ),
    "an overflow keeps the attempts, and ends their signature": (
        (TRY_X, TRY_X, OVERFLOW),
        state_of(counters=counted(OVERFLOW_SIGNATURE, 2, 1)),
        Noop(),
    ),
    "a transient error after an overflow counts from one": (
        (TRY_X, TRY_X, OVERFLOW, TRY_X),
        state_of(counters=counted("x", 1, 1)),
        Pending(reason="provider error (x)"),
    ),
    "an error that cannot be retried ends the attempts, not the compactions": (
        (OVERFLOW, TRY_X, FATAL),
        state_of(counters=counted("z", 0, 1)),
        Pause(reason="non-retryable provider error (z)"),
    ),
    "a second overflow pauses, whatever happened in between": (
        (OVERFLOW, COMPACT, TRY_X, Op("turn_finished", "aborted"), Op("silent_overflow")),
        state_of(counters=counted(OVERFLOW_SIGNATURE, 1, 2)),
        Pause(reason=REPEATED_OVERFLOW),
    ),
    "a completed call makes the next overflow a first one": (
        (OVERFLOW, Op("turn_finished", "toolUse"), OVERFLOW),
        state_of(counters=counted(OVERFLOW_SIGNATURE, 0, 1)),
        Noop(),
    ),
    "an unknown stop reason completes nothing": (
        (TRY_X, Op("turn_finished", "interrupted")),
        state_of(counters=counted("x", 1)),
        False,
    ),
    "a user start that began is not needed any more while the host recovers": (
        (BEGIN, RELEASE),
        state_of(RECOVERING, NOTICE),
        True,
    ),
    "what is released already is not released again": (
        (BEGIN, RELEASE, RELEASE),
        state_of(RECOVERING, NOTICE),
        False,
    ),
    "the history may say that no user start is needed while the host recovers": (
        (BEGIN, Op("sync_user_start", value=False)),
        state_of(RECOVERING, NOTICE),
        None,
    ),
    "the history may say that a user start is needed while the host recovers": (
        (BEGIN, RELEASE, Op("sync_user_start", value=True)),
        state_of(RECOVERING_USER, NOTICE),
        None,
    ),
    "a user start is required anew while the host recovers": (
        (BEGIN, RELEASE, Op("require_user_start")),
        state_of(RECOVERING_USER, NOTICE),
        True,
    ),
    "an overflow while the host recovers needs a user start again": (
        (BEGIN, RELEASE, COMPACT, BEGIN),
        state_of(RECOVERING_USER, NOTICE),
        True,
    ),
    "the compaction ends the notice, not the recovery": (
        (BEGIN, COMPACT),
        state_of(RECOVERING_USER),
        None,
    ),
    "the compaction ends the notice after the user start began": (
        (BEGIN, RELEASE, COMPACT),
        state_of(RECOVERING),
        None,
    ),
    "a compaction answers every pending notice while the host recovers": (
        (BEGIN, Op("set_pending", "r"), COMPACT),
        state_of(RECOVERING_USER),
        None,
    ),
    "a compaction leaves alone what waits for a person": (
        (BEGIN, Op("set_paused", "r"), COMPACT),
        state_of(RECOVERING_USER, Attention(kind="paused", reason="r")),
        None,
    ),
    "a compaction that no overflow asked for answers nothing": (
        (Op("set_pending", "r"), COMPACT),
        state_of(attention=Attention(kind="pending", reason="r")),
        None,
    ),
    "the host is done, and the notice waits for the compaction or a success": (
        (BEGIN, Op("clear_overflow_active")),
        state_of(USER, NOTICE),
        None,
    ),
    "the host is done after the user start began": (
        (BEGIN, RELEASE, Op("clear_overflow_active")),
        state_of(attention=NOTICE),
        None,
    ),
    "a person's input ends recovery": ((BEGIN, RELEASE, Op("user_input")), CALM, None),
    "a completed call leaves the phase alone": (
        (BEGIN, Op("turn_finished", "stop")),
        state_of(RECOVERING_USER),
        True,
    ),
    "a reset of the counters leaves the phase alone": (
        (BEGIN, TRY_X, Op("reset_counters")),
        state_of(RECOVERING_USER),
        None,
    ),
}


def told(table: Table) -> Iterator[str]:
    """Yield the stories that ``table`` tells otherwise."""
    for name, (ops, expected, answer) in STORIES.items():
        state, returned = CALM, None
        for op in ops:
            state, returned = run(state, op, table)
        if (state, returned) != (expected, answer):
            yield name
