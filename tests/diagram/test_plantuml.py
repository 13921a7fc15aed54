"""What is written as PlantUML is drawn by the real PlantUML, word for word."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from goalfsm.diagram import BUILTINS, Diagram, Edge, Node, extract, named, render, with_path
from goalfsm.diagram.labels import inside, joints, simplify, with_stand_ins
from goalfsm.diagram.model import Drawing
from goalfsm.diagram.plantuml import text
from tests.diagram.mermaid import SEQUENCE
from tests.diagram.samples import awkward_machine, machine, nested_machine
from tests.diagram.shapes import SHAPES
from tests.diagram.test_shapes import drawn_of
from tests.diagram.test_svg import squeezed


def drawings() -> dict[str, Drawing]:
    found: dict[str, Drawing] = {f"shape {name}": drawn_of(name) for name in SHAPES}
    found |= {f"ours {name}": named(name) for name in BUILTINS}
    found["awkward"] = extract(awkward_machine())
    found["nested"] = extract(nested_machine())
    found["sequence"] = SEQUENCE
    return found


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[str]]:
    """Return the texts that PlantUML draws of each drawing; it is started once for all."""
    program = shutil.which("plantuml")
    if program is None:
        pytest.skip("PlantUML is not installed")
    folder: Path = tmp_path_factory.mktemp("plantuml")
    for name, drawing in drawings().items():
        source = render(drawing, format="plantuml", effects=True)
        (folder / f"{name}.puml").write_text(source, "utf-8")
    done = subprocess.run(
        [program, "-charset", "UTF-8", "-tsvg", *sorted(folder.glob("*.puml"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return {path.stem: texts(path) for path in folder.glob("*.svg")}


def texts(path: Path) -> list[str]:
    root = ET.fromstring(path.read_text("utf-8"))  # noqa: S314  a program of ours drew it
    return ["".join(text.itertext()) for text in root.iter() if text.tag.endswith("}text")]


@pytest.mark.parametrize("name", drawings())
def test_every_word_is_drawn(name: str, drawn: Mapping[str, list[str]]) -> None:
    """Each state, line of a state and label of an edge, as often as it is there."""
    drawing = drawings()[name]
    shown = squeezed("".join(drawn[name]).replace("\N{NO-BREAK SPACE}", ""))
    if not isinstance(drawing, Diagram):
        assert all(squeezed(participant.text) in shown for participant in drawing.participants)
        return
    plain = with_stand_ins(simplify(drawing))
    wanted = [node.text for node in plain.states]
    for node in plain.states:
        wanted += [line.text for line in inside(plain, node, guards=True, effects=True)]
    for joint in joints(plain, guards=True, effects=True):
        wanted += joint.texts
    for line in {squeezed(part) for found in wanted for part in found.splitlines()}:
        assert line in shown, line


def test_markup_is_written_by_its_number() -> None:
    assert text("a_b [c]") == "a_b [c]"
    star, line = "<U+002A>", "<U+005F>"
    assert text("**x** __y__") == f"{star}{star}x{star}{star} {line}{line}y{line}{line}"
    assert text("[[x]]") == "<U+005B>[x]]"
    assert text("one\ntwo") == "one\\ntwo"
    assert text("") == " "


def test_regions_directions_paths_and_faults_are_told() -> None:
    source = render(drawn_of("oven"), format="plantuml", direction="LR")
    assert "left to right direction" in source
    assert "\n    --\n" in source
    made = with_path(extract(machine(("go", "a", "b"))), [("a", "go", "b")])
    source = render(made, format="plantuml")
    assert "s_a -[#d9822b,bold]-> s_b : go" in source
    assert 'state "b" as s_b #line:d9822b;line.bold' in source
    fault = Diagram(
        title="T",
        states=(Node(name="a"), Node(name="b")),
        edges=(Edge(source="a", dest="b", fault=True),),
        finals=("b",),
    )
    source = render(fault, format="plantuml")
    assert "title T\n" in source
    assert "s_a -[#d64550,dashed]-> s_b\n" in source
    assert "s_b --> [*]" in source
