"""What is said of every state: its line, what goes on, and what takes the work on."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal.model import STATUSES
from goalfsm.session import Session
from goalfsm.session.state import (
    Blocking,
    Host,
    Retry,
    VerifierResult,
    Wait,
)
from goalfsm.text import spoken_by
from goalfsm.views.activity import activity, hint, remedies
from goalfsm.views.status import status_line
from recovery.state import Attention, RecoveryState
from tests.unit.sessions import (
    ACTIVE,
    CLAIM,
    COMMAND,
    PENDING,
    PERSON,
    RUN,
    active,
    with_goal,
)

ASKS = RecoveryState(attention=Attention(kind="paused", reason="invalid api key"))


@pytest.mark.parametrize(
    ("session", "label", "reason"),
    [
        (ACTIVE, "pursuing", None),
        (with_goal(status="paused"), "paused", None),
        (with_goal(status="blocked"), "blocked", None),
        (with_goal(status="budgetLimited"), "budget_limited", None),
        (with_goal(status="complete"), "complete", None),
        *(
            (with_goal(active(recovery=state), status=status), label, reason)
            for status in STATUSES
            for state, label, reason in (
                (PENDING, "recovery_pending", "provider error (503)"),
                (ASKS, "needs_attention", "invalid api key"),
            )
        ),
    ],
)
def test_status_line(session: Session, label: str, reason: str | None) -> None:
    """Attention outranks the status until somebody acts."""
    line = status_line(session)
    assert line is not None
    assert (line.label, line.reason) == (label, reason)


def test_status_line_without_a_goal() -> None:
    """Attention that outlived its goal makes no line."""
    assert status_line(Session(recovery=ASKS)) is None


ACTIVITIES: list[tuple[Session, str, str, str, int | None]] = [
    (Session(), "none", "no goal", "", None),
    (Session(run=RUN), "none", "no goal", "", None),
    (ACTIVE, "continuing", "continuing", "", None),
    (active(run=RUN), "running", "running a turn", "turn 3", None),
    (
        active(run=replace(RUN, ending="replaced")),
        "running",
        "running a turn",
        "turn 3, being ended: replaced",
        None,
    ),
    (active(host=Host(idle=False)), "running", "running a turn", "", None),
    (
        with_goal(active(claim=CLAIM, run=RUN), verifiers=(COMMAND, PERSON)),
        "running",
        "running a turn",
        "turn 3, which has claimed completion",
        None,
    ),
    (
        with_goal(active(claim=CLAIM), verifiers=(COMMAND, PERSON)),
        "verifying",
        "verifying",
        "0 of 2 verifiers have answered",
        None,
    ),
    (active(recovery=PENDING), "recovering", "recovering", "provider error (503)", None),
    (active(recovery=PENDING, run=RUN), "running", "running a turn", "turn 3", None),
    (
        active(recovery=PENDING, host=Host(idle=False)),
        "recovering",
        "recovering",
        "provider error (503)",
        None,
    ),
    (
        active(retry=Retry(attempts=2, at_ms=5, reason="overloaded")),
        "recovering",
        "recovering",
        "overloaded",
        5,
    ),
    (
        active(
            recovery=RecoveryState(phase="host_overflow_recovering"), waits=(Wait(kind="timer"),)
        ),
        "recovering",
        "recovering",
        "",
        None,
    ),
    (active(waits=(Wait(kind="timer", until_ms=9),)), "waiting", "waiting on a timer", "", 9),
    (
        active(waits=(Wait(kind="process", pid=77, note="the build"),)),
        "waiting",
        "waiting on process 77",
        "the build",
        None,
    ),
    (active(waits=(Wait(kind="person"),)), "waiting", "waiting on a person", "", None),
    (
        active(waits=(Wait(kind="event", note="CI"),), host=Host(pending_messages=True)),
        "waiting",
        "waiting on an event",
        "CI",
        None,
    ),
    (
        active(host=Host(pending_messages=True), stopping=True),
        "waiting",
        "waiting on a person's messages",
        "",
        None,
    ),
    (
        active(stopping=True),
        "waiting",
        "waiting on the next start of the engine",
        "",
        None,
    ),
    (
        with_goal(status="paused", pause_reason="usage_limit", resume_at_ms=7),
        "paused",
        "paused (usage_limit)",
        "the provider's quota is used up",
        7,
    ),
    (
        with_goal(status="paused", pause_reason="no_progress", note="3 empty turns"),
        "paused",
        "paused (no_progress)",
        "3 empty turns",
        None,
    ),
    (with_goal(status="paused"), "paused", "paused (user)", "somebody asked for it", None),
    (
        with_goal(active(recovery=ASKS), status="paused", note="x"),
        "paused",
        "paused (recovery)",
        "invalid api key",
        None,
    ),
    (
        with_goal(active(recovery=PENDING), status="paused"),
        "paused",
        "paused (user)",
        "somebody asked for it",
        None,
    ),
    (with_goal(status="blocked", note="no key"), "blocked", "blocked", "no key", None),
    (
        with_goal(active(blocking=Blocking(count=3, reason="no login")), status="blocked"),
        "blocked",
        "blocked",
        "no login",
        None,
    ),
    (
        with_goal(status="budgetLimited", limited_by="time"),
        "limited",
        "limited by time",
        "the time budget is used up",
        None,
    ),
    (
        with_goal(active(wind_down="owed"), status="budgetLimited"),
        "limited",
        "limited by tokens",
        "the token budget is used up; one last turn winds the work down",
        None,
    ),
    (with_goal(status="complete"), "complete", "complete", "", None),
    (with_goal(active(run=RUN), status="complete", note="n"), "complete", "complete", "n", None),
]


@pytest.mark.parametrize(("session", "kind", "text", "detail", "until"), ACTIVITIES)
def test_activity(session: Session, kind: str, text: str, detail: str, until: int | None) -> None:
    now = activity(session)
    assert (now.kind, now.text, now.detail, now.until_ms) == (kind, text, detail, until)


@pytest.mark.parametrize(
    ("wind_down", "told"), [("none", False), ("owed", True), ("running", True), ("done", False)]
)
def test_last_turn_of_a_limited_goal_is_told(wind_down: Any, told: bool) -> None:
    session = with_goal(active(wind_down=wind_down), status="budgetLimited", limited_by="cost")
    assert ("one last turn" in activity(session).detail) is told


@pytest.mark.parametrize(
    ("session", "advice"),
    [
        (Session(), "goalfsm set THREAD OBJECTIVE"),
        (ACTIVE, ""),
        (active(run=RUN), ""),
        (with_goal(status="complete"), ""),
        (with_goal(status="paused"), "goalfsm resume THREAD"),
        (with_goal(status="blocked"), "goalfsm resume THREAD"),
        (with_goal(status="budgetLimited"), "goalfsm budget THREAD --tokens N"),
        (
            with_goal(status="budgetLimited", limited_by="time"),
            "goalfsm budget THREAD --time DURATION",
        ),
        (
            with_goal(status="budgetLimited", limited_by="cost"),
            "goalfsm budget THREAD --cost AMOUNT",
        ),
        (
            with_goal(status="budgetLimited", limited_by="continuations"),
            "goalfsm budget THREAD --max-continuations N",
        ),
        (active(waits=(Wait(kind="event"),)), "goalfsm wake THREAD"),
        (with_goal(active(claim=CLAIM), verifiers=(COMMAND,)), ""),
        (
            with_goal(active(claim=CLAIM), verifiers=(COMMAND, PERSON)),
            "goalfsm accept THREAD, or goalfsm reject THREAD",
        ),
        (
            with_goal(
                active(claim=replace(CLAIM, results=(VerifierResult(index=0, outcome="passed"),))),
                verifiers=(PERSON,),
            ),
            "",
        ),
    ],
)
def test_hint_is_what_takes_the_work_on(session: Session, advice: str) -> None:
    assert hint(session) == advice


@pytest.mark.parametrize("kind", ["paused", "pending"])
def test_a_program_that_an_agent_understands_is_taken_up_with_that_agent(kind: Any) -> None:
    """As long as that is what keeps the goal: resumed, the program would write the same again."""
    reason = f"sh: this looks like the output of another program; {spoken_by('codex')}"
    recovery = RecoveryState(attention=Attention(kind=kind, reason=reason))
    session = with_goal(active(recovery=recovery), status="paused")
    told = hint(session)
    if kind == "paused":
        assert (told, remedies(session)) == ("goalfsm run --thread THREAD --agent codex", ())
    else:
        assert (told, remedies(session)) == ("goalfsm resume THREAD", (Remedy("resume"),))
