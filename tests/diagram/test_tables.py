"""Tables of drawings, as a real Markdown parser reads them."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt
from transitions import Machine

from goalfsm.diagram import (
    Diagram,
    Edge,
    Message,
    Node,
    Participant,
    Remark,
    Sequence,
    extract,
    named,
    render,
)
from goalfsm.diagram.table import NOTHING, escaped, fence, states_of, table_of
from tests.diagram.samples import AWKWARD, busy_state, machine


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
    from goalfsm.session.continuation import GUARDS  # noqa: PLC0415

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
