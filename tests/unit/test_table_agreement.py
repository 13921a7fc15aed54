"""What is planned without the table agrees with the table; what ours mean stays when it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, Final

import pytest
import transitions
from msgspec.structs import replace

from goalfsm.goal.compiler import MachineError, Row
from goalfsm.goal.machine import (
    EFFECTS,
    FORGET,
    GUARDS,
    ON_ENTER,
    STATES,
    TRANSITIONS,
    GoalMachine,
    build,
    callback_effect,
    continuations_spent,
    default_machine,
    goal_machine,
    under_budget,
)
from goalfsm.goal.model import ABSENT, Goal, Rejection, used_up
from goalfsm.goal.transition import Fire, Plan, RuntimeAccounting, Set, mark, plan

FRESH = Goal(goal_id="g", objective="x", created_at=1, updated_at=1)
SPENT: tuple[dict[str, Any], ...] = (
    {"token_budget": 5, "tokens_used": 5},
    {"time_budget_seconds": 5, "active_seconds": 6},
    {"cost_budget": 5, "cost_used": 5},
)
STOPPING: Final = {"clear_continuation", "clear_active_accounting"}
ENTERING: dict[str, set[str]] = {
    "active": {"clear_budget_warning"},
    "paused": {*STOPPING, "clear_budget_warning"},
    "blocked": {*STOPPING, "clear_budget_warning"},
    "complete": {*STOPPING, "reset_recovery", "clear_budget_warning"},
    "budgetLimited": {*STOPPING, "reset_recovery"},
}


def check_new_goals(machine: GoalMachine) -> None:
    """Hold what storing a new goal does against the rows of ``create`` and ``replace``."""
    new = replace(FRESH, goal_id="new")
    for status in (None, *STATES):
        before = None if status is None else replace(FRESH, status=status)
        stored = plan(before, Set(new), 9, machine)
        assert isinstance(stored, Plan)
        (row,) = machine.table[status or ABSENT, "create" if before is None else "replace"]
        assert (row.dest, row.guard, row.persist) == ("active", None, "set")
        assert row.effects == stored.before == FORGET


def check_accounting(machine: GoalMachine) -> None:
    """Hold what charging does against the rows of ``account``."""
    for status, spent in product(("active", "budgetLimited"), (False, True)):
        used = 5 if status == "budgetLimited" else 0
        before = replace(FRESH, status=status, token_budget=5, tokens_used=used)
        over = status == "budgetLimited" or spent
        after = replace(
            before,
            tokens_used=used + (5 if spent else 1),
            status="budgetLimited" if over else "active",
        )
        charged = plan(before, RuntimeAccounting(after), 9, machine)
        fired = plan(replace(after, status=status), Fire("account"), 9, machine)
        assert isinstance(charged, Plan)
        assert isinstance(fired, Plan)
        assert fired.next_goal is not None
        assert fired.next_goal.status == after.status
        assert charged.before == fired.before


def check_storing(machine: GoalMachine) -> None:
    """Hold what storing a decided goal does against what entering its status should do."""
    for status in STATES:
        stored = plan(FRESH, Set(replace(FRESH, status=status, note="new")), 9, machine)
        assert isinstance(stored, Plan)
        assert set(stored.before) == ENTERING[status]


def check_guards(machine: GoalMachine) -> None:
    """Hold the rows with guards against goals with and without something left."""
    over = {
        status: [replace(FRESH, status=status, **spent) for spent in SPENT] for status in STATES
    }
    for status in ("paused", "blocked"):
        assert _leads(machine, replace(FRESH, status=status), "resume") == "active"
        for goal in over[status]:
            assert _leads(machine, goal, "resume") == "budgetLimited"
    spent = replace(FRESH, status="paused", limited_by="continuations", continuations=3)
    assert _leads(machine, spent, "resume") == "budgetLimited"
    assert _leads(machine, replace(spent, max_continuations=4), "resume") == "active"
    limited = replace(FRESH, status="budgetLimited", limited_by="tokens")
    assert _leads(machine, limited, "raise_budget") == "active"
    for goal in over["budgetLimited"]:
        assert _leads(machine, goal, "raise_budget") == "budgetLimited"
    assert _leads(machine, FRESH, "account") == "active"
    assert _leads(machine, replace(FRESH, limited_by="continuations"), "account") == "active"
    for goal in over["active"]:
        assert _leads(machine, goal, "account") == "budgetLimited"


def _leads(machine: GoalMachine, goal: Goal, trigger: str) -> str | None:
    planned = plan(goal, Fire(trigger), 9, machine)
    assert isinstance(planned, Plan)
    return None if planned.next_goal is None else planned.next_goal.status


CHECKS: tuple[Callable[[GoalMachine], None], ...] = (
    check_new_goals,
    check_accounting,
    check_storing,
    check_guards,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_machine_agrees(check: Callable[[GoalMachine], None]) -> None:
    check(default_machine())


# Changed in one place, somebody has to notice.

Mutant = tuple[str, Callable[[], GoalMachine]]


def _with(
    rows: tuple[Row, ...] = TRANSITIONS,
    on_enter: Mapping[str, tuple[str, ...]] = ON_ENTER,
    guards: Mapping[str, Any] = GUARDS,
) -> Callable[[], GoalMachine]:
    return lambda: goal_machine(rows, on_enter=on_enter, guards=guards)


def mutants_of_rows() -> Iterator[Mutant]:
    """Drop and redirect rows that nothing is planned by; alter the guard of every row."""
    for index, row in enumerate(TRANSITIONS):
        before, after = TRANSITIONS[:index], TRANSITIONS[index + 1 :]
        name = f"{row.trigger} from {row.source} ({index})"
        if row.trigger in {"create", "replace", "account"}:
            yield f"drop {name}", _with((*before, *after))
            for dest in (None, ABSENT, *STATES):
                if dest != row.dest:
                    changed = row._replace(dest=dest)
                    yield f"redirect {name} to {dest}", _with((*before, changed, *after))
        for guard in (None, *GUARDS):
            if row.when is not None and guard != row.when:
                changed = row._replace(when=guard)
                yield f"guard {name} by {guard}", _with((*before, changed, *after))


def mutants_of_the_rest() -> Iterator[Mutant]:
    """Alter what entering a status does, and what every guard says."""
    for status, effects in ON_ENTER.items():
        for effect in effects:
            kept = tuple(other for other in effects if other != effect)
            yield f"enter {status} without {effect}", _with(on_enter={**ON_ENTER, status: kept})
        for effect in sorted(EFFECTS - {*effects}):
            more = {**ON_ENTER, status: (*effects, effect)}
            yield f"enter {status} with {effect}", _with(on_enter=more)
    for name, guard in GUARDS.items():
        others: dict[str, Callable[[Goal], bool]] = {
            "turned round": lambda goal, guard=guard: not guard(goal),
            "always": lambda _goal: True,
            "never": lambda _goal: False,
        }
        for how, other in others.items():
            yield f"guard {name} {how}", _with(guards={**GUARDS, name: other})


def noticed(make: Callable[[], GoalMachine]) -> str | None:
    """Return who notices a changed table first, None when nobody does."""
    try:
        machine = make()
    except MachineError:
        return "compiling"
    for check in CHECKS:
        try:
            check(machine)
        except (AssertionError, KeyError, ValueError):
            return check.__name__
    return None


def test_every_change_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that nothing is planned by, entries and guards: each altered alone."""
    who = {name: noticed(make) for name, make in (*mutants_of_rows(), *mutants_of_the_rest())}
    missed = [name for name, by in who.items() if by is None]
    with capsys.disabled():
        print(  # noqa: T201  the figure is what the test is for
            f"\ngoal machine: {len(who)} changes of guards, of entries and of rows that nothing is "
            f"planned by, missed {len(missed)}"
        )
    assert missed == []
    assert {check.__name__ for check in CHECKS} <= set(who.values())
    assert len(who) > 100


# The live machine under every answer of its guards.


class Probe:
    """A model that ``transitions`` has never seen, as small as one can be."""

    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state


@pytest.mark.parametrize("answers", list(product((True, False), repeat=len(GUARDS))))
def test_the_compiled_table_does_what_the_live_machine_does(answers: tuple[bool, ...]) -> None:
    """Every status and trigger, whatever the guards say: also what no goal makes them say."""
    guards = {
        name: lambda _goal, answer=answer: answer
        for name, answer in zip(GUARDS, answers, strict=True)
    }
    machine, compiled = build(guards=guards), goal_machine(guards=guards)
    seen = 0
    for state, trigger in product((ABSENT, *STATES), machine.events):
        probe, effects = Probe(state), []
        rows = compiled.table.get((state, trigger))
        try:
            taken = machine.events[trigger].trigger(probe, FRESH, effects)
        except transitions.MachineError:
            assert rows is None
            continue
        assert rows is not None
        row = next((row for row in rows if row.guard is None or row.guard(FRESH)), None)
        assert taken is (row is not None)
        assert probe.state == (state if row is None else row.dest)
        assert tuple(effects) == (() if row is None else row.effects)
        seen += 1
    assert seen == len({(row.source, row.trigger) for row in TRANSITIONS})


def test_every_row_has_its_reason() -> None:
    for rows in default_machine().table.values():
        for row in rows:
            assert row.reason
            assert row.reason[0].islower()
            assert row.reason[-1] != "."


# What ours mean, when somebody extends the machine.


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (Row("nap", ABSENT, "active"), "nap: without a goal only create is asked"),
        (Row("create", ABSENT, "paused", when="over_budget"), "create: a new goal is active"),
        (Row("replace", "active", "paused", when="over_budget"), "replace: a new goal is active"),
        (Row("clear", "active", "paused", when="over_budget"), "clear: clear, and nothing else"),
        (Row("clear", "active", None, when="over_budget"), "clear: clear, and nothing else"),
        (Row("pause", "active", ABSENT, when="over_budget"), "pause: clear, and nothing else"),
    ],
)
def test_what_our_triggers_mean_is_not_for_others_to_change(row: Row, says: str) -> None:
    with pytest.raises(MachineError) as caught:
        default_machine().extended([row])
    assert caught.value.message.startswith(says)
    assert caught.value.hint


def test_a_status_has_no_callback_that_no_goal_can_be_in() -> None:
    with pytest.raises(MachineError, match="unknown status 'absent' on entry"):
        default_machine().extended(on_enter={ABSENT: "notify"})


def test_a_trigger_of_an_embedder_may_give_a_goal_up() -> None:
    machine = default_machine().extended([Row("abandon", "active", ABSENT)])
    planned = plan(FRESH, Fire("abandon"), 9, machine)
    assert isinstance(planned, Plan)
    assert (planned.persist, planned.next_goal) == ("clear", None)


def test_a_row_of_an_embedder_comes_before_ours() -> None:
    extended = default_machine().extended(
        [Row("resume", "blocked", None, when="locked")],
        guards={"locked": lambda goal: goal.note == "locked"},
    )
    locked = replace(FRESH, status="blocked", note="locked")
    assert mark(locked, "active", 9, extended) == (locked, "already_active")
    marked = mark(replace(locked, note=None), "active", 9, extended)
    assert not isinstance(marked, Rejection)
    assert marked[0].status == "active"


def test_a_refusing_guard_is_named() -> None:
    extended = default_machine().extended(
        [Row("ship", "active", "complete", when="small")],
        guards={"small": lambda goal: goal.tokens_used < 9},
    )
    refused = plan(replace(FRESH, tokens_used=9), Fire("ship"), 9, extended)
    assert isinstance(refused, Rejection)
    assert refused.guard == "small"


def test_callbacks_of_several_extensions_are_all_called_in_order() -> None:
    machine = default_machine().extended(on_enter={"complete": "first"})
    machine = machine.extended(on_enter={"complete": "second", "paused": "other"})
    planned = plan(FRESH, Fire("complete"), 9, machine)
    assert isinstance(planned, Plan)
    assert planned.before[-2:] == (callback_effect("first"), callback_effect("second"))


def test_an_extended_machine_is_extended_from_its_rows() -> None:
    machine = default_machine().extended([Row("nap", "active", "paused")])
    assert machine.extended().rows == machine.rows == (Row("nap", "active", "paused"), *TRANSITIONS)


def test_a_machine_without_entry_effects_still_plans() -> None:
    """Whoever gives a mapping of their own need not name every status."""
    machine = goal_machine(on_enter={})
    stored = plan(FRESH, Set(replace(FRESH, note="x")), 9, machine)
    charged = plan(FRESH, RuntimeAccounting(replace(FRESH, tokens_used=1)), 9, machine)
    for planned in (stored, charged):
        assert isinstance(planned, Plan)
        assert planned.before == ()


# Budgets.


@pytest.mark.parametrize(
    ("fields", "by"),
    [
        ({}, None),
        ({"token_budget": 5, "tokens_used": 4}, None),
        ({"token_budget": 5, "tokens_used": 5}, "tokens"),
        ({"time_budget_seconds": 5, "active_seconds": 4}, None),
        ({"time_budget_seconds": 5, "active_seconds": 5}, "time"),
        ({"cost_budget": 5, "cost_used": 4}, None),
        ({"cost_budget": 5, "cost_used": 5}, "cost"),
        ({**SPENT[2], **SPENT[1], **SPENT[0]}, "tokens"),
        ({**SPENT[2], **SPENT[1]}, "time"),
    ],
)
def test_the_first_budget_that_is_used_up_is_named(fields: dict[str, Any], by: str | None) -> None:
    goal = replace(FRESH, **fields)
    assert used_up(goal) == by
    assert under_budget(goal) is (by is None)
    assert GUARDS["over_budget"](goal) is (by is not None)


@pytest.mark.parametrize(
    ("most", "spent"), [(None, True), (0, False), (3, True), (2, True), (4, False)]
)
def test_continuations_are_spent_until_there_are_more(most: int | None, *, spent: bool) -> None:
    goal = replace(FRESH, limited_by="continuations", continuations=3, max_continuations=most)
    assert continuations_spent(goal) is spent
    assert under_budget(goal) is not spent
    assert not continuations_spent(replace(goal, limited_by="tokens"))
