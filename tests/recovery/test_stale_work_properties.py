"""Properties of the stale-work reducer that hold for any state, reachable or not."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery.obligations import (
    IDLE,
    MAX_TRACKED,
    NOTHING_OWED,
    AbortingTurn,
    AgentEnd,
    AwaitingTerminalCleanup,
    Cleanup,
    ContextAbort,
    Event,
    GoalWork,
    ObservingTurn,
    PendingAgentEnd,
    RunMessage,
    SessionShutdown,
    StaleWorkStarted,
    State,
    TurnEnd,
    TurnStart,
)
from recovery.stale_work import LIFECYCLE, compile_lifecycle, reduce

GOAL_IDS = st.sampled_from(["a", "b", "c", "goal-4", ""])
TURNS = st.integers(min_value=0, max_value=4)
MESSAGES = st.builds(
    RunMessage,
    role=st.sampled_from(["user", "assistant", "custom", "toolResult"]),
    stop_reason=st.sampled_from([None, "stop", "length", "toolUse", "error", "aborted", "new"]),
    goal_work=st.none() | st.builds(GoalWork, kind=st.just("continuation"), goal_id=GOAL_IDS),
)
CLEANUPS = st.builds(
    Cleanup,
    pending_turn_ends=st.sets(TURNS).map(lambda turns: tuple(sorted(turns))),
    pending_agent_ends=st.lists(
        st.builds(
            PendingAgentEnd,
            goal_ids=st.sets(GOAL_IDS, min_size=1).map(lambda ids: tuple(sorted(ids))),
            accepts_anonymous=st.booleans(),
            phase=st.sampled_from(["active", "older"]),
        ),
        max_size=3,
    ).map(tuple),
)
STATES: st.SearchStrategy[State] = st.one_of(
    st.just(IDLE),
    st.builds(
        ObservingTurn,
        stale_goal_ids=st.sets(GOAL_IDS).map(lambda ids: tuple(sorted(ids))),
        has_runnable_work=st.booleans(),
        cleanup=st.none() | CLEANUPS,
    ),
    st.builds(AbortingTurn, active_turn_index=st.none() | TURNS, cleanup=CLEANUPS),
    st.builds(AwaitingTerminalCleanup, cleanup=CLEANUPS),
)


def events_of(event: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for one type of event."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "goal_id": GOAL_IDS,
        "turn_index": st.none() | TURNS,
        "messages": st.lists(MESSAGES, max_size=4).map(tuple),
    }
    return st.builds(event, **{name: fields[name] for name in event.__struct_fields__})


EVENTS: st.SearchStrategy[Event] = st.one_of(*map(events_of, Event.__args__))


@settings(max_examples=400)
@given(STATES, EVENTS)
def test_any_event_in_any_state(state: State, event: Event) -> None:
    """No combination raises, changes its input or gives two answers."""
    kept = copy.deepcopy((state, event))
    first = reduce(state, event)
    assert (state, event) == kept
    assert reduce(*kept) == first
    assert msgspec.json.decode(msgspec.json.encode(first.state), type=State) == first.state
    assert len(msgspec.json.encode(first.state)) <= len(msgspec.json.encode(state)) + 250
    if isinstance(event, SessionShutdown):
        assert first.state == IDLE


@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=30))
def test_any_history(events: list[Event]) -> None:
    """Whatever happened, the state is well formed and shutdown ends it."""
    state: State = IDLE
    for event in events:
        state = reduce(state, event).state
        cleanup = getattr(state, "cleanup", None)
        assert cleanup != NOTHING_OWED
    assert reduce(state, SessionShutdown()).state is IDLE


@given(st.lists(EVENTS, max_size=12), st.lists(EVENTS, max_size=12))
def test_a_restored_state_goes_on_like_the_original(
    before: list[Event], after: list[Event]
) -> None:
    """A snapshot in JSON loses nothing that matters later."""
    state: State = IDLE
    for event in before:
        state = reduce(state, event).state
    restored = msgspec.json.decode(msgspec.json.encode(state), type=State)
    for event in after:
        expected, got = reduce(state, event), reduce(restored, event)
        assert got == expected
        state, restored = expected.state, got.state


def test_unfinished_aborts_do_not_pile_up() -> None:
    """A host that never reports an end leaves a bounded state; the oldest are let go."""
    state: State = IDLE
    for turn in range(3 * MAX_TRACKED):
        state = reduce(state, StaleWorkStarted(goal_id=f"goal-{turn}")).state
        state = reduce(state, ContextAbort(turn_index=turn)).state
        state = reduce(state, TurnStart()).state
    assert isinstance(state, AwaitingTerminalCleanup)
    kept = range(2 * MAX_TRACKED, 3 * MAX_TRACKED)
    assert state.cleanup.pending_turn_ends == tuple(kept)
    assert [run.goal_ids for run in state.cleanup.pending_agent_ends] == [
        (f"goal-{turn}",) for turn in kept
    ]


def test_stale_goals_of_one_turn_do_not_pile_up() -> None:
    """Beyond the bound further goals are not noted; the turn is aborted all the same."""
    state: State = IDLE
    for number in range(MAX_TRACKED + 10):
        state = reduce(state, StaleWorkStarted(goal_id=f"goal-{number:03}")).state
    assert isinstance(state, ObservingTurn)
    assert state.stale_goal_ids == tuple(f"goal-{number:03}" for number in range(MAX_TRACKED))
    plan = reduce(state, ContextAbort(turn_index=0)).plan
    assert plan is not None
    assert "abort" in plan.effects


def test_nothing_to_do_is_the_same_object() -> None:
    """An event that changes nothing gives back the state itself."""
    aborting = reduce(
        reduce(IDLE, StaleWorkStarted(goal_id="a")).state, ContextAbort(turn_index=0)
    ).state
    for state in (IDLE, aborting):
        for event in (TurnEnd(turn_index=9), AgentEnd(), TurnEnd()):
            assert reduce(state, event).state is state
    assert reduce(aborting, ContextAbort(turn_index=0)).state is aborting


def test_an_observed_turn_without_work_is_not_aborted() -> None:
    """A state that no event leads to is harmless."""
    assert reduce(ObservingTurn(), ContextAbort(turn_index=0)).plan is None


ROW = next(row for row in LIFECYCLE if row.trigger == "turn_end")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (ROW._replace(trigger="turn_ended"), "unknown trigger or state"),
        (ROW._replace(source="observing"), "unknown trigger or state"),
        (ROW._replace(dest="observing"), "unknown trigger or state"),
        (ROW._replace(when="settled"), "unknown guard or update"),
        (ROW._replace(update="settled"), "unknown guard or update"),
        (ROW._replace(update="note_stale"), "the trigger has nothing"),
        (ROW._replace(when="unseen_goal"), "the trigger has nothing"),
        (ROW._replace(when="owes"), "the source has nothing"),
        (ROW._replace(when=None), "only a guard can tell"),
    ],
)
def test_an_inconsistent_row_is_refused(row: Any, fault: str) -> None:
    """A table that could go wrong at run time does not compile."""
    with pytest.raises(ValueError, match=fault):
        compile_lifecycle((row,))


def test_a_shadowed_row_is_refused() -> None:
    """A row behind one without a guard would never be taken."""
    shadow = next(row for row in LIFECYCLE if row.trigger == "turn_start")
    with pytest.raises(ValueError, match="shadowed"):
        compile_lifecycle((shadow._replace(when=None), shadow))


def test_every_row_says_why() -> None:
    """Each row has a one-line reason for the diagrams."""
    assert all(row.reason.endswith(".") and "\n" not in row.reason for row in LIFECYCLE)
