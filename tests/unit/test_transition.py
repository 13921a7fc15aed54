"""Planning: every request in every status, and why it is refused."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from goalfsm.goal.machine import (
    FORGET,
    ON_ENTER,
    STATES,
    TRANSITIONS,
    default_machine,
    goal_machine,
)
from goalfsm.goal.model import Goal, Rejection, Status, no_row
from goalfsm.goal.transition import (
    AbortPause,
    Clear,
    Fire,
    Plan,
    RecoveryPause,
    RecoveryShutdownPause,
    Request,
    ResumeActive,
    RuntimeAccounting,
    Set,
    mark,
    plan,
)
from tests.session.strategies import goals, tries

GOAL = Goal(goal_id="g", objective="x", created_at=5, updated_at=7, token_budget=50)
NOW = 99


def planned(goal: Goal | None, request: Request) -> Plan:
    """Return the plan; a refusal is an error."""
    plan_ = plan(goal, request, NOW)
    assert isinstance(plan_, Plan)
    return plan_


def refused(goal: Goal | None, request: Request) -> Rejection:
    """Return the refusal; a plan is an error."""
    rejection = plan(goal, request, NOW)
    assert isinstance(rejection, Rejection)
    return rejection


# Marking.

MARKED: dict[tuple[str, Status], str] = {
    ("active", "paused"): "marked",
    ("active", "blocked"): "marked",
    ("active", "complete"): "marked",
    ("active", "budgetLimited"): "marked",
    ("active", "active"): "only_stopped_can_resume",
    ("paused", "active"): "marked",
    ("paused", "paused"): "only_active_can_pause",
    ("paused", "blocked"): "only_active_can_block",
    ("paused", "complete"): "marked",
    ("paused", "budgetLimited"): "marked",
    ("blocked", "active"): "marked",
    ("blocked", "paused"): "only_active_can_pause",
    ("blocked", "blocked"): "already_blocked",
    ("blocked", "complete"): "marked",
    ("blocked", "budgetLimited"): "marked",
    ("budgetLimited", "active"): "budget_limited_cannot_resume",
    ("budgetLimited", "paused"): "only_active_can_pause",
    ("budgetLimited", "blocked"): "only_active_can_block",
    ("budgetLimited", "complete"): "marked",
    ("budgetLimited", "budgetLimited"): "marked",
    ("complete", "complete"): "already_complete",
    ("complete", "active"): "complete_is_terminal",
    ("complete", "paused"): "complete_is_terminal",
    ("complete", "blocked"): "complete_is_terminal",
    ("complete", "budgetLimited"): "complete_is_terminal",
}


@pytest.mark.parametrize(("status", "asked"), list(product(STATES, STATES)))
def test_every_mark_in_every_status(status: Any, asked: Status) -> None:
    goal = replace(GOAL, status=status)
    marked = mark(goal, asked, NOW)
    code = MARKED[status, asked]
    if isinstance(marked, Rejection):
        assert marked.code == code
        assert marked.status == status
        assert marked.hint
    elif code == "marked":
        assert marked == (replace(goal, status=asked, updated_at=NOW), code)
    else:
        assert marked == (goal, code)


def test_without_a_goal_nothing_is_marked() -> None:
    for status in STATES:
        marked = mark(None, status, NOW)
        assert isinstance(marked, Rejection)
        assert (marked.code, marked.status) == ("no_goal", "absent")


def test_a_resume_without_budget_left_ends_in_the_limit() -> None:
    marked = mark(replace(GOAL, status="paused", tokens_used=50), "active", NOW)
    assert not isinstance(marked, Rejection)
    assert marked[0].status == "budgetLimited"


# Storing and clearing.


@pytest.mark.parametrize("status", STATES)
@pytest.mark.parametrize("source", ["command", "tool", "runtime"])
def test_storing_a_decided_goal_does_what_its_status_asks_for(status: Any, source: Any) -> None:
    after = replace(GOAL, status=status, note="new")
    stored = planned(GOAL, Set(after, source))
    assert (stored.persist, stored.next_goal, stored.source) == ("set", after, source)
    assert stored.before == ON_ENTER[status]
    person_pauses = status == "paused" and source == "command"
    assert stored.after == (("reset_recovery",) if person_pauses else ())


def test_storing_the_same_goal_again_writes_nothing() -> None:
    stored = planned(GOAL, Set(GOAL))
    assert (stored.persist, stored.next_goal, stored.before) == ("skip", GOAL, ())
    paused = replace(GOAL, status="paused")
    assert planned(paused, Set(paused)).after == ("reset_recovery",)
    assert planned(paused, Set(paused, "tool")).after == ()


@pytest.mark.parametrize("before", [None, replace(GOAL, goal_id="other")])
@pytest.mark.parametrize("status", STATES)
def test_a_goal_that_takes_over_forgets_everything(before: Goal | None, status: Any) -> None:
    stored = planned(before, Set(replace(GOAL, status=status)))
    assert (stored.persist, stored.before, stored.after) == ("set", FORGET, ())


@pytest.mark.parametrize("status", [None, *STATES])
def test_every_goal_can_be_cleared_and_none_too(status: Any) -> None:
    before = None if status is None else replace(GOAL, status=status)
    cleared = planned(before, Clear("tool"))
    assert (cleared.persist, cleared.next_goal, cleared.source) == ("clear", None, "tool")
    assert cleared.before == FORGET
    assert cleared.after == ("stop_status_refresh",)


def test_a_machine_of_an_embedder_may_keep_a_goal_from_being_cleared() -> None:
    machine = default_machine()
    rows = tuple(
        row._replace(when="never") if row.trigger == "clear" else row for row in machine.rows
    )
    strict = goal_machine(rows, guards={**machine.guards, "never": lambda _: False})
    rejection = plan(GOAL, Clear(), NOW, strict)
    assert isinstance(rejection, Rejection)
    assert (rejection.code, rejection.guard) == ("status_not_allowed", "never")


# Requests of the runtime itself.

RUNTIME: tuple[tuple[Request, frozenset[str], str], ...] = (
    (AbortPause(), frozenset({"active"}), "paused"),
    (RecoveryPause("why"), frozenset({"active"}), "paused"),
    (RecoveryShutdownPause("why"), frozenset({"active"}), "paused"),
    (ResumeActive(), frozenset({"paused", "blocked"}), "active"),
)


@pytest.mark.parametrize(("request_", "allowed", "dest"), RUNTIME)
@pytest.mark.parametrize("status", STATES)
def test_every_request_of_the_runtime_in_every_status(
    request_: Request, allowed: frozenset[str], dest: str, status: Any
) -> None:
    goal = replace(GOAL, status=status)
    if status not in allowed:
        rejection = refused(goal, request_)
        assert rejection.code == "status_not_allowed"
        assert rejection.status == status
        assert rejection.hint == "the goal's status does not allow this"
        return
    done = planned(goal, request_)
    assert done.next_goal == replace(goal, status=dest, updated_at=NOW)
    assert (done.persist, done.source, done.after) == ("set", "runtime", ())
    assert done.reason == getattr(request_, "reason", "")


@pytest.mark.parametrize(("request_", "allowed", "dest"), RUNTIME)
def test_without_a_goal_the_runtime_is_refused(
    request_: Request, allowed: frozenset[str], dest: str
) -> None:
    del allowed, dest
    assert refused(None, request_).code == "no_goal"


def test_a_trigger_carries_who_asked_and_why() -> None:
    done = planned(GOAL, Fire("block", "tool", "no access"))
    assert (done.source, done.reason, done.trigger) == ("tool", "no access", "block")


def test_a_trigger_that_keeps_the_status_has_nothing_to_write() -> None:
    done = planned(GOAL, Fire("edit"))
    assert (done.persist, done.next_goal, done.before) == ("skip", GOAL, ())


def test_an_unknown_trigger_is_refused_with_its_status() -> None:
    assert refused(GOAL, Fire("fly")) == Rejection(
        "status_not_allowed",
        "fly",
        "active",
        None,
        "the goal's status does not allow this",
        "cannot fly the goal: it is active",
    )
    assert no_row(None, "fly").code == "no_goal"


def test_every_refusal_says_what_to_do() -> None:
    for status, trigger in product(STATES, sorted({row.trigger for row in TRANSITIONS})):
        rejection = no_row(replace(GOAL, status=status), trigger)
        assert rejection.hint
        assert (rejection.trigger, rejection.status) == (trigger, status)


# Accounting: every rule, in the order in which they are asked.

BROKEN: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("goal_id_mismatch", {}, {"goal_id": "other"}),
    ("status_not_allowed", {"status": "paused"}, {}),
    ("next_status_not_allowed", {}, {"status": "blocked"}),
    ("limited_to_active", {"status": "budgetLimited"}, {"status": "active"}),
    ("objective_changed", {}, {"objective": "y"}),
    ("budget_changed", {}, {"token_budget": 51}),
    ("created_at_changed", {}, {"created_at": 6}),
    ("updated_at_decreased", {}, {"updated_at": 6}),
    ("tokens_decreased", {"tokens_used": 3}, {"tokens_used": 2}),
    ("seconds_decreased", {"active_seconds": 3}, {"active_seconds": 2}),
    ("cost_decreased", {"cost_used": 3}, {"cost_used": 2}),
    ("nothing_changed", {}, {}),
    (
        "limited_without_budget",
        {"token_budget": None},
        {"token_budget": None, "status": "budgetLimited"},
    ),
    ("limited_under_budget", {}, {"status": "budgetLimited"}),
)


@pytest.mark.parametrize(("code", "before", "after"), BROKEN, ids=[row[0] for row in BROKEN])
def test_accounting_refuses_what_breaks_a_rule(
    code: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    goal = replace(GOAL, **before)
    rejection = refused(goal, RuntimeAccounting(replace(goal, **after)))
    assert rejection.code == code
    assert rejection.trigger == "account"
    assert rejection.guard in asdict(GOAL)


@pytest.mark.parametrize(("first", "second"), list(pairwise(BROKEN[:11])), ids=lambda row: row[0])
def test_the_first_broken_rule_is_named(first: Any, second: Any) -> None:
    """Where two are broken at once; the rules have an order."""
    status = {"status": "paused"} if first[0] == "status_not_allowed" else {}
    goal = replace(GOAL, **{**second[1], **first[1], **status})
    after = replace(GOAL, **{**asdict(goal), **second[2], **first[2]})
    assert refused(goal, RuntimeAccounting(after)).code == first[0]


@pytest.mark.parametrize("field", ["token_budget", "time_budget_seconds", "cost_budget"])
def test_no_charge_changes_a_budget(field: str) -> None:
    after = replace(GOAL, tokens_used=1, **{field: 77})
    assert refused(GOAL, RuntimeAccounting(after)).code == "budget_changed"


def test_without_a_goal_nothing_is_charged() -> None:
    assert refused(None, RuntimeAccounting(GOAL)).code == "no_goal"


@pytest.mark.parametrize(
    "fields",
    [
        {"tokens_used": 50},
        {"time_budget_seconds": 9, "active_seconds": 9},
        {"cost_budget": 9, "cost_used": 10},
        {"max_continuations": 3, "limited_by": "continuations"},
    ],
)
def test_a_limit_that_holds_is_stored(fields: dict[str, Any]) -> None:
    before = replace(GOAL, **{n: v for n, v in fields.items() if "budget" in n or "max" in n})
    after = replace(GOAL, **fields, status="budgetLimited", updated_at=NOW)
    charged = planned(before, RuntimeAccounting(after))
    assert (charged.persist, charged.source, charged.next_goal) == ("set", "runtime", after)
    assert charged.before == ON_ENTER["budgetLimited"]


@pytest.mark.parametrize("used", [30, 49, 50, 80])
def test_a_limit_is_told_at_once_and_usage_later(used: int) -> None:
    """Whether or not the goal was over its budget before: another status is an entry of its own."""
    before = replace(GOAL, token_budget=50, tokens_used=used)
    limited = replace(before, status="budgetLimited", tokens_used=used + 40, updated_at=NOW)
    assert planned(before, RuntimeAccounting(limited)).persist == "set"
    more = replace(limited, tokens_used=used + 60)
    assert planned(limited, RuntimeAccounting(more)).persist == "defer"


@pytest.mark.parametrize("status", ["active", "budgetLimited"])
@pytest.mark.parametrize("budget", [None, 5, 500])
def test_accounting_that_says_nothing_is_refused_before_the_rules_on_limits(
    status: Any, budget: int | None
) -> None:
    goal = replace(GOAL, status=status, token_budget=budget, tokens_used=50)
    for later in (goal, replace(goal, updated_at=goal.updated_at + 9)):
        refused = plan(goal, RuntimeAccounting(later), NOW)
        assert isinstance(refused, Rejection)
        assert refused.code == "nothing_changed"


@pytest.mark.parametrize("before", ["active", "paused", "blocked", "budgetLimited", "complete"])
@pytest.mark.parametrize("changed", [{}, {"objective": "another"}, {"tokens_used": 0}])
def test_who_takes_a_stopped_goal_up_by_a_command_has_looked(
    before: Any, changed: dict[str, Any]
) -> None:
    """Whatever else changes; a goal of another id brings no trouble along anyhow."""
    goal = replace(GOAL, status=before, tokens_used=9)
    active = replace(goal, status="active", **changed)
    looked = ("reset_recovery",) if before in {"paused", "blocked"} else ()
    assert planned(goal, Set(active, "command")).after == looked
    for source in ("tool", "runtime"):
        assert planned(goal, Set(active, source)).after == ()
    other = replace(active, goal_id="other")
    assert planned(goal, Set(other, "command")).after == ()


def test_a_charge_under_budget_is_deferred() -> None:
    after = replace(GOAL, tokens_used=3)
    charged = planned(GOAL, RuntimeAccounting(after))
    assert (charged.persist, charged.before) == ("defer", ON_ENTER["active"])
    limited = replace(GOAL, status="budgetLimited", tokens_used=50)
    charged = planned(limited, RuntimeAccounting(replace(limited, tokens_used=60)))
    assert charged.next_goal is not None
    assert charged.next_goal.tokens_used == 60


# Any goal, any request.

REQUESTS: dict[Any, st.SearchStrategy[Any]] = {
    Set: st.builds(Set, goals(), st.sampled_from(["command", "tool", "runtime"])),
    Clear: st.builds(Clear),
    AbortPause: st.builds(AbortPause),
    ResumeActive: st.builds(ResumeActive),
    RecoveryPause: st.builds(RecoveryPause, st.text(max_size=3)),
    RecoveryShutdownPause: st.builds(RecoveryShutdownPause, st.text(max_size=3)),
    RuntimeAccounting: st.builds(RuntimeAccounting, goals()),
    Fire: st.builds(Fire, st.sampled_from([*sorted({r.trigger for r in TRANSITIONS}), "zzz"])),
}


def test_every_kind_of_request_is_tried() -> None:
    assert set(REQUESTS) == set(get_args(Request))


@tries(400)
@given(st.none() | goals(), st.one_of(*REQUESTS.values()), st.integers(0, 10**10))
def test_any_request_of_any_goal_has_an_answer(
    goal: Goal | None, request: Request, now: int
) -> None:
    """A plan keeps what a request must not touch; a refusal touches nothing."""
    answer = plan(goal, request, now)
    assert plan(goal, request, now) == answer
    if isinstance(answer, Rejection):
        assert answer.code
        assert answer.status == (goal.status if goal else "absent")
        return
    after = answer.next_goal
    assert (after is None) == (answer.persist == "clear")
    if isinstance(request, Set | RuntimeAccounting):
        assert after == request.next_goal
    elif after is not None and goal is not None:
        assert replace(after, status=goal.status, updated_at=goal.updated_at) == goal
        assert answer.persist == "set" or after == goal
        if goal.status == "complete" and not isinstance(request, Fire):
            pytest.fail("a complete goal was moved")
    if isinstance(request, RuntimeAccounting):
        assert goal is not None
        assert after is not None
        assert after.tokens_used >= goal.tokens_used
