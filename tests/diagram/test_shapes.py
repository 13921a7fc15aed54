"""Machines as people write them: all of each is in every format, and the real parsers read it."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from goalfsm.diagram import FORMATS, Diagram, Edge, Node, extract, named, render, with_path
from goalfsm.diagram.labels import simplify, with_stand_ins
from tests.diagram import test_dot
from tests.diagram.mermaid import Reader, edges, expected, states
from tests.diagram.shapes import SHAPES, hub, job, menu, oven, phone, turnstile
from tests.diagram.test_svg import every_line, of_class, parsed, squeezed, texts


def drawn_of(name: str) -> Diagram:
    made = SHAPES[name]()
    return made if isinstance(made, Diagram) else extract(made)


def test_there_are_twenty_one() -> None:
    assert len(SHAPES) == 21


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", SHAPES)
def test_every_format_draws_it(name: str, format: Any) -> None:  # noqa: A002
    """Twice alike, on one page: no address, no order of a set is in it."""
    text = render(drawn_of(name), format=format, effects=True)
    assert text == render(drawn_of(name), format=format, effects=True)
    assert text.endswith("\n")
    assert "0x" not in text


@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize("name", SHAPES)
def test_mermaid_reads_every_state_and_edge(name: str, direction: Any, mermaid: Reader) -> None:
    drawn = with_stand_ins(simplify(drawn_of(name)))
    read = mermaid(render(drawn_of(name), effects=True, direction=direction))
    assert edges(read) == expected(drawn, effects=True)
    shown = [found for found in states(read) if not found.startswith("divider")]
    assert len(shown) >= len(drawn.states)
    assert read["direction"] == direction


@pytest.mark.parametrize("name", SHAPES)
def test_dot_reads_every_state_and_edge(name: str, dot: Reader) -> None:
    drawn = with_stand_ins(simplify(drawn_of(name)))
    read = dot(render(drawn_of(name), format="dot", effects=True))
    assert test_dot.edges(read) == test_dot.expected(drawn, effects=True)
    assert {node.name for node in drawn.states} <= set(test_dot.states(read))


@pytest.mark.parametrize("effects", [False, True])
@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize("name", SHAPES)
def test_the_picture_shows_every_word(name: str, direction: Any, effects: bool) -> None:
    drawn = drawn_of(name)
    text = render(drawn, format="svg", effects=effects, direction=direction, title="")
    shown = "".join(sorted(squeezed("".join(texts(parsed(text))))))
    assert shown == every_line(drawn, effects=effects)


def sizes(text: str) -> tuple[float, float]:
    found = re.search(r'width="([\d.]+)" height="([\d.]+)" role', text)
    assert found is not None
    return float(found[1]), float(found[2])


@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize("name", ["hub", "menu"])
def test_what_many_states_hang_on_is_a_page(name: str, direction: Any) -> None:
    """No strip: neither side is far longer than the other, and a screen shows all of a line."""
    width, height = sizes(render(drawn_of(name), format="svg", direction=direction))
    assert max(width, height) < 2.2 * min(width, height)
    assert width < 1400


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_leaves_on_a_trunk_cover_nothing_and_are_led_to(direction: Any) -> None:
    """Each leaf's branch ends at the leaf; a branch back has its tip at the hub."""
    root = parsed(render(menu(), format="svg", direction=direction))
    boxes = [
        tuple(float(box.get(key, "")) for key in ("x", "y", "width", "height"))
        for box in of_class(root, "state")
    ]
    assert len(boxes) == 26
    for at, (x, y, width, height) in enumerate(boxes):
        for left, top, wide, high in boxes[at + 1 :]:
            assert x + width <= left or left + wide <= x or y + height <= top or top + high <= y
    tips = [e for e in of_class(root, "edge") if e.get("marker-end")]
    # The start, 23 branches to a leaf, the way back of them all, and the four edges beside.
    assert len(tips) == 1 + 23 + 1 + 4


def test_what_a_model_took_is_not_hidden_in_a_fan() -> None:
    drawn = with_path(extract(hub()), [("lobby", "enter room 7", "room 7")])
    root = parsed(render(drawn, format="svg"))
    (now,) = of_class(root, "now")
    (taken,) = of_class(root, ["edge", "taken"][1])[:1]
    assert now is not None
    assert taken.get("marker-end")


# What each format says of what is easily lost.


def test_a_table_says_in_which_order_rows_are_tried_and_when_what_is_called() -> None:
    table = render(turnstile(), format="table", effects=True).splitlines()
    assert table[0] == "| Trigger | From | Tried | To | When | Prepare | Before | After |"
    pushes = [line for line in table if line.startswith("| `push` | `locked` |")]
    assert pushes == [
        "| `push` | `locked` | 1 | `broken` | `is_strong` | `measure` | – | – |",  # noqa: RUF001
        "| `push` | `locked` | 2 | itself | – | – | `ring` | `ring`, `log` |",  # noqa: RUF001
    ]


def test_a_table_says_what_states_are() -> None:
    assert "| `queued` | – | `waiting` | 300 s | `expire` |" in render(  # noqa: RUF001
        job(), format="table", effects=True
    )
    without = render(job(), format="table", effects=False)
    assert "| `queued` | – | `waiting` | 300 s |\n" in without  # noqa: RUF001
    assert "expire" not in without
    table = render(oven(), format="table")
    assert "| `plugged` | parallel |" in table
    assert "| `plugged / door` | region of plugged |" in table


def test_parallel_regions_are_told_in_every_format() -> None:
    kinds = {
        n["name"]: n["kind"] for n in msgspec.json.decode(render(oven(), format="json"))["states"]
    }
    assert (kinds["plugged"], kinds["plugged_door"]) == ("parallel", "region")
    assert kinds["plugged_door_shut"] == "state"
    root = parsed(render(oven(), format="svg"))
    assert len(of_class(root, "region")) == 2
    assert ".region{stroke-dasharray" in render(oven(), format="svg")
    assert render(oven(), format="dot").count('style="rounded,dashed"') == 2
    assert "\n        --\n" in render(oven())


def test_no_edge_runs_through_the_title_of_a_composite() -> None:
    """The edge into the first state comes in from above, where the title is."""
    root = parsed(render(phone(), format="svg"))
    (title,) = [text for text in of_class(root, "name") if text.text == "ringing"]
    x, y = float(title.get("x", "")), float(title.get("y", ""))
    for edge in of_class(root, "edge"):
        points = [float(number) for number in re.findall(r"-?[\d.]+", edge.get("d", ""))]
        for left, top, right, bottom in zip(
            points, points[1:], points[2:], points[3:], strict=False
        ):
            crosses = min(top, bottom) < y < max(top, bottom) and left == right
            assert not (crosses and abs(left - x) < 30)


def test_two_machines_of_one_model_are_two_regions() -> None:
    """States that are called alike stay apart; one machine alone is drawn by its own name."""
    drawn = named("tests.diagram.shapes:Parcel")
    assert isinstance(drawn, Diagram)
    assert drawn.title == "Parcel"
    regions = [node for node in drawn.states if node.kind == "region"]
    assert [node.text for node in regions] == ["Payment", "delivery"]
    inside = {node.name: (node.parent, node.text) for node in drawn.states if node.parent}
    assert inside["payment/paid"] == ("payment", "paid")
    assert inside["delivery/paid"] == ("delivery", "paid")
    assert drawn.defaults == ("payment/unpaid", "delivery/packed")
    assert Edge(source="delivery/packed", dest="delivery/sent", trigger="send") in drawn.edges
    alone = named("tests.diagram.shapes:Parcel.payment")
    assert isinstance(alone, Diagram)
    assert [node.name for node in alone.states] == ["unpaid", "paid", "refunded"]
    assert alone.title == "Payment"


def test_a_node_stands_for_a_composite_inside_it_under_a_name_that_is_free() -> None:
    drawn = Diagram(
        title="",
        states=(Node(name="C"), Node(name="C itself", parent="C")),
        edges=(Edge(source="C", dest="C itself"), Edge(source="C", dest="C", internal=True)),
    )
    changed = with_stand_ins(drawn)
    assert changed.edges[0].source == "C itself'"
    assert changed.edges[1] == drawn.edges[1]
    assert changed.states[-1] == Node(name="C itself'", label="C itself", kind="any", parent="C")
