"""What is written as Mermaid is read back by the real Mermaid, and drawn by it."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from transitions import Machine
from transitions.extensions import HierarchicalMachine

from goalfsm.diagram import BUILTINS, Diagram, Edge, Message, Node, Sequence, extract, named, render
from goalfsm.diagram.labels import simplify, with_stand_ins
from goalfsm.diagram.mermaid import identifiers
from goalfsm.diagram.model import Direction
from tests.diagram.mermaid import SEQUENCE, Reader, edges, expected, states
from tests.diagram.samples import (
    AWKWARD,
    awkward_machine,
    busy_state,
    nested_machine,
    release_machine,
)


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_survives(name: str, mermaid: Reader) -> None:
    """As a state, a trigger, a guard and an internal transition it is shown as it is."""
    drawn = Diagram(
        title="",
        states=(Node(name=name), Node(name="other")),
        edges=(
            Edge(source=name, dest="other", trigger=name, guards=(name,)),
            Edge(source=name, dest=name, trigger=name, internal=True),
        ),
        initial=(name,),
        finals=(name,),
        highlight=(name,),
    )
    read = mermaid(render(drawn))
    shown = "\n".join(name.split("\n"))
    assert "\n".join(next(iter(states(read).values()))) == f"{shown}\n{shown}"
    assert [text for *_, text in edges(read)] == [f"{shown} [{shown}]"]


def test_all_awkward_names_survive_together(mermaid: Reader) -> None:
    """No two names become one identifier."""
    drawn = extract(awkward_machine())
    read = mermaid(render(drawn, effects=True))
    assert ["\n".join(lines) for lines in states(read).values()] == list(AWKWARD)
    assert edges(read) == expected(drawn, effects=True)


# Mermaid itself takes scripts out of titles.
@pytest.mark.parametrize("name", [name for name in AWKWARD if "<script>" not in name])
def test_any_title_survives(name: str, mermaid: Reader) -> None:
    read = mermaid(render(Diagram(title=name, states=(Node(name="a"),))))
    assert read["title"] == " ".join(name.split())


def test_identifiers_are_names_where_they_can_be() -> None:
    names = ("active", "budgetLimited", "in_review", "end", "s_end", "a b", "a-b", "état")
    assert list(identifiers(names).values()) == [
        "active",
        "budgetLimited",
        "in_review",
        "s_end",
        "s_end_2",
        "s_a_b",
        "s_a_b_2",
        "s_tat",
    ]


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_no_state_one_state_and_a_nameless_one(direction: Direction, mermaid: Reader) -> None:
    nothing = Machine(model=None, states=[], initial=None)
    assert states(mermaid(render(nothing, direction=direction))) == {}
    one = Machine(model=None, states=["only"], initial="only")
    assert states(mermaid(render(one, direction=direction))) == {"only": ["only"]}
    nameless = Diagram(
        title="", states=(Node(name=""), Node(name="a")), edges=(Edge(source="", dest="a"),)
    )
    assert len(states(mermaid(render(nameless, direction=direction)))) == 2


def test_internal_transitions_are_lines_inside_their_state(mermaid: Reader) -> None:
    machine = Machine(model=None, states=["a", "b"], initial="a", auto_transitions=False)
    machine.add_transition("note", "a", None, conditions="open", after="write")
    machine.add_transition("go", "a", "b")
    read = mermaid(render(machine, effects=True))
    assert states(read) == {"a": ["a", "note [open] / write"], "b": ["b"]}
    assert edges(read) == {("a", "b", "go")}


def test_self_loops_are_edges(mermaid: Reader) -> None:
    machine = Machine(model=None, states=["a"], initial="a", auto_transitions=False)
    machine.add_transition("again", "a", "=", conditions="x")
    machine.add_transition("more", "a", "a")
    assert edges(mermaid(render(machine))) == {("a", "a", "again [x]\nmore")}


def test_nested_states_stay_nested_and_unlabelled_edges_stay_edges(mermaid: Reader) -> None:
    drawn = Diagram(
        title="",
        states=(
            Node(name="out"),
            Node(name="crate", label="A crate"),
            Node(name="inner", parent="crate"),
            Node(name="deep", parent="inner", label="deep down"),
            Node(name="other", parent="inner"),
        ),
        edges=(
            Edge(source="out", dest="crate"),
            Edge(source="out", dest="deep"),
            Edge(source="deep", dest="other"),
            Edge(source="inner", dest="out"),
        ),
        initial=("out",),
        defaults=("inner", "deep"),
    )
    read = mermaid(render(drawn))
    parents = {state["id"]: state["parent"] for state in read["states"]}
    assert parents["deep"] == "inner"
    assert parents["inner"] == "crate"
    assert states(read)["deep"] == ["deep down"]
    assert edges(read) == {
        ("out", "crate", ""),
        ("out", "deep", ""),
        ("deep", "other", ""),
        ("inner", "out", ""),
    }


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_a_nested_machine_is_understood_and_drawn(direction: Any, mermaid: Reader) -> None:
    """Loops of composites, edges into, out of and between nested states: none breaks it."""
    drawn = extract(nested_machine())
    read = mermaid(render(drawn, direction=direction))
    assert edges(read) == expected(with_stand_ins(drawn))


def test_a_composite_and_its_child_are_joined_inside_the_composite(mermaid: Reader) -> None:
    """Mermaid joins edges of a frame and what is in it to any state there: another stands in."""
    machine = HierarchicalMachine(
        model=None,
        states=["A", {"name": "C", "initial": "1", "children": ["1", "2"]}],
        initial="A",
        auto_transitions=False,
    )
    machine.add_transition("in", "A", "C")
    machine.add_transition("restart", "C", "C_2")
    machine.add_transition("up", "C_2", "C")
    machine.add_transition("again", "C", "=")
    read = mermaid(render(machine))
    assert edges(read) == {
        ("A", "C", "in"),
        ("s_C_itself", "C_2", "restart"),
        ("C_2", "s_C_itself", "up"),
        ("s_C_itself", "s_C_itself", "again"),
    }
    parents = {state["id"]: state["parent"] for state in read["states"]}
    assert parents["s_C_itself"] == "C"
    assert states(read)["s_C_itself"] == ["C itself"]


def test_parallel_regions_are_apart(mermaid: Reader) -> None:
    """Mermaid reads two areas with a divider between them, and a marker into neither."""
    machine = HierarchicalMachine(
        model=None,
        states=[{"name": "p", "parallel": [{"name": "r", "children": ["a"], "initial": "a"}, "q"]}],
        initial="p",
        auto_transitions=False,
    )
    machine.add_transition("leave", "p_q", "p_r_a")
    read = mermaid(render(machine))
    areas = [state["id"] for state in read["states"] if state["shape"] == "divider"]
    parents = {state["id"]: state["parent"] for state in read["states"]}
    assert [parents["p_r"], parents["p_q"]] == areas
    assert {parents[area] for area in areas} == {"p"}
    assert edges(read) == {("p_q", "p_r_a", "leave")}
    assert "[*] --> p_r\n" not in render(machine)


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_no_name_turns_the_drawing(direction: Direction, mermaid: Reader) -> None:
    """Mermaid takes ``direction LR`` for an order wherever it stands in a line."""
    names = ["direction LR", "a DIRECTION  rl b", "direction tb", "[[fork]]", "x [[choice]]"]
    drawn = Diagram(
        title="direction LR",
        direction=direction,
        states=tuple(Node(name=name, note=name) for name in names),
        edges=tuple(
            Edge(source=a, dest=b, trigger=a, guards=(b,)) for a, b in itertools.pairwise(names)
        ),
        initial=(names[0],),
    )
    read = mermaid(render(drawn))
    assert read["direction"] == direction
    assert list(states(read).values()) == [[name, name] for name in names]
    assert edges(read) == expected(drawn)
    turned = mermaid(render(msgspec.structs.replace(drawn, flow=True)))
    assert turned["direction"] == direction
    assert edges(turned) == expected(drawn)


def test_long_labels_keep_every_word(mermaid: Reader) -> None:
    guards = tuple(f"condition_number_{number}" for number in range(30))
    drawn = Diagram(
        title="",
        states=(Node(name="a"), Node(name="b")),
        edges=(Edge(source="a", dest="b", trigger="go", guards=guards, effects=guards),),
    )
    text = f"go [{', '.join(guards)}] / {', '.join(guards)}"
    assert edges(mermaid(render(drawn, effects=True))) == {("a", "b", text)}


def test_a_user_s_machine_of_thirty_states_is_drawn(mermaid: Reader) -> None:
    drawn = extract(release_machine())
    assert len(drawn.states) == 30
    read = mermaid(render(drawn, effects=True))
    assert edges(read) == expected(simplify(drawn), effects=True)
    shown = {"\n".join(lines) for lines in states(read).values()}
    assert {node.name for node in drawn.states} <= {line.split("\n")[0] for line in shown}


@pytest.mark.parametrize("effects", [False, True])
@pytest.mark.parametrize("name", [name for name in BUILTINS if name != "session"])
def test_our_machines_are_understood(name: str, effects: bool, mermaid: Reader) -> None:
    drawn = named(name)
    assert isinstance(drawn, Diagram)
    read = mermaid(render(drawn, effects=effects))
    assert edges(read) == expected(simplify(drawn), effects=effects)
    assert read["title"] == drawn.title


def test_entry_and_exit_are_shown_with_the_effects(mermaid: Reader) -> None:
    machine = Machine(model=None, states=[busy_state()], initial="busy", auto_transitions=False)
    assert states(mermaid(render(machine, effects=True))) == {
        "busy": ["busy", "entry / start_clock, tell", "exit / stop_clock"]
    }
    assert states(mermaid(render(machine))) == {"busy": ["busy"]}


def test_what_stands_for_many_and_what_is_now_are_dressed(mermaid: Reader) -> None:
    read = mermaid(render(release_machine(), highlight="canary"))
    dressed = {state["id"]: state["css"] for state in read["states"] if state["css"]}
    assert set(dressed) == {"canary", "s_any_1"}
    assert dressed["canary"] != dressed["s_any_1"]


def test_initial_and_final_states_have_their_markers(mermaid: Reader) -> None:
    drawn = Diagram(
        title="", states=(Node(name="a"), Node(name="b")), initial=("a",), finals=("b",)
    )
    read = mermaid(render(drawn))
    assert sorted(read["edges"]) == [["b", "root_end", ""], ["root_start", "a", ""]]


def test_a_flow_is_a_flowchart_with_questions(mermaid: Reader) -> None:
    read = mermaid(render(named("continuation")))
    assert read["type"] == "flowchart-v2"
    shapes = {state["id"]: state["type"] for state in read["states"]}
    assert shapes["status"] == "hexagon"
    assert shapes["continue"] == "stadium"


def test_a_sequence_is_a_sequence_diagram(mermaid: Reader) -> None:
    read = mermaid(render(SEQUENCE))
    assert read["type"] == "sequence"
    assert [state["lines"] for state in read["states"]] == [["The end: <b>"], ["loop"], ["a b"]]
    assert read["edges"] == [
        ["s_end", "s_loop", "go; #now: <i>"],
        ["s_a_b", "s_a_b", "x"],
        ["s_loop", "s_end", "two\nlines"],
    ]


def test_the_loop_of_a_thread_is_drawn(mermaid: Reader) -> None:
    drawn = named("session")
    assert isinstance(drawn, Sequence)
    messages = [step for step, _ in drawn.walk() if isinstance(step, Message)]
    read = mermaid(render(drawn))
    assert [text for *_, text in read["edges"]] == [message.text for message in messages]
