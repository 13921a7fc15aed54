"""The SVG is well formed, says what the machine says and looks after light and dark."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest
from transitions import Machine

from goalfsm.diagram import BUILTINS, Diagram, Edge, Node, extract, named, render
from goalfsm.diagram.labels import inside, joints, simplify
from goalfsm.diagram.style import DARK, LIGHT, TEXT_SIZE
from goalfsm.diagram.svg.svg_page import clean, curve, number
from tests.diagram.mermaid import SEQUENCE
from tests.diagram.samples import (
    AWKWARD,
    awkward_machine,
    busy_state,
    nested_machine,
    release_machine,
)

NS = "{http://www.w3.org/2000/svg}"


def parsed(text: str) -> ET.Element:
    root = ET.fromstring(text)  # noqa: S314  what is parsed is our own
    assert root.tag == f"{NS}svg"
    return root


def texts(root: ET.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{NS}text")]


def squeezed(value: str) -> str:
    """Return ``value`` without the spaces and breaks that wrapping may add or take."""
    return "".join(value.split())


def of_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [e for e in root.iter() if name in e.get("class", "").split()]


@pytest.mark.parametrize("name", AWKWARD)
def test_any_name_survives(name: str) -> None:
    drawn = Diagram(
        title=name,
        states=(Node(name=name), Node(name="other")),
        edges=(
            Edge(source=name, dest="other", trigger=name),
            Edge(source=name, dest=name, trigger=name, internal=True),
        ),
    )
    root = parsed(render(drawn, format="svg"))
    found = squeezed("".join(texts(root)))
    assert found.count(squeezed(name)) >= 4
    title = root.find(f"{NS}title")
    assert title is not None
    assert title.text == name


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    drawn = Diagram(title="a\0b", states=(Node(name="x\x1by\ud800"),))
    root = parsed(render(drawn, format="svg"))
    assert "x\N{REPLACEMENT CHARACTER}y\N{REPLACEMENT CHARACTER}" in texts(root)
    assert clean("<&>\x00") == "&lt;&amp;&gt;\N{REPLACEMENT CHARACTER}"


def every_line(diagram: Diagram, *, effects: bool) -> str:
    drawn = simplify(diagram)
    lines = [node.text for node in drawn.states]
    for node in drawn.states:
        lines += [line.text for line in inside(drawn, node, guards=True, effects=effects)]
    for joint in joints(drawn, guards=True, effects=effects):
        lines += joint.texts
    return "".join(sorted(squeezed("".join(lines))))


@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize("effects", [False, True])
@pytest.mark.parametrize(
    "drawn",
    [
        pytest.param(extract(awkward_machine()), id="awkward"),
        pytest.param(extract(nested_machine()), id="nested"),
        pytest.param(extract(release_machine()), id="release"),
        *(pytest.param(named(name), id=name) for name in BUILTINS if name != "session"),
    ],
)
def test_every_word_of_a_machine_is_drawn(drawn: Diagram, effects: bool, direction: Any) -> None:
    """Wrapping, merging and grouping lose no letter of any label."""
    text = render(drawn, format="svg", effects=effects, direction=direction, title="")
    assert "".join(sorted(squeezed("".join(texts(parsed(text)))))) == every_line(
        drawn, effects=effects
    )


def test_it_dresses_for_light_and_dark() -> None:
    text = render(named("goal"), format="svg")
    style = parsed(text).findtext(f"{NS}style") or ""
    light, dark = style.split("@media(prefers-color-scheme:dark)")
    for palette, rules in ((LIGHT, light), (DARK, dark)):
        colours = set(msgspec.structs.asdict(palette).values())
        assert colours <= set(re.findall("#[0-9a-f]{6}", rules))
    assert (
        f":is([data-theme=dark],[data-md-color-scheme=slate]) .fsm text{{fill:{DARK.ink}}}" in dark
    )


def test_programs_that_know_no_custom_properties_see_its_colours() -> None:
    """Converters, office programs and image viewers read colours that stand where they are used."""
    for name in BUILTINS:
        text = render(named(name), format="svg")
        assert "var(" not in text
        light = text[: text.index("@media")]
        for kind in ("page", "node", "edge", "label"):
            assert re.search(rf"\.fsm \.{kind}{{fill:(#[0-9a-f]{{6}}|none)", light)


@pytest.mark.parametrize("name", BUILTINS)
def test_it_can_be_read_on_a_phone(name: str) -> None:
    """In a column of 343 of a phone's 375 pixels, no letter is smaller than 6.8 of them."""
    width = float(parsed(render(named(name), format="svg")).get("width") or 0)
    assert TEXT_SIZE * 343 / width >= 6.8


def test_many_states_without_edges_stand_in_a_block() -> None:
    drawn = extract(Machine(model=None, states=[f"s{n}" for n in range(30)], initial="s0"))
    root = parsed(render(drawn, format="svg"))
    assert len(of_class(root, "node")) == 30  # and none of them is an end
    assert float(root.get("width") or 0) < 700


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_every_text_has_enough_contrast(palette: Any) -> None:
    """4.5 to 1, as accessibility guidelines ask of texts, on everything that it may lie on."""

    def luminance(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        light, dark = sorted((luminance(one), luminance(other)), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    for text in (palette.ink, palette.muted, palette.guard, palette.fault, palette.accent_ink):
        for ground in (palette.page, palette.node, palette.group, palette.now):
            assert contrast(text, ground) >= 4.5, (text, ground)
    assert contrast(palette.line, palette.page) >= 3


def test_inside_a_page_it_is_no_wider_than_its_column() -> None:
    style = parsed(render(named("goal"), format="svg")).findtext(f"{NS}style") or ""
    assert "max-width:100%;height:auto" in style[: style.index("}")]


def test_it_needs_nothing_from_elsewhere() -> None:
    """No script, font, image or style sheet is fetched; links stay inside the document."""
    text = render(release_machine(), format="svg")
    assert not re.search(r"<script|@import|@font-face|<image|href=", text)
    ids = set(re.findall(r' id="([^"]+)"', text))
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= ids


def test_two_drawings_on_one_page_share_no_identifier() -> None:
    ids = [
        set(re.findall(r' id="([^"]+)"', render(named(name), format="svg")))
        for name in ("goal", "run")
    ]
    assert not ids[0] & ids[1]


def test_the_same_machine_gives_the_same_bytes() -> None:
    assert render(release_machine(), format="svg") == render(release_machine(), format="svg")


def test_a_machine_of_thirty_states_is_drawn_at_once() -> None:
    machine = release_machine()
    start = time.perf_counter()
    root = parsed(render(machine, format="svg"))
    assert time.perf_counter() - start < 5
    assert len(of_class(root, "state")) == 30


def test_where_it_is_and_where_it_went_stand_out() -> None:
    machine = Machine(model=None, states=["a", "b"], initial="a", auto_transitions=False)
    machine.add_transition("go", "a", "b")
    machine.add_transition("back", "b", "a")
    root = parsed(render(machine, format="svg", path=[("a", "go", "b"), ("b", "back", "a")] * 2))
    assert len(of_class(root, "now")) == 1
    assert {"go \N{MULTIPLICATION SIGN}2", "back \N{MULTIPLICATION SIGN}2"} <= set(texts(root))
    assert sum(1 for e in of_class(root, "taken") if e.tag == f"{NS}path") == 2


def test_guards_and_effects_come_and_go() -> None:
    machine = Machine(model=None, states=["a", busy_state()], initial="a", auto_transitions=False)
    machine.add_transition("go", "a", "busy", conditions="ready", before="leave")

    def shown(**options: bool) -> set[str]:
        return set(texts(parsed(render(machine, format="svg", **options))))

    assert "go [ready]" in shown()
    assert {"go", "a"} <= shown(guards=False)
    assert {"go [ready]", "/ before leave"} <= shown(effects=True)
    assert {"entry / start_clock, tell", "exit / stop_clock"} <= shown(effects=True)


def test_a_flow_is_a_ladder() -> None:
    """The outcomes stand in one column beside the questions, which stand in another."""
    root = parsed(render(named("continuation"), format="svg"))
    questions = of_class(root, "decision")
    outcomes = [e for e in of_class(root, "outcome") if e.tag == f"{NS}rect"]
    lefts = {e.get("points", "").split(",")[0] for e in questions}
    assert len(lefts) == 1
    assert len(questions) == len(outcomes) - 1
    assert len({e.get("x") for e in outcomes}) == 2  # Continue stands below the questions


def test_a_flow_runs_across_too() -> None:
    root = parsed(render(named("continuation"), format="svg", direction="LR"))
    outcomes = [e for e in of_class(root, "outcome") if e.tag == f"{NS}rect"]
    widths = {e.get("width") for e in outcomes}
    assert len({e.get("x") for e in outcomes}) == len(outcomes)
    assert len(widths) == 2


def test_a_flow_without_outcomes_is_an_ordinary_drawing() -> None:
    drawn = Diagram(
        title="",
        states=(Node(name="a", kind="decision"), Node(name="b", kind="decision")),
        edges=(Edge(source="a", dest="b", trigger="no"), Edge(source="b", dest="a")),
        flow=True,
    )
    assert texts(parsed(render(drawn, format="svg"))) == ["a", "b", "no"]


def test_a_sequence_is_drawn_from_top_to_bottom() -> None:
    root = parsed(render(SEQUENCE, format="svg"))
    found = texts(root)
    assert found[0] == "Who says what"
    for text in ("go; #now: <i>", "two", "lines", "over: all of it", "loop", "opt", "x"):
        assert text in found
    assert found.count("The end: <b>") == 2  # above and below
    heights = [float(e.get("y", 0)) for e in root.iter(f"{NS}text")]
    assert heights[found.index("go; #now: <i>")] < heights[found.index("two")]


def test_our_sequence_says_every_message() -> None:
    root = parsed(render(named("session"), format="svg"))
    found = squeezed("".join(texts(root)))
    for row in render(named("session"), format="table").splitlines()[2:]:
        said = row.split("|")[4].replace("\\_", "_").replace(", ", "").replace(",", "")
        assert squeezed(said) in found.replace(",", "")


def test_numbers_and_paths_are_short() -> None:
    assert [number(value) for value in (1.0, 1.25, -0.01, 10.96)] == ["1", "1.2", "0", "11"]
    line = curve([(0, 0), (0, 0), (0, 10), (0, 10.01)], across=False)
    assert line == "M0 0L0 10"
    assert curve([(0, 0), (10, 10)], across=False) == "M0 0C0 5 10 5 10 10"
    assert curve([(0, 0), (10, 10)], across=True) == "M0 0C5 0 5 10 10 10"
    assert curve([(0, 0), (1, 1), (2, 2), (0, 3)], across=True, loop=True) == "M0 0C1 1 2 2 0 3"


@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize("name", [name for name in BUILTINS if name != "session"])
def test_every_arrow_s_tip_points_into_its_state(name: str, direction: Any) -> None:
    """No piece of a way is without length: the tip would point anywhere."""
    root = parsed(render(named(name), format="svg", direction=direction))
    for path in of_class(root, "edge"):
        pieces = re.findall(r"[MLC]([^MLC]*)", path.get("d", ""))
        ends = [tuple(piece.split()[-2:]) for piece in pieces]
        assert all(one != other for one, other in pairwise(ends))


def test_what_is_hard_to_see_is_said() -> None:
    """A reader of the screen hears the title and every transition."""
    root = parsed(render(named("run"), format="svg"))
    assert root.get("role") == "img"
    assert root.get("aria-label") == named("run").title
    assert "wanted to open: RunDispatched" in (root.findtext(f"{NS}desc") or "")
