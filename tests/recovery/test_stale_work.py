"""The stale-work reducer: recorded sequences, stories, its table, and every reachable state."""

from __future__ import annotations

import inspect
import itertools
from collections import deque
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest

from recovery.obligations import Cleanup, GoalWork, PendingAgentEnd, RunMessage
from recovery.stale_events import (
    IDLE,
    PASS,
    AbortingTurn,
    AgentEnd,
    AwaitingTerminalCleanup,
    BeforeAgentStartClearAbort,
    ContextAbort,
    EffectName,
    Event,
    ExtensionContinuationClearAbort,
    Idle,
    ObservingTurn,
    Plan,
    Reduction,
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
from recovery.stale_work import LIFECYCLE, STATES, TABLE, Row, Table, compile_lifecycle, reduce
from tests.recovery.noticing import judge

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = Path(__file__).parents[1] / "conformance" / "vectors" / "stale_work.jsonl"
CLEAR_REFRESH: Final[tuple[EffectName, ...]] = ("clear_accounting", "refresh_ui")
ASK_ABORT: Final[tuple[EffectName, ...]] = ("clear_accounting", "abort", "refresh_ui")


def run_of(*goal_ids: str, stop: str | None = None) -> AgentEnd:
    """Return the end of a run with queued work of ``goal_ids``, or an anonymous one."""
    named = [
        RunMessage(role="custom", goal_work=GoalWork(kind="continuation", goal_id=goal_id))
        for goal_id in goal_ids
    ]
    return AgentEnd(messages=(*named, RunMessage(role="assistant", stop_reason=stop)))


# --- recorded sequences ---------------------------------------------------------------------


@cache
def recorded() -> tuple[tuple[Any, tuple[tuple[Event, Reduction], ...]], ...]:
    """Return (id, steps) of every recorded sequence."""
    sequences = []
    for line in VECTORS.read_text(encoding="utf-8").splitlines():
        data = msgspec.json.decode(line)
        steps = tuple(
            (msgspec.convert(step["event"], Event), msgspec.convert(step["expect"], Reduction))
            for step in data["steps"]
        )
        sequences.append((data["id"], steps))
    return tuple(sequences)


def replay(table: Table) -> Iterator[str]:
    """Yield where ``table`` departs from the recorded sequences."""
    for sequence, steps in recorded():
        state: State = IDLE
        for number, (event, expected) in enumerate(steps):
            reduction = reduce(state, event, table=table)
            if reduction != expected:
                yield f"stale_work[{sequence}] step {number}: {event} gave {reduction}"
                return
            state = reduction.state


def test_recorded_sequences() -> None:
    """Every recorded step gives the recorded state and plan."""
    assert len(recorded()) == 200
    assert list(replay(TABLE)) == []


def test_recorded_states_survive_json() -> None:
    """A state that was written down is the state that is read, in the recorded shape."""
    for line in VECTORS.read_text(encoding="utf-8").splitlines():
        for step in msgspec.json.decode(line)["steps"]:
            state = msgspec.convert(step["expect"]["state"], State)
            written = msgspec.json.encode(state)
            assert msgspec.json.decode(written) == step["expect"]["state"]
            assert msgspec.json.decode(written, type=State) == state


# --- stories: what the recordings leave open ------------------------------------------------

STALE_A = StaleWorkStarted(goal_id="a")
STALE_B = StaleWorkStarted(goal_id="b")
ABORT_A = PendingAgentEnd(goal_ids=("a",))
OLD_A = PendingAgentEnd(goal_ids=("a",), phase="older")
OLD_B = PendingAgentEnd(goal_ids=("b",), phase="older")
ABORT_B = PendingAgentEnd(goal_ids=("b",))
TWO_ABORTS = (STALE_A, ContextAbort(turn_index=0), TurnStart(), STALE_B, ContextAbort(turn_index=1))


def aborting(index: int | None, turns: tuple[int, ...], *runs: PendingAgentEnd) -> AbortingTurn:
    """Return an aborting state."""
    return AbortingTurn(
        active_turn_index=index, cleanup=Cleanup(pending_turn_ends=turns, pending_agent_ends=runs)
    )


def awaiting(turns: tuple[int, ...], *runs: PendingAgentEnd) -> AwaitingTerminalCleanup:
    """Return an awaiting state."""
    return AwaitingTerminalCleanup(
        cleanup=Cleanup(pending_turn_ends=turns, pending_agent_ends=runs)
    )


def skipping(*effects: EffectName) -> Plan:
    """Return a plan that skips the event."""
    return Plan(skip=True, effects=effects)


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
    "the end of a turn that was skipped already is not owed twice": (
        (STALE_A, ContextAbort(turn_index=0), TurnEnd(turn_index=0)),
        TurnEnd(turn_index=0),
        aborting(0, (), ABORT_A),
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


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    """Overlapping aborts, ends that are late, repeated or nameless."""
    assert name not in set(told(TABLE))


# --- every reachable state ------------------------------------------------------------------

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
    if isinstance(state, AwaitingTerminalCleanup) and cleanup.settled:
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
    if state.cleanup is not None and state.cleanup.settled:
        yield "an observed turn that owes nothing has no cleanup"


def broken_step(state: State, event: Event, reduction: Reduction) -> Iterator[str]:
    """Yield the invariants that one step breaks."""
    after, plan = reduction.state, reduction.plan
    aborting, aborts_after = isinstance(state, AbortingTurn), isinstance(after, AbortingTurn)
    consumed = size(owed(state)) - size(owed(after))
    clears = plan is not None and "clear_accounting" in plan.effects
    yield from broken_abort(state, event, reduction)
    yield from broken_settlement(event, plan, consumed, aborting=aborting)
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


def broken_settlement(
    event: Event, plan: Plan | None, consumed: int, *, aborting: bool
) -> Iterator[str]:
    """Yield what is wrong about obligations that one step consumed or made."""
    terminal = isinstance(event, TurnEnd | AgentEnd)
    skipped = plan is not None and plan.skip
    if terminal and (consumed == 1) != skipped:
        yield "a terminal event is skipped if and only if it was owed"
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


def test_every_reachable_state(capsys: pytest.CaptureFixture[str]) -> None:
    """All invariants hold in every state with up to three owed runs, and on every step."""
    seen = explore(TABLE, runs=3)
    with capsys.disabled():
        print(  # noqa: T201 - the figure is what the test is for
            f"\nstale work: {seen.states} states, {seen.transitions} transitions, "
            f"depth {seen.depth} (complete for {len(GOALS)} goals up to renaming, "
            f"{len(TURNS)} turn indices and 3 owed runs), {INVARIANTS} invariants"
        )
    assert seen.broken == []
    assert seen.states > 20_000
    rows = {(row.trigger, row.source, row.dest) for row in LIFECYCLE}
    names = {state: name for name, state in STATES.items()}
    by_class = {state.__name__: name for state, name in names.items()}
    triggers = {event.__name__: event.__struct_config__.tag for event in Event.__args__}
    taken = {
        (triggers[event], by_class[source], by_class[dest]) for event, source, dest in seen.rows
    }
    assert rows <= taken


# --- the table ------------------------------------------------------------------------------


def noticed_by(rows: tuple[Row, ...]) -> str | None:
    """Return what notices that the lifecycle consists of ``rows``, or None."""
    try:
        table = compile_lifecycle(rows)
    except ValueError:
        return "compilation"
    if next(replay(table), None) is not None:
        return "recorded sequences"
    if next(told(table), None) is not None:
        return "stories"
    if explore(table, runs=1, stop_at_first=True).broken:
        return "invariants"
    return None


def mutants() -> Iterator[tuple[str, tuple[Row, ...]]]:
    """Yield every single change: a row dropped, redirected, unguarded, made to do less or more."""
    for number, row in enumerate(LIFECYCLE):
        before, after = LIFECYCLE[:number], LIFECYCLE[number + 1 :]
        yield f"{row} dropped", (*before, *after)
        changes: list[dict[str, Any]] = [{"dest": dest} for dest in STATES if dest != row.dest]
        changes += [{"skip": not row.skip}]
        changes += [{"do": row.do[:place] + row.do[place + 1 :]} for place in range(len(row.do))]
        changes += [{"do": (*row.do, "abort")}] if "abort" not in row.do else []
        if row.when is not None:
            changes.append({"when": None})
        if row.update is not None:
            changes.append({"update": None})
        for change in changes:
            yield f"{row} with {change}", (*before, row._replace(**change), *after)


def test_every_change_of_the_table_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    """No row can be dropped, redirected or changed without something above noticing."""
    assert noticed_by(LIFECYCLE) is None
    judged = judge(mutants(), noticed_by)
    with capsys.disabled():
        print(f"\nstale work: {len(LIFECYCLE)} rows, {judged}")  # noqa: T201 - the figure is the point
    assert judged.missed == []
