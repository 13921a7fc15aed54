"""The recovery machine: recorded sequences, stories, its table, and every reachable state."""

from __future__ import annotations

import inspect
from collections import deque
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery import machine
from recovery.machine import (
    CALM,
    OVERFLOW_RECOVERY,
    OVERFLOW_SIGNATURE,
    PHASE_TRANSITIONS,
    PHASES,
    REPEATED_OVERFLOW,
    TABLE,
    Attention,
    Counters,
    Fault,
    Noop,
    Pause,
    Pending,
    RecoveryState,
    Row,
    Table,
    compile_phases,
)
from tests.recovery.noticing import judge

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = Path(__file__).parents[1] / "conformance" / "vectors" / "recovery_machine.jsonl"


class Op(NamedTuple):
    """One operation on the machine."""

    name: str
    value: Any = None


def run(state: RecoveryState, op: Op, table: Table = TABLE) -> tuple[RecoveryState, Any]:
    """Return the state after ``op`` and what it returned."""
    operation = getattr(machine, op.name)
    takes_table = "table" in inspect.signature(operation).parameters
    keywords: dict[str, Any] = {"table": table} if takes_table else {}
    if op.name in {"persist_user_start", "sync_user_start"}:
        keywords["active"] = op.value
        result = operation(state, **keywords)
    else:
        arguments = () if op.value is None else (op.value,)
        result = operation(state, *arguments, **keywords)
    return result if isinstance(result, tuple) else (result, None)


# --- recorded sequences ---------------------------------------------------------------------

TRANSIENT = (
    "429 rate limited",
    "500 upstream connect <n>",
    "Overloaded",
    "ThrottlingException: Too many tokens, rate limit",
    "call req_<id> failed: internal error",
    "fetch failed",
    "websocket closed",
)
FAULTS: Final = {
    "500 upstream connect 12345678": Fault(signature="500 upstream connect <n>", retryable=True),
    "call req_abc123 failed: internal error": Fault(
        signature="call req_<id> failed: internal error", retryable=True
    ),
    "context_length_exceeded": Fault(signature=OVERFLOW_SIGNATURE, overflow=True),
    "prompt is too long: 213462 tokens > 200000 maximum": Fault(
        signature=OVERFLOW_SIGNATURE, overflow=True
    ),
    **{text: Fault(signature=text, retryable=True) for text in TRANSIENT},
    **{text: Fault(signature=text) for text in ("", "insufficient_quota", "invalid api key")},
}


def recorded_op(step: dict[str, Any]) -> Op:
    """Return the operation of a recorded step."""
    match step["op"]:
        case "assistant_error":
            return Op("assistant_error", FAULTS[step["error_message"]])
        case "turn_finished":
            return Op("turn_finished", step["stop_reason"])
        case "persist_user_start" | "sync_user_start":
            return Op(step["op"], step["value"])
        case "set_pending" | "set_paused":
            return Op(step["op"], step["reason"])
        case name:
            return Op(name)


def shown(op: Op, state: RecoveryState, returned: Any) -> dict[str, Any]:
    """Return a step's outcome in the recorded shape."""
    if op.name in {"begin_overflow", "require_user_start"}:
        returned = {"persist_user_start": returned}
    elif op.name == "persist_user_start":
        returned = {"changed": returned}
    return {
        "returned": msgspec.to_builtins(returned),
        **msgspec.to_builtins(state),
        "blocks_continuation": machine.blocks_continuation(state),
        "needs_user_start": machine.needs_user_start(state),
        "start_turn": machine.start_turn(state),
        "repeat_overflow_due": machine.repeat_overflow_due(state),
    }


@cache
def recorded() -> tuple[tuple[Any, tuple[tuple[Op, dict[str, Any]], ...]], ...]:
    """Return (id, steps) of every recorded sequence."""
    lines = map(msgspec.json.decode, VECTORS.read_text(encoding="utf-8").splitlines())
    return tuple(
        (line["id"], tuple((recorded_op(step), step["expect"]) for step in line["steps"]))
        for line in lines
    )


def replay(table: Table) -> Iterator[str]:
    """Yield where ``table`` departs from the recorded sequences."""
    for sequence, steps in recorded():
        state = CALM
        for number, (op, expected) in enumerate(steps):
            state, returned = run(state, op, table)
            if shown(op, state, returned) != expected:
                yield f"recovery_machine[{sequence}] step {number}: {op} gave {state}"
                return


def test_recorded_sequences() -> None:
    """Every recorded step gives the recorded counters, attention, phase and answers."""
    assert len(recorded()) == 75
    assert list(replay(TABLE)) == []


# --- stories: what the recordings leave open ------------------------------------------------

TRY_X = Op("assistant_error", Fault(signature="x", retryable=True))
TRY_Y = Op("assistant_error", Fault(signature="y", retryable=True))
FATAL = Op("assistant_error", Fault(signature="z"))
OVERFLOW = Op("assistant_error", Fault(signature=OVERFLOW_SIGNATURE, overflow=True))
BEGIN = Op("begin_overflow")
RELEASE = Op("persist_user_start", value=False)
COMPACT = Op("session_compact")
RECOVERING = "host_overflow_recovering"
RECOVERING_USER = "host_overflow_recovering_needs_user_start"
USER = "host_overflow_needs_user_start"
NOTICE = Attention(kind="pending", reason=OVERFLOW_RECOVERY)


def counted(signature: str | None, transient: int = 0, compaction: int = 0) -> Counters:
    """Return counters."""
    return Counters(
        signature=signature, transient_attempts=transient, compaction_attempts=compaction
    )


def state_of(phase: Any = "idle", attention: Any = None, counters: Any = None) -> RecoveryState:
    """Return a state."""
    return RecoveryState(phase=phase, attention=attention, counters=counters or Counters())


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


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    """Rare orders of errors, compactions and user starts."""
    assert name not in set(told(TABLE))


# --- every reachable state ------------------------------------------------------------------

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


def test_every_reachable_state(capsys: pytest.CaptureFixture[str]) -> None:
    """All invariants hold in every state with up to three attempts, and on every step."""
    seen = explore(TABLE, attempts=3)
    with capsys.disabled():
        print(  # noqa: T201 - the figure is what the test is for
            f"\nrecovery machine: {seen.states} states, {seen.transitions} transitions, "
            f"depth {seen.depth} (complete for 3 attempts of each sort and 3 signatures), "
            f"{INVARIANTS} invariants"
        )
    assert seen.broken == []
    assert seen.states > 500


# --- the table ------------------------------------------------------------------------------


def noticed_by(rows: tuple[Row, ...]) -> str | None:
    """Return what notices that the transitions are ``rows``, or None."""
    try:
        table = compile_phases(rows)
    except ValueError:
        return "compilation"
    if next(replay(table), None) is not None:
        return "recorded sequences"
    if next(told(table), None) is not None:
        return "stories"
    return "invariants" if explore(table, attempts=1).broken else None


def mutants() -> Iterator[tuple[str, tuple[Row, ...]]]:
    """Yield every single change: a row dropped, redirected, unguarded, made to do less or more."""
    effects = ("announce_recovery", "drop_attention", "persist_user_start")
    for number, row in enumerate(PHASE_TRANSITIONS):
        before, after = PHASE_TRANSITIONS[:number], PHASE_TRANSITIONS[number + 1 :]
        yield f"{row} dropped", (*before, *after)
        changes: list[dict[str, Any]] = [
            {"dest": phase.name} for phase in PHASES if phase.name != row.dest
        ]
        changes += [{"do": row.do[:place] + row.do[place + 1 :]} for place in range(len(row.do))]
        # What ends recovery or compacts has nothing to persist: nobody would read it there.
        changes += [
            {"do": (*row.do, effect)}
            for effect in effects
            if effect not in row.do
            and not (effect == "persist_user_start" and row.trigger in {"end_overflow", "compact"})
        ]
        changes += [{"when": None}] if row.when else [{"when": "attention_pending"}]
        for change in changes:
            yield f"{row} with {change}", (*before, row._replace(**change), *after)


def test_every_change_of_the_table_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    """No row can be dropped, redirected or changed without something above noticing."""
    assert noticed_by(PHASE_TRANSITIONS) is None
    judged = judge(mutants(), noticed_by)
    with capsys.disabled():
        print(f"\nrecovery machine: {len(PHASE_TRANSITIONS)} rows, {judged}")  # noqa: T201 - the figure is the point
    assert judged.missed == []


ROW = PHASE_TRANSITIONS[0]


@pytest.mark.parametrize(
    "change",
    [
        {"trigger": "overflow"},
        {"source": "recovering"},
        {"dest": "recovering"},
        {"when": "pending"},
        {"do": ("announce",)},
    ],
)
def test_an_inconsistent_row_is_refused(change: dict[str, Any]) -> None:
    """A table that could go wrong at run time does not compile."""
    with pytest.raises(ValueError, match="unknown"):
        compile_phases((ROW._replace(**change),))


def test_a_second_row_is_refused() -> None:
    """There is one row for a trigger in a phase."""
    with pytest.raises(ValueError, match="second row"):
        compile_phases((ROW, ROW))


def test_every_phase_and_row_says_why() -> None:
    """Each has a one-line reason for the diagrams."""
    reasons = [phase.reason for phase in PHASES] + [row.reason for row in PHASE_TRANSITIONS]
    assert all(reason.endswith(".") and "\n" not in reason for reason in reasons)


# --- any state, any operation ---------------------------------------------------------------

TEXTS = st.sampled_from(["", "x", OVERFLOW_SIGNATURE, "provider error (x)", OVERFLOW_RECOVERY])
RECOVERY_STATES = st.builds(
    RecoveryState,
    counters=st.builds(
        Counters,
        signature=st.none() | TEXTS,
        transient_attempts=st.integers(0, 5),
        compaction_attempts=st.integers(0, 5),
    ),
    attention=st.none()
    | st.builds(Attention, kind=st.sampled_from(["pending", "paused"]), reason=TEXTS),
    phase=st.sampled_from([phase.name for phase in PHASES]),
)
OPS = st.one_of(
    st.sampled_from(ALPHABET),
    st.builds(
        Op,
        st.just("assistant_error"),
        st.builds(Fault, signature=TEXTS, overflow=st.booleans(), retryable=st.booleans()),
    ),
    st.builds(Op, st.just("turn_finished"), TEXTS),
)


@settings(max_examples=400)
@given(RECOVERY_STATES, OPS)
def test_any_operation_in_any_state(state: RecoveryState, op: Op) -> None:
    """No combination raises, changes its input or gives two answers."""
    kept = msgspec.json.encode(state)
    first = run(state, op)
    assert msgspec.json.encode(state) == kept
    assert run(msgspec.json.decode(kept, type=RecoveryState), op) == first
    assert (first[0] is state) == (first[0] == state)
