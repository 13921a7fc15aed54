"""What a machine that cannot be meant is refused with, and what a compiled row knows of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from goalfsm.goal.compiler import Check
from goalfsm.goal.machine import (
    FINALS,
    ON_ENTER,
    STATES,
    TRANSITIONS,
    MachineError,
    Row,
    build,
    compile_machine,
    default_machine,
    goal_machine,
)
from goalfsm.goal.model import Goal
from goalfsm.session import Session
from goalfsm.views.prompts.turn import (
    NothingToDo,
    TemplateError,
    compiled,
    fill,
    render_turn,
    wind_down_text,
)

NAMES = "active, paused, blocked, complete, budgetLimited"


def with_row(row: Row) -> Callable[[], Any]:
    """Return what makes our machine with a row before ours."""
    return lambda: goal_machine((row, *TRANSITIONS))


def entering(entries: Mapping[str, tuple[str, ...]]) -> Callable[[], Any]:
    """Return what makes our machine with effects of entering a status."""
    return lambda: goal_machine(on_enter={**ON_ENTER, **entries})


def two_guards() -> None:
    """Compile a row with two guards."""
    live = build()
    guards = [Check(name, lambda _goal: True) for name in ("one", "other")]
    live.add_transition("odd", "active", "paused", conditions=guards)
    compile_machine(live, finals=FINALS)


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (
            entering({"active": ("sing",)}),
            "unknown effect 'sing' on entry",
            "register the effect's name",
        ),
        (entering({"nowhere": ()}), "unknown status 'nowhere' on entry", f"use one of {NAMES}"),
        (
            with_row(Row("go", "active", "nowhere")),
            "go: unknown status 'nowhere'",
            f"use one of absent, {NAMES}",
        ),
        (
            with_row(Row("go", "active", "paused", when="maybe")),
            "go: unknown guard 'maybe'",
            "register the guard",
        ),
        (
            with_row(Row("go", "active", "paused", actions=("sing",))),
            "go: unknown effect 'sing'",
            "register the effect's name",
        ),
        (
            with_row(Row("pause", "active", "blocked")),
            "pause from active: a row is hidden by an unguarded row before it",
            "give the earlier row a guard or put it last",
        ),
        (two_guards, "odd: a row has one named guard at most", "combine the guards"),
        (
            lambda: goal_machine(
                [row for row in TRANSITIONS if row.dest not in {"blocked", "paused"}]
            ),
            "no path leads to blocked, paused",
            "add a row that enters it",
        ),
        (
            lambda: goal_machine(
                [
                    row
                    for row in TRANSITIONS
                    if row.source not in {"blocked", "paused"} or row.dest is None
                ]
            ),
            "no row leaves blocked, paused",
            "add one or name it final",
        ),
        (
            lambda: default_machine().extended([Row("nap", "absent", "active")]),
            "nap: without a goal only create is asked",
            "start at a status",
        ),
        (
            lambda: default_machine().extended(
                [Row("replace", "active", "paused", when="over_budget")]
            ),
            "replace: a new goal is active",
            "lead to active",
        ),
        (
            lambda: default_machine().extended(
                [Row("pause", "active", "absent", when="over_budget")]
            ),
            "pause: clear, and nothing else of ours, gives a goal up",
            "use a trigger of your own",
        ),
    ],
)
def test_a_machine_that_cannot_be_meant(make: Callable[[], Any], message: str, hint: str) -> None:
    with pytest.raises(MachineError) as refused:
        make()
    assert (refused.value.message, refused.value.hint) == (message, hint)


def test_a_compiled_row_knows_where_it_stands() -> None:
    table = default_machine().table
    assert {source for source, _ in table} == {"absent", *STATES}
    for (source, trigger), rows in table.items():
        assert {(row.source, row.trigger) for row in rows} == {(source, trigger)}
        declared = [row for row in TRANSITIONS if (row.source, row.trigger) == (source, trigger)]
        assert [row.reason for row in rows] == [row.reason for row in declared]
        assert [row.guard_name for row in rows] == [row.when for row in declared]
        assert [row.dest for row in rows] == [row.dest or source for row in declared]


def test_the_live_machine_holds_no_model() -> None:
    """One that it held would be kept alive with it."""
    assert build().models == []


def test_our_machine_is_compiled_once() -> None:
    assert default_machine() is default_machine()


def test_what_has_no_goal_has_no_prompt() -> None:
    for render in (lambda: render_turn(Session(), 1), lambda: wind_down_text(Session())):
        with pytest.raises(NothingToDo) as nothing:
            render()
        assert nothing.value.message == "the thread has no goal"


def test_a_template_keeps_its_indentation() -> None:
    """Only the empty lines around it are the file's."""
    assert compiled("woken", "\n  X {{detail}} X \n\n") == ("  X ", "detail", " X ")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: compiled("woken", "x"), "woken: placeholders [], not ['detail']"),
        (
            lambda: compiled("woken", "{{b}} {{a}}"),
            "woken: placeholders ['a', 'b'], not ['detail']",
        ),
        (lambda: compiled("woken", "{{detail}} a }} b"), "woken: braces that are no placeholder"),
        (lambda: compiled("woken", "{{detail}} a {{ b"), "woken: braces that are no placeholder"),
        (lambda: fill("woken"), "woken: values [], not ['detail']"),
        (lambda: fill("woken", b="", a=""), "woken: values ['a', 'b'], not ['detail']"),
    ],
)
def test_a_template_that_does_not_fit(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TemplateError) as misfit:
        make()
    assert str(misfit.value) == message


def test_a_guard_is_asked_about_the_goal() -> None:
    goal = Goal(goal_id="g", objective="x", created_at=1, updated_at=1)
    assert Check("x", lambda asked: asked is goal)(goal)
