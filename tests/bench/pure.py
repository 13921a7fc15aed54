"""The pure core: one transition, an illegal one, building, memory, whole events."""

from __future__ import annotations

import json
import statistics
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from goalfsm.goal.machine import TRANSITIONS, default_machine, goal_machine
from goalfsm.goal.model import Goal, Rejection
from goalfsm.goal.transition import Fire, Plan, plan
from goalfsm.session import Context
from goalfsm.session.events import ObjectiveGiven
from goalfsm.session.state import Session
from goalfsm.session.thread import handle
from recovery import machine as recovery
from recovery import obligations, stale_work
from recovery.state import CALM, Fault
from tests.bench.harness import Contender, Section, compare, figure, loop

VECTORS = Path(__file__).parents[1] / "conformance" / "vectors" / "session.jsonl"
PAUSED = Goal(goal_id="g", objective="ship it", status="paused", created_at=1, updated_at=1)


class Model:
    """A model for ``transitions``: one guard, one effect."""

    effects = 0
    state = "paused"

    def under_budget(self) -> bool:
        """Let every transition pass."""
        return True

    def reset(self) -> None:
        """Count the effect."""
        self.effects += 1


def _transitions_machine(model: Model | None) -> Any:
    """Return the form that the library's own README uses, without automatic transitions."""
    from transitions import Machine

    machine = Machine(
        model=model,
        states=["active", "paused", "blocked", "complete", "budgetLimited"],
        initial="paused",
        auto_transitions=False,
    )
    machine.add_transition("resume", "paused", "active", conditions="under_budget", after="reset")
    machine.add_transition("pause", "active", "paused", conditions="under_budget", after="reset")
    return machine


def _statemachine() -> Any:
    from statemachine import State, StateMachine

    class Goals(StateMachine):
        paused = State(initial=True)
        active = State()
        resume = paused.to(active, cond="under_budget", on="reset")
        pause = active.to(paused, cond="under_budget", on="reset")
        effects = 0

        def under_budget(self) -> bool:
            return True

        def reset(self) -> None:
            self.effects += 1

    return Goals()


def transition(*, quick: bool) -> Section:
    """One transition with one guard and one effect."""
    machine = default_machine()
    request = Fire("resume")
    floor = {("paused", "resume"): "active"}

    def decide() -> None:
        plan(PAUSED, request, 5, machine)
        plan(PAUSED, request, 5, machine)

    def look() -> None:
        floor["paused", "resume"]
        floor["paused", "resume"]

    # Two in each call, for all: a peer that changes its own state has to go there and back.
    contenders = [
        Contender("goalfsm plan()", _halved(loop(decide))),
        Contender("dict lookup (floor)", _halved(loop(look))),
    ]
    model: Any = Model()
    _transitions_machine(model)

    def fire() -> None:
        model.resume()
        model.pause()

    contenders.append(
        Contender("transitions.Machine", _halved(loop(fire)), "model.resume(), model.pause()")
    )
    try:
        peer = _statemachine()
    except ImportError:
        peer = None
    if peer is not None:

        def send() -> None:
            peer.resume()
            peer.pause()

        contenders.append(
            Contender("python-statemachine", _halved(loop(send)), "sm.resume(), sm.pause()")
        )
    return compare(
        "One transition, one guard, one effect",
        contenders,
        count=2_000 if quick else 10_000,
        repeat=5 if quick else 15,
    )


def parts(*, quick: bool) -> Section:
    """Where the time of one ``plan()`` goes: its steps, each measured alone."""
    table = default_machine().table
    (row, *_) = table["paused", "resume"]
    guard, effects = row.guard, row.effects
    assert guard is not None
    request = Fire("resume")
    steps: dict[str, Callable[[], object]] = {
        "an empty function": lambda: None,
        "look the row up": lambda: table.get((PAUSED.status, request.trigger)),
        "ask its guard": lambda: guard(PAUSED),
        "copy the goal with its new status": lambda: replace(PAUSED, status="active", updated_at=5),
        "make the plan": lambda: Plan("set", PAUSED, "command", effects, (), "", "resume"),
    }
    contenders = [Contender(name, loop(step)) for name, step in steps.items()]
    section = compare(
        "Where the time of plan() goes",
        contenders,
        count=5_000 if quick else 20_000,
        repeat=5 if quick else 15,
    )
    section.lines.append("Each line contains the call of the empty function.")
    return section


def _halved(run: Any) -> Any:
    return lambda count: run(count) / 2


def illegal(*, quick: bool) -> Section:
    """Refuse a trigger that the state does not have."""
    machine = default_machine()
    request = Fire("pause")
    from transitions import MachineError

    model: Any = Model()
    _transitions_machine(model)

    def refuse() -> None:
        try:
            model.pause()
        except MachineError:
            return
        raise AssertionError

    def ours() -> None:
        assert plan(PAUSED, request, 5, machine).__class__ is Rejection

    return compare(
        "An illegal trigger",
        [Contender("goalfsm plan()", loop(ours)), Contender("transitions.Machine", loop(refuse))],
        count=2_000 if quick else 10_000,
        repeat=5 if quick else 15,
    )


def building(*, quick: bool) -> Section:
    """Build a machine from its definition."""
    contenders = [
        Contender(
            "goalfsm: build, check, compile",
            loop(goal_machine),
            f"{len(TRANSITIONS)} rows, through transitions.Machine",
        ),
        Contender(
            "transitions.Machine", loop(lambda: _transitions_machine(Model())), "2 rows, one model"
        ),
    ]
    return compare(
        "Building a machine",
        contenders,
        count=5 if quick else 20,
        repeat=3 if quick else 9,
        unit="ms",
        scale=1e3,
    )


def memory() -> Section:
    """Memory of one live goal, at ten thousand."""
    section = Section("Memory per live thread, at 10,000")
    count = 10_000
    ctx = Context(now_ms=1_000_000, ids=lambda kind: f"{kind}-1")
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    live = [
        handle(Session(), ObjectiveGiven(objective=f"objective {i}"), ctx).session
        for i in range(count)
    ]
    after, _ = tracemalloc.get_traced_memory()
    section.figures.append(figure("goalfsm Session", [(after - before) / count], "bytes"))
    del live
    theirs = _transitions_machine(None)
    before, _ = tracemalloc.get_traced_memory()
    models = [Model() for _ in range(200)]
    for model in models:
        theirs.add_model(model)
    after, _ = tracemalloc.get_traced_memory()
    section.figures.append(
        figure("transitions.Machine model", [(after - before) / 200], "bytes", note="add_model")
    )
    tracemalloc.stop()
    return section


def recorded() -> list[tuple[Session, Any, Context]]:
    """Return every (session, event, context) of the session vectors."""
    from tests.conformance import adapter_session

    calls: list[tuple[Session, Any, Context]] = []
    real = adapter_session.handle

    def record(session: Session, event: Any, ctx: Context) -> Any:
        calls.append((session, event, ctx))
        return real(session, event, ctx)

    adapter_session.handle = record
    try:
        for line in VECTORS.read_text(encoding="utf-8").splitlines():
            adapter_session.replay(json.loads(line))
    finally:
        adapter_session.handle = real
    return calls


def events(*, quick: bool) -> Section:
    """Handle every event of the session vectors, overall and by kind."""
    calls = recorded()
    clock = time.perf_counter_ns
    kinds: dict[str, list[float]] = defaultdict(list)
    overall: list[float] = []
    for _ in range(2 if quick else 7):
        times = []
        for session, event, ctx in calls:
            start = clock()
            handle(session, event, ctx)
            took = (clock() - start) / 1000
            times.append(took)
            kinds[type(event).__name__].append(took)
        overall.append(statistics.median(times))
    section = Section(f"handle() over the session vectors ({len(calls):,} events)")
    section.figures.append(figure("all events, median", overall, "µs"))
    for kind, took in sorted(kinds.items(), key=lambda item: -statistics.median(item[1])):
        low, high = sorted(took)[len(took) // 20], sorted(took)[-len(took) // 20 - 1]
        line = figure(kind, took, "µs", note=f"{len(took):,} calls; spread is the middle 90 %")
        section.figures.append(
            type(line)(line.name, line.median, low, high, line.unit, "", line.note)
        )
    return section


def reducers(*, quick: bool) -> Section:
    """One event of the stale-work reducer and one operation of the recovery machine."""
    observing = stale_work.reduce(obligations.IDLE, obligations.RunnableWorkStarted()).state
    fault = Fault(signature="Overloaded", retryable=True)
    start = obligations.TurnStart()
    return compare(
        "One stale-work event, one recovery event",
        [
            Contender("stale_work.reduce", loop(lambda: stale_work.reduce(observing, start))),
            Contender(
                "recovery.assistant_error",
                loop(lambda: recovery.assistant_error(CALM, fault)),
            ),
        ],
        count=2_000 if quick else 20_000,
        repeat=5 if quick else 15,
    )
