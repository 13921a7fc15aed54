"""What a refusal says, to the letter, and the parts of a status by themselves."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from goalfsm.goal.machine import Row, default_machine
from goalfsm.goal.model import MAX_ITEMS, Evidence, Goal, Rejection, check_text
from goalfsm.goal.transition import (
    AbortPause,
    Fire,
    Plan,
    ResumeActive,
    RuntimeAccounting,
    Set,
    plan,
)
from goalfsm.session import Reply, Session
from goalfsm.session.state import Blocking, Claim, Retry, Run, VerifierResult
from goalfsm.session.tool_requests import ClaimComplete, parse
from goalfsm.text import compact_tokens
from goalfsm.views.explain import explain
from goalfsm.views.parts import open_claim, open_run
from goalfsm.views.status import project
from goalfsm.views.tool_answers import respond

COMPLETE = {"status": "complete"}
GOAL = Goal(goal_id="g", objective="x", created_at=1, updated_at=1)
NOW_MS = 1_800_000_010_500


@pytest.mark.parametrize(
    ("name", "arguments", "code", "message", "hint"),
    [
        (
            "goal",
            {},
            "unknown_tool",
            "there is no tool goal",
            "the tools are create_goal, get_goal, update_goal, wait",
        ),
        (
            "get_goal",
            {"x": 1},
            "unknown_argument",
            "get_goal has no argument x",
            "it takes no arguments",
        ),
        (
            "create_goal",
            {"x": 1},
            "unknown_argument",
            "create_goal has no argument x",
            "it takes objective, token_budget, criteria",
        ),
        (
            "create_goal",
            {"objective": 5},
            "argument_invalid",
            "the objective is not valid",
            "give a text",
        ),
        (
            "update_goal",
            {},
            "argument_missing",
            "the status is missing",
            'give "complete" or "blocked"',
        ),
        (
            "update_goal",
            {"status": "paused"},
            "status_not_allowed",
            "a tool cannot set the status paused",
            'claim "complete" or "blocked"; the rest belongs to the person',
        ),
        (
            "update_goal",
            {**COMPLETE, "reason": "r"},
            "argument_invalid",
            "the reason does not fit this status",
            'it goes with "blocked"',
        ),
        (
            "update_goal",
            {"status": "blocked", "evidence": ["x"]},
            "argument_invalid",
            "the evidence does not fit this status",
            'it goes with "complete"',
        ),
        (
            "update_goal",
            {"status": "blocked", "reason": 3},
            "argument_invalid",
            "the reason is not valid",
            "give a text",
        ),
        (
            "update_goal",
            {"status": "blocked", "reason": " "},
            "text_empty",
            "the reason is empty",
            "give the reason as text",
        ),
        (
            "update_goal",
            {**COMPLETE, "evidence": "done"},
            "argument_invalid",
            "the evidence is not valid",
            "give a list of texts",
        ),
        (
            "update_goal",
            {**COMPLETE, "evidence": [3]},
            "argument_invalid",
            "the evidence is not valid",
            'give texts or objects of "text" and "criterion"',
        ),
        (
            "update_goal",
            {**COMPLETE, "evidence": [{}]},
            "argument_invalid",
            "the evidence's text is not valid",
            "give a text",
        ),
        *(
            (
                "update_goal",
                {**COMPLETE, "evidence": [{"text": "a", "criterion": criterion}]},
                "argument_invalid",
                "the evidence's criterion is not valid",
                "give a number from 1",
            )
            for criterion in (0, "1", MAX_ITEMS + 1)
        ),
        (
            "update_goal",
            {**COMPLETE, "evidence": [" "]},
            "text_empty",
            "the evidence is empty",
            "give the evidence as text",
        ),
        (
            "update_goal",
            {**COMPLETE, "evidence": ["x"] * 101},
            "too_many_items",
            "101 pieces of evidence, 100 are allowed",
            "sum some of them up",
        ),
    ],
)
def test_a_refused_call(
    name: str, arguments: dict[str, Any], code: str, message: str, hint: str
) -> None:
    assert parse(name, arguments) == Rejection(code, message=message, hint=hint)


def test_the_last_criterion_that_a_goal_can_have_can_be_shown() -> None:
    shown = [{"text": "a", "criterion": MAX_ITEMS}]
    claim = ClaimComplete(evidence=(Evidence(text="a", criterion=MAX_ITEMS),))
    assert parse("update_goal", {**COMPLETE, "evidence": shown}) == claim


def test_a_text_that_is_too_long() -> None:
    assert check_text("x" * 16_001, "reason") == Rejection(
        "text_too_long",
        message="the reason has 16,001 characters, 16,000 are allowed",
        hint="name a file that holds the rest",
    )


def test_an_answer_holds_the_obstacle_that_was_claimed() -> None:
    session = Session(goal=GOAL, blocking=Blocking(count=1, claimed=True, reason="no access"))
    said = respond(Reply(ok=True, code="recorded"), session, NOW_MS)
    assert said.data.blocked_claims.reason == "no access"


def test_an_explanation_says_until_when() -> None:
    goal = replace(GOAL, status="paused", pause_reason="usage_limit", resume_at_ms=NOW_MS)
    told = explain(Session(goal=goal))
    assert told.words[0].endswith("2027-01-15 08:00:10 UTC.")
    assert told.until_ms == NOW_MS


def test_a_claim_shows_how_many_verifiers_passed() -> None:
    results = tuple(
        VerifierResult(index=index, outcome=outcome)
        for index, outcome in enumerate(("passed", "failed", "passed", "unverifiable"))
    )
    shown = open_claim(
        Session(goal=GOAL, claim=Claim(claim_id="c", goal_id="g", at_ms=1, results=results))
    )
    assert shown is not None
    assert (shown.verified, shown.passed) == (4, 2)


@pytest.mark.parametrize(
    ("retry", "shown"),
    [
        (Retry(), False),
        (Retry(attempts=2, reason="r", first_failure_ms=1), True),
        (Retry(at_ms=5), True),
    ],
)
def test_an_attempt_is_shown_until_one_succeeds(retry: Retry, *, shown: bool) -> None:
    """Also the one that is being made, for which nothing is due."""
    told = project(Session(goal=GOAL, retry=retry), NOW_MS).retry
    assert told == (retry if shown else None)


def test_a_run_is_shown_as_it_is() -> None:
    run = Run(
        run_id="r",
        token="t",
        goal_id="g",
        turn=3,
        started_ms=NOW_MS - 2_999,
        wind_down=True,
        can_steer=True,
        ending="it is over",
    )
    shown = open_run(Session(goal=GOAL, run=run), NOW_MS)
    assert shown is not None
    assert (shown.elapsed_seconds, shown.wind_down, shown.can_steer) == (2, True, True)
    assert (shown.turn, shown.ending) == (3, "it is over")


@pytest.mark.parametrize(
    ("count", "text"),
    [(10_040_000, "10M"), (9_996_000, "10M"), (100_400_000, "100M"), (99_960_000, "100M")],
)
def test_a_count_at_the_edge_of_a_place_has_three_digits(count: int, text: str) -> None:
    assert compact_tokens(count) == text


def test_a_plan_says_what_was_asked_and_by_whom() -> None:
    after = replace(GOAL, tokens_used=5)
    charged = plan(GOAL, RuntimeAccounting(after), 9)
    entered = default_machine().on_enter["active"]
    assert charged == Plan("defer", after, "runtime", entered, (), "", "account")
    stored = plan(None, Set(GOAL, "command"), 9)
    assert isinstance(stored, Plan)
    assert (stored.persist, stored.source, stored.trigger) == ("set", "command", "set")
    edited = plan(GOAL, Set(replace(GOAL, note="new"), "command"), 9)
    assert isinstance(edited, Plan)
    assert (edited.before, edited.reason, edited.trigger) == (entered, "", "set")
    kept = plan(GOAL, Fire("resume", "command", "why"), 9)
    assert isinstance(kept, Rejection)
    stays = default_machine().extended(
        [Row("nap", "active", None, actions=("clear_continuation",))]
    )
    slept = plan(GOAL, Fire("nap", "command", "why"), 9, stays)
    assert slept == Plan("skip", GOAL, "command", ("clear_continuation",), (), "why", "nap")
    paused = plan(GOAL, AbortPause(), 9)
    assert isinstance(paused, Plan)
    assert (paused.source, paused.trigger) == ("runtime", "abort_pause")
    assert paused.next_goal is not None
    assert paused.next_goal.status == "paused"
    resumed = plan(paused.next_goal, ResumeActive(), 9)
    assert isinstance(resumed, Plan)
    assert (resumed.source, resumed.trigger) == ("runtime", "resume")
