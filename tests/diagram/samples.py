"""Machines that several tests draw."""

from __future__ import annotations

from typing import Any

from transitions import Machine, State
from transitions.extensions import HierarchicalMachine

AWKWARD = (
    "end",
    "direction LR",
    "hide empty description",
    "left of",
    "fork",
    "[[join]]",
    "graph",
    "subgraph",
    "strict digraph",
    "node",
    "edge",
    "state",
    "note",
    "class",
    "click",
    "default",
    "style",
    "direction",
    "[*]",
    "with space",
    "with-dash",
    "a -->b",
    "a: b",
    "a::b",
    "a;b",
    'say "hi"',
    "it's",
    "<b>bold</b>",
    "<script>alert(1)</script>",
    "&amp;",
    "&",
    "#35;",
    "#quot;",
    "#",
    "%% comment",
    "{brace}",
    "`code`",
    "*star*",
    "__init__",
    "_x_",
    "back\\slash",
    "\\n",
    "|pipe|",
    "$x$ and $$y$$",
    "1. first",
    "- dash",
    "~~struck~~",
    "état",
    "状態",
    "Ärger 🎉",
    "عربي",
    "two\nlines",
    "constructor",
    "__proto__",
    "x" * 120,
    "long_name_" * 12,
)
"""Names that some format reads as something else."""


def awkward_machine() -> Machine:
    """Return a machine whose states, triggers and conditions are all of those names."""
    machine = Machine(
        model=None,
        states=list(AWKWARD),
        initial=AWKWARD[0],
        auto_transitions=False,
        model_attribute="where",
    )
    for source, dest in zip(AWKWARD, (*AWKWARD[1:], AWKWARD[0]), strict=True):
        machine.add_transition(source, source, dest, conditions=[dest], before=[source])
    return machine


WAYS = (
    ("submit", "draft", "submitted"),
    ("pick up", "submitted", "triage"),
    ("assign", "triage", "in review"),
    ("ask", "in review", "changes requested"),
    ("resubmit", "changes requested", "submitted"),
    ("approve", "in review", "approved"),
    ("reject", "in review", "rejected"),
    ("schedule", "approved", "scheduled"),
    ("build", "scheduled", "building"),
    ("fail", "building", "build failed"),
    ("retry", "build failed", "building"),
    ("built", "building", "testing"),
    ("fail", "testing", "tests failed"),
    ("retry", "tests failed", "testing"),
    ("pass", "testing", "staging"),
    ("fail", "staging", "staging failed"),
    ("retry", "staging failed", "staging"),
    ("promote", "staging", "canary"),
    ("fail", "canary", "canary failed"),
    ("promote", "canary", "rolling out"),
    ("pause", "rolling out", "paused"),
    ("resume", "paused", "rolling out"),
    ("roll back", "rolling out", "rolled back"),
    ("roll back", "canary failed", "rolled back"),
    ("finish", "rolling out", "released"),
    ("watch", "released", "monitoring"),
    ("alarm", "monitoring", "incident"),
    ("mitigate", "incident", "mitigating"),
    ("resolve", "mitigating", "resolved"),
    ("watch", "resolved", "monitoring"),
    ("escalate", "incident", "escalated"),
    ("mitigate", "escalated", "mitigating"),
    ("deprecate", "monitoring", "deprecated"),
    ("sunset", "deprecated", "sunset"),
    ("archive", "sunset", "archived"),
    ("rework", "rolled back", "draft"),
)


def release_machine() -> Machine:
    """Return a user's machine of 30 states, with everything that such machines have."""
    names = list(dict.fromkeys(name for _, *ends in WAYS for name in ends))
    names += ["on hold", "cancelled"]
    machine = Machine(model=None, states=names, initial="draft", auto_transitions=False)
    for trigger, source, dest in (*WAYS, ("hold", "triage", "on hold")):
        machine.add_transition(trigger, source, dest)
    machine.add_transition("unhold", "on hold", "triage")
    machine.add_transition("cancel", "*", "cancelled")
    machine.add_transition("touch", "*", "=")
    machine.add_transition("comment", "in review", None, after="notify_the_author")
    machine.add_transition(
        "promote", "canary", "released", conditions=["is_small", "all_green"], unless="frozen"
    )
    return machine


def nested_machine() -> HierarchicalMachine:
    """Return a machine nested two deep, with edges of every kind across the borders."""
    inner: dict[str, Any] = {
        "name": "y",
        "initial": "2",
        "children": ["1", "2"],
        "transitions": [["deep", "1", "2"]],
    }
    outer: dict[str, Any] = {
        "name": "B",
        "initial": "x",
        "children": ["x", inner, {"name": "z", "final": True}],
        "transitions": [["go", "x", "y"], ["fin", "y", "z"]],
    }
    machine = HierarchicalMachine(
        model=None, states=["A", outer, "C"], initial="B_y", auto_transitions=False
    )
    for trigger, source, dest in (
        ("t", "A", "B"),
        ("t", "B_x", "C"),
        ("t", "C", "B_y_1"),
        ("back", "B", "A"),
        ("p", "B_y_1", "A"),
        ("out", "B_y", "B"),
        ("into", "B", "B_y_2"),
        ("same", "B_x", "="),
        ("same", "B_y", "="),
        ("quiet", "C", None),
        ("quiet", "B", None),
    ):
        machine.add_transition(trigger, source, dest)
    return machine


def busy_state() -> State:
    """Return a state that does something when it is entered and left."""
    return State("busy", on_enter=["start_clock", "tell"], on_exit="stop_clock")


def machine(*rows: tuple[Any, ...], states: str = "ab") -> Machine:
    """Return a machine of these rows, with a state for each letter."""
    made = Machine(model=None, states=list(states), initial="a", auto_transitions=False)
    for row in rows:
        made.add_transition(*row)
    return made
