"""Whether work goes on: the first guard that holds decides."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalfsm.goal.model import STATUSES
from goalfsm.session.continuation import (
    GUARDS,
    OTHERWISE,
    Continue,
    Guard,
    Situation,
    Stop,
    StopReason,
    Wait,
    decide,
    is_success,
)
from tests.session.strategies import tries

FREE = Situation("active", max_continuations=5)
HOLDS: dict[str, dict[str, Any]] = {
    "status": {"status": "blocked"},
    "stopping": {"stopping": True},
    "stale_work": {"stale_aborting": True},
    "queued": {"queued": True},
    "verification": {"verifying": True},
    "recovery": {"recovering": "provider error", "retry_at_ms": 77},
    "wait": {"waiting": "the build", "wait_until_ms": 88},
    "continuation_limit": {"continuations": 5},
    "budget": {"used_up": "cost"},
    "no_progress": {"stuck": "3 turns in a row"},
    "pending_messages": {"pending_messages": True},
    "host_busy": {"host_busy": True},
}
"""What makes each guard hold, in the order in which they are asked."""
DECIDED: dict[str, Any] = {
    "status": Stop("status", "blocked"),
    "stopping": Wait("stopping", "the engine is shutting down"),
    "stale_work": Wait("stale_work", "superseded work is being aborted"),
    "queued": Wait("queued", "a continuation is queued already"),
    "verification": Wait("verification", "a completion claim is being verified"),
    "recovery": Wait("recovery", "provider error", 77),
    "wait": Wait("wait", "the build", 88),
    "continuation_limit": Stop("continuation_limit", "continuation_limit"),
    "budget": Stop("budget", "cost_budget"),
    "no_progress": Stop("no_progress", "no_progress", "3 turns in a row"),
    "pending_messages": Wait("pending_messages", "a person's messages come first"),
    "host_busy": Wait("host_busy", "a turn is running; it goes on when that ends"),
}


def test_the_guards_are_asked_in_their_order() -> None:
    assert [guard.name for guard in GUARDS] == list(HOLDS)


def test_where_nothing_holds_work_goes_on() -> None:
    assert decide(FREE) == OTHERWISE == Continue("otherwise", "the objective is not met yet")


@pytest.mark.parametrize("name", HOLDS)
def test_each_guard_decides_alone(name: str) -> None:
    assert decide(FREE._replace(**HOLDS[name])) == DECIDED[name]


@pytest.mark.parametrize(("first", "second"), list(combinations(HOLDS, 2)))
def test_the_earlier_of_two_guards_decides(first: str, second: str) -> None:
    assert decide(FREE._replace(**{**HOLDS[second], **HOLDS[first]})) == DECIDED[first]


def test_the_first_of_any_guards_decides() -> None:
    """Every combination of what may hold at once, 4,096 of them."""
    names = list(HOLDS)
    for holding in range(1, 2 ** len(names)):
        on = [name for at, name in enumerate(names) if holding >> at & 1]
        fields = {field: value for name in on for field, value in HOLDS[name].items()}
        assert decide(FREE._replace(**fields)) == DECIDED[on[0]], on


def as_written(guards: tuple[Guard, ...]) -> bool:
    """Tell whether every guard decides alone, and before those that are asked after it."""
    alone = all(decide(FREE._replace(**HOLDS[name]), guards) == DECIDED[name] for name in HOLDS)
    return alone and all(
        decide(FREE._replace(**{**HOLDS[second], **HOLDS[first]}), guards) == DECIDED[first]
        for first, second in combinations(HOLDS, 2)
    )


def changed_chains() -> Iterator[tuple[str, tuple[Guard, ...]]]:
    """Yield every single change: a guard dropped, put elsewhere, or with another's answer."""
    for at, guard in enumerate(GUARDS):
        others = (*GUARDS[:at], *GUARDS[at + 1 :])
        yield f"{guard.name} dropped", others
        for place in range(len(GUARDS)):
            if place != at:
                moved = (*others[:place], guard, *others[place:])
                yield f"{guard.name} asked as number {place + 1}", moved
        for other in others:
            answered = guard._replace(decide=other.decide)
            yield (
                f"{guard.name} answered as {other.name}",
                (*GUARDS[:at], answered, *GUARDS[at + 1 :]),
            )


def test_every_change_of_the_chain_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    assert as_written(GUARDS)
    chains = dict(changed_chains())
    missed = [name for name, guards in chains.items() if as_written(guards)]
    with capsys.disabled():
        print(  # noqa: T201  the figure is what the test is for
            f"\ncontinuation: {len(GUARDS)} guards, {len(chains)} changes, missed {len(missed)}"
        )
    assert missed == []


@pytest.mark.parametrize(
    ("fields", "reason", "detail"),
    [
        ({"status": None}, "cleared", "the thread has no goal"),
        ({"status": "complete"}, "completed", ""),
        ({"status": "blocked"}, "blocked", ""),
        ({"status": "budgetLimited"}, "token_budget", ""),
        ({"status": "budgetLimited", "limited_by": "tokens"}, "token_budget", ""),
        ({"status": "budgetLimited", "limited_by": "time"}, "time_budget", ""),
        ({"status": "budgetLimited", "limited_by": "cost"}, "cost_budget", ""),
        ({"status": "budgetLimited", "limited_by": "continuations"}, "continuation_limit", ""),
        ({"status": "paused"}, "paused", "user"),
        ({"status": "paused", "pause_reason": "shutdown"}, "paused", "shutdown"),
        ({"status": "paused", "pause_reason": "no_progress"}, "no_progress", ""),
        ({"status": "paused", "pause_reason": "usage_limit"}, "usage_limit", ""),
        ({"status": "paused", "pause_reason": "verification"}, "verification", ""),
    ],
)
def test_a_goal_that_stopped_says_why(fields: dict[str, Any], reason: str, detail: str) -> None:
    verdict = decide(Situation(**fields))
    assert verdict == Stop("status", reason, detail)  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", ["usage_limit", "shutdown"])
def test_a_pause_that_ends_by_itself_says_when(reason: str) -> None:
    verdict = decide(Situation("paused", pause_reason=reason, resume_at_ms=99))
    assert isinstance(verdict, Stop)
    assert verdict.until_ms == 99


@pytest.mark.parametrize(
    ("spent", "most", "goes_on"), [(4, 5, True), (5, 5, False), (6, 5, False), (99, 0, True)]
)
def test_continuations_are_limited_unless_they_are_unlimited(
    spent: int, most: int, *, goes_on: bool
) -> None:
    verdict = decide(FREE._replace(continuations=spent, max_continuations=most))
    assert isinstance(verdict, Continue) is goes_on


@pytest.mark.parametrize(
    ("by", "reason"), [("tokens", "token_budget"), ("time", "time_budget"), ("cost", "cost_budget")]
)
def test_a_budget_that_is_used_up_is_named(by: Any, reason: str) -> None:
    verdict = decide(FREE._replace(used_up=by))
    assert isinstance(verdict, Stop)
    assert verdict.reason == reason


def test_only_a_goal_that_was_reached_is_a_success() -> None:
    for reason in get_args(StopReason):
        assert is_success(Stop("status", reason)) is (reason == "completed")
    assert not is_success(OTHERWISE)
    assert not is_success(Wait("wait", "completed"))


def test_an_embedder_may_ask_more() -> None:
    night = Guard("night", "Is it night?", lambda _now: Wait("night", "people sleep", 5))
    assert decide(FREE, (*GUARDS, night)) == Wait("night", "people sleep", 5)
    assert decide(FREE._replace(queued=True), (*GUARDS, night)).guard == "queued"


@given(st.sampled_from([None, *STATUSES]), st.lists(st.sampled_from(sorted(HOLDS)), max_size=4))
@tries(200)
def test_work_goes_on_only_where_no_guard_holds(status: str | None, holding: list[str]) -> None:
    fields: dict[str, Any] = {}
    for name in holding:
        fields |= HOLDS[name]
    verdict = decide(FREE._replace(**{"status": status} | fields))
    assert isinstance(verdict, Continue) == (status == "active" and not holding)
    names = [guard.name for guard in GUARDS]
    if not isinstance(verdict, Continue) and status == "active":
        assert verdict.guard == min(holding, key=names.index)


def test_a_claim_that_waits_for_a_person_alone_is_not_said_to_be_verified() -> None:
    said = "a person has to accept or reject the completion claim"
    assert decide(FREE._replace(verifying=True, accepting=True)) == Wait("verification", said)
