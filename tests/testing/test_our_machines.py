"""Every row of our own machines, by the shortest path through the functions that really run."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from goalfsm import Goal
from goalfsm.goal.model import ACTIVE, LIMITED
from goalfsm.goal.transition import Clear, Fire, Plan, RuntimeAccounting, Set, plan
from goalfsm.session.continuation import Situation, decide
from goalfsm.testing import MachineCoverage, Path, Step, for_each_path
from recovery import machine as recovery
from recovery import obligations as se
from recovery.obligations import GoalWork, RunMessage
from recovery.stale_work import reduce
from recovery.state import CALM, RecoveryState

NOW = 1_000_000
USED_UP = {"token_budget": 10, "tokens_used": 10}
LEFT = {"token_budget": 10, "tokens_used": 5}


def _goal_step(goal: Goal | None, step: Step) -> Goal | None:
    """Do one step as the session does it; the budgets give the guards' answers."""
    told = dict(step.guards)
    if goal is not None and "under_budget" in told:
        goal = msgspec.structs.replace(goal, **(LEFT if told["under_budget"] else USED_UP))
    request: Any = Fire(step.trigger)
    if step.trigger in {"create", "replace"}:
        request = Set(Goal(goal_id=f"g{NOW}", objective="o", created_at=NOW, updated_at=NOW))
        if goal is not None:
            request = Set(msgspec.structs.replace(request.next_goal, goal_id=goal.goal_id + "+"))
    elif step.trigger == "clear":
        request = Clear()
    elif step.trigger == "account":
        assert goal is not None
        crossed = told.get("over_budget", goal.status == LIMITED)
        goal = msgspec.structs.replace(goal, **(USED_UP if goal.status == LIMITED else LEFT))
        used = 15 if goal.status == LIMITED else 10 if crossed else 6
        status = LIMITED if crossed else ACTIVE
        request = RuntimeAccounting(msgspec.structs.replace(goal, tokens_used=used, status=status))
    outcome = plan(goal, request, NOW)
    assert isinstance(outcome, Plan), outcome
    return outcome.next_goal


@for_each_path("goal")
def test_every_row_of_the_goal_machine(path: Path, machine_coverage: MachineCoverage) -> None:
    goal: Goal | None = None
    for step in path.steps:
        goal = _goal_step(goal, step)
        assert ("absent" if goal is None else goal.status) == step.dest, step
    assert path.row in machine_coverage["goal"].fired
    assert len(machine_coverage["goal"].fired) <= len(path.steps)


def _recovery_step(state: RecoveryState, step: Step) -> RecoveryState:
    match step.trigger:
        case "begin_overflow":
            return recovery.begin_overflow(state)[0]
        case "end_overflow":
            return recovery.clear_overflow_active(state)
        case "require_user_start":
            return recovery.require_user_start(state)[0]
        case "release_user_start":
            return recovery.persist_user_start(state, active=False)[0]
        case "compact":
            pending = dict(step.guards)["attention_pending"]
            state = recovery.set_pending(state, "x") if pending else recovery.reset_counters(state)
            return recovery.session_compact(state)
        case other:
            raise AssertionError(f"nothing does {other}")


@for_each_path("recovery")
def test_every_row_of_the_recovery_machine(path: Path, machine_coverage: MachineCoverage) -> None:
    state = CALM
    for step in path.steps:
        state = _recovery_step(state, step)
        assert state.phase == step.dest, step
    assert path.row in machine_coverage["recovery"].fired


def _alphabet() -> list[se.Event]:
    """Return events enough to get anywhere: two goals, two turns, ends with and without names."""
    stop = RunMessage(role="assistant", stop_reason="stop")
    named = RunMessage(role="custom", goal_work=GoalWork(kind="continuation", goal_id="a"))
    return [
        se.RunnableWorkStarted(),
        *(se.StaleWorkStarted(goal_id=goal_id) for goal_id in "ab"),
        *(se.ContextAbort(turn_index=index) for index in (1, 2)),
        se.TurnStart(),
        *(se.TurnEnd(turn_index=index) for index in (1, 2)),
        *(se.AgentEnd(messages=messages) for messages in ((stop,), (named, stop))),
        se.ToolExecutionEnd(),
        se.SessionBeforeCompact(),
        se.SessionCompact(),
        se.SessionShutdown(),
        se.UserInputClearAbort(),
        se.BeforeAgentStartClearAbort(),
        se.ExtensionContinuationClearAbort(),
    ]


def test_every_row_of_the_stale_work_reducer(machine_coverage: MachineCoverage) -> None:
    """Guards here look at what is owed, so every state within eight events is visited."""
    events = _alphabet()
    depth: dict[Any, int] = {se.IDLE: 0}
    frontier: deque[Any] = deque([se.IDLE])
    while frontier:
        state = frontier.popleft()
        for event in events:
            after = reduce(state, event).state
            if after not in depth and depth[state] < 8:
                depth[after] = depth[state] + 1
                frontier.append(after)
    machine_coverage["stale-work"].check()


def test_every_guard_of_the_order_of_decisions(machine_coverage: MachineCoverage) -> None:
    """Each obstacle alone decides, and without any the work goes on."""
    obstacles: list[dict[str, Any]] = [
        {"status": "paused"},
        {"stopping": True},
        {"stale_aborting": True},
        {"queued": True},
        {"verifying": True},
        {"recovering": "recovery is pending"},
        {"waiting": "a process"},
        {"continuations": 1},
        {"used_up": "tokens"},
        {"stuck": "nothing changed"},
        {"pending_messages": True},
        {"host_busy": True},
        {},
    ]
    for one in obstacles:
        decide(Situation(**{"status": ACTIVE, "max_continuations": 1, **one}))
    machine_coverage["continuation"].check()
    assert len(machine_coverage["continuation"].rows) == len(obstacles)
