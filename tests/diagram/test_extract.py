from __future__ import annotations

from enum import Enum
from functools import partial

import pytest
from transitions import Machine, State
from transitions.extensions import HierarchicalMachine, LockedMachine
from transitions.extensions.asyncio import AsyncMachine
from transitions.extensions.states import Tags, Timeout, add_state_features

from goalfsm.diagram import DiagramError, Edge, extract, from_rows
from goalfsm.diagram.model import Diagram
from tests.diagram.samples import nested_machine


def edges(diagram: Diagram) -> list[tuple[str, str, str]]:
    return [(edge.source, edge.trigger, edge.dest) for edge in diagram.edges]


def machine(*rows: dict[str, object], states: str = "abc") -> Machine:
    return Machine(
        model=None, states=list(states), initial="a", transitions=rows, auto_transitions=False
    )


def test_everything_of_a_transition_is_read() -> None:
    """Trigger, conditions of both kinds, and what is called around it, each at its moment."""
    row = {
        "trigger": "go",
        "source": "a",
        "dest": "b",
        "conditions": "ready",
        "unless": ["locked", "late"],
        "prepare": "look",
        "before": "leave",
        "after": ["leave", "arrive"],
    }
    assert extract(machine(row)).edges == (
        Edge(
            source="a",
            dest="b",
            trigger="go",
            guards=("ready", "not locked", "not late"),
            prepare=("look",),
            before=("leave",),
            after=("leave", "arrive"),
        ),
    )


def test_rows_of_one_source_and_trigger_say_in_which_order_they_are_tried() -> None:
    """A row with a trigger of its own says nothing; nor does the same trigger elsewhere."""
    rows: list[dict[str, object]] = [
        {"trigger": "push", "source": "a", "dest": "b", "conditions": "unlocked"},
        {"trigger": "push", "source": "b", "dest": "a"},
        {"trigger": "push", "source": "a", "dest": "c", "conditions": "strong"},
        {"trigger": "pull", "source": "a", "dest": "b"},
        {"trigger": "push", "source": "a", "dest": None},
    ]
    for drawn in (extract(machine(*rows)), from_rows(rows)):
        found = {(e.trigger, e.source, e.dest): e.order for e in drawn.edges}
        assert found == {
            ("push", "a", "b"): 1,
            ("push", "a", "c"): 2,
            ("push", "a", "a"): 3,
            ("push", "b", "a"): 0,
            ("pull", "a", "b"): 0,
        }


def test_a_row_that_is_a_mapping_says_when_each_callback_is_called() -> None:
    row = {"trigger": "go", "source": "a", "dest": "b", "prepare": "p", "before": "b", "after": "b"}
    (edge,) = from_rows([row]).edges
    assert (edge.prepare, edge.before, edge.after, edge.effects) == (("p",), ("b",), ("b",), ())
    (edge,) = from_rows([Row("go", "a", "b", prepare="p", before=["b"], after="c")]).edges
    assert (edge.prepare, edge.before, edge.after, edge.effects) == (("p",), ("b",), ("c",), ())


def test_callbacks_are_called_by_their_names() -> None:
    """No address in memory ends up in a picture: it would be stale on every run."""

    class Notify:
        def __call__(self) -> bool:
            return True

    def ready(limit: int, *, strict: bool) -> bool:
        return strict and limit > 0

    row: dict[str, object] = {
        "trigger": "go",
        "source": "a",
        "dest": "b",
        "conditions": [partial(ready, 3, strict=True), Notify(), lambda: True, "x".isascii],
    }
    assert extract(machine(row)).edges[0].guards == (
        "ready(3, strict=True)",
        "Notify",
        "lambda",
        "isascii",
    )


def test_internal_reflexive_and_wildcard_transitions_are_told_apart() -> None:
    drawn = extract(
        machine(
            {"trigger": "note", "source": "a", "dest": None},
            {"trigger": "again", "source": ["a", "b"], "dest": "="},
            {"trigger": "stop", "source": "*", "dest": "c"},
        )
    )
    assert [(e.trigger, e.source, e.dest, e.internal) for e in drawn.edges] == [
        ("note", "a", "a", True),
        ("again", "a", "a", False),
        ("again", "b", "b", False),
        ("stop", "a", "c", False),
        ("stop", "b", "c", False),
        ("stop", "c", "c", False),
    ]


def test_automatic_triggers_are_left_out_unless_asked_for() -> None:
    """A trigger of the same name that a person wrote stays."""
    made = Machine(model=None, states=["a", "b"], initial="a")
    made.add_transition("go", "a", "b")
    assert edges(extract(made)) == [("a", "go", "b")]
    assert len(extract(made, auto=True).edges) == 5
    written = machine({"trigger": "to_b", "source": ["a", "b", "c"], "dest": "b"})
    assert len(extract(written).edges) == 3
    guarded = Machine(model=None, states=["a", "b"], initial="a")
    guarded.add_transition("to_b", "a", "b", conditions="ready")
    assert {edge.trigger for edge in extract(guarded).edges} == {"to_b"}


def test_automatic_triggers_of_nested_machines_are_left_out() -> None:
    made = HierarchicalMachine(
        model=None, states=["a", {"name": "b", "children": ["c"]}], initial="a"
    )
    made.add_transition("go", "a", "b_c")
    assert edges(extract(made)) == [("a", "go", "b_c")]


def test_states_have_notes_and_do_things() -> None:
    @add_state_features(Tags, Timeout)
    class Rich(Machine):  # type: ignore[misc]
        pass

    class Labelled(State):  # type: ignore[misc]
        label = "First"
        note = "where it  begins"

    made = Rich(
        model=None,
        states=[
            {"name": "a", "tags": ["slow", 3], "timeout": 5, "on_timeout": ["late", "tell"]},
            {"name": "d", "tags": "busy"},
            State("b", on_enter=["x", "y"], on_exit="z"),
            Labelled("c"),
        ],
        initial="a",
        auto_transitions=False,
    )
    first, tagged, second, third = extract(made).states
    assert (first.timeout, first.on_timeout, first.tags) == (5, ("late", "tell"), ("slow", "3"))
    assert (tagged.tags, tagged.timeout) == (("busy",), 0)
    assert (third.text, third.note) == ("First", "where it begins")
    assert (second.entry, second.exit) == (("x", "y"), ("z",))


def test_only_what_is_declared_final_is() -> None:
    """A state that nothing leaves may wait for a trigger that another version adds."""
    rows = ({"trigger": "go", "source": "a", "dest": "b"},)
    assert extract(machine(*rows, states="ab")).finals == ()
    declared = Machine(
        model=None,
        states=["a", State("b", final=True), "c"],
        initial="a",
        transitions=rows,
        auto_transitions=False,
    )
    assert extract(declared).finals == ("b",)


def test_enum_states_are_called_by_their_names() -> None:
    class Light(Enum):
        RED = 1
        GREEN = 2

    made = Machine(model=None, states=Light, initial=Light.RED, auto_transitions=False)
    made.add_transition("go", Light.RED, Light.GREEN)
    drawn = extract(made)
    assert edges(drawn) == [("RED", "go", "GREEN")]
    assert drawn.initial == ("RED",)


def test_nested_states_keep_their_names_places_and_edges() -> None:
    drawn = extract(nested_machine())
    parents = {node.name: (node.parent, node.text) for node in drawn.states}
    assert parents["B_y_2"] == ("B_y", "2")
    assert parents["B_y"] == ("B", "y")
    assert ("B_y_1", "deep", "B_y_2") in edges(drawn)
    assert ("B_x", "go", "B_y") in edges(drawn)
    assert drawn.finals == ("B_z",)
    assert drawn.initial == ("B_y",)
    assert drawn.defaults == ("B_x", "B_y_2")


def test_a_start_that_defaults_lead_to_is_marked_once_outside() -> None:
    made = HierarchicalMachine(
        model=None,
        states=["a", {"name": "b", "initial": "c", "children": ["c", "d"]}],
        initial="b",
        auto_transitions=False,
    )
    drawn = extract(made)
    assert (drawn.initial, drawn.defaults) == (("b",), ("b_c",))


def test_parallel_states_start_together() -> None:
    made = HierarchicalMachine(
        model=None,
        states=["a", {"name": "p", "parallel": ["x", "y"]}],
        initial="p",
        auto_transitions=False,
    )
    drawn = extract(made)
    assert (drawn.initial, drawn.defaults) == (("p",), ("p_x", "p_y"))
    kinds = {node.name: node.kind for node in drawn.states}
    assert kinds == {"a": "state", "p": "parallel", "p_x": "region", "p_y": "region"}


def test_separators_of_a_machine_s_own_are_followed() -> None:
    from transitions.extensions.nesting import NestedState  # noqa: PLC0415

    class Slashed(NestedState):  # type: ignore[misc]
        separator = "/"

    class Made(HierarchicalMachine):  # type: ignore[misc]
        state_cls = Slashed

    made = Made(
        model=None,
        states=["a", {"name": "b", "children": ["c"]}],
        initial="a",
    )
    made.add_transition("go", "a", "b/c")
    assert edges(extract(made)) == [("a", "go", "b/c")]


@pytest.mark.parametrize("kind", [LockedMachine, AsyncMachine])
def test_other_kinds_of_machines_are_read_alike(kind: type[Machine]) -> None:
    made = kind(model=None, states=["a", "b"], initial="a", auto_transitions=False)
    made.add_transition("go", "a", "b")
    assert edges(extract(made)) == [("a", "go", "b")]


def test_a_machine_without_an_initial_state_has_no_start() -> None:
    made = Machine(model=None, states=["a"], initial=None, auto_transitions=False)
    assert extract(made).initial == ()


def test_what_is_no_machine_is_refused() -> None:
    with pytest.raises(DiagramError, match="int is not a machine") as refused:
        extract(3)  # type: ignore[arg-type]
    assert "transitions.Machine" in refused.value.hint


class Row:
    """A row as somebody else might write it."""

    def __init__(self, trigger: str, source: str, dest: str | None, **more: object) -> None:
        self.trigger, self.source, self.dest = trigger, source, dest
        self.__dict__.update(more)


def test_a_table_of_rows_is_a_diagram_too() -> None:
    drawn = from_rows(
        [
            Row("go", "a", "b", when="ready", update="count", actions=("tell",), reason="because"),
            Row("stay", "b", None, guards=("x", "y"), skip=True),
            Row("crash", "b", "b", fault=True),
        ],
        title="T",
        finals=["b"],
        notes={"a": "the first", "c": ""},
    )
    assert drawn.edges == (
        Edge(
            source="a",
            dest="b",
            trigger="go",
            guards=("ready",),
            effects=("count", "tell"),
            reason="because",
        ),
        Edge(
            source="b",
            dest="b",
            trigger="stay",
            guards=("x", "y"),
            effects=("skip_event",),
            internal=True,
        ),
        Edge(source="b", dest="b", trigger="crash", internal=True, fault=True),
    )
    assert [(node.name, node.note) for node in drawn.states] == [
        ("a", "the first"),
        ("c", ""),
        ("b", ""),
    ]
    assert (drawn.initial, drawn.finals) == (("a",), ("b",))


@pytest.mark.parametrize(("rows", "said"), [([], "no row"), ([object()], "is not a row")])
def test_what_is_no_table_is_refused(rows: list[object], said: str) -> None:
    with pytest.raises(DiagramError, match=said):
        from_rows(rows)


def test_the_title_is_the_machine_s() -> None:
    """Its name, else the class of its one kind of model, else its own class."""

    class Order:
        pass

    class OrderMachine(Machine):  # type: ignore[misc]
        pass

    def made(kind: type[Machine], model: object, **options: object) -> str:
        return extract(kind(model=model, states=["a"], initial="a", **options)).title

    assert made(OrderMachine, Order(), name="How an order goes") == "How an order goes"
    assert made(OrderMachine, [Order(), Order()]) == "Order"
    assert made(OrderMachine, None) == "OrderMachine"
    assert made(OrderMachine, "self") == "OrderMachine"
    assert made(Machine, None) == ""
