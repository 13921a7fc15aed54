"""Coverage of rows: what counts as fired, how it is shown and handed on."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import msgspec
import pytest

import goalfsm.session.rules.change
from goalfsm import Goal, default_machine
from goalfsm.goal.compiler import Row
from goalfsm.goal.model import ACTIVE
from goalfsm.goal.transition import (
    AbortPause,
    Clear,
    Fire,
    ResumeActive,
    RuntimeAccounting,
    Set,
    plan,
)
from goalfsm.session.continuation import GUARDS, Situation, decide
from goalfsm.testing import MachineCoverage, MemoryGoals, ScriptedWorker, claims_complete
from goalfsm.testing.coverage import write_table
from recovery import machine as recovery
from recovery import obligations, stale_work
from recovery.state import CALM
from tests.testing.firing import NOW, fired, goal
from tests.testing.machines import Lamp

# The goal machine.


@pytest.mark.parametrize(
    ("before", "request_", "row"),
    [
        (goal(), Fire("pause"), "pause: active -> paused"),
        (goal("paused"), ResumeActive(), "resume: paused -> active [under_budget]"),
        (
            goal("paused", token_budget=1, tokens_used=1),
            ResumeActive(),
            "resume: paused -> budgetLimited",
        ),
        (goal(), AbortPause(), "abort_pause: active -> paused"),
        (goal("complete"), Fire("complete"), "complete: complete -> complete"),
        (goal(), Clear(), "clear: active -> absent"),
        (None, Set(goal()), "create: absent -> active"),
        (
            goal("blocked"),
            Set(msgspec.structs.replace(goal(), goal_id="h")),
            "replace: blocked -> active",
        ),
        (
            goal(token_budget=9),
            RuntimeAccounting(goal(token_budget=9, tokens_used=5)),
            "account: active -> active",
        ),
        (
            goal(token_budget=9),
            RuntimeAccounting(goal("budgetLimited", token_budget=9, tokens_used=9)),
            "account: active -> budgetLimited [over_budget]",
        ),
    ],
)
def test_rows_of_the_goal_machine(
    machine_coverage: MachineCoverage, before: Goal | None, request_: Any, row: str
) -> None:
    plan(before, request_, NOW)
    assert fired(machine_coverage) == [row]


@pytest.mark.parametrize(
    ("before", "request_"),
    [
        (None, Fire("pause")),
        (None, Clear()),
        (goal("complete"), Fire("pause")),
        (goal(), Set(goal(tokens_used=5))),
        (None, Set(goal("paused"))),
        (goal(), RuntimeAccounting(goal())),
    ],
)
def test_what_fires_no_row(
    machine_coverage: MachineCoverage, before: Goal | None, request_: Any
) -> None:
    plan(before, request_, NOW)
    assert fired(machine_coverage) == []


def test_plans_are_the_same_while_somebody_watches() -> None:
    statuses = ["active", "paused", "blocked", "complete", "budgetLimited"]
    triggers = sorted({row.trigger for row in default_machine().rows})
    goals = [None, *(goal(s) for s in statuses)]
    goals += [goal(s, token_budget=1, tokens_used=1) for s in statuses]
    asked = [Fire(trigger) for trigger in triggers] + [Clear(), AbortPause(), ResumeActive()]
    alone = [plan(one, what, NOW) for one in goals for what in asked]
    with MachineCoverage().watching():
        assert [plan(one, what, NOW) for one in goals for what in asked] == alone


def test_rows_count_whoever_imported_the_function(
    machine_coverage: MachineCoverage,
    memory_goals: MemoryGoals,
    scripted_worker: ScriptedWorker,
) -> None:
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert goalfsm.session.rules.change.plan is plan
    assert fired(machine_coverage) == ["create: absent -> active", "complete: active -> complete"]


def test_an_embedders_rows_are_watched_beside_ours(machine_coverage: MachineCoverage) -> None:
    extended = default_machine().extended(
        [Row("escalate", "active", "blocked", when="rich")],
        guards={"rich": lambda one: one.token_budget is not None},
    )
    machine_coverage.watch(extended, "mine")
    plan(goal(token_budget=5), Fire("escalate"), NOW, extended)
    plan(goal(), Fire("escalate"), NOW, extended)
    plan(goal(), Fire("pause"), NOW, extended)
    plan(goal(), Fire("edit"), NOW)
    assert fired(machine_coverage, "mine") == [
        "escalate: active -> blocked [rich]",
        "pause: active -> paused",
    ]
    assert fired(machine_coverage) == ["pause: active -> paused", "edit: active -> active"]
    assert len(machine_coverage["mine"].rows) == len(machine_coverage["goal"].rows) + 1


# The recovery machine and the stale-work reducer.


def test_rows_of_the_recovery_machine(machine_coverage: MachineCoverage) -> None:
    state, _ = recovery.begin_overflow(CALM)
    recovery.session_compact(recovery.reset_counters(state))
    assert fired(machine_coverage, "recovery") == [
        "begin_overflow: idle -> host_overflow_recovering_needs_user_start"
    ]
    recovery.session_compact(state)
    assert len(fired(machine_coverage, "recovery")) == 2


def test_rows_of_the_stale_work_reducer(machine_coverage: MachineCoverage) -> None:
    state = stale_work.reduce(obligations.IDLE, obligations.StaleWorkStarted(goal_id="old")).state
    reduction = stale_work.reduce(state, obligations.ContextAbort(turn_index=1))
    assert reduction.plan is not None
    assert "abort" in reduction.plan.effects
    assert fired(machine_coverage, "stale-work") == [
        "stale_work_started: idle -> observing_turn",
        "context_abort: observing_turn -> aborting_turn [all_stale]",
    ]


def test_tables_of_a_tests_own_do_not_count(machine_coverage: MachineCoverage) -> None:
    table = recovery.compile_phases(recovery.PHASE_TRANSITIONS)
    recovery.begin_overflow(CALM, table=table)
    lifecycle = stale_work.compile_lifecycle(stale_work.LIFECYCLE)
    event = obligations.StaleWorkStarted(goal_id="old")
    stale_work.reduce(obligations.IDLE, event, table=lifecycle)
    assert fired(machine_coverage, "recovery") == []
    assert fired(machine_coverage, "stale-work") == []


def test_reductions_are_the_same_while_somebody_watches() -> None:
    def walk(seed: int) -> list[Any]:
        draw = random.Random(seed)
        state: Any = obligations.IDLE
        seen = []
        for _ in range(60):
            turn = draw.choice([None, 1, 2])
            event = draw.choice(
                [
                    obligations.RunnableWorkStarted(),
                    obligations.StaleWorkStarted(goal_id=draw.choice("ab")),
                    obligations.ContextAbort(turn_index=turn),
                    obligations.TurnStart(),
                    obligations.TurnEnd(turn_index=turn),
                    obligations.UserInputClearAbort(),
                ]
            )
            reduction = stale_work.reduce(state, event)
            state = reduction.state
            seen.append(reduction)
        return seen

    alone = [walk(seed) for seed in range(20)]
    with MachineCoverage().watching():
        assert [walk(seed) for seed in range(20)] == alone


_ALONE = """
from transitions import Transition
from transitions.extensions.asyncio import AsyncTransition
from goalfsm.testing import MachineCoverage
from recovery.observers import OBSERVERS

def look():
    return len(OBSERVERS), Transition.execute, AsyncTransition.execute

before = look()
assert before[0] == 0
with MachineCoverage().watching():
    with MachineCoverage().watching():
        assert all(one != other for one, other in zip(look(), before, strict=True))
    assert all(one != other for one, other in zip(look(), before, strict=True))
assert look() == before
"""


def test_nothing_of_it_stays_when_nobody_watches() -> None:
    """In a process of its own: this one may be watched itself."""
    subprocess.run([sys.executable, "-c", _ALONE], check=True)


def test_two_may_watch_at_once() -> None:
    with MachineCoverage().watching() as outer:
        plan(goal(), Fire("edit"), NOW)
        with MachineCoverage().watching() as inner:
            plan(goal(), Fire("pause"), NOW)
        plan(goal(), Fire("block"), NOW)
    plan(goal(), Fire("complete"), NOW)
    assert len(fired(outer)) == 3
    assert fired(inner) == ["pause: active -> paused"]


# The order of decisions.


def test_the_guard_that_decides_fires(machine_coverage: MachineCoverage) -> None:
    decide(Situation(ACTIVE, queued=True, host_busy=True))
    decide(Situation(ACTIVE))
    assert fired(machine_coverage, "continuation") == [
        "queued: asked -> wait",
        "otherwise: asked -> continue",
    ]


def test_an_order_of_somebody_else_does_not_count(machine_coverage: MachineCoverage) -> None:
    decide(Situation(ACTIVE, queued=True), GUARDS[:3])
    assert fired(machine_coverage, "continuation") == []


# Shown and handed on.


def test_the_table() -> None:
    coverage = MachineCoverage()
    lamp = Lamp()
    with coverage.watching():
        coverage.watch(lamp)
        lamp.press()  # type: ignore[attr-defined]
        plan(goal(), Fire("pause"), NOW)
    lines: list[str] = []
    write_table(coverage, lines.append, most_missed=2)
    goal_rows, others = len(coverage["goal"].rows), len(coverage["recovery"].rows)
    others += len(coverage["stale-work"].rows) + len(coverage["continuation"].rows)
    assert [line.split() for line in lines[:7]] == [
        ["machine", "rows", "fired", "missed", "cover"],
        ["goal", str(goal_rows), "1", str(goal_rows - 1), "2.3", "%"],
        ["recovery", "12", "0", "12", "0", "%"],
        ["stale-work", "33", "0", "33", "0", "%"],
        ["continuation", "13", "0", "13", "0", "%"],
        ["lamp", "3", "1", "2", "33.3", "%"],
        ["all", str(goal_rows + others + 3), "2", str(goal_rows + others + 1), "1.9", "%"],
    ]
    assert lines[7] == "rows that never fired:"
    assert lines[8] == "  goal: create: absent -> active"
    assert lines[-1] == f"  and {goal_rows + others - 1} more"


def test_a_table_without_gaps_lists_none() -> None:
    coverage = MachineCoverage()
    coverage.merge({t.name: [[*r[:3], list(r.guards), 1] for r in t.rows] for t in coverage.tables})
    lines: list[str] = []
    write_table(coverage, lines.append)
    assert lines[-1].split()[-2:] == ["100", "%"]
    assert coverage.percent == 100


def test_processes_add_up() -> None:
    whole, parts = MachineCoverage(), [MachineCoverage(), MachineCoverage()]
    for part, trigger in zip(parts, ("pause", "block"), strict=True):
        with part.watching():
            part.watch(Lamp(), "lamp")
            plan(goal(), Fire(trigger), NOW)
        whole.merge(msgspec.json.decode(msgspec.json.encode(part.dump())))
    assert fired(whole) == ["block: active -> blocked", "pause: active -> paused"]
    assert len(whole["lamp"].rows) == 3
