"""The layout keeps apart what has to be apart, whatever the graph."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goalfsm.diagram.model import Direction
from goalfsm.diagram.svg.layout.columns import columns
from goalfsm.diagram.svg.layout.measure import balanced, char_width, text_width, wrap
from goalfsm.diagram.svg.layout.order import crossings, order
from goalfsm.diagram.svg.layout.place import PADDING, Arrow, Box, Frame, Layout, place
from goalfsm.diagram.svg.layout.ranks import Span, backward, rank

SLACK = 0.01


def overlap(a: Frame, b: Frame) -> bool:
    return (
        a.x + a.width > b.x + SLACK
        and b.x + b.width > a.x + SLACK
        and a.y + a.height > b.y + SLACK
        and b.y + b.height > a.y + SLACK
    )


def inside(inner: Frame, outer: Frame) -> bool:
    return (
        inner.x >= outer.x - SLACK
        and inner.y >= outer.y - SLACK
        and inner.x + inner.width <= outer.x + outer.width + SLACK
        and inner.y + inner.height <= outer.y + outer.height + SLACK
    )


def label_frames(layout: Layout, arrows: list[Arrow]) -> list[Frame]:
    return [
        Frame(
            route.label[0] - arrow.width / 2,
            route.label[1] - arrow.height / 2,
            arrow.width,
            arrow.height,
        )
        for arrow, route in zip(arrows, layout.routes, strict=True)
        if route.label is not None
    ]


def on_border(point: tuple[float, float], frame: Frame) -> bool:
    x, y = point
    within = (
        frame.x - SLACK <= x <= frame.x + frame.width + SLACK
        and frame.y - SLACK <= y <= frame.y + frame.height + SLACK
    )
    near = min(
        abs(x - frame.x),
        abs(x - frame.x - frame.width),
        abs(y - frame.y),
        abs(y - frame.y - frame.height),
    )
    return within and near < SLACK


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Box], list[Arrow]]:
    """Boxes, some nested, and arrows between any two of them, at most one each way."""
    count = draw(st.integers(1, 9))
    sizes = st.floats(20, 200)
    boxes: list[Box] = []
    for number in range(count):
        parent = draw(st.sampled_from([None, None, *(box.name for box in boxes)]))
        boxes.append(Box(f"n{number}", draw(sizes), draw(st.floats(20, 90)), parent))
    names = [box.name for box in boxes]
    ends = st.tuples(st.sampled_from(names), st.sampled_from(names))
    pairs = draw(st.lists(ends, unique=True, max_size=14))
    labels = st.one_of(st.just((0.0, 0.0)), st.tuples(st.floats(10, 160), st.floats(10, 60)))
    return boxes, [Arrow(source, dest, *draw(labels)) for source, dest in pairs]


@settings(max_examples=200, deadline=None)
@given(graphs(), st.sampled_from(["TB", "LR"]), st.booleans())
def test_nothing_covers_anything(
    graph: tuple[list[Box], list[Arrow]], direction: Direction, narrow: bool
) -> None:
    """Boxes and labels are beside each other; what is nested lies inside; all is on the page."""
    boxes, arrows = graph
    layout = place(boxes, arrows, [boxes[0].name], direction, narrow=narrow)
    page = Frame(0, 0, layout.width, layout.height)
    parents = {box.name: box.parent for box in boxes}

    def chain(name: str | None) -> list[str]:
        found = []
        while name is not None:
            found.append(name)
            name = parents[name]
        return found

    for box in boxes:
        frame = layout.frames[box.name]
        assert inside(frame, page)
        assert frame.width >= box.width - SLACK
        if box.parent is not None:
            assert inside(frame, layout.frames[box.parent])
    for one, other in combinations(parents, 2):
        if one not in chain(other) and other not in chain(one):
            assert not overlap(layout.frames[one], layout.frames[other])
    leaves = [box.name for box in boxes if box.name not in parents.values()]
    labels = label_frames(layout, arrows)
    for label in labels:
        assert inside(label, page)
        for leaf in leaves:
            assert not overlap(label, layout.frames[leaf])
    for one_label, other_label in combinations(labels, 2):
        assert not overlap(one_label, other_label)


@settings(max_examples=200, deadline=None)
@given(graphs(), st.sampled_from(["TB", "LR"]), st.booleans())
def test_no_arrow_runs_through_a_head(
    graph: tuple[list[Box], list[Arrow]], direction: Direction, narrow: bool
) -> None:
    """What is nested has its composite's title above it, and edges come in beside the title."""
    boxes, arrows = graph
    layout = place(boxes, arrows, [boxes[0].name], direction, narrow=narrow)
    for box in boxes:
        if not any(box.name == other.parent for other in boxes):
            continue
        frame = layout.frames[box.name]
        middle = layout.heads.get(box.name, frame.x + frame.width / 2)
        half = max(0.0, box.width / 2 - PADDING)
        head = Frame(middle - half, frame.y, 2 * half, box.height)
        assert inside(head, frame)
        for route in layout.routes:
            assert not any(overlap(head, around(*pair)) for pair in pairwise(route.points))


def around(one: tuple[float, float], other: tuple[float, float]) -> Frame:
    """Return the frame of a piece of a route, wherever in it the piece bends."""
    (x, y), (u, v) = one, other
    return Frame(min(x, u), min(y, v), abs(x - u), abs(y - v))


@settings(max_examples=200, deadline=None)
@given(graphs(), st.sampled_from(["TB", "LR"]), st.booleans())
def test_every_arrow_leads_from_border_to_border(
    graph: tuple[list[Box], list[Arrow]], direction: Direction, narrow: bool
) -> None:
    boxes, arrows = graph
    layout = place(boxes, arrows, [boxes[0].name], direction, narrow=narrow)
    for arrow, route in zip(arrows, layout.routes, strict=True):
        assert on_border(route.points[0], layout.frames[arrow.source])
        assert on_border(route.points[-1], layout.frames[arrow.dest])
        assert (route.label is not None) == (arrow.width > 0)


@given(graphs())
def test_across_is_down_turned_round(graph: tuple[list[Box], list[Arrow]]) -> None:
    boxes, arrows = graph
    turned = [box._replace(width=box.height, height=box.width) for box in boxes]
    flat = all(box.parent is None for box in boxes)
    down = place(boxes, arrows, [], "TB")
    across = place(turned, [a._replace(width=a.height, height=a.width) for a in arrows], [], "LR")
    if flat:
        assert {n: (f.x, f.y) for n, f in down.frames.items()} == {
            n: (f.y, f.x) for n, f in across.frames.items()
        }
    assert set(across.frames) == set(down.frames)


def test_the_same_graph_is_laid_out_the_same() -> None:
    boxes = [Box(f"n{number}", 60, 30) for number in range(12)]
    arrows = [Arrow(f"n{a}", f"n{(a * 5 + b) % 12}", 40, 15) for a in range(12) for b in (1, 3)]
    assert place(boxes, arrows, ["n0"], "TB") == place(boxes, arrows, ["n0"], "TB")


def test_a_chain_is_a_straight_line() -> None:
    boxes = [Box(name, 60, 30) for name in "abcd"]
    arrows = [Arrow(a, b, 30, 12) for a, b in zip("abc", "bcd", strict=True)]
    layout = place(boxes, arrows, ["a"], "TB")
    assert len({frame.x for frame in layout.frames.values()}) == 1
    assert all(len({x for x, _ in route.points}) == 1 for route in layout.routes)
    tops = [layout.frames[name].y for name in "abcd"]
    assert tops == sorted(tops)


def test_room_beside_a_box_stays_free() -> None:
    boxes = [Box("a", 60, 30, None, (100.0, 80.0)), Box("b", 60, 30)]
    layout = place(boxes, [], [], "TB")
    a, b = layout.frames["a"], layout.frames["b"]
    assert b.x >= a.x + a.width + 100
    assert layout.height == 80


def test_names_that_the_layout_uses_itself_are_only_names() -> None:
    """No name of a box is taken for the whole drawing, a bend or a port."""
    names = ["", "\x000 1", "\x011 ", "=", "==", "="]
    boxes = [Box(name, 60, 30) for name in dict.fromkeys(names)] + [Box("in", 20, 10, "")]
    arrows = [Arrow(a.name, b.name, 30, 12) for a, b in pairwise(boxes)]
    layout = place(boxes, arrows, [""], "TB")
    assert set(layout.frames) == {box.name for box in boxes}
    assert inside(layout.frames["in"], layout.frames[""])


def test_narrow_labels_stand_at_two_heights() -> None:
    boxes = [Box("a", 60, 30), *(Box(f"b{n}", 60, 30) for n in range(4))]
    arrows = [Arrow("a", f"b{n}", 120, 15) for n in range(4)]
    wide = place(boxes, arrows, ["a"], "TB")
    narrow = place(boxes, arrows, ["a"], "TB", narrow=True)
    heights = [{route.label[1] for route in one.routes if route.label} for one in (wide, narrow)]
    assert [len(found) for found in heights] == [1, 2]
    assert narrow.width < 0.75 * wide.width
    assert narrow.height > wide.height


def test_nothing_at_all_is_laid_out() -> None:
    assert place([], [], [], "TB") == Layout({}, (), 0.0, 0.0, {})


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=25),
    st.lists(st.integers(0, 8), max_size=2),
)
def test_rows_follow_the_arrows(pairs: list[tuple[int, int]], roots: list[int]) -> None:
    """With the backward ones turned round, every arrow leads down by what it asks for."""
    nodes = [str(number) for number in range(9)]
    arrows = [(str(a), str(b)) for a, b in pairs if a != b]
    turned = backward(nodes, arrows, [str(root) for root in roots])
    spans = [Span(*(a[::-1] if a in turned else a), 2) for a in arrows]
    rows = rank(nodes, spans)
    assert min(rows.values()) == 0
    assert all(rows[span.lower] - rows[span.upper] >= 2 for span in spans)


def test_rows_are_as_short_as_they_can_be() -> None:
    """A node that nothing forces up stands next to what it leads to."""
    spans = [Span("a", "b"), Span("b", "c"), Span("c", "d"), Span("x", "d")]
    assert rank(list("abcdx"), spans) == {"a": 0, "b": 1, "c": 2, "d": 3, "x": 2}
    heavy = [Span("a", "b"), Span("b", "c"), Span("a", "x", 1, 5), Span("x", "c", 1, 1)]
    assert rank(list("abcx"), heavy)["x"] == 1


def test_the_way_that_is_read_first_runs_down() -> None:
    arrows = [("b", "c"), ("c", "a"), ("a", "b")]
    assert backward(list("abc"), arrows, ["b"]) == {("a", "b")}
    assert backward(list("abc"), arrows, []) == {("c", "a")}


def test_crossings_are_taken_away() -> None:
    above = {"a": [], "b": [], "c": [], "x": ["c"], "y": ["b"], "z": ["a"]}
    below = {"a": ["z"], "b": ["y"], "c": ["x"], "x": [], "y": [], "z": []}
    rows = [list("abc"), list("xyz")]
    assert crossings(rows, below) == 3
    assert crossings(order(rows, above, below), below) == 0


def test_columns_of_nothing_are_none() -> None:
    assert columns([], {}, {}, thin=frozenset(), gap=lambda *_: 1.0) == {}


@pytest.mark.parametrize(
    ("text", "limit", "lines"),
    [
        ("one two three", 45, ("one two", "three")),
        ("one", 500, ("one",)),
        ("", 50, ("",)),
        ("a\nb", 500, ("a", "b")),
        ("host_overflow_recovering", 90, ("host_overflow_", "recovering")),
        ("xxxxxxxxxx", 30, ("xxxxx", "xxxxx")),
        ("W", 1, ("W",)),
    ],
)
def test_texts_are_broken_where_they_may_be(
    text: str, limit: float, lines: tuple[str, ...]
) -> None:
    assert wrap(text, 10, limit) == lines


@given(st.text(max_size=60), st.floats(1, 200))
def test_balanced_lines_are_as_many_and_no_wider(text: str, limit: float) -> None:
    greedy, even = wrap(text, 10, limit), balanced(text, 10, limit)
    assert len(even) == len(greedy)
    assert "".join("".join(even).split()) == "".join("".join(greedy).split())
    assert max(text_width(line, 10) for line in even) <= max(
        text_width(line, 10) for line in greedy
    )


def test_no_line_is_left_with_one_short_word() -> None:
    assert wrap("aaaa bbbb cccc d", 10, 85) == ("aaaa bbbb cccc", "d")
    assert balanced("aaaa bbbb cccc d", 10, 85) == ("aaaa bbbb", "cccc d")


@given(st.text(max_size=60), st.floats(1, 200))
def test_no_letter_is_lost_in_breaking(text: str, limit: float) -> None:
    kept = "".join("".join(wrap(text, 10, limit)).split())
    assert kept == "".join("".join(text.splitlines()).split())


def test_widths_follow_the_letters() -> None:
    assert char_width("i") < char_width("m") < char_width("状")
    assert char_width("\N{COMBINING ACUTE ACCENT}") == 0
    assert text_width("ab", 20) == 2 * text_width("ab", 10)
    assert text_width("ab", 10, bold=True) > text_width("ab", 10)
