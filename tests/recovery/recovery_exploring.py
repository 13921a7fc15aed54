"""Every state of the recovery machine that can be reached, and what must hold in each."""

from __future__ import annotations

import inspect
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from recovery import machine
from recovery.machine import OVERFLOW_SIGNATURE, Table
from recovery.state import CALM, Counters, Pause, Pending, RecoveryState
from tests.recovery.recovery_operations import FATAL, NOTICE, OVERFLOW, TRY_X, TRY_Y, Op, run

if TYPE_CHECKING:
    from collections.abc import Iterator


ALPHABET: Final = (
    TRY_X,
    TRY_Y,
    FATAL,
    OVERFLOW,
    *(Op("turn_finished", stop) for stop in ("stop", "length", "toolUse", "error", "aborted")),
    *(Op(name, active) for name in ("persist_user_start", "sync_user_start") for active in (0, 1)),
    Op("set_pending", "r"),
    Op("set_paused", "r"),
    *(
        Op(name)
        for name in (
            "user_input",
            "session_compact",
            "silent_overflow",
            "begin_overflow",
            "clear_overflow_active",
            "require_user_start",
            "reset",
            "reset_counters",
        )
    ),
)
FORGETTING = {"user_input", "reset", "reset_counters"}
STARTS = {"begin_overflow", "require_user_start", "persist_user_start", "sync_user_start"}
FAILURES = {"assistant_error", "silent_overflow"}
SHOWING = {"begin_overflow", "set_pending", "set_paused", "session_compact"}
ENDS = {"user_input", "reset", "clear_overflow_active"}


def broken(state: RecoveryState, op: Op, after: RecoveryState, returned: Any) -> Iterator[str]:
    """Yield the invariants that one step breaks."""
    needs = machine.needs_user_start(after)
    yield from broken_phase(state, op, after)
    yield from broken_record(state, op, after)
    if op.name in STARTS:
        yield from broken_start(state, op, after, returned)
    if op.name == "session_compact":
        yield from broken_compaction(state, after)
    if op.name in FAILURES:
        yield from broken_failure(state, op, after, returned)
    if after.counters.signature is None and after.counters != Counters():
        yield "what is counted has a signature"
    if after == state and after is not state:
        yield "the same state object comes back when nothing changed"
    if msgspec.json.decode(msgspec.json.encode(after), type=RecoveryState) != after:
        yield "a state survives JSON"
    if machine.start_turn(after) != ("user_follow_up" if needs else "hidden_follow_up"):
        yield "the turn starts as the phase says"


def broken_phase(state: RecoveryState, op: Op, after: RecoveryState) -> Iterator[str]:
    """Yield what is wrong about the phase."""
    blocks = machine.blocks_continuation(after)
    if machine.needs_user_start(state) != machine.needs_user_start(after) and op.name not in STARTS:
        yield "only overflow, a requirement or the history changes whether a user start is needed"
    if machine.blocks_continuation(state) != blocks and op.name not in {*ENDS, "begin_overflow"}:
        yield "only overflow, a person or the end of recovery changes what blocks continuation"
    if op.name == "begin_overflow" and not (blocks and after.attention == NOTICE):
        yield "while the host recovers nothing continues, and a person can see why"
    if op.name in ENDS and blocks:
        yield "what ends recovery unblocks continuation"


def broken_record(state: RecoveryState, op: Op, after: RecoveryState) -> Iterator[str]:
    """Yield what is wrong about counters and attention."""
    finished = op.name == "turn_finished" and op.value not in {"error", "aborted"}
    forgets = finished or op.name in FORGETTING
    if forgets and (after.attention is not None or after.counters != Counters()):
        yield "a person, a reset and a success end attention and counting"
    counts = forgets or op.name in FAILURES or op.name == "session_compact"
    if after.counters != state.counters and not counts:
        yield "counters move with failures, successes, resets and compactions only"
    if after.attention != state.attention and not (forgets or op.name in SHOWING):
        yield "attention is never dropped or raised in passing"


def broken_start(
    state: RecoveryState, op: Op, after: RecoveryState, returned: Any
) -> Iterator[str]:
    """Yield what is wrong about requiring or releasing a person's start."""
    needed, needs = machine.needs_user_start(state), machine.needs_user_start(after)
    if op.name != "sync_user_start" and returned != (needed != needs):
        yield "a change of the user start is to be persisted, and nothing else is"
    if needs != (op.value is None or bool(op.value)):
        yield "what was required or released holds"


def broken_compaction(state: RecoveryState, after: RecoveryState) -> Iterator[str]:
    """Yield what is wrong about a compaction."""
    waiting = state.attention is not None and state.attention.kind == "pending"
    answered = waiting and machine.blocks_continuation(state)
    if after.attention != (None if answered else state.attention):
        yield "a compaction answers a pending notice of the recovery that it belongs to"
    if after.phase != state.phase:
        yield "a compaction does not end recovery"
    before, counters = state.counters, after.counters
    attempts = 0 if before.compaction_attempts else before.transient_attempts
    if counters != msgspec.structs.replace(before, transient_attempts=attempts):
        yield "retries count anew after a compaction for an overflow"


def broken_failure(
    state: RecoveryState, op: Op, after: RecoveryState, returned: Any
) -> Iterator[str]:
    """Yield what is wrong about a failure that was counted."""
    before, counters = state.counters, after.counters
    overflow = op.name == "silent_overflow" or op.value.overflow
    if counters.compaction_attempts - before.compaction_attempts != overflow:
        yield "exactly an overflow counts as an attempt to compact"
    if overflow and isinstance(returned, Pause) != machine.repeat_overflow_due(state):
        yield "exactly a repeated overflow pauses"
    if not overflow and isinstance(returned, Pending) != op.value.retryable:
        yield "a retryable error is pending, any other pauses"
    if counters.signature != (OVERFLOW_SIGNATURE if overflow else op.value.signature):
        yield "the last failure's signature is kept"
    if after.phase != state.phase:
        yield "a failure alone changes no phase"


INVARIANTS: Final = sum(
    inspect.getsource(function).count("yield ") - inspect.getsource(function).count("yield from")
    for function in (
        broken,
        broken_phase,
        broken_record,
        broken_start,
        broken_compaction,
        broken_failure,
    )
)


class Explored(NamedTuple):
    """What an exploration saw."""

    states: int
    transitions: int
    depth: int
    broken: list[str]


def explore(table: Table, *, attempts: int) -> Explored:
    """Visit every state with at most ``attempts`` of each sort, breadth first."""
    found: list[str] = []
    depth_of = {CALM: 0}
    queue = deque([CALM])
    transitions = 0
    while queue:
        state = queue.popleft()
        for op in ALPHABET:
            after, returned = run(state, op, table)
            transitions += 1
            found += [f"{state} {op}: {what}" for what in broken(state, op, after, returned)]
            counters = after.counters
            if max(counters.transient_attempts, counters.compaction_attempts) > attempts:
                continue
            if after not in depth_of:
                depth_of[after] = depth_of[state] + 1
                queue.append(after)
    return Explored(len(depth_of), transitions, max(depth_of.values()), found)
