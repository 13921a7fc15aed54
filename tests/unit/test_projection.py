"""What every surface is given of a session, and its budgets as lines."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from goalfsm.goal.accounting import Clock, Ledger
from goalfsm.goal.model import Criterion, Usage
from goalfsm.session import Policy, Session
from goalfsm.session.continuation import Spent, budget_lines, max_continuations, money, progress
from goalfsm.session.state import (
    Blocking,
    Decision,
    QueuedGoal,
    Retry,
    Steering,
    VerifierResult,
    Wait,
)
from goalfsm.views.status import Status, project, summary
from tests.unit.sessions import (
    CLAIM,
    COMMAND,
    FENCE,
    GOAL,
    NOW_MS,
    PENDING,
    PERSON,
    RUN,
    active,
    with_goal,
)


def test_projection_has_what_every_surface_needs() -> None:
    """The JSON of ``status --json``, field by field."""
    session = replace(
        with_goal(
            token_budget=100,
            tokens_used=30,
            time_budget_seconds=60,
            criteria=(Criterion(text="shipped"),),
            verifiers=(COMMAND, PERSON),
            max_continuations=5,
            continuations=2,
        ),
        clock=Clock(goal_id="g", last_ms=1_800_000_000_000),
        run=RUN,
        claim=replace(CLAIM, results=(VerifierResult(index=0, outcome="failed"),)),
        waits=(Wait(kind="process", pid=4, since_ms=2, until_ms=3, note="n"),),
        retry=Retry(attempts=1, first_failure_ms=1, at_ms=2, reason="r"),
        blocking=Blocking(count=1, reason="b"),
        recovery=PENDING,
        steering=(Steering(message_id="m", text="t", at_ms=1),),
        queue=(QueuedGoal(queue_id="q1", objective="ship more", until=COMMAND, at_ms=1),),
        notices=("resumed",),
        ledger=Ledger(reported=Usage(input_tokens=40), uncharged={"stale_run": 10}),
        decision=Decision(
            decision="wait", guard="wait", reason="w", until_ms=3, at_ms=1_800_000_001_999
        ),
        stopping=True,
    )
    encoded = msgspec.json.encode(project(session, NOW_MS, thread_id="main"))
    assert FENCE.encode() not in encoded
    shown = msgspec.json.decode(encoded)
    goal = shown.pop("goal")
    assert goal == {
        "goal_id": "g",
        "objective": "ship it",
        "status": "active",
        "token_budget": 100,
        "tokens_used": 30,
        "active_seconds": 10,
        "created_at": 1_800_000_000,
        "updated_at": 1_800_000_000,
        "revision": 1,
        "time_budget_seconds": 60,
        "cost_budget": None,
        "cost_used": 0,
        "max_continuations": 5,
        "continuations": 2,
        "pause_reason": None,
        "resume_at_ms": None,
        "limited_by": None,
        "note": None,
        "criteria": [{"text": "shipped"}],
        "verifiers": goal["verifiers"],
        "until": None,
        "word": 0,
        "blocked_by": None,
    }
    assert shown == {
        "thread_id": "main",
        "activity": "verifying",
        "activity_kind": "verifying",
        "detail": "1 of 2 verifiers have answered",
        "until_ms": None,
        "hint": "goalfsm accept THREAD, or goalfsm reject THREAD",
        "remedies": [
            {"action": "accept", "arguments": {}, "does": ""},
            {"action": "reject", "arguments": {}, "does": ""},
        ],
        "status_line": {"label": "recovery_pending", "reason": "provider error (503)"},
        "progress": {
            "tokens": {"used": 30, "budget": 100, "left": 70},
            "seconds": {"used": 10, "budget": 60, "left": 50},
            "cost": {"used": 0, "budget": None, "left": None},
            "continuations": {"used": 2, "budget": 5, "left": 3},
        },
        "last_decision": {
            "decision": "wait",
            "guard": "wait",
            "reason": "w",
            "at": 1_800_000_001,
            "at_ms": 1_800_000_001_999,
            "until_ms": 3,
        },
        "run": {
            "run_id": "r",
            "goal_id": "g",
            "turn": 3,
            "started_at": 1_800_000_008,
            "started_ms": 1_800_000_008_000,
            "elapsed_seconds": 2,
            "wind_down": False,
            "can_steer": False,
            "ending": None,
            "route": None,
        },
        "claim": {
            "claim_id": "c",
            "at_ms": 1_800_000_009_000,
            "evidence": 0,
            "verified": 1,
            "passed": 0,
            "verifiers": 2,
        },
        "waits": [
            {
                "kind": "process",
                "since_ms": 2,
                "until_ms": 3,
                "pid": 4,
                "note": "n",
                "relative": False,
                "held": False,
                "any": False,
            }
        ],
        "retry": {
            "attempts": 1,
            "crashes": 0,
            "first_failure_ms": 1,
            "at_ms": 2,
            "reason": "r",
            "owed": False,
        },
        "blocked_claims": {"count": 1, "needed": 3, "reason": "b"},
        "attention": {"kind": "pending", "reason": "provider error (503)"},
        "steering_pending": 1,
        "words": [{"message_id": "m", "kind": "message", "text": "t", "at_ms": 1, "got": False}],
        "left_unread": [],
        "queue": [
            {
                "queue_id": "q1",
                "objective": "ship more",
                "limits": dict.fromkeys(("tokens", "seconds", "cost", "continuations")),
                "criteria": 0,
                "verifiers": 0,
                "until": COMMAND.name,
                "at_ms": 1,
            }
        ],
        "advances": False,
        "set_aside": "",
        "toothless": [],
        "driver": None,
        "notices": ["resumed"],
        "usage": {"input_tokens": 40, "output_tokens": 0, "cached_tokens": 0, "cost": 0},
        "uncharged": {"stale_run": 10},
        "shutting_down": True,
        "record": "",
    }
    assert msgspec.json.decode(encoded, type=Status) == project(session, NOW_MS, thread_id="main")


def test_projection_of_an_empty_thread() -> None:
    shown = msgspec.to_builtins(project(Session(), NOW_MS))
    empty = ("goal", "progress", "last_decision", "run", "claim", "retry", "attention")
    assert {name: shown[name] for name in empty} == dict.fromkeys(empty)
    assert (shown["activity"], shown["thread_id"]) == ("no goal", "")


def test_claim_of_a_cleared_goal_has_no_verifiers() -> None:
    claim = project(Session(claim=CLAIM), NOW_MS).claim
    assert claim is not None
    assert claim.verifiers == 0


def test_clock_that_jumped_back_shows_no_negative_time() -> None:
    run = project(active(run=RUN), 0).run
    assert run is not None
    assert run.elapsed_seconds == 0


def test_summary_is_one_line() -> None:
    session = with_goal(status="blocked", note="line one\nline \x1b[2J two", token_budget=10)
    assert summary(project(session, NOW_MS)) == (
        "blocked: line one line \ufffd[2J two · tokens: 0 of 10 used, 10 left · "
        "active time: 0s used, no limit · turns: 0 of 100 used, 100 left"
    )
    assert summary(project(Session(), NOW_MS)) == "no goal"


@pytest.mark.parametrize(
    ("own", "policy", "most"),
    [(None, 100, 100), (None, 0, None), (7, 100, 7), (7, 0, 7), (0, 100, None)],
)
def test_limit_of_continuations(own: int | None, policy: int, most: int | None) -> None:
    """The goal's own limit holds before the policy's; 0 is no limit, on purpose."""
    goal = replace(GOAL, max_continuations=own)
    assert max_continuations(goal, Policy(max_continuations=policy)) == most


def test_overdrawn_budget_has_nothing_left() -> None:
    used = progress(replace(GOAL, token_budget=10, tokens_used=25), Policy())
    assert used.tokens == Spent(used=25, budget=10, left=0)


@pytest.mark.parametrize(
    ("cost", "text"),
    [(0, "0"), (1, "0.000001"), (1_500_000, "1.5"), (12_000_000, "12"), (1_234_000_000, "1,234")],
)
def test_money(cost: int, text: str) -> None:
    assert money(cost) == text


def test_cost_is_shown_where_there_is_any() -> None:
    assert not any("cost" in text for text in budget_lines(progress(GOAL, Policy())))
    spent = budget_lines(progress(replace(GOAL, cost_used=250_000), Policy()))
    assert spent[-1] == "cost: 0.25 used, no limit"
    limited = budget_lines(progress(replace(GOAL, cost_budget=1_000_000), Policy()))
    assert limited[-1] == "cost: 0 of 1 used, 1 left"
