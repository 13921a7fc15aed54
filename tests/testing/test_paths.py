"""Shortest paths: of machines of every kind, with the guards' outcomes as choices."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import deque
from enum import Enum
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transitions import Machine, MachineError
from transitions.extensions import (
    GraphMachine,
    HierarchicalMachine,
    LockedHierarchicalMachine,
    LockedMachine,
)
from transitions.extensions.asyncio import AsyncMachine, HierarchicalAsyncMachine
from transitions.extensions.states import Timeout, add_state_features

from goalfsm.compiler import Row
from goalfsm.diagram.table_rows import MachineUnknown
from goalfsm.errors import GoalError
from goalfsm.machine import TRANSITIONS, default_machine
from goalfsm.testing import Path, TableRow, for_each_path, paths_of
from goalfsm.testing.exploring import Explorer
from goalfsm.testing.paths import TooManyStates, Unreachable, WentAstray
from recovery.machine import PHASE_TRANSITIONS
from recovery.stale_work import LIFECYCLE


class Order:
    """A model as users write them: it owns its machine and logs its callbacks."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.machine = Machine(
            self,
            states=["cart", "paid", "sent", "gone"],
            initial="cart",
            auto_transitions=False,
            transitions=[
                {"trigger": "pay", "source": "cart", "dest": "paid", "conditions": "covered"},
                {"trigger": "pay", "source": "cart", "dest": None, "after": "dun"},
                {"trigger": "send", "source": "paid", "dest": "sent", "unless": ["held"]},
                {"trigger": "lose", "source": ["paid", "sent"], "dest": "gone"},
                {"trigger": "check", "source": "*", "dest": "="},
            ],
        )

    def covered(self) -> bool:
        self.log.append("covered?")
        return False

    def held(self) -> bool:
        return True

    def dun(self) -> None:
        self.log.append("dun")


def test_the_shortest_path_to_every_row() -> None:
    assert [str(path) for path in paths_of(Order)] == [
        "cart: pay [covered] -> paid",
        "cart: pay [not covered] -> cart",
        "cart: pay [covered] -> paid, send [not held] -> sent",
        "cart: pay [covered] -> paid, lose -> gone",
        "cart: pay [covered] -> paid, send [not held] -> sent, lose -> gone",
        "cart: check -> cart",
        "cart: pay [covered] -> paid, check -> paid",
        "cart: pay [covered] -> paid, send [not held] -> sent, check -> sent",
        "cart: pay [covered] -> paid, lose -> gone, check -> gone",
    ]


def test_a_path_knows_its_row_and_its_triggers() -> None:
    path = paths_of(Order)[2]
    assert path.row == TableRow("send", "paid", "sent", ("not held",))
    assert path.id == "send:paid->sent[notheld]"
    assert path.triggers == ("pay", "send")
    assert path.steps[0].guards == (("covered", True),)


@for_each_path(Order)
def test_each_path_is_a_test_case(path: Path) -> None:
    order = Order()
    assert path.walk(order.machine) is order
    assert "covered?" not in order.log
    assert order.state == path.row.dest  # type: ignore[attr-defined]  the machine sets it
    assert ("dun" in order.log) == (path.triggers == ("pay",) and order.state == "cart")  # type: ignore[attr-defined]


def test_looking_for_paths_calls_nothing_and_changes_nothing() -> None:
    order = Order()
    order.machine.set_state("sent")
    before = {name: vars(state).copy() for name, state in order.machine.states.items()}
    models = list(order.machine.models)
    paths_of(order.machine)
    assert order.log == []
    assert order.state == "sent"  # type: ignore[attr-defined]  the machine sets it
    assert order.machine.models == models
    assert {name: vars(state) for name, state in order.machine.states.items()} == before
    assert not {"callbacks", "callback"} & vars(order.machine).keys()
    for event in order.machine.events.values():
        for transitions in event.transitions.values():
            for transition in transitions:
                assert "execute" not in vars(transition)
                assert not any("check" in vars(one) for one in transition.conditions)


def test_guards_can_answer_by_themselves() -> None:
    order = Order()
    with pytest.raises(WentAstray, match="in cart, not in paid, after pay") as caught:
        paths_of(Order)[0].walk(order.machine, guards=False)
    assert "the path is cart: pay [covered] -> paid" in str(caught.value)
    assert order.log == ["covered?", "dun"]


def test_a_walk_begins_where_the_path_does() -> None:
    order = Order()
    order.machine.set_state("sent")
    with pytest.raises(WentAstray, match="in sent, not in cart, after the start"):
        paths_of(Order)[0].walk(order.machine)


def test_triggers_get_their_arguments() -> None:
    got: list[int] = []

    def covers(amount: int) -> bool:
        return amount > 5

    def take(amount: int) -> None:
        got.append(amount)

    model = Model()
    machine = Machine(model, states=["a", "b"], initial="a", auto_transitions=False)
    machine.add_transition("pay", "a", "b", conditions=covers, before=take)
    (path,) = paths_of(machine)
    path.walk(machine, arguments={"pay": {"amount": 3}})
    assert got == [3]


def test_a_machine_of_several_models_has_to_be_told_which() -> None:
    machine = Machine([Model(), Model()], states=["a", "b"], initial="a")
    machine.add_transition("go", "a", "b")
    (path,) = paths_of(machine)
    with pytest.raises(GoalError, match="the machine has 2 models"):
        path.walk(machine)
    path.walk(machine, machine.models[1])
    assert [model.state for model in machine.models] == ["a", "b"]


# Machines of every kind.


class Model:
    """Nothing of its own."""


FLAT = [
    Machine,
    LockedMachine,
    HierarchicalMachine,
    LockedHierarchicalMachine,
    AsyncMachine,
    HierarchicalAsyncMachine,
    GraphMachine,
]


def flat(kind: Any) -> Any:
    options = {"graph_engine": "mermaid"} if kind is GraphMachine else {}
    machine = kind(Model(), states=["a", "b", "c"], initial="a", queued=True, **options)
    machine.add_transition("go", "a", "b", conditions=["ready", lambda: True])
    machine.add_transition("go", "a", "c", unless=["ready"])
    machine.add_transition("go", "b", "=", conditions=lambda: False)
    machine.add_transition("go", "b", None)
    machine.add_transition("back", ["b", "c"], "a")
    return machine


@pytest.mark.parametrize("kind", FLAT)
def test_every_kind_of_machine(kind: Any) -> None:
    machine = flat(kind)
    paths = paths_of(machine)
    assert [str(path.row) for path in paths] == [
        "go: a -> b [ready, lambda]",
        "go: a -> c [not ready]",
        "go: b -> b [lambda#2]",
        "go: b -> b",
        "back: b -> a",
        "back: c -> a",
    ]
    for path in paths:
        model = Model()
        machine.add_model(model)
        walked = path.walk(machine, model)
        if kind in {AsyncMachine, HierarchicalAsyncMachine}:
            assert asyncio.run(walked) is model
        assert model.state == path.row.dest  # type: ignore[attr-defined]  the machine sets it


def test_nested_and_parallel_states() -> None:
    machine = HierarchicalMachine(
        Model(),
        states=[
            "idle",
            {
                "name": "busy",
                "parallel": [
                    {
                        "name": "x",
                        "children": ["1", "2"],
                        "initial": "1",
                        "transitions": [["step", "1", "2"]],
                    },
                    {"name": "y", "children": ["1", "2"], "initial": "1"},
                ],
            },
            {
                "name": "deep",
                "initial": "p",
                "children": ["p", "q"],
                "transitions": [["move", "p", "q", "ready"], ["move", "p", "p"]],
            },
        ],
        initial="idle",
        auto_transitions=False,
        transitions=[
            ["start", "idle", "busy"],
            ["flip", "busy_y_1", "busy_y_2"],
            ["stop", "busy", "idle"],
            ["dig", "idle", "deep"],
            ["stop", "deep", "idle"],
        ],
    )
    assert {str(path.row): str(path) for path in paths_of(machine)} == {
        "start: idle -> busy": "idle: start -> busy_x_1 + busy_y_1",
        "flip: busy_y_1 -> busy_y_2": (
            "idle: start -> busy_x_1 + busy_y_1, flip -> busy_x_1 + busy_y_2"
        ),
        "stop: busy -> idle": "idle: start -> busy_x_1 + busy_y_1, stop -> idle",
        "dig: idle -> deep": "idle: dig -> deep_p",
        "stop: deep -> idle": "idle: dig -> deep_p, stop -> idle",
        "step: busy_x_1 -> busy_x_2": (
            "idle: start -> busy_x_1 + busy_y_1, step -> busy_x_2 + busy_y_1"
        ),
        "move: deep_p -> deep_q [ready]": "idle: dig -> deep_p, move [ready] -> deep_q",
        "move: deep_p -> deep_p": "idle: dig -> deep_p, move [not ready] -> deep_p",
    }


class Phase(Enum):
    IDLE = 1
    BUSY = 2


@pytest.mark.parametrize("kind", [Machine, HierarchicalMachine])
def test_states_of_an_enumeration(kind: Any) -> None:
    machine = kind(
        Model(),
        states=Phase,
        initial=Phase.IDLE,
        transitions=[["go", Phase.IDLE, Phase.BUSY], ["go", Phase.BUSY, Phase.IDLE]],
    )
    paths = paths_of(machine)
    assert [str(path) for path in paths] == ["IDLE: go -> BUSY", "IDLE: go -> BUSY, go -> IDLE"]
    for path in paths:
        model = Model()
        machine.add_model(model)
        path.walk(machine, model)


def test_states_with_a_timeout_start_no_thread() -> None:
    @add_state_features(Timeout)
    class Timed(Machine):
        pass

    machine = Timed(
        Model(),
        states=["a", {"name": "b", "timeout": 60, "on_timeout": "late"}],
        initial="a",
        transitions=[["go", "a", "b"]],
    )
    before = threading.active_count()
    assert [str(path) for path in paths_of(machine)] == ["a: go -> b"]
    assert threading.active_count() == before


def test_an_exception_of_a_machine_is_not_taken_for_an_outcome() -> None:
    class Broken(Machine):
        def set_state(self, state: Any, model: Any = None) -> None:
            if state == "b":
                raise RuntimeError("broken")
            super().set_state(state, model)

    machine = Broken(Model(), states=["a", "b"], initial="a", transitions=[["go", "a", "b"]])
    with pytest.raises(RuntimeError, match="broken"):
        paths_of(machine)


def test_automatic_triggers_are_left_out_unless_asked_for() -> None:
    machine = Machine(Model(), states=["a", "b"], initial="a")
    assert paths_of(machine) == ()
    assert [path.id for path in paths_of(machine, auto=True)] == [
        "to_a:a->a",
        "to_a:b->a",
        "to_b:a->b",
        "to_b:b->b",
    ]


def test_a_trigger_that_only_looks_automatic_is_kept() -> None:
    machine = Machine(Model(), states=["a", "b"], initial="a", auto_transitions=False)
    machine.add_transition("to_b", "a", "b")
    assert [path.id for path in paths_of(machine)] == ["to_b:a->b"]


def test_rows_that_no_path_leads_to_are_named() -> None:
    machine = Machine(Model(), states=["a", "b", "c"], initial="a", auto_transitions=False)
    machine.add_transition("go", "a", "b")
    machine.add_transition("go", "a", "c")
    machine.add_transition("on", "c", "a")
    with pytest.raises(Unreachable, match="go: a -> c; on: c -> a") as caught:
        paths_of(machine)
    assert "unreachable='skip'" in caught.value.hint
    assert [path.id for path in paths_of(machine, unreachable="skip")] == ["go:a->b"]
    assert [path.id for path in paths_of(machine, initial="c", unreachable="skip")] == [
        "go:a->b",
        "on:c->a",
    ]


def test_contradictory_guards_make_a_row_unreachable() -> None:
    machine = Machine(Model(), states=["a", "b"], initial="a", auto_transitions=False)
    machine.add_transition("go", "a", "b", conditions="ready", unless="ready")
    with pytest.raises(Unreachable):
        paths_of(machine)


def test_a_machine_without_an_initial_state_needs_one() -> None:
    machine = Machine(None, states=["a", "b"], initial=None, transitions=[["go", "a", "b"]])
    with pytest.raises(GoalError, match="no initial state") as caught:
        paths_of(machine)
    assert "initial=" in caught.value.hint
    assert len(paths_of(machine, initial="a")) == 1


def test_too_many_states_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goalfsm.testing.paths.MOST_STATES", 3)
    machine = Machine(Model(), states=[str(n) for n in range(9)], initial="0")
    machine.add_ordered_transitions()
    with pytest.raises(TooManyStates):
        paths_of(machine)


class Plain(NamedTuple):
    """A row as a user may keep them."""

    trigger: str
    source: str
    dest: str | None
    when: str | None = None


def test_plain_rows() -> None:
    rows = [Plain("go", "a", "b", "ready"), Plain("go", "a", None), Plain("back", "b", "a")]
    assert [str(path) for path in paths_of(rows)] == [
        "a: go [ready] -> b",
        "a: go [not ready] -> a",
        "a: go [ready] -> b, back -> a",
    ]


@pytest.mark.parametrize("what", ["nothing", 5, [], ["a"], lambda: 5])
def test_what_is_no_machine_is_refused(what: Any) -> None:
    with pytest.raises(MachineUnknown) as caught:
        paths_of(what)
    assert "transitions.Machine" in caught.value.hint


# Ours.


@pytest.mark.parametrize(
    ("name", "rows"),
    [("goal", TRANSITIONS), ("recovery", PHASE_TRANSITIONS), ("stale-work", LIFECYCLE)],
)
def test_every_row_of_ours_has_a_path(name: str, rows: tuple[Any, ...]) -> None:
    paths = paths_of(name)
    assert [(path.row.trigger, path.row.source) for path in paths] == [
        (row.trigger, row.source) for row in rows
    ]


def test_an_extended_goal_machine_has_paths_to_its_own_rows() -> None:
    extended = default_machine().extended([Row("escalate", "active", "blocked")])
    paths = paths_of(extended)
    assert str(paths[0]) == "absent: create -> active, escalate -> blocked"
    assert len(paths) == len(TRANSITIONS) + 1


# Whatever the machine.


def _machine(seed: int) -> Machine:
    """Make a machine of a few states, with guarded, internal and reflexive rows."""
    draw = random.Random(seed)
    states = [f"s{number}" for number in range(draw.randint(1, 6))]
    machine = Machine(Model(), states=states, initial="s0", auto_transitions=False)
    for _ in range(draw.randint(1, 14)):
        guards = draw.sample(["g1", "g2", "g3"], draw.randint(0, 2))
        split = draw.randint(0, len(guards))
        machine.add_transition(
            draw.choice(["t1", "t2", "t3"]),
            draw.choice(states),
            draw.choice([*states, None, "="]),
            conditions=guards[:split],
            unless=guards[split:],
        )
    return machine


def _reachable(machine: Machine) -> dict[TableRow, int]:
    """Return the rows that can fire and their distances, by trying every outcome of all guards."""
    explorer = Explorer(machine)
    choices = [
        {"g1": one, "g2": two, "g3": three}
        for one in (True, False)
        for two in (True, False)
        for three in (True, False)
    ]
    distance, found = {"s0": 0}, dict[TableRow, int]()
    frontier = deque(["s0"])
    while frontier:
        state = frontier.popleft()
        for event in machine.events.values():
            for told in choices:
                for transition in event.transitions.get(state, ()):
                    if all(told[c.func] == c.target for c in transition.conditions):
                        found.setdefault(explorer.rows[id(transition)], distance[state] + 1)
                        after = state if transition.dest is None else transition.dest
                        if after not in distance:
                            distance[after] = distance[state] + 1
                            frontier.append(after)
                        break
    return found


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_paths_lead_where_they_say_and_none_is_shorter(seed: int) -> None:
    machine = _machine(seed)
    paths = paths_of(machine, unreachable="skip")
    assert {path.row: len(path.steps) for path in paths} == _reachable(machine)
    for path in paths:
        model = Model()
        machine.add_model(model)
        path.walk(machine, model)
        machine.remove_model(model)


def test_invalid_triggers_stay_errors_afterwards() -> None:
    order = Order()
    paths_of(order.machine)
    with pytest.raises(MachineError):
        order.machine.events["send"].trigger(order)
