"""Stories of superseded work: what the recordings leave open, told with any table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from recovery.obligations import (
    IDLE,
    AgentEnd,
    BeforeAgentStartClearAbort,
    ContextAbort,
    Event,
    ExtensionContinuationClearAbort,
    ObservingTurn,
    PendingAgentEnd,
    RunMessage,
    RunnableWorkStarted,
    StaleWorkStarted,
    State,
    TurnEnd,
    TurnStart,
    UserInputClearAbort,
)
from recovery.stale_work import PASS, Plan, Reduction, Table, reduce
from tests.recovery.stale_work_values import (
    ASK_ABORT,
    CLEAR_REFRESH,
    aborting,
    awaiting,
    run_of,
    skipping,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


STALE_A = StaleWorkStarted(goal_id="a")
STALE_B = StaleWorkStarted(goal_id="b")
ABORT_A = PendingAgentEnd(goal_ids=("a",))
OLD_A = PendingAgentEnd(goal_ids=("a",), phase="older")
OLD_B = PendingAgentEnd(goal_ids=("b",), phase="older")
ABORT_B = PendingAgentEnd(goal_ids=("b",))
TWO_ABORTS = (STALE_A, ContextAbort(turn_index=0), TurnStart(), STALE_B, ContextAbort(turn_index=1))

# name: (events that lead there, the event, the state after it, the plan)
STORIES: Final[dict[str, tuple[tuple[Event, ...], Event, State, Plan | None]]] = {
    "a turn aborted earlier ends while another is aborting": (
        TWO_ABORTS,
        TurnEnd(turn_index=0),
        aborting(1, (1,), OLD_A, ABORT_B),
        skipping("refresh_ui"),
    ),
    "the aborted turn ends while an older one is still owed": (
        TWO_ABORTS,
        TurnEnd(turn_index=1),
        aborting(1, (0,), OLD_A, ABORT_B),
        skipping(*CLEAR_REFRESH),
    ),
    "a repeated end of the turn that is being aborted is skipped as well": (
        (STALE_A, ContextAbort(turn_index=0), TurnEnd(turn_index=0)),
        TurnEnd(turn_index=0),
        aborting(0, (), ABORT_A),
        skipping(*CLEAR_REFRESH),
    ),
    "a repeated end of a turn that was aborted earlier is skipped once": (
        (STALE_A, ContextAbort(turn_index=0), TurnStart(), TurnEnd(turn_index=0)),
        TurnEnd(turn_index=0),
        awaiting((), OLD_A),
        PASS,
    ),
    "an end without an index settles nothing, not even an abort without an index": (
        (STALE_A, ContextAbort()),
        TurnEnd(),
        aborting(None, (), ABORT_A),
        PASS,
    ),
    "an anonymous run settles the oldest run that accepts it": (
        TWO_ABORTS,
        run_of(stop="aborted"),
        aborting(1, (0, 1), ABORT_B),
        skipping("refresh_ui"),
    ),
    "a named run settles the run of its goal, wherever it stands": (
        TWO_ABORTS,
        run_of("b"),
        awaiting((0, 1), OLD_A),
        skipping(*CLEAR_REFRESH),
    ),
    "a run that names two goals settles one run, the oldest": (
        TWO_ABORTS,
        run_of("b", "a"),
        aborting(1, (0, 1), ABORT_B),
        skipping("refresh_ui"),
    ),
    "a user's message does not end a run": (
        (STALE_A, ContextAbort(turn_index=0)),
        AgentEnd(messages=(RunMessage(role="user", stop_reason="stop"),)),
        aborting(0, (0,), ABORT_A),
        PASS,
    ),
    "a run that stopped for a tool has not ended": (
        (STALE_A, ContextAbort(turn_index=0)),
        run_of(stop="toolUse"),
        aborting(0, (0,), ABORT_A),
        PASS,
    ),
    "a run that names its goal has ended, whatever its last stop": (
        (STALE_A, ContextAbort(turn_index=0)),
        run_of("a", stop="toolUse"),
        awaiting((0,)),
        skipping(*CLEAR_REFRESH),
    ),
    "after runnable work went out an anonymous end is not taken for an older one": (
        (*TWO_ABORTS, TurnStart(), RunnableWorkStarted(), ContextAbort(turn_index=2)),
        run_of(stop="stop"),
        awaiting(
            (0, 1),
            PendingAgentEnd(goal_ids=("a",), accepts_anonymous=False, phase="older"),
            PendingAgentEnd(goal_ids=("b",), accepts_anonymous=False, phase="older"),
        ),
        PASS,
    ),
    "runnable work that goes out while only a turn's end is owed": (
        (
            STALE_A,
            ContextAbort(turn_index=0),
            run_of("a"),
            RunnableWorkStarted(),
        ),
        ContextAbort(turn_index=1),
        awaiting((0,)),
        None,
    ),
    "another index in the context of a turn that is aborting asks again": (
        (STALE_A, ContextAbort(turn_index=0)),
        ContextAbort(turn_index=1),
        aborting(0, (0,), ABORT_A),
        Plan(effects=ASK_ABORT),
    ),
    "the same turn aborted twice owes one end of the turn, two of the runs": (
        (STALE_A, ContextAbort(turn_index=0), TurnStart(), STALE_A),
        ContextAbort(turn_index=0),
        aborting(0, (0,), OLD_A, ABORT_A),
        Plan(effects=ASK_ABORT),
    ),
    "turn indices are kept in ascending order": (
        (STALE_A, ContextAbort(turn_index=5), TurnStart(), STALE_B),
        ContextAbort(turn_index=0),
        aborting(0, (0, 5), OLD_A, ABORT_B),
        Plan(effects=ASK_ABORT),
    ),
    "a turn start keeps what is owed from before the observed turn": (
        (STALE_A, ContextAbort(turn_index=0), TurnStart(), STALE_B),
        TurnStart(),
        awaiting((0,), OLD_A),
        PASS,
    ),
    "an owed run ends while a turn is observed": (
        (STALE_A, ContextAbort(), TurnStart(), STALE_B),
        run_of("a"),
        ObservingTurn(stale_goal_ids=("b",)),
        skipping("refresh_ui"),
    ),
    "a person's message keeps owed ends": (
        TWO_ABORTS,
        UserInputClearAbort(),
        awaiting((0, 1), OLD_A, OLD_B),
        Plan(effects=CLEAR_REFRESH),
    ),
    "a run that starts keeps owed ends": (
        TWO_ABORTS,
        BeforeAgentStartClearAbort(),
        awaiting((0, 1), OLD_A, OLD_B),
        Plan(effects=("clear_accounting",)),
    ),
    "a continuation keeps owed ends": (
        TWO_ABORTS,
        ExtensionContinuationClearAbort(),
        awaiting((0, 1), OLD_A, OLD_B),
        Plan(effects=("clear_accounting",)),
    ),
    "runnable work does not rescue a turn that is aborting": (
        (STALE_A, ContextAbort(turn_index=0), RunnableWorkStarted()),
        ContextAbort(turn_index=0),
        aborting(0, (0,), ABORT_A),
        Plan(effects=ASK_ABORT),
    ),
}


def told(table: Table) -> Iterator[str]:
    """Yield the stories that ``table`` tells otherwise."""
    for name, (before, event, state, plan) in STORIES.items():
        now: State = IDLE
        for earlier in before:
            now = reduce(now, earlier, table=table).state
        if reduce(now, event, table=table) != Reduction(state=state, plan=plan):
            yield name
