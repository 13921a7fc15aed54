"""What a type checker must know of the public API: checked by pyright, strict, and by mypy.

Nothing here runs; a type that changes is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, assert_type

import goalfsm
from goalfsm import (
    Context,
    Continue,
    Decision,
    Engine,
    Fenced,
    Goal,
    GoalError,
    GoalMachine,
    Limits,
    Owned,
    Plan,
    Policy,
    Rejection,
    Remedy,
    Reply,
    Session,
    Step,
    Stop,
    StoreError,
    Verifier,
    Wait,
    decide,
    default_machine,
    handle,
    is_success,
    next_wake,
    plan,
    project,
)
from goalfsm.daemon.flow.notices import Notice
from goalfsm.goal.model import Limit, PauseReason, Status
from goalfsm.goal.transition import ResumeActive
from goalfsm.session.continuation import Situation
from goalfsm.session.effects import Effect
from goalfsm.session.events import Event, ObjectiveGiven
from goalfsm.session.thread import GoalThread, Ready
from goalfsm.store.memory import MemoryStore
from goalfsm.store.port import Store
from goalfsm.store.sqlite import SqliteStore
from goalfsm.testing import GoalClock, MemoryGoals, ScriptedWorker, claims_complete
from goalfsm.views.status import Status as Projection
from recovery import RULES, Classifier, Failure, Rule, classify, load_rules
from recovery.failures import Kind


def ids(kind: Literal["goal", "claim"]) -> str:
    """Be where ids come from."""
    return kind


def a_session(event: Event) -> None:
    """Decide events and do the effects, as an embedder."""
    step = handle(Session(policy=Policy()), event, Context(now_ms=0, ids=ids))
    assert_type(step, Step)
    assert_type(step.session, Session)
    assert_type(step.effects, tuple[Effect, ...])
    assert_type(step.reply, Reply | None)
    assert_type(step.decision, Decision | None)
    assert_type(next_wake(step.session), int | None)
    assert_type(project(step.session, 0), Projection)


def a_goal(goal: Goal) -> None:
    """Read a goal: a value with closed enums."""
    assert_type(goal.status, Status)
    assert_type(goal.pause_reason, PauseReason | None)
    assert_type(goal.limited_by, Limit | None)
    assert_type(goal.verifiers, tuple[Verifier, ...])
    decided = plan(goal, ResumeActive(), 0)
    assert_type(decided, Plan | Rejection)
    if isinstance(decided, Rejection):
        assert_type(decided.code, str)
    else:
        assert_type(decided.next_goal, Goal | None)


def a_decision(situation: Situation) -> None:
    """Decide: a verdict is one of three."""
    verdict = decide(situation)
    assert_type(verdict, Continue | Wait | Stop)
    assert_type(is_success(verdict), bool)


def failures(error: Exception) -> None:
    """Classify a failure from a text or an exception."""
    assert_type(classify(error), Failure)
    assert_type(classify("overloaded", status=529), Failure)


async def an_engine() -> None:
    """Run an engine on a store, whichever it is."""
    store: Store = MemoryStore()
    other: Store = SqliteStore.open(Path("goals.db"))
    async with Engine(store, policy=Policy(blocked_after=1)) as engine:
        event = ObjectiveGiven(objective="ship it", limits=Limits(tokens=1))
        assert_type(await engine.submit("t", event), Reply)
        assert_type(await engine.settled("t"), Session)
        assert_type(engine.status("t"), Projection)
        async for notice in engine.follow("t", after_revision=1):
            assert_type(notice, Notice)
        await engine.halt("t")
        await engine.stop(1.0)
    other.close()


def a_thread() -> None:
    """Step a thread without an engine: persist what is ready, then do it."""
    thread = GoalThread.new(Policy())
    assert_type(thread, GoalThread)
    ready = thread.step(ObjectiveGiven(objective="ship it"), id="e1", at_ms=0)
    assert_type(ready, Ready)
    assert_type(ready.effects, tuple[Effect, ...])
    assert_type(ready.wake_at, int | None)


def a_test(memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, clock: GoalClock) -> None:
    """Use the kit as a test does."""
    scripted_worker.turn(claims_complete("done"))
    assert_type(memory_goals.give("t", "ship it", tokens=5), Reply)
    memory_goals.settle("t")
    clock.advance("1h")
    assert_type(memory_goals.goal("t"), Goal)
    assert_type(memory_goals.status("t"), Projection)
    assert_type(memory_goals.budget("t", tokens=9), Reply)


def rules_of_ones_own() -> None:
    """Tell failures apart with rules of one's own."""
    mine = Rule(name="teapot", kind="auth", statuses=(418,))
    failure = Classifier(rules=(mine, *RULES)).classify("HTTP 418", source="provider")
    assert_type(failure, Failure)
    assert_type(failure.kind, Kind)
    assert_type(failure.why.row, str)
    assert_type(failure.retry_after, float | None)
    assert_type(load_rules("mine.toml"), tuple[Rule, ...])


def the_rest() -> None:
    """Use the rest: errors with a code and a hint, the machine, the version."""
    error = GoalError("no")
    refusals: list[GoalError] = [Owned("no"), StoreError("no"), Fenced("no")]
    assert_type(refusals.pop().hint, str)
    assert_type(error.code, str)
    assert_type(error.hint, str)
    assert_type(error.remedies, tuple[Remedy, ...])
    remedy = Remedy("budget", {"tokens": None})
    assert_type(remedy.action, str)
    assert_type(remedy.arguments, Mapping[str, str | int | None])
    assert_type(default_machine(), GoalMachine)
    assert_type(goalfsm.__version__, str)
