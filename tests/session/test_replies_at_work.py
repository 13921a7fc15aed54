"""What is told of messages, claims, verifiers, waits and runs: done or not, a code, and why."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from goalfsm.goal.model import Criterion, Usage
from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.testing.loop import START_MS
from goalfsm.testing.threads import CheckedThread
from tests.session.asking import (
    COMMAND,
    FINAL,
    PERSON,
    SHOW,
    STALE,
    WORK,
    Asked,
    Told,
    after,
    blocked,
    budget,
    claimed,
    complete,
    complete_with,
    done,
    held,
    paused,
    refused,
    reply_to,
    running,
    steer,
    used_twice,
    verified,
)
from tests.session.hosts import started

TOLD: dict[str, tuple[Callable[[], CheckedThread], Asked, Told]] = {
    # messages
    "steer": (started, steer(), done("recorded", "the next turn takes it into account")),
    "steer nothing": (
        CheckedThread,
        steer(),
        refused(
            "no_goal",
            "there is no work to steer",
            WORK,
        ),
    ),
    "steer what is complete": (
        complete,
        steer(),
        refused(
            "no_goal",
            "there is no work to steer",
            WORK,
        ),
    ),
    "steer without words": (
        started,
        steer(" "),
        refused("text_empty", "the message is empty", "give the message as text"),
    ),
    "steer twice": (
        after(steer()),
        steer("right"),
        done("recorded", "it is queued already"),
    ),
    "steer too often": (
        after(steer(key="m1"), steer(key="m2"), policy=Policy(steering_limit=2)),
        steer(),
        refused(
            "steering_full",
            "2 messages wait for the next turn already",
            "wait until a turn has taken them, or say it by goalfsm edit THREAD OBJECTIVE",
        ),
    ),
    # claims of the model
    "a claim": (running, complete_with("it runs"), done("marked", "the goal is complete")),
    "a claim without a goal": (
        CheckedThread,
        complete_with("it runs"),
        refused("no_goal", "there is no goal to complete", "create one first"),
    ),
    "a budget of a complete goal": (
        complete,
        budget(tokens=9),
        refused(
            "complete_is_terminal", "cannot raise the budget of the goal: it is complete", FINAL
        ),
    ),
    "a claim twice": (complete, complete_with("it runs"), done("already_complete", "it is")),
    "a claim while one is verified": (
        claimed(),
        complete_with("it runs"),
        refused("claim_open", "a completion claim is being verified", "wait for its outcome"),
    ),
    "a claim to be verified": (
        lambda: running(verifiers=(COMMAND,)),
        complete_with("it runs"),
        done(
            "verifying",
            "the claim is recorded; it is verified before the goal counts as complete",
        ),
    ),
    "a claim that shows nothing": (
        running,
        complete_with(),
        refused("evidence_missing", "a completion claim needs evidence", SHOW),
    ),
    "a claim that shows too little": (
        lambda: running(criteria=tuple(Criterion(text=t) for t in ("tests", "docs", "x" * 90))),
        complete_with({"text": "12 passed", "criterion": 1}),
        refused("evidence_missing", f"no evidence for criterion 2 (docs), 3 ({'x' * 80})", SHOW),
    ),
    "a claim about no criterion": (
        lambda: running(criteria=(Criterion(text="tests"),)),
        complete_with({"text": "12 passed", "criterion": 2}),
        refused("evidence_missing", "there is no criterion 2; the goal has 1", SHOW),
    ),
    "blocked": (
        running,
        CheckedThread.claim_blocked,
        done(
            "recorded",
            "recorded 1 of 3: the goal stays active",
            "try another way; only the same blocker in consecutive turns blocks the goal",
        ),
    ),
    "blocked for the last time": (
        lambda: running(Policy(blocked_after=1)),
        CheckedThread.claim_blocked,
        done("marked", "the goal is blocked"),
    ),
    "blocked without a goal": (
        CheckedThread,
        CheckedThread.claim_blocked,
        refused("no_goal", "there is no goal to block", "create one first"),
    ),
    "blocked twice": (blocked, CheckedThread.claim_blocked, done("already_blocked", "it is")),
    "blocked while paused": (
        paused,
        CheckedThread.claim_blocked,
        refused(
            "only_active_can_block",
            "the goal is paused",
            "resume the goal before it is blocked again",
        ),
    ),
    # verifiers, and a person's word on a claim
    "a verifier of no claim": (
        started,
        verified("passed"),
        refused("stale_claim", "that claim is settled already", ""),
    ),
    "a verifier of nobody": (
        claimed(),
        verified("passed", 7),
        refused(
            "verifier_unknown",
            "the goal has no verifier 7 that the engine runs",
            "answer for a verifier that RunVerifier named; a person accepts or rejects",
        ),
    ),
    "one of two verifiers": (
        claimed(COMMAND, COMMAND),
        verified("passed"),
        done("recorded", ""),
    ),
    "a verifier that comes before a person": (
        claimed(COMMAND, PERSON),
        verified("passed"),
        done("waiting", "a person has to accept the claim"),
    ),
    "a verifier that passed": (
        claimed(),
        verified("passed"),
        done("marked", "the goal is complete"),
    ),
    "a verifier that failed": (claimed(), verified("failed"), done("failed", "")),
    "a verifier that could not tell": (
        claimed(),
        verified("unverifiable", detail="no network"),
        done("unverifiable", "verifier 1: no network"),
    ),
    "accept": (claimed(PERSON), e.ClaimAccepted(), done("marked", "the goal is complete")),
    "accept nothing": (
        started,
        e.ClaimAccepted(),
        refused(
            "no_claim",
            "there is no claim to accept",
            "goalfsm complete THREAD completes the goal without one",
        ),
    ),
    "reject": (
        claimed(PERSON),
        e.ClaimRejected(feedback="no"),
        done("rejected", "the feedback goes to the next turn"),
    ),
    "reject nothing": (
        started,
        e.ClaimRejected(),
        refused(
            "no_claim",
            "there is no claim to reject",
            "goalfsm steer THREAD TEXT tells the work what is wrong",
        ),
    ),
    # waits
    "wait for a time": (
        started,
        e.WaitDeclared(kind="timer", until_ms=START_MS + 1),
        done("waiting", "the work waits until the time has come; end the turn"),
    ),
    "wait for a process": (
        started,
        e.WaitDeclared(kind="process", pid=1),
        done("waiting", "the work waits until the process has ended; end the turn"),
    ),
    "wait for a person": (
        started,
        e.WaitDeclared(kind="person"),
        done("waiting", "the work waits for a person; end the turn"),
    ),
    "wait for something": (
        started,
        e.WaitDeclared(kind="event"),
        done("waiting", "the work waits until it is woken; end the turn"),
    ),
    "wait for no time": (
        started,
        e.WaitDeclared(kind="timer"),
        refused("wait_invalid", "a timer needs a time", "give until or seconds"),
    ),
    "wait for no process": (
        started,
        e.WaitDeclared(kind="process", pid=0),
        refused("wait_invalid", "a process needs its id", "give a pid above 0"),
    ),
    "wait for a process without an id": (
        started,
        e.WaitDeclared(kind="process"),
        refused("wait_invalid", "a process needs its id", "give a pid above 0"),
    ),
    "wait while paused": (
        paused,
        e.WaitDeclared(kind="event"),
        refused("status_not_allowed", "the goal is not active", ""),
    ),
    "wait without a goal": (
        CheckedThread,
        e.WaitDeclared(kind="event"),
        refused("status_not_allowed", "the goal is not active", ""),
    ),
    "wait while a person comes first": (
        held,
        e.WaitDeclared(kind="event"),
        done("waiting", "a person comes first"),
    ),
    "wake": (
        after(e.WaitDeclared(kind="event")),
        e.WakeRequested(),
        done("woken", "the wait is over"),
    ),
    "wake what does not wait": (
        started,
        e.WakeRequested(),
        refused(
            "not_waiting", "the goal waits for nothing", "goalfsm status THREAD shows what it does"
        ),
    ),
    # runs
    "a dispatch twice": (
        running,
        e.RunDispatched(run_id="run-1", token="token-1"),
        done("dispatched", "the run is open already"),
    ),
    "a dispatch beside another": (
        running,
        e.RunDispatched(run_id="run-2", token="token-2"),
        refused(
            "run_open",
            "the thread has an open run",
            "report its end before another one is dispatched",
        ),
    ),
    "usage twice": (running, used_twice, done("charged_before", "")),
    "usage of an old run": (
        started,
        e.UsageReported(run_id="run-0", run_token="old", key="k", usage=Usage(input_tokens=1)),
        STALE,
    ),
    "a tool of an old run": (
        started,
        e.ToolCalled(name="get_goal", arguments={}, run_token="old"),
        STALE,
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_whoever_asks_is_told(name: str) -> None:
    make, asked, told = TOLD[name]
    assert reply_to(make(), asked) == told
