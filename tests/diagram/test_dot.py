"""What is written as DOT is read back by the real dot, and laid out by it without a warning."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import pytest
from transitions import Machine

from goalfsm.diagram import BUILTINS, Diagram, Edge, Node, Sequence, extract, named, render
from goalfsm.diagram.labels import joints, simplify, with_stand_ins
from tests.diagram.mermaid import SEQUENCE
from tests.diagram.samples import (
    AWKWARD,
    awkward_machine,
    busy_state,
    nested_machine,
    release_machine,
)

Reader = Callable[[str], dict[str, Any]]


def shown(label: str) -> str:
    """Return a label as dot shows it: its escapes and entities are resolved."""
    plain = label.replace("\\\\", "\0").replace("\\n", "\n").replace("\0", "\\")
    return html.unescape(plain).strip()


def states(read: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what dot knows of each state, by its name."""
    found = (node for node in read.get("objects", ()) if node["name"].startswith("state "))
    return {html.unescape(n["name"].removeprefix("state ")): n for n in found}


def edges(read: dict[str, Any]) -> set[tuple[str, str, str]]:
    names = {node["_gvid"]: node["name"] for node in read["objects"]}
    found = set()
    for edge in read.get("edges", ()):
        source, dest = names[edge["tail"]], names[edge["head"]]
        if source.startswith("state "):
            lines = "\n".join(line.strip() for line in shown(edge.get("label", "")).split("\n"))
            ends = (html.unescape(name.removeprefix("state ")) for name in (source, dest))
            found.add((*ends, lines))
    return found


def expected(diagram: Diagram, *, effects: bool = False) -> set[tuple[str, str, str]]:
    return {
        (joint.source, joint.dest, "\n".join(joint.texts))
        for joint in joints(diagram, guards=True, effects=effects)
    }


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_survives(name: str, dot: Reader) -> None:
    drawn = Diagram(
        title=name,
        states=(Node(name="box", label=name), Node(name="a", label=name, parent="box")),
        edges=(
            Edge(source="a", dest="a", trigger=name, internal=True),
            Edge(source="a", dest="a", trigger=name),
        ),
        initial=("a",),
    )
    read = dot(render(drawn, format="dot"))
    assert shown(states(read)["a"]["label"]) == f"{name}\n{name}"
    assert shown(read["label"]) == name
    assert [text for *_, text in edges(read)] == [name]
    assert [shown(o["label"]) for o in read["objects"] if o["name"] == "cluster box"] == [name]


def test_all_awkward_names_survive_together(dot: Reader) -> None:
    drawn = extract(awkward_machine())
    read = dot(render(drawn, format="dot", effects=True))
    one_line = {name: " ".join(name.split("\n")) for name in AWKWARD}
    found = {" ".join(name.replace("\\n", "\n").split("\n")) for name in states(read)}
    assert len(found) == len(one_line)
    assert len(edges(read)) == len(drawn.edges)


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_a_nested_machine_is_understood(direction: Any, dot: Reader) -> None:
    """Edges of composites end at their borders; nothing is lost, nothing is warned about."""
    drawn = extract(nested_machine())
    read = dot(render(drawn, format="dot", direction=direction))
    assert edges(read) == expected(with_stand_ins(drawn))
    clusters = {o["name"]: o for o in read["objects"] if o["name"].startswith("cluster")}
    assert set(clusters) == {"cluster B", "cluster B_y"}
    inner = clusters["cluster B_y"]["_gvid"]
    assert inner in clusters["cluster B"]["subgraphs"]
    clipped = {edge.get("lhead") for edge in read["edges"]}
    assert clipped == {None, "cluster B", "cluster B_y"}


def test_internal_transitions_self_loops_and_long_labels(dot: Reader) -> None:
    guards = tuple(f"condition_number_{number}" for number in range(30))
    machine = Machine(model=None, states=["a", "b"], initial="a", auto_transitions=False)
    machine.add_transition("note", "a", None, conditions="open")
    machine.add_transition("again", "a", "=")
    machine.add_transition("go", "a", "b", conditions=list(guards))
    read = dot(render(machine, format="dot"))
    assert shown(states(read)["a"]["label"]) == "a\nnote [open]"
    assert edges(read) == {("a", "a", "again"), ("a", "b", f"go [{', '.join(guards)}]")}


def test_a_user_s_machine_of_thirty_states_is_laid_out(dot: Reader) -> None:
    drawn = extract(release_machine())
    read = dot(render(drawn, format="dot", effects=True))
    assert edges(read) == expected(simplify(drawn), effects=True)
    assert {node.name for node in drawn.states} <= set(states(read))


@pytest.mark.parametrize("name", BUILTINS)
def test_our_machines_are_laid_out(name: str, dot: Reader) -> None:
    drawn = named(name)
    read = dot(render(drawn, format="dot", effects=True))
    assert shown(read["label"]) == drawn.title
    if isinstance(drawn, Diagram):
        assert edges(read) == expected(simplify(drawn), effects=True)


def test_where_it_is_and_where_it_went_stand_out(dot: Reader) -> None:
    machine = Machine(model=None, states=["a", "b"], initial="a", auto_transitions=False)
    machine.add_transition("go", "a", "b")
    machine.add_transition("back", "b", "a")
    read = dot(render(machine, format="dot", path=[("a", "go", "b")]))
    assert states(read)["b"]["penwidth"] == "2.5"
    assert "penwidth" not in states(read)["a"]
    strong = {edge.get("label", "").strip(): "penwidth" in edge for edge in read["edges"]}
    assert strong == {"go \N{MULTIPLICATION SIGN}1": True, "back": False, "": False}


def test_ends_and_faults_are_marked(dot: Reader) -> None:
    drawn = Diagram(
        title="",
        states=(Node(name="a"), Node(name="b")),
        edges=(Edge(source="a", dest="b", trigger="crash", fault=True),),
        finals=("b",),
    )
    read = dot(render(drawn, format="dot"))
    assert states(read)["b"]["peripheries"] == "2"
    assert read["edges"][0]["style"] == "dashed"


def test_entry_and_exit_are_shown_with_the_effects(dot: Reader) -> None:
    machine = Machine(model=None, states=[busy_state()], initial="busy", auto_transitions=False)
    label = states(dot(render(machine, format="dot", effects=True)))["busy"]["label"]
    assert shown(label) == "busy\nentry / start_clock, tell\nexit / stop_clock"


def test_a_flow_asks_its_questions(dot: Reader) -> None:
    read = states(dot(render(named("continuation"), format="dot")))
    assert read["status"]["shape"] == "hexagon"
    assert read["continue"]["shape"] == "box"


def test_a_sequence_becomes_numbered_messages(dot: Reader) -> None:
    assert isinstance(SEQUENCE, Sequence)
    read = dot(render(SEQUENCE, format="dot"))
    assert [shown(node["label"]) for node in read["objects"]] == ["The end: <b>", "loop", "a b"]
    assert sorted(shown(edge["label"]) for edge in read["edges"]) == [
        "1. go; #now: <i>",
        "2. x",
        "3. two\nlines",
    ]


def test_a_drawing_without_a_title_has_none(dot: Reader) -> None:
    drawn = Diagram(title="", states=(Node(name="a"),))
    assert "label" not in dot(render(drawn, format="dot"))
