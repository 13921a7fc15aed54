from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from goalfsm.diagram import BUILTINS, Diagram, DiagramError, Frame, Message, Sequence, named
from goalfsm.diagram.ours.decisions import decision_flow
from goalfsm.diagram.ours.life import CRASH, NOTES, ROWS
from goalfsm.errors import GoalError
from goalfsm.goal.machine import TRANSITIONS, default_machine
from goalfsm.goal.model import ABSENT
from goalfsm.session import effects, events
from goalfsm.session.continuation import GUARDS, Guard
from goalfsm.workers import protocol
from recovery.machine import PHASE_TRANSITIONS, PHASES
from recovery.stale_work import LIFECYCLE, STATES


def test_the_goal_machine_is_drawn_from_every_row_that_runs() -> None:
    drawn = named("goal")
    assert isinstance(drawn, Diagram)
    table = default_machine().table
    rows = [row for rows in table.values() for row in rows]
    assert len(drawn.edges) == len(TRANSITIONS) == len(rows)
    assert {(e.trigger, e.source, e.dest, e.reason) for e in drawn.edges} == {
        (row.trigger, row.source, row.dest, row.reason) for row in rows
    }
    assert {e.guards for e in drawn.edges} == {
        () if row.guard_name is None else (row.guard_name,) for row in rows
    }
    assert drawn.initial == (ABSENT,)


def test_effects_of_entering_a_goal_s_status_are_those_that_run() -> None:
    drawn = named("goal")
    assert isinstance(drawn, Diagram)
    assert {node.name: node.entry for node in drawn.states if node.entry} == dict(
        default_machine().on_enter
    )


def test_recovery_and_stale_work_are_drawn_from_every_row() -> None:
    recovery, stale = named("recovery"), named("stale-work")
    assert isinstance(recovery, Diagram)
    assert isinstance(stale, Diagram)
    assert len(recovery.edges) == len(PHASE_TRANSITIONS)
    assert len(stale.edges) == len(LIFECYCLE)
    assert {node.name for node in recovery.states} == {phase.name for phase in PHASES}
    assert {node.name for node in stale.states} == set(STATES)
    assert {edge.reason for edge in stale.edges} == {row.reason for row in LIFECYCLE}


def test_the_decision_is_drawn_in_the_order_of_its_guards() -> None:
    drawn = named("continuation")
    assert isinstance(drawn, Diagram)
    questions = [node for node in drawn.states if node.kind == "decision"]
    assert [(node.name, node.text) for node in questions] == [(g.name, g.asks) for g in GUARDS]
    way = {edge.source: edge.dest for edge in drawn.edges if edge.trigger == "no"}
    step, walked = drawn.initial[0], []
    while step in way:
        walked.append(step)
        step = way[step]
    assert walked == [guard.name for guard in GUARDS]
    assert step == "continue"


def test_another_order_of_guards_is_another_flow() -> None:
    drawn = decision_flow(GUARDS[::-1])
    assert drawn.initial == (GUARDS[-1].name,)


def test_a_guard_that_answers_nothing_known_is_an_error() -> None:
    with pytest.raises(DiagramError, match="the guard 'never' answers no situation"):
        decision_flow((Guard("never", "Never?", lambda _: None),))


def test_a_decision_that_never_continues_is_an_error() -> None:
    from goalfsm.session.continuation import Wait  # noqa: PLC0415

    with pytest.raises(DiagramError, match="does not continue"):
        decision_flow((Guard("always", "Always?", lambda _: Wait("always", "always")),))


def test_a_run_s_steps_are_named_as_what_really_happens() -> None:
    """Every trigger is an event, an effect or what a worker reports, besides the crash itself."""
    known = {event.__name__ for event in get_args(events.Event)}
    known |= {effect.__name__ for effect in get_args(effects.Effect)}
    known |= {name for name in vars(protocol) if isinstance(getattr(protocol, name), type)}
    assert {row.trigger for row in ROWS} - {CRASH} <= known
    assert all(row.reason for row in ROWS)
    assert set(NOTES) == {end for row in ROWS for end in (row.source, row.dest)}


def test_a_crash_may_hit_a_run_wherever_it_is() -> None:
    assert {row.source for row in ROWS if row.trigger == CRASH} == set(NOTES)


def test_the_loop_tells_what_handle_really_decides() -> None:
    drawn = named("session")
    assert isinstance(drawn, Sequence)
    said = [step.text for step, _ in drawn.walk() if isinstance(step, Message)]
    assert "StartRun" in said
    assert any("SendWork" in text and "continue (otherwise)" in text for text in said)
    assert any(text.endswith("stop (status)") for text in said)
    assert [step.kind for step, _ in drawn.walk() if isinstance(step, Frame)] == ["loop", "opt"]


def test_every_machine_of_ours_says_where_it_is_defined() -> None:
    for builtin in BUILTINS.values():
        assert builtin.about
        for module in builtin.modules:
            __import__(module)


# Machines of a user.

MODULE = """
    from transitions import Machine
    from goalfsm.diagram import Diagram, Node
    from goalfsm.goal.machine import default_machine

    def build(initial="a"):
        machine = Machine(model=None, states=["a", "b"], initial=initial, auto_transitions=False)
        machine.add_transition("go", "a", "b")
        return machine

    class Order:
        def __init__(self):
            self.machine = build()

    class Row:
        trigger, source, dest = "go", "a", "b"

    def needs(argument):
        return argument

    order = Order()
    machine = build()
    made = Machine(model=None, states=["a"], initial="a", name="Called so")
    drawing = Diagram(title="Own", states=(Node(name="a"),))
    rows = [Row]
    goal = default_machine()
    number = 3
    text = "go"
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a module that only the current directory holds; return its name."""
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)

    def write(source: str = MODULE, name: str = "users_own") -> str:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    write()
    yield write
    assert sys.path == path
    sys.modules.pop("users_own", None)


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("machine", "machine"),
        ("build", "build"),
        ("order", "order"),
        ("Order", "Order"),
        ("order.machine", "order.machine"),
        ("made", "Called so"),
        ("drawing", "Own"),
        ("rows", "rows"),
        ("goal", "goal"),
    ],
)
@pytest.mark.usefixtures("module")
def test_what_can_be_drawn_is_found(path: str, title: str) -> None:
    drawn = named(f"users_own:{path}")
    assert drawn.title == title


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("gaol", "unknown machine 'gaol'", "did you mean 'goal'?"),
        ("zzz", "unknown machine 'zzz'", "use one of goal, recovery"),
        (":x", "unknown machine ':x'", "package.module:object"),
        ("users_own:", "unknown machine", "package.module:object"),
        ("no_such_module:x", "cannot import no_such_module", "PYTHONPATH"),
        ("users_own:machin", "there is no 'machin'", "did you mean 'machine'?"),
        ("users_own:zzz.y", "there is no 'zzz'", "it has machine"),
        ("users_own:number.zzz", "there is no 'zzz'", "look into users_own"),
        ("./users_own.py:machine", "is a file", "name its module: users_own:machine"),
        ("users/own:machine", "is a file", "name its module: users.own:machine"),
        ("users_own:number", "int is nothing that can be drawn", "transitions.Machine"),
        ("users_own:text", "str is nothing that can be drawn", "transitions.Machine"),
        ("users_own:needs", "calling it failed: TypeError", "no arguments"),
    ],
)
@pytest.mark.usefixtures("module")
def test_what_cannot_be_found_is_refused_with_a_hint(name: str, said: str, hint: str) -> None:
    with pytest.raises(GoalError, match=said) as refused:
        named(name)
    assert hint in refused.value.hint


def test_a_module_that_fails_says_how(module: Callable[[str, str], str]) -> None:
    module("raise RuntimeError('broken')", "users_broken")
    with pytest.raises(DiagramError, match="users_broken failed: RuntimeError: broken"):
        named("users_broken:x")


def test_a_module_that_exits_says_so(module: Callable[[str, str], str]) -> None:
    module("raise SystemExit(3)", "users_exiting")
    with pytest.raises(DiagramError, match="users_exiting failed: SystemExit: 3"):
        named("users_exiting:x")


def test_the_current_directory_is_searched_once(
    module: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is on the path already, the path stays as it is."""
    monkeypatch.syspath_prepend(str(Path.cwd()))
    before = list(sys.path)
    assert named(f"{module()}:machine").title == "machine"
    assert sys.path == before
    monkeypatch.undo()
