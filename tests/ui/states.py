"""A session for every state that the interface tells apart, and who drives it there."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, get_args

from msgspec.structs import replace

from goalfsm.goal.accounting import Ledger
from goalfsm.goal.model import (
    Criterion,
    Evidence,
    Goal,
    Limit,
    Limits,
    PauseReason,
    Usage,
    Verifier,
)
from goalfsm.session import Policy, Session
from goalfsm.session.state import (
    Blocking,
    Claim,
    Decision,
    Host,
    QueuedGoal,
    Retry,
    Run,
    Steering,
    VerifierResult,
    Wait,
)
from goalfsm.ui.source import Link
from goalfsm.views.parts import Driver
from recovery.state import Attention, RecoveryState

NOW_MS: Final = 1_800_000_010_500
GOAL: Final = Goal(
    goal_id="g-1",
    objective="Move the billing service to the new ledger, and keep every invoice as it is.",
    token_budget=200_000,
    tokens_used=124_000,
    time_budget_seconds=3_600,
    active_seconds=1_512,
    cost_budget=5_000_000,
    cost_used=4_300_000,
    continuations=7,
    max_continuations=40,
    created_at=1_800_000_000,
    updated_at=1_800_000_000,
    criteria=(
        Criterion(text="every invoice of last year comes out the same"),
        Criterion(text="the old tables are gone"),
    ),
    verifiers=(Verifier(kind="command", argv=("make", "test")), Verifier(kind="person")),
)
RUN: Final = Run(
    run_id="r-1", token="t", goal_id="g-1", turn=7, started_ms=NOW_MS - 83_000, can_steer=True
)
CLAIM: Final = Claim(
    claim_id="c-1",
    goal_id="g-1",
    at_ms=NOW_MS - 5_000,
    evidence=(Evidence(text="make test passes"),),
    results=(VerifierResult(index=0, outcome="passed"),),
)
DECIDED: Final = Decision(
    decision="continue",
    guard="otherwise",
    reason="the objective is not met yet",
    at_ms=NOW_MS - 84_000,
)
LEDGER: Final = Ledger(reported=Usage(input_tokens=110_000, output_tokens=14_000, cost=4_300_000))
ALIVE: Final = Driver(pid=4711, alive=True, since_ms=NOW_MS - 900_000, seen_ms=NOW_MS)
DEAD: Final = Driver(pid=4711, alive=False, seen_ms=NOW_MS - 60_000)


class State(NamedTuple):
    """A session as it is stored, and what is known of an engine."""

    session: Session | None
    driver: Driver = ALIVE
    link: Link = "answers"


def goal(**fields: Any) -> Session:
    return Session(goal=replace(GOAL, **fields), decision=DECIDED, ledger=LEDGER)


def active(**fields: Any) -> Session:
    return replace(goal(), **fields)


def waiting(**fields: Any) -> State:
    return State(active(waits=(Wait(since_ms=NOW_MS - 60_000, **fields),)))


QUEUE: Final = (
    QueuedGoal(
        queue_id="q2",
        objective="Retire the old ledger once nobody has read it for a month.",
        limits=Limits(tokens=500_000, seconds=7_200),
        criteria=(Criterion(text="nothing reads it"), Criterion(text="its tables are gone")),
        verifiers=(Verifier(kind="command", argv=("make", "test")),),
        at_ms=NOW_MS,
    ),
    QueuedGoal(queue_id="q3", objective="Write down how an invoice is posted.", at_ms=NOW_MS),
    QueuedGoal(queue_id="q5", objective="Thank the auditors.", at_ms=NOW_MS),
)
STATES: Final = {
    "no_thread": State(None, Driver(), "nobody"),
    "no_goal": State(Session()),
    "continuing": State(active()),
    "running": State(
        active(
            run=RUN,
            host=Host(idle=False),
            steering=(
                Steering(
                    message_id="m-1",
                    text="mind the credit notes",
                    at_ms=NOW_MS,
                    carried_by="r-1",
                ),
                Steering(message_id="m-2", text="no migration at night", at_ms=NOW_MS),
            ),
        )
    ),
    "verifying": State(active(claim=replace(CLAIM, results=()))),
    "accepting": State(active(claim=CLAIM)),
    "waiting_timer": waiting(kind="timer", until_ms=NOW_MS + 600_000),
    "waiting_process": waiting(kind="process", pid=815, note="the nightly import"),
    "waiting_person": waiting(kind="person", note="which bank holidays count?"),
    "waiting_event": waiting(kind="event", note="the release of the library"),
    "recovering": State(
        active(
            recovery=RecoveryState(
                attention=Attention(kind="pending", reason="provider error (503)")
            ),
            retry=Retry(attempts=3, reason="provider error (503)", at_ms=NOW_MS + 45_000),
        )
    ),
    **{
        f"paused_{reason}": State(
            goal(
                status="paused",
                pause_reason=reason,
                resume_at_ms=NOW_MS + 7_200_000 if reason == "usage_limit" else None,
            )
        )
        for reason in get_args(PauseReason)
    },
    "blocked": State(
        replace(
            goal(status="blocked", note="there is no access to the archive"),
            blocking=Blocking(count=3, reason="there is no access to the archive"),
        )
    ),
    **{
        f"limited_{limit}": State(
            goal(status="budgetLimited", limited_by=limit, tokens_used=200_000)
        )
        for limit in get_args(Limit)
    },
    "complete": State(goal(status="complete", note="all criteria are shown")),
    "nobody_drives": State(active(), Driver(), "nobody"),
    "queued": State(replace(goal(status="complete"), queue=QUEUE)),
    "advancing": State(active(queue=QUEUE, policy=Policy(advance=True))),
    "engine_gone": State(active(run=RUN), DEAD, "nobody"),
    "suspended": State(active(run=RUN), ALIVE, "silent"),
}
