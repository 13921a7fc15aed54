"""The recovery machine: recorded sequences, stories, its table, and every reachable state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery.machine import (
    OVERFLOW_RECOVERY,
    OVERFLOW_SIGNATURE,
    PHASE_TRANSITIONS,
    PHASES,
    TABLE,
    Row,
    compile_phases,
)
from recovery.state import Attention, Counters, Fault, RecoveryState
from tests.recovery.noticing import judge
from tests.recovery.recovery_exploring import ALPHABET, INVARIANTS, explore
from tests.recovery.recovery_operations import Op, run
from tests.recovery.recovery_recordings import recorded, replay
from tests.recovery.recovery_stories import STORIES, told

if TYPE_CHECKING:
    from collections.abc import Iterator


# --- recorded sequences ---------------------------------------------------------------------


def test_recorded_sequences() -> None:
    """Every recorded step gives the recorded counters, attention, phase and answers."""
    assert len(recorded()) == 75
    assert list(replay(TABLE)) == []


# --- stories: what the recordings leave open ------------------------------------------------


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    """Rare orders of errors, compactions and user starts."""
    assert name not in set(told(TABLE))


# --- every reachable state ------------------------------------------------------------------


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
        changes += [
            {"actions": row.actions[:place] + row.actions[place + 1 :]}
            for place in range(len(row.actions))
        ]
        # What ends recovery or compacts has nothing to persist: nobody would read it there.
        changes += [
            {"actions": (*row.actions, effect)}
            for effect in effects
            if effect not in row.actions
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
        {"actions": ("announce",)},
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
