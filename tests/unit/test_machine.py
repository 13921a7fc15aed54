"""The goal machine: what its table says, that the compiled form is the live one, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from transitions import MachineError as NoSuchTransition

from goalfsm.goal.compiler import Check, MachineError, Row, compile_machine
from goalfsm.goal.machine import (
    FINALS,
    GUARDS,
    ON_ENTER,
    STATES,
    TRANSITIONS,
    GoalMachine,
    build,
    callback_effect,
    default_machine,
    goal_machine,
)
from goalfsm.goal.model import ABSENT, Goal, Rejection
from goalfsm.goal.transition import Fire, Plan, plan

VECTORS = Path(__file__).parents[1] / "conformance" / "vectors"
CONT, ACC = "clear_continuation", "clear_active_accounting"
RESET, WARN = "reset_recovery", "clear_budget_warning"
STOP = (CONT, ACC, WARN)
FORGOTTEN = (CONT, ACC, RESET, WARN)
LIMITED = (CONT, ACC, RESET)

# What every trigger does, written down apart from the table: by trigger and status, the status
# after it and its effects while budget is left, and where it is used up when that differs.
Outcome = tuple[str, tuple[str, ...]]
UNFINISHED = ("active", "paused", "blocked", "budgetLimited")
ANY = (*UNFINISHED, "complete")


def _expected() -> dict[tuple[str, str, bool], Outcome]:
    told: dict[tuple[str, str, bool], Outcome] = {}

    def say(trigger: str, status: str, left: Outcome, gone: Outcome | None = None) -> None:
        told[trigger, status, False] = left
        told[trigger, status, True] = left if gone is None else gone

    say("create", ABSENT, ("active", FORGOTTEN))
    for status in ANY:
        say("replace", status, ("active", FORGOTTEN))
        say("clear", status, (ABSENT, FORGOTTEN))
    for status in UNFINISHED:
        say("complete", status, ("complete", FORGOTTEN))
        say("edit", status, (status, ()))
    say("complete", "complete", ("complete", ()))
    say("block", "active", ("blocked", STOP))
    say("block", "blocked", ("blocked", ()))
    say("pause", "active", ("paused", STOP))
    say("abort_pause", "active", ("paused", FORGOTTEN))
    attention = "set_recovery_paused_attention"
    say("recovery_pause", "active", ("paused", (CONT, attention, ACC, WARN)))
    host = "clear_host_overflow_recovery"
    say("recovery_shutdown_pause", "active", ("paused", (CONT, host, attention, ACC, WARN)))
    for status in ("paused", "blocked"):
        left = ("active", (CONT, RESET, WARN))
        say("resume", status, left, ("budgetLimited", (CONT, RESET, ACC)))
    for status in UNFINISHED:
        say("limit", status, ("budgetLimited", LIMITED))
    say("account", "active", ("active", (WARN,)), ("budgetLimited", LIMITED))
    say("account", "budgetLimited", ("budgetLimited", LIMITED))
    say("raise_budget", "budgetLimited", ("active", (CONT, WARN)), ("budgetLimited", ()))
    for status in ("active", "paused", "blocked"):
        say("raise_budget", status, (status, ()))
    return told


EXPECTED = _expected()
TRIGGERS = sorted({row.trigger for row in TRANSITIONS})


def goal(status: str, *, gone: bool = False) -> Goal:
    """Return a goal with a budget, used up or not."""
    used = 10 if gone else 0
    return Goal(
        goal_id="g", objective="o", status=status, token_budget=10, tokens_used=used,
        created_at=1, updated_at=1,
    )  # fmt: skip


def outcomes(machine: GoalMachine) -> dict[tuple[str, str, bool], Outcome]:
    """Return what ``machine`` does, by its compiled table alone."""
    seen: dict[tuple[str, str, bool], Outcome] = {}
    for (status, trigger), rows in machine.table.items():
        for gone in (False, True):
            tried = goal("active" if status == ABSENT else status, gone=gone)
            for row in rows:
                if row.guard is None or row.guard(tried):
                    seen[trigger, status, gone] = (row.dest, row.effects)
                    break
    return seen


def faults(machine: GoalMachine) -> int:
    """Return how many of the expected outcomes ``machine`` gets wrong."""
    got = outcomes(machine)
    keys = got.keys() | EXPECTED.keys()
    return sum(got.get(key) != EXPECTED.get(key) for key in keys)


def test_the_table_does_what_is_written_down() -> None:
    assert outcomes(default_machine()) == EXPECTED


def changes() -> Iterator[tuple[str, tuple[Row, ...]]]:
    """Yield every row dropped, redirected, unguarded, guarded and robbed of an effect once."""
    for index, row in enumerate(TRANSITIONS):
        before, after = TRANSITIONS[:index], TRANSITIONS[index + 1 :]
        yield f"{index} dropped", (*before, *after)
        for dest in (*STATES, ABSENT, None):
            if dest != row.dest:
                yield f"{index} to {dest}", (*before, row._replace(dest=dest), *after)
        for when in (None, *GUARDS):
            if when != row.when:
                yield f"{index} when {when}", (*before, row._replace(when=when), *after)
        for effect in row.actions:
            fewer = tuple(kept for kept in row.actions if kept != effect)
            yield f"{index} without {effect}", (*before, row._replace(actions=fewer), *after)


def test_every_change_of_a_row_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    """A changed table either does not compile or does something else than is written down."""
    count, missed = 0, []
    for name, rows in changes():
        count += 1
        try:
            machine = goal_machine(rows)
        except MachineError:
            continue
        if not faults(machine):
            missed.append(name)
    unnoticed = [name for name in missed if not is_same(name)]
    with capsys.disabled():
        print(  # noqa: T201  the figure is what the test is for
            f"\ngoal machine: {len(TRANSITIONS)} rows, {count} changes, {len(missed)} of them say "
            f"the same in other words, missed {len(unnoticed)}"
        )
    assert unnoticed == []


def is_same(name: str) -> bool:
    """Tell whether a change says the same in other words."""
    index, how, what = name.split(maxsplit=2)
    row = TRANSITIONS[int(index)]
    if how == "without":
        # Entering the status has this effect anyway.
        return what in ON_ENTER.get(row.dest or "", ())
    # After a row with one guard, the other guard holds whenever the row is reached.
    earlier = {
        known.when
        for known in TRANSITIONS[: int(index)]
        if (known.trigger, known.source) == (row.trigger, row.source)
    }
    return how == "when" and bool(earlier) and what in GUARDS and what not in earlier


def test_the_vectors_notice_a_dropped_runtime_row() -> None:
    """The recorded behaviour alone notices what the runtime's own requests lose."""
    lines = [
        json.loads(line)
        for line in (VECTORS / "update_status.jsonl").read_text("utf-8").splitlines()
    ]
    wanted = {(d["current"] or {}).get("status"): d for d in lines if d["expect"]["ok"]}
    marks = {"complete": "complete", "blocked": "block", "paused": "pause", "active": "resume"}
    noticed = 0
    for status, line in wanted.items():
        trigger = marks.get(line["request"], "limit")
        rows = tuple(r for r in TRANSITIONS if (r.trigger, r.source) != (trigger, status))
        try:
            machine = goal_machine(rows)
        except MachineError:
            noticed += 1
            continue
        noticed += isinstance(plan(goal(status), Fire(trigger), 5, machine), Rejection)
    assert noticed == len(wanted)


class Probe:
    """A model that ``transitions`` never registered."""

    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("status", [ABSENT, *STATES])
@pytest.mark.parametrize("gone", [False, True])
def test_the_compiled_table_is_the_live_machine(trigger: str, status: str, *, gone: bool) -> None:
    """State by trigger by guard outcome: the same destination and the same effects."""
    live = build()
    probe = Probe(status)
    tried = goal("active" if status == ABSENT else status, gone=gone)
    emitted: list[str] = []
    try:
        fired = live.events[trigger].trigger(probe, tried, emitted)
    except NoSuchTransition:
        fired = False
    compiled = outcomes(default_machine()).get((trigger, status, gone))
    assert fired is (compiled is not None)
    if compiled is not None:
        assert (probe.state, tuple(emitted)) == compiled


def test_a_guard_that_is_asked_without_a_list_of_effects_answers() -> None:
    assert Check("under_budget", GUARDS["under_budget"])(goal("paused"))


REFUSED = {
    "unknown status": (Row("go", "active", "nowhere"), "unknown status"),
    "unknown source": (Row("go", "nowhere", "active"), "unknown status"),
    "unknown guard": (Row("go", "active", "paused", when="maybe"), "unknown guard"),
    "unknown effect": (Row("go", "active", "paused", actions=("sing",)), "unknown effect"),
    "hidden": (Row("pause", "active", "blocked"), "hidden"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_transitions_accepts_in_silence_is_refused(name: str) -> None:
    row, why = REFUSED[name]
    with pytest.raises(MachineError, match=why) as refused:
        goal_machine((row, *TRANSITIONS))
    assert refused.value.hint
    assert refused.value.code == "machine_invalid"


def test_an_unknown_effect_or_status_on_entry_is_refused() -> None:
    with pytest.raises(MachineError, match="unknown effect"):
        goal_machine(on_enter={"active": ("sing",)})
    with pytest.raises(MachineError, match="unknown status"):
        goal_machine(on_enter={**ON_ENTER, "nowhere": ()})


def test_a_state_that_nothing_enters_is_refused() -> None:
    rows = tuple(row for row in TRANSITIONS if row.dest != "blocked")
    with pytest.raises(MachineError, match="no path leads to blocked"):
        goal_machine(rows)


def test_a_state_that_nothing_leaves_is_refused() -> None:
    rows = tuple(row for row in TRANSITIONS if row.source != "paused" or row.dest is None)
    with pytest.raises(MachineError, match="no row leaves paused"):
        goal_machine(rows)


def test_a_guard_that_has_no_name_is_refused() -> None:
    live = build()
    live.add_transition("odd", "active", "paused", conditions=[lambda *_: True])
    with pytest.raises(MachineError, match="one named guard"):
        compile_machine(live, finals=FINALS)


def test_an_extension_adds_triggers_guards_and_callbacks_and_leaves_the_first_alone() -> None:
    first = default_machine()
    more = first.extended(
        [Row("escalate", "active", "blocked", when="old", reason="somebody has to look")],
        guards={"old": lambda tried: tried.active_seconds > 60},
        on_enter={"blocked": "notify"},
    )
    young, old = goal("active"), replace(goal("active"), active_seconds=61)
    assert isinstance(plan(young, Fire("escalate"), 5, more), Rejection)
    planned = plan(old, Fire("escalate"), 5, more)
    assert isinstance(planned, Plan)
    assert planned.next_goal is not None
    assert planned.next_goal.status == "blocked"
    assert planned.before == (*STOP, callback_effect("notify"))
    assert isinstance(plan(old, Fire("escalate"), 5, first), Rejection)
    assert outcomes(first) == EXPECTED
