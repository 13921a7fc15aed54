"""Drawings in every format: what they show, what they highlight, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from transitions import Machine

from goalfsm.diagram import (
    BUILTINS,
    FORMATS,
    Diagram,
    DiagramError,
    Edge,
    Message,
    Node,
    Participant,
    Remark,
    Sequence,
    extract,
    named,
    render,
    with_path,
)
from goalfsm.diagram.labels import Line, inside, joints, line_of, simplify
from goalfsm.diagram.model import Drawing
from tests.diagram.samples import machine, nested_machine, release_machine


@pytest.mark.parametrize("name", BUILTINS)
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_draws_every_machine_of_ours(name: str, format: Any) -> None:  # noqa: A002
    text = render(named(name), format=format, effects=True)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_draws_nested_large_and_empty_machines(
    format: Any,  # noqa: A002
) -> None:
    nothing = Machine(model=None, states=[], initial=None)
    for made in (nested_machine(), release_machine(), nothing):
        assert render(made, format=format, direction="LR", title="T").endswith("\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "png"}, "unknown format 'png'"),
        ({"direction": "UP"}, "unknown direction 'UP'"),
        ({"highlight": "c"}, "unknown state 'c'"),
        ({"highlight": ["a", "c"]}, "unknown state 'c'"),
        ({"path": [("a", "go", "c")]}, "unknown state 'c'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_hint(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DiagramError, match=said) as refused:
        render(machine(("go", "a", "b")), **options)
    assert refused.value.hint.startswith("use one of ")
    assert refused.value.code == "diagram_invalid"


def test_a_sequence_has_nothing_to_highlight() -> None:
    with pytest.raises(DiagramError, match="no states to highlight"):
        render(named("session"), highlight="a")
    with pytest.raises(DiagramError, match="no states to highlight"):
        render(named("session"), path=[])
    with pytest.raises(DiagramError, match="always runs down"):
        render(named("session"), direction="LR")
    assert 'title: "Other"' in render(named("session"), title="Other")


def test_json_reads_back_as_the_drawing() -> None:
    for name in BUILTINS:
        drawn = named(name)
        text = render(drawn, format="json", effects=True)
        assert msgspec.json.decode(text, type=Drawing) == drawn


def test_json_leaves_out_what_is_not_asked_for() -> None:
    made = machine(("go", "a", "b", "ready", None, "x"))
    with_all = msgspec.json.decode(render(made, format="json", effects=True))["edges"][0]
    assert (with_all["guards"], with_all["before"]) == (["ready"], ["x"])
    without = msgspec.json.decode(render(made, format="json", guards=False))["edges"][0]
    assert (without["guards"], without["before"]) == ([], [])


def test_the_title_and_the_highlight_are_those_given() -> None:
    text = render(machine(("go", "a", "b")), format="json", title="T", highlight=("a", "b"))
    drawn = msgspec.json.decode(text, type=Diagram)
    assert (drawn.title, drawn.highlight) == ("T", ("a", "b"))


# Paths.


def test_a_path_counts_what_it_took_and_highlights_its_end() -> None:
    drawn = extract(machine(("go", "a", "b"), ("back", "b", "a"), ("note", "a", None)))
    steps = [("a", "note", "a"), ("a", "go", "b"), ("b", "back", "a"), ("a", "go", "b")]
    after = with_path(drawn, steps)
    assert {edge.trigger: edge.count for edge in after.edges} == {"go": 2, "back": 1, "note": 1}
    assert after.highlight == ("b",)


def test_a_longer_path_goes_on_from_a_shorter_one() -> None:
    drawn = extract(machine(("go", "a", "b"), ("back", "b", "a")))
    once = with_path(drawn, [("a", "go", "b")])
    twice = with_path(once, [("b", "back", "a"), ("a", "go", "b")])
    assert {edge.trigger: edge.count for edge in twice.edges} == {"go": 2, "back": 1}


def test_a_path_of_nothing_changes_nothing() -> None:
    drawn = extract(machine(("go", "a", "b")))
    assert with_path(drawn, []) == drawn


def test_a_step_that_the_machine_no_longer_has_is_drawn() -> None:
    drawn = with_path(extract(machine(("go", "a", "b"))), [("b", "old", "a")])
    assert drawn.edges[-1] == Edge(source="b", dest="a", trigger="old", count=1)


def test_only_one_of_the_rows_that_differ_in_guards_counts() -> None:
    drawn = extract(machine(("go", "a", "b", "x"), ("go", "a", "b", "y")))
    counted = with_path(drawn, [("a", "go", "b")])
    assert [edge.count for edge in counted.edges] == [1, 0]


# Labels.


def test_labels_are_trigger_guards_effects_and_count() -> None:
    edge = Edge(source="a", dest="b", trigger="go", guards=("x", "not y"), effects=("z",), count=3)
    assert line_of(edge).text == "go [x, not y] \N{MULTIPLICATION SIGN}3"
    assert line_of(edge, guards=False, effects=True).text == "go / z \N{MULTIPLICATION SIGN}3"
    assert line_of(Edge(source="a", dest="b")).text == ""
    several = msgspec.structs.replace(edge, order=2, count=0, guards=())
    assert line_of(several).text == "2. go"


@pytest.mark.parametrize(
    ("moments", "said"),
    [
        ({"after": ("ring", "log")}, "/ ring, log"),
        ({"before": ("ring",)}, "/ before ring"),
        ({"prepare": ("look",)}, "/ prepare look"),
        ({"effects": ("tell",)}, "/ tell"),
        ({"effects": ("tell",), "after": ("log",)}, "/ tell; after log"),
        (
            {"prepare": ("look",), "before": ("ring",), "after": ("ring", "log")},
            "/ prepare look; before ring; after ring, log",
        ),
    ],
)
def test_a_label_says_when_each_callback_is_called(moments: dict[str, Any], said: str) -> None:
    """What is called twice is named twice; what is called afterwards alone needs no word."""
    edge = Edge(source="a", dest="b", trigger="go", **moments)
    assert line_of(edge, effects=True).text == f"go {said}"
    assert line_of(edge).text == "go"


def test_transitions_between_two_states_share_an_arrow() -> None:
    drawn = extract(
        machine(("go", "a", "b"), ("run", "a", "b"), ("go", "a", "b", "x"), ("on", "a", None))
    )
    (joint,) = joints(drawn, guards=True, effects=False)
    assert joint.texts == ("1. go", "2. go [x]", "run")


def test_what_was_taken_and_what_befalls_have_arrows_of_their_own() -> None:
    edges = (
        Edge(source="a", dest="b", trigger="go", count=1),
        Edge(source="a", dest="b", trigger="run"),
        Edge(source="a", dest="b", trigger="crash", fault=True),
    )
    drawn = Diagram(title="", states=(Node(name="a"), Node(name="b")), edges=edges)
    found = joints(drawn, guards=True, effects=False)
    assert [(joint.texts, joint.count, joint.fault) for joint in found] == [
        (("go \N{MULTIPLICATION SIGN}1",), 1, False),
        (("run",), 0, False),
        (("crash",), 0, True),
    ]


def test_a_state_says_what_happens_inside_it() -> None:
    node = Node(
        name="a",
        note="a note",
        tags=("slow", "busy"),
        timeout=2.5,
        on_timeout=("late",),
        entry=("x",),
        exit=("y", "z"),
    )
    edges = (Edge(source="a", dest="a", trigger="go", internal=True),)
    drawn = Diagram(title="", states=(node,), edges=edges)
    lines = inside(drawn, node, guards=True, effects=True)
    said = ["a note", "#slow #busy", "after 2.5 s / late", "entry / x", "exit / y, z", "go"]
    assert [line.text for line in lines] == said
    without = inside(drawn, node, guards=True, effects=False)
    assert [line.text for line in without] == ["a note", "#slow #busy", "after 2.5 s", "go"]
    assert inside(drawn, node, guards=True, effects=False)[-1] == Line(trigger="go")


# The model refuses what cannot be.


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"states": (Node(name="a"), Node(name="a"))}, "defined twice: a"),
        ({"states": (), "initial": ("a",)}, "unknown state 'a'"),
        ({"states": (Node(name="a", parent="b"),)}, "unknown state 'b'"),
        ({"states": (Node(name="a", parent="a"),)}, "'a' is nested in itself"),
        (
            {"states": (Node(name="a", parent="b"), Node(name="b", parent="a"))},
            "is nested in itself",
        ),
        ({"states": (), "defaults": ("a",)}, "unknown state"),
        ({"states": (), "finals": ("a",)}, "unknown state"),
        ({"states": (), "edges": (Edge(source="a", dest="b"),)}, "unknown state 'a', 'b'"),
    ],
)
def test_a_diagram_that_makes_no_sense_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(DiagramError, match=said):
        Diagram(title="", **fields)


@pytest.mark.parametrize(
    "step",
    [
        Message(source="a", dest="z", text=""),
        Remark(over=("z",), text=""),
        Remark(over=(), text=""),
    ],
)
def test_a_step_of_somebody_unknown_is_refused(step: Any) -> None:
    with pytest.raises(DiagramError, match="takes no part"):
        Sequence(title="", participants=(Participant(name="a"),), steps=(step,))


def test_a_loop_that_a_path_took_is_drawn_where_it_was_taken() -> None:
    made = Machine(model=None, states=list("abcde"), initial="a", auto_transitions=False)
    made.add_transition("touch", "*", "=")
    walked = with_path(extract(made), [("b", "touch", "b")])
    assert simplify(walked) == walked
