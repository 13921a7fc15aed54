"""Shortest paths: to every row of a machine, with the guards' outcomes as choices."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transitions import Machine, MachineError

from goalfsm.errors import GoalError
from goalfsm.goal.compiler import Row
from goalfsm.goal.machine import TRANSITIONS, default_machine
from goalfsm.testing import Path, TableRow, for_each_path, paths_of
from goalfsm.testing.exploring import Explorer
from goalfsm.testing.paths import WentAstray
from recovery.machine import PHASE_TRANSITIONS
from recovery.stale_work import LIFECYCLE
from tests.testing.machines import Model, Order


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
