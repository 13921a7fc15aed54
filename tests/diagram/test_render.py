from __future__ import annotations

from typing import Any

import msgspec
import pytest
from markdown_it import MarkdownIt
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
from goalfsm.diagram.table import NOTHING, escaped, fence, states_of, table_of
from tests.diagram.samples import AWKWARD, busy_state, nested_machine, release_machine


def machine(*rows: tuple[Any, ...], states: str = "ab") -> Machine:
    made = Machine(model=None, states=list(states), initial="a", auto_transitions=False)
    for row in rows:
        made.add_transition(*row)
    return made


def markdown_table(text: str) -> list[list[str]]:
    """Return the cells of the first table, as a real Markdown parser shows them."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "table_close":
            break
        elif token.type == "inline" and rows:
            shown = (child.content for child in token.children or ())
            rows[-1].append("".join(shown))
    return rows


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
    assert (with_all["guards"], with_all["effects"]) == (["ready"], ["x"])
    without = msgspec.json.decode(render(made, format="json", guards=False))["edges"][0]
    assert (without["guards"], without["effects"]) == ([], [])


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


def test_transitions_between_two_states_share_an_arrow() -> None:
    drawn = extract(
        machine(("go", "a", "b"), ("run", "a", "b"), ("go", "a", "b"), ("on", "a", None))
    )
    (joint,) = joints(drawn, guards=True, effects=False)
    assert joint.texts == ("go", "run")


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
    node = Node(name="a", note="a note", entry=("x",), exit=("y", "z"))
    edges = (Edge(source="a", dest="a", trigger="go", internal=True),)
    drawn = Diagram(title="", states=(node,), edges=edges)
    lines = inside(drawn, node, guards=True, effects=True)
    assert [line.text for line in lines] == ["a note", "entry / x", "exit / y, z", "go"]
    assert inside(drawn, node, guards=True, effects=False)[-1] == Line(trigger="go")


# What is drawn once for many.


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


# Tables.


def test_a_table_has_a_row_for_every_transition_and_no_empty_column() -> None:
    rows = markdown_table(
        render(machine(("go", "a", "b"), ("on", "a", None), ("re", "b", "=")), format="table")
    )
    assert rows == [
        ["Trigger", "From", "To"],
        ["go", "a", "b"],
        ["on", "a", "stays"],
        ["re", "b", "itself"],
    ]


def test_rows_that_differ_in_their_source_share_a_line() -> None:
    made = machine(("go", ["a", "b"], "c", "x", None, "y"), states="abc")
    assert markdown_table(render(made, format="table", effects=True))[1:] == [
        ["go", "a, b", "c", "x", "y"]
    ]
    assert markdown_table(render(made, format="table"))[0] == ["Trigger", "From", "To", "When"]
    assert markdown_table(render(made, format="table", guards=False))[0] == [
        "Trigger",
        "From",
        "To",
    ]


@pytest.mark.parametrize("name", [name for name in AWKWARD if "\n" not in name])
def test_any_name_survives_in_a_table(name: str) -> None:
    drawn = Diagram(
        title=name,
        states=(Node(name=name), Node(name="b")),
        edges=(Edge(source=name, dest="b", trigger=name, reason=name),),
    )
    text = render(drawn, format="table")
    assert markdown_table(text)[1] == [name, name, "b", name]
    heading = MarkdownIt("commonmark").parse(render(drawn, format="md"))[1]
    assert "".join(child.content for child in heading.children or ()) == name


def test_counts_and_reasons_have_columns() -> None:
    drawn = Diagram(
        title="",
        states=(Node(name="a"), Node(name="b", parent="a", label="inner")),
        edges=(Edge(source="a", dest="b", count=2, reason="so"), Edge(source="b", dest="b")),
    )
    assert markdown_table(render(drawn, format="table")) == [
        ["Trigger", "From", "To", "Taken", "Why"],
        [NOTHING, "a", "a / inner", "2", "so"],
        [NOTHING, "a / inner", "itself", NOTHING, NOTHING],
    ]


def test_what_states_do_is_a_table_of_its_own() -> None:
    made = Machine(model=None, states=["a", busy_state()], initial="a", auto_transitions=False)
    made.add_transition("go", "a", "busy")
    second = render(made, format="table", effects=True).split("\n\n")[1]
    assert markdown_table(second) == [
        ["State", "On entering", "On leaving"],
        ["busy", "start_clock, tell", "stop_clock"],
    ]
    assert "\n\n" not in render(made, format="table")
    assert states_of(extract(machine())).rows == ()


def test_a_flow_s_table_has_every_guard_in_its_order() -> None:
    from goalfsm.continuation import GUARDS  # noqa: PLC0415

    rows = markdown_table(render(named("continuation"), format="table"))
    assert rows[0] == ["Guard", "Question", "Answer", "Outcome", "Why"]
    assert [row[0] for row in rows[1:]] == [*(g.name for g in GUARDS), GUARDS[-1].name]
    assert rows[-1][2:4] == ["no", "Continue"]


def test_markdown_is_title_picture_and_table() -> None:
    text = render(machine(("go", "a", "b")), format="md", title="A * B")
    assert text.startswith("## A \\* B\n\n```mermaid\n---\ntitle:")
    assert text.count("```") == 2
    assert "| `go` | `a` | `b` |" in text
    assert not render(machine(("go", "a", "b")), format="md").startswith("#")


def test_a_fence_is_longer_than_what_it_holds() -> None:
    assert fence("x", "a ```` b") == "`````x\na ```` b\n`````\n"
    assert escaped("a\n*b*") == "a \\*b\\*"


def test_a_sequence_s_table_numbers_its_messages() -> None:
    drawn = Sequence(
        title="",
        participants=(Participant(name="a", label="A"), Participant(name="b")),
        steps=(
            Message(source="a", dest="b", text="one\ntwo"),
            Remark(over=("a",), text="no row"),
            Message(source="b", dest="a", text="three", reply=True),
        ),
    )
    assert markdown_table(render(drawn, format="table")) == [
        ["#", "From", "To", "What"],
        ["1", "A", "b", "one, two"],
        ["2", "b", "A", "three"],
    ]
    assert len(table_of(drawn).rows) == 2


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


def test_a_loop_that_a_path_took_is_drawn_where_it_was_taken() -> None:
    made = Machine(model=None, states=list("abcde"), initial="a", auto_transitions=False)
    made.add_transition("touch", "*", "=")
    walked = with_path(extract(made), [("b", "touch", "b")])
    assert simplify(walked) == walked
