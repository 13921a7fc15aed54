"""Coverage of the rows of a user's own machines, of every kind."""

from __future__ import annotations

import asyncio

import pytest
from transitions.extensions import HierarchicalMachine
from transitions.extensions.asyncio import AsyncMachine

from goalfsm.diagram.ours.table_rows import MachineUnknown
from goalfsm.testing import MachineCoverage, TableRow
from goalfsm.testing.coverage import RowsMissed
from tests.testing.firing import fired
from tests.testing.machines import Lamp, Model


def test_rows_of_a_live_machine(machine_coverage: MachineCoverage) -> None:
    lamp = Lamp()
    machine_coverage.watch(lamp)
    lamp.press()  # type: ignore[attr-defined]  the machine adds it
    assert fired(machine_coverage, "lamp") == ["press: off -> on [lambda]"]
    lamp.press()  # type: ignore[attr-defined]
    table = machine_coverage["lamp"]
    assert [str(row) for row in table.missed] == ["press: on -> off [lambda#2]"]
    assert table.percent == pytest.approx(200 / 3)
    assert table.counts[TableRow("press", "on", "on")] == 1
    with pytest.raises(RowsMissed, match=r"lamp: 66.6 % of the rows fired, not") as caught:
        table.check()
    assert "press: on -> off [lambda#2]" in caught.value.message
    assert "for_each_path()" in caught.value.hint
    table.check(66)


def test_machines_of_one_class_or_name_count_together(machine_coverage: MachineCoverage) -> None:
    machine_coverage.watch(Lamp)
    assert machine_coverage["Lamp"].rows == ()
    assert machine_coverage["Lamp"].percent == 100
    first, second = Lamp(), Lamp()
    first.press()  # type: ignore[attr-defined]
    second.set_state("on")
    second.press()  # type: ignore[attr-defined]
    assert len(machine_coverage["Lamp"].rows) == 3
    assert len(machine_coverage["Lamp"].fired) == 2


def test_a_machine_that_nobody_watches_does_not_count(machine_coverage: MachineCoverage) -> None:
    Lamp().press()  # type: ignore[attr-defined]
    names = ["goal", "recovery", "stale-work", "continuation"]
    assert [table.name for table in machine_coverage.tables] == names


def test_rows_that_are_added_later_count(machine_coverage: MachineCoverage) -> None:
    lamp = Lamp()
    machine_coverage.watch(lamp)
    lamp.add_transition("smash", "*", "off")
    lamp.smash()  # type: ignore[attr-defined]
    assert fired(machine_coverage, "lamp") == ["smash: off -> off"]
    assert len(machine_coverage["lamp"].rows) == 5


def test_asynchronous_and_nested_machines_count(machine_coverage: MachineCoverage) -> None:
    later = AsyncMachine(Model(), states=["a", "b"], initial="a", auto_transitions=False)
    later.add_transition("go", "a", "b", conditions=lambda: False)
    later.add_transition("go", "a", "b")
    nested = HierarchicalMachine(
        Model(),
        states=["a", {"name": "b", "children": ["x", "y"], "initial": "x"}],
        initial="a",
        auto_transitions=False,
        transitions=[["go", "a", "b"], ["go", "b_x", "b_y"]],
    )
    machine_coverage.watch(later, "later").watch(nested, "nested")
    asyncio.run(later.models[0].go())
    nested.models[0].go()
    nested.models[0].go()
    assert fired(machine_coverage, "later") == ["go: a -> b"]
    assert fired(machine_coverage, "nested") == ["go: a -> b", "go: b_x -> b_y"]


def test_what_is_no_machine_is_refused(machine_coverage: MachineCoverage) -> None:
    with pytest.raises(MachineUnknown):
        machine_coverage.watch("goal")
    with pytest.raises(MachineUnknown, match="no machine is watched as 'lamp'") as caught:
        _ = machine_coverage["lamp"]
    assert "stale-work" in caught.value.hint


def test_what_a_test_watches_the_session_watches_too() -> None:
    whole = MachineCoverage()
    with whole.watching():
        one = MachineCoverage(whole)
        lamp = Lamp()
        with one.watching():
            one.watch(lamp)
            lamp.press()  # type: ignore[attr-defined]
        lamp.press()  # type: ignore[attr-defined]
    assert len(fired(one, "lamp")) == 1
    assert len(fired(whole, "lamp")) == 2
