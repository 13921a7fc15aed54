"""Edges that many states share are drawn once, from a stand-in."""

from __future__ import annotations

from typing import Any

import pytest
from transitions import Machine

from goalfsm.diagram import Diagram, extract, with_path
from goalfsm.diagram.labels import simplify
from goalfsm.diagram.table import table_of
from tests.diagram.samples import machine, nested_machine


def wildcard(states: str, *rows: tuple[Any, ...]) -> Diagram:
    return simplify(extract(machine(*rows, states=states)))


def stand_ins(drawn: Diagram) -> dict[str, list[tuple[str, str]]]:
    named_any = {node.name: node.text for node in drawn.states if node.kind == "any"}
    return {
        text: [(e.trigger, e.dest) for e in drawn.edges if e.source == name]
        for name, text in named_any.items()
    }


def test_an_edge_of_every_state_is_drawn_once() -> None:
    assert stand_ins(wildcard("abcde", ("stop", "*", "e"))) == {"any state": [("stop", "e")]}
    every_but_itself = wildcard("abcde", ("stop", list("abcd"), "e"))
    assert stand_ins(every_but_itself) == {"any state": [("stop", "e")]}


def test_an_edge_of_nearly_every_state_names_the_others() -> None:
    drawn = wildcard("abcdef", ("stop", list("abcd"), "f"))
    assert stand_ins(drawn) == {"any but e": [("stop", "f")]}


def test_stand_ins_are_shared_where_they_can_be() -> None:
    drawn = wildcard("abcdef", ("stop", list("bcdef"), "a"), ("go", list("bcdef"), "b"))
    assert stand_ins(drawn) == {"any but a": [("stop", "a"), ("go", "b")]}


@pytest.mark.parametrize(
    "sources",
    [
        pytest.param("abc", id="too few"),
        pytest.param("abcd", id="too many excepted"),
    ],
)
def test_an_edge_of_some_states_is_drawn_for_each(sources: str) -> None:
    drawn = wildcard("abcdefghij", ("stop", list(sources), "j"))
    assert stand_ins(drawn) == {}
    assert len(drawn.edges) == len(sources)


def test_different_edges_are_not_one() -> None:
    rows = [("stop", source, "f", f"if_{source}") for source in "abcde"]
    assert stand_ins(wildcard("abcdef", *rows)) == {}


def test_what_a_path_took_is_drawn_where_it_was_taken() -> None:
    drawn = extract(machine(("stop", "*", "e"), states="abcde"))
    assert stand_ins(simplify(with_path(drawn, [("b", "stop", "e")]))) == {}


def test_a_stand_in_takes_no_state_s_name() -> None:
    made = Machine(
        model=None, states=["any 1", "b", "c", "d", "e"], initial="b", auto_transitions=False
    )
    made.add_transition("stop", "*", "e")
    assert stand_ins(simplify(extract(made))) == {"any state": [("stop", "e")]}


def test_nested_machines_stay_as_they_are() -> None:
    drawn = extract(nested_machine())
    assert simplify(drawn) is drawn


def test_what_every_state_does_where_it_is_is_drawn_once() -> None:
    """Loops and internal transitions of nearly all states are those of the node for them."""
    made = Machine(model=None, states=list("abcde"), initial="a", auto_transitions=False)
    made.add_transition("touch", "*", "=", after="log")
    made.add_transition("note", ["a", "b", "c", "d"], None)
    made.add_transition("note", "e", None, conditions="open")
    made.add_transition("stop", "*", "e")
    drawn = simplify(extract(made))
    stand_ins = {node.name: node.text for node in drawn.states if node.kind == "any"}
    assert list(stand_ins.values()) == ["any state", "any but e"]
    anywhere, but_e = stand_ins
    assert [(e.source, e.trigger, e.dest, e.internal) for e in drawn.edges] == [
        (anywhere, "touch", anywhere, False),
        (but_e, "note", but_e, True),
        ("e", "note", "e", True),
        (anywhere, "stop", "e", False),
    ]
    assert len(table_of(extract(made)).rows) == 5
