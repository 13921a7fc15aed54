"""Every state of superseded work that can be reached, and what must hold in each."""

from __future__ import annotations

import inspect
import itertools
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from recovery.obligations import (
    IDLE,
    NOTHING_OWED,
    AbortingTurn,
    AgentEnd,
    AwaitingTerminalCleanup,
    BeforeAgentStartClearAbort,
    Cleanup,
    ContextAbort,
    Event,
    ExtensionContinuationClearAbort,
    Idle,
    ObservingTurn,
    PendingAgentEnd,
    RunnableWorkStarted,
    SessionBeforeCompact,
    SessionCompact,
    SessionShutdown,
    StaleWorkStarted,
    State,
    ToolExecutionEnd,
    TurnEnd,
    TurnStart,
    UserInputClearAbort,
)
from recovery.stale_work import Plan, Reduction, Table, reduce
from tests.recovery.stale_work_values import run_of

if TYPE_CHECKING:
    from collections.abc import Iterator


GOALS: Final = ("a", "b", "c")
TURNS: Final = (0, 1)
SIMPLE: Final[tuple[Event, ...]] = (
    RunnableWorkStarted(),
    TurnStart(),
    ToolExecutionEnd(),
    SessionBeforeCompact(),
    SessionCompact(),
    SessionShutdown(),
    UserInputClearAbort(),
    BeforeAgentStartClearAbort(),
    ExtensionContinuationClearAbort(),
)
ALPHABET: Final[tuple[Event, ...]] = (
    *SIMPLE,
    *(StaleWorkStarted(goal_id=goal_id) for goal_id in GOALS),
    *(ContextAbort(turn_index=index) for index in (None, *TURNS)),
    *(TurnEnd(turn_index=index) for index in (None, *TURNS)),
    *(run_of(*named) for size in (1, 2, 3) for named in itertools.combinations(GOALS, size)),
    *(run_of(stop=stop) for stop in ("stop", "length")),
)


def owed(state: State) -> Cleanup:
    """Return what ``state`` owes."""
    return getattr(state, "cleanup", None) or Cleanup()


def size(cleanup: Cleanup) -> int:
    """Return the number of obligations."""
    return len(cleanup.pending_turn_ends) + len(cleanup.pending_agent_ends)


def canonical(state: State) -> State:
    """Return the representative of all states that differ in the names of goals only."""
    return min((renamed(state, names) for names in RENAMINGS), key=msgspec.json.encode)


RENAMINGS: Final = tuple(
    dict(zip(GOALS, names, strict=True)) for names in itertools.permutations(GOALS)
)


def renamed(state: State, names: dict[str, str]) -> State:
    """Return ``state`` with other names for its goals."""
    cleanup = owed(state)
    runs = tuple(
        msgspec.structs.replace(run, goal_ids=tuple(sorted(names[goal] for goal in run.goal_ids)))
        for run in cleanup.pending_agent_ends
    )
    cleanup = Cleanup(pending_turn_ends=cleanup.pending_turn_ends, pending_agent_ends=runs)
    match state:
        case Idle():
            return state
        case ObservingTurn():
            return ObservingTurn(
                stale_goal_ids=tuple(sorted(names[goal] for goal in state.stale_goal_ids)),
                has_runnable_work=state.has_runnable_work,
                cleanup=None if state.cleanup is None else cleanup,
            )
        case AbortingTurn() | AwaitingTerminalCleanup():
            return msgspec.structs.replace(state, cleanup=cleanup)


def broken_states(state: State) -> Iterator[str]:
    """Yield the invariants that ``state`` breaks."""
    cleanup = owed(state)
    phases = [run.phase for run in cleanup.pending_agent_ends]
    youngest_active = [*["older"] * (len(phases) - 1), "active"]
    if isinstance(state, AbortingTurn) and phases != youngest_active:
        yield "a turn that is aborting owes its own run, the youngest"
    if not isinstance(state, AbortingTurn) and "active" in phases:
        yield "only a turn that is aborting owes an active run"
    if isinstance(state, ObservingTurn):
        yield from broken_observing(state)
    if isinstance(state, AwaitingTerminalCleanup) and cleanup == NOTHING_OWED:
        yield "awaiting means that something is owed"
    if list(cleanup.pending_turn_ends) != sorted(set(cleanup.pending_turn_ends)):
        yield "turn ends are owed once, in order"
    if any(not run.goal_ids for run in cleanup.pending_agent_ends):
        yield "every owed run has a goal"
    if msgspec.json.decode(msgspec.json.encode(state), type=State) != state:
        yield "a state survives JSON"


def broken_observing(state: ObservingTurn) -> Iterator[str]:
    """Yield the invariants that an observed turn breaks."""
    if not (state.stale_goal_ids or state.has_runnable_work):
        yield "an observed turn has work"
    if list(state.stale_goal_ids) != sorted(set(state.stale_goal_ids)):
        yield "stale goals are named once, in order"
    if state.cleanup is not None and state.cleanup == NOTHING_OWED:
        yield "an observed turn that owes nothing has no cleanup"


def broken_step(state: State, event: Event, reduction: Reduction) -> Iterator[str]:
    """Yield the invariants that one step breaks."""
    after, plan = reduction.state, reduction.plan
    aborting, aborts_after = isinstance(state, AbortingTurn), isinstance(after, AbortingTurn)
    consumed = size(owed(state)) - size(owed(after))
    clears = plan is not None and "clear_accounting" in plan.effects
    yield from broken_abort(state, event, reduction)
    yield from broken_settlement(
        event, plan, consumed, aborting=aborting, again=again(state, event)
    )
    if isinstance(event, RunnableWorkStarted | StaleWorkStarted):
        yield from broken_observation(state, event, after)
    if isinstance(event, SessionShutdown) and not isinstance(after, Idle):
        yield "shutdown leads to idle"
    if isinstance(event, TurnStart) and isinstance(after, ObservingTurn | AbortingTurn):
        yield "a turn starts unobserved and not aborted"
    if aborting != aborts_after and not clears:
        yield "accounting is cleared where an abort starts and where it is over"
    if clears and not (aborting or aborts_after):
        yield "accounting is cleared for an abort only"
    if after == state and after is not state:
        yield "the same state object comes back when nothing changed"


def broken_abort(state: State, event: Event, reduction: Reduction) -> Iterator[str]:
    """Yield what is wrong about asking, or not asking, for an abort."""
    after, plan = reduction.state, reduction.plan
    asked = plan is not None and "abort" in plan.effects
    if not isinstance(event, ContextAbort):
        if plan is None:
            yield "every event has a plan, except the question whether to abort"
        if asked or (isinstance(after, AbortingTurn) and not isinstance(state, AbortingTurn)):
            yield "a turn is aborted when the provider is about to be called, never elsewhere"
        return
    if asked == (plan is None):
        yield "the answer to the question is an abort or nothing"
    all_stale = (
        isinstance(state, ObservingTurn)
        and bool(state.stale_goal_ids)
        and not state.has_runnable_work
    )
    if asked != (all_stale or isinstance(state, AbortingTurn)):
        yield "an abort is asked for if and only if all work is stale, and again while it lasts"
    if asked != isinstance(after, AbortingTurn):
        yield "a turn is aborting if and only if an abort was asked for"
    runs_before, runs = owed(state).pending_agent_ends, owed(after).pending_agent_ends
    if isinstance(state, ObservingTurn) and asked:
        if runs[:-1] != runs_before or runs[-1:] != (
            PendingAgentEnd(goal_ids=state.stale_goal_ids),
        ):
            yield "an abort owes the run of exactly the stale goals"
    elif isinstance(state, ObservingTurn) and any(run.accepts_anonymous for run in runs):
        yield "no nameless end is taken for an older one once runnable work went out"


def again(state: State, event: Event) -> bool:
    """Tell whether ``event`` repeats the end of the turn that is being aborted."""
    return (
        isinstance(state, AbortingTurn)
        and isinstance(event, TurnEnd)
        and event.turn_index is not None
        and event.turn_index == state.active_turn_index
        and event.turn_index not in state.cleanup.pending_turn_ends
    )


def broken_settlement(
    event: Event, plan: Plan | None, consumed: int, *, aborting: bool, again: bool
) -> Iterator[str]:
    """Yield what is wrong about obligations that one step consumed or made."""
    terminal = isinstance(event, TurnEnd | AgentEnd)
    skipped = plan is not None and plan.skip
    if terminal and (consumed == 1 or again) != skipped:
        yield "a terminal event is skipped if and only if it was owed, or repeats one"
    if consumed not in (0, 1) and terminal:
        yield "one terminal event settles one obligation"
    if consumed > 0 and not terminal and not isinstance(event, SessionShutdown):
        yield "obligations are settled by terminal events and released by shutdown only"
    if consumed < 0 and not isinstance(event, ContextAbort):
        yield "obligations come from aborts only"
    if consumed < -2:
        yield "an abort owes one end of a turn and one of a run at most"
    inner = isinstance(event, ToolExecutionEnd | SessionBeforeCompact | SessionCompact)
    if inner and skipped != aborting:
        yield "what happens inside a turn that is aborting is skipped, and nothing else"
    if skipped and not (terminal or inner):
        yield "only what the host reports of aborted work is skipped"
    if skipped and plan is not None and "refresh_ui" not in plan.effects:
        yield "what is skipped is shown"


def broken_observation(state: State, event: Event, after: State) -> Iterator[str]:
    """Yield what is wrong about work that entered the turn."""
    if isinstance(state, AbortingTurn):
        if after is not state:
            yield "a turn that is aborting is beyond rescue"
        return
    if not isinstance(after, ObservingTurn):
        yield "work that enters the turn is observed"
    elif isinstance(event, RunnableWorkStarted) and not after.has_runnable_work:
        yield "runnable work is noted"
    elif isinstance(event, StaleWorkStarted) and event.goal_id not in after.stale_goal_ids:
        yield "stale work is noted"
    if owed(after) != owed(state):
        yield "work that enters the turn settles nothing"


def undrained(state: State, table: Table) -> Iterator[str]:
    """Yield what stays owed when every terminal event that is owed arrives, runs in order."""
    cleanup = owed(state)
    events: list[Event] = [run_of(*run.goal_ids) for run in cleanup.pending_agent_ends]
    events += [TurnEnd(turn_index=index) for index in cleanup.pending_turn_ends[::-1]]
    for event in events:
        reduction = reduce(state, event, table=table)
        if reduction.plan is None or not reduction.plan.skip:
            yield f"{event} was owed and not recognised"
        state = reduction.state
    state = reduce(state, TurnStart(), table=table).state
    if not isinstance(state, Idle):
        yield "idle once all is settled and a turn starts"


INVARIANTS: Final = sum(
    inspect.getsource(function).count("yield ") - inspect.getsource(function).count("yield from")
    for function in (
        broken_states,
        broken_observing,
        broken_step,
        broken_abort,
        broken_settlement,
        broken_observation,
        undrained,
    )
)


class Explored(msgspec.Struct, kw_only=True):
    """What an exploration saw."""

    states: int = 0
    transitions: int = 0
    checks: int = 0
    depth: int = 0
    rows: set[tuple[str, str, str]] = msgspec.field(default_factory=set)
    broken: list[str] = msgspec.field(default_factory=list)


def explore(table: Table, *, runs: int, stop_at_first: bool = False) -> Explored:
    """Visit every state with at most ``runs`` owed runs, breadth first, up to renaming goals.

    Steps beyond the bound are checked and not followed.
    """
    seen = Explored()
    start = canonical(IDLE)
    representative: dict[State, State] = {start: start}
    known = {start}
    queue = deque([(start, 0)])
    while queue and not (seen.broken and stop_at_first):
        state, depth = queue.popleft()
        seen.states += 1
        seen.depth = max(seen.depth, depth)
        broken = [*broken_states(state)] or [*undrained(state, table)]
        for event in ALPHABET:
            reduction = reduce(state, event, table=table)
            seen.transitions += 1
            after = reduction.state
            broken += broken_step(state, event, reduction)
            seen.rows.add((type(event).__name__, type(state).__name__, type(after).__name__))
            if len(owed(after).pending_agent_ends) > runs:
                broken += broken_states(after)
                continue
            if after not in representative:
                representative[after] = canonical(after)
            after = representative[after]
            if after not in known:
                known.add(after)
                queue.append((after, depth + 1))
        seen.broken += [f"{state}: {what}" for what in broken]
    return seen
