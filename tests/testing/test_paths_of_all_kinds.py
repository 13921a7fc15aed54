"""Shortest paths of machines of every kind: nested, parallel, asynchronous, plain rows."""

from __future__ import annotations

import asyncio
import threading
from enum import Enum
from typing import Any, NamedTuple

import pytest
from transitions import Machine
from transitions.extensions import (
    GraphMachine,
    HierarchicalMachine,
    LockedHierarchicalMachine,
    LockedMachine,
)
from transitions.extensions.asyncio import AsyncMachine, HierarchicalAsyncMachine
from transitions.extensions.states import Timeout, add_state_features

from goalfsm.diagram.ours.table_rows import MachineUnknown
from goalfsm.errors import GoalError
from goalfsm.testing import for_each_path, paths_of
from goalfsm.testing.paths import TooManyStates, Unreachable
from tests.testing.machines import Model

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


@pytest.mark.parametrize("wrong", ["bogus", "", None, True])
def test_what_is_to_be_done_with_them_has_to_be_known(wrong: Any) -> None:
    machine = Machine(Model(), states=["a", "b"], initial="a")
    for asked in (paths_of, for_each_path):
        with pytest.raises(GoalError, match=f"unreachable={wrong!r}") as caught:
            asked(machine, unreachable=wrong)
        assert "refuse, skip" in caught.value.hint


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
