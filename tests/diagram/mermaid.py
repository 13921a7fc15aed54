"""What the real Mermaid understood of a text, and a sequence to draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goalfsm.diagram import Diagram, Frame, Message, Participant, Remark, Sequence
from goalfsm.diagram.labels import joints
from goalfsm.diagram.mermaid import identifiers

Reader = Callable[[str], dict[str, Any]]
MARKERS = {"stateStart", "stateEnd"}


def states(read: dict[str, Any]) -> dict[str, list[str]]:
    """Return the lines shown in each state, without the start and end markers."""
    found = [
        state
        for state in read["states"]
        if state.get("shape") not in MARKERS and state.get("type") != "circle"
    ]
    return {state["id"]: state["lines"] for state in found}


def edges(read: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Return the edges between states, without those of the markers."""
    ids = states(read)
    return {(a, b, text) for a, b, text in read["edges"] if a in ids and b in ids}


def expected(diagram: Diagram, *, effects: bool = False) -> set[tuple[str, str, str]]:
    ids = identifiers(node.name for node in diagram.states)
    return {
        (ids[joint.source], ids[joint.dest], "\n".join(joint.texts))
        for joint in joints(diagram, guards=True, effects=effects)
    }


SEQUENCE = Sequence(
    title="Who says what",
    participants=(
        Participant(name="end", label="The end: <b>"),
        Participant(name="loop"),
        Participant(name="a b"),
    ),
    steps=(
        Message(source="end", dest="loop", text="go; #now: <i>"),
        Frame(
            kind="loop",
            text="until it's done; or not",
            steps=(
                Remark(over=("a b", "end"), text="over: all of it"),
                Frame(kind="opt", text="end", steps=(Message(source="a b", dest="a b", text="x"),)),
                Message(source="loop", dest="end", text="two\nlines", reply=True),
            ),
        ),
    ),
)
