"""The one projection: what it says of every state, and what it never says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from msgspec.structs import replace

from goalfsm.accounting import Clock
from goalfsm.continuation import GUARDS, StopReason
from goalfsm.explain import chain_of, explain, moment, sentence
from goalfsm.model import STATUSES, Criterion, Goal, Usage, Verifier
from goalfsm.progress import Spent, budget_lines, max_continuations, money, progress
from goalfsm.session import Policy, Session
from goalfsm.session.state import (
    Blocking,
    Claim,
    Decision,
    Host,
    Ledger,
    Retry,
    Run,
    Steering,
    VerifierResult,
    Wait,
)
from goalfsm.status import Status, activity, hint, project, status_line, summary
from goalfsm.views import LastDecision
from recovery.state import Attention, RecoveryState

NOW_MS = 1_800_000_010_500
GOAL = Goal(goal_id="g", objective="ship it", created_at=1_800_000_000, updated_at=1_800_000_000)
ACTIVE = Session(goal=GOAL)
FENCE = "fence-of-the-run"
RUN = Run(run_id="r", token=FENCE, goal_id="g", turn=3, started_ms=1_800_000_008_000)
CLAIM = Claim(claim_id="c", goal_id="g", at_ms=1_800_000_009_000)
PENDING = RecoveryState(attention=Attention(kind="pending", reason="provider error (503)"))
ASKS = RecoveryState(attention=Attention(kind="paused", reason="invalid api key"))
PERSON = Verifier(kind="person")
COMMAND = Verifier(kind="command", argv=("true",))


def with_goal(session: Session = ACTIVE, **fields: Any) -> Session:
    return replace(session, goal=replace(GOAL, **fields))


def active(**fields: Any) -> Session:
    return replace(ACTIVE, **fields)


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
        active(recovery=RecoveryState(phase="host_overflow_recovering"), wait=Wait(kind="timer")),
        "recovering",
        "recovering",
        "",
        None,
    ),
    (active(wait=Wait(kind="timer", until_ms=9)), "waiting", "waiting on a timer", "", 9),
    (
        active(wait=Wait(kind="process", pid=77, note="the build")),
        "waiting",
        "waiting on process 77",
        "the build",
        None,
    ),
    (active(wait=Wait(kind="person")), "waiting", "waiting on a person", "", None),
    (
        active(wait=Wait(kind="event", note="CI"), host=Host(pending_messages=True)),
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
        (active(wait=Wait(kind="event")), "goalfsm wake THREAD"),
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
        wait=Wait(kind="process", pid=4, since_ms=2, until_ms=3, note="n"),
        retry=Retry(attempts=1, first_failure_ms=1, at_ms=2, reason="r"),
        blocking=Blocking(count=1, reason="b"),
        recovery=PENDING,
        steering=(Steering(message_id="m", text="t", at_ms=1),),
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
    }
    assert shown == {
        "thread_id": "main",
        "activity": "verifying",
        "activity_kind": "verifying",
        "detail": "1 of 2 verifiers have answered",
        "until_ms": None,
        "hint": "goalfsm accept THREAD, or goalfsm reject THREAD",
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
        },
        "claim": {
            "claim_id": "c",
            "at_ms": 1_800_000_009_000,
            "evidence": 0,
            "verified": 1,
            "passed": 0,
            "verifiers": 2,
        },
        "wait": {"kind": "process", "since_ms": 2, "until_ms": 3, "pid": 4, "note": "n"},
        "retry": {"attempts": 1, "reason": "r", "first_failure_ms": 1, "at_ms": 2},
        "blocked_claims": {"count": 1, "needed": 3, "reason": "b"},
        "attention": {"kind": "pending", "reason": "provider error (503)"},
        "steering_pending": 1,
        "notices": ["resumed"],
        "usage": {"input_tokens": 40, "output_tokens": 0, "cached_tokens": 0, "cost": 0},
        "uncharged": {"stale_run": 10},
        "shutting_down": True,
    }
    assert msgspec.json.decode(encoded, type=Status) == project(session, NOW_MS, thread_id="main")


def test_projection_of_an_empty_thread() -> None:
    shown = msgspec.to_builtins(project(Session(), NOW_MS))
    empty = ("goal", "progress", "last_decision", "run", "claim", "wait", "retry", "attention")
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


def decided(guard: str, decision: Any = "stop", reason: str = "r") -> Decision:
    return Decision(decision=decision, guard=guard, reason=reason, at_ms=1_800_000_000_000)


@pytest.mark.parametrize("at", range(len(GUARDS)))
def test_chain_ends_with_the_guard_that_decided(at: int) -> None:
    """Those before it said no, it said yes, those after it were not asked."""
    answers = [answer.answer for answer in chain_of(GUARDS[at].name)]
    assert answers == ["no"] * at + ["yes"] + ["not asked"] * (len(GUARDS) - at - 1)


def test_chain_of_work_that_goes_on_says_no_to_every_guard() -> None:
    chain = chain_of("otherwise")
    assert [(answer.guard, answer.asks) for answer in chain] == [(g.name, g.asks) for g in GUARDS]
    assert {answer.answer for answer in chain} == {"no"}


def test_decision_that_no_guard_made_has_no_chain() -> None:
    assert chain_of("somebody") == ()


def test_explanation_in_words_and_data() -> None:
    session = replace(
        with_goal(status="paused", pause_reason="no_progress", note="3 turns in a row did nothing"),
        decision=decided("no_progress", reason="no_progress: 3 turns in a row did nothing"),
    )
    told = explain(session)
    assert told.words[0] == "Now: paused (no_progress): 3 turns in a row did nothing."
    assert told.words[1] == (
        "Work stopped at 2027-01-15 08:00:00 UTC: the last turns got nowhere "
        "(3 turns in a row did nothing)."
    )
    assert told.words[-1] == "Hint: goalfsm resume THREAD"
    assert "  yes       Did the last turns get nowhere?" in told.words
    assert "  no        Is the goal anything but active?" in told.words
    assert "  not asked Is the host busy?" in told.words
    assert len(told.words) == len(GUARDS) + 3
    assert told.last_decision is not None
    assert told.last_decision.guard == "no_progress"
    assert (told.activity, told.hint) == ("paused (no_progress)", "goalfsm resume THREAD")
    assert msgspec.json.decode(msgspec.json.encode(told))["chain"][0]["answer"] == "no"


def test_explanation_before_the_first_decision() -> None:
    assert explain(active(run=RUN)).words == (
        "Now: running a turn: turn 3.",
        "Nothing was decided yet.",
    )


def journal(*made: tuple[str, str, str]) -> Iterator[Decision]:
    """Yield decisions of a journal, newest first; nobody may read on beyond them."""
    for decision, guard, reason in made:
        yield Decision(decision=decision, guard=guard, reason=reason)  # type: ignore[arg-type]
    raise AssertionError("more is read than is shown")


def test_explanation_with_the_decisions_before() -> None:
    """Each that differs from the one after it; what was asked for in vain decided nothing."""
    session = replace(active(), decision=decided("wait", decision="wait", reason="the build"))
    wait, on = ("wait", "wait", "the build"), ("continue", "otherwise", "the objective is not met")
    told = explain(
        session,
        journal(wait, on, ("refused", "evidence_missing", "nothing is shown"), on, *[wait, on] * 2),
    )
    assert [one.decision for one in told.earlier] == ["continue", "wait"] * 2 + ["continue"]
    at = told.words.index("Before that:")
    assert told.words[at + 1] == (
        "  Work went on at 1970-01-01 00:00:00 UTC: the objective is not met (otherwise)."
    )
    assert len(told.words) == at + 6


def test_explanation_of_a_thread_whose_decisions_are_all_the_same() -> None:
    session = replace(active(), decision=decided("wait", decision="wait", reason="the build"))
    same = Decision(decision="wait", guard="wait", reason="the build")
    told = explain(session, (same, same))
    assert told.earlier == ()
    assert "Before that:" not in told.words


@pytest.mark.parametrize(("before", "said"), [(0, "else"), (4, "more"), (5, None)])
def test_explanation_of_the_newest_events_says_so(before: int, said: str | None) -> None:
    """Only where older ones might hold decisions that would be shown as well."""
    session = replace(active(), decision=decided("wait", decision="wait", reason="0"))
    made = [Decision(decision="wait", guard="wait", reason=str(n)) for n in range(before + 1)]
    told = explain(session, made, of_newest=20_000)
    words = f"Nothing {said} was decided in the newest 20,000 events; goalfsm log -n N"
    assert len(told.earlier) == before
    assert told.of_newest == (20_000 if said else None)
    assert [words in row for row in told.words].count(True) == (1 if said else 0)
    assert explain(session, made).of_newest is None


def test_explanation_of_what_was_decided_before_the_history_was_loaded() -> None:
    told = explain(active(), (Decision(decision="stop", guard="status", reason="completed"),))
    assert [one.reason for one in told.earlier] == ["completed"]


def last(decision: Any, reason: str, until_ms: int | None = None) -> LastDecision:
    return LastDecision(
        decision=decision, guard="g", reason=reason, at=0, at_ms=0, until_ms=until_ms
    )


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (last("continue", "it is not met"), "Work went on at {0}: it is not met."),
        (
            last("wait", "the build\nruns", 60_000),
            "Work waited at {0}: the build runs, until 1970-01-01 00:01:00 UTC.",
        ),
        (last("stop", "completed"), "Work stopped at {0}: the goal is complete."),
        (last("stop", "paused: user"), "Work stopped at {0}: the goal is paused (user)."),
        (
            last("stop", "cleared: the thread has no goal"),
            "Work stopped at {0}: the thread has no goal.",
        ),
        (last("stop", "else"), "Work stopped at {0}: else."),
        (last("stop", ""), "Work stopped at {0}."),
    ],
)
def test_decision_as_a_sentence(made: LastDecision, text: str) -> None:
    assert sentence(made) == text.format("1970-01-01 00:00:00 UTC")


def test_every_reason_to_stop_has_words() -> None:
    """A reason that is shown as its code would be a word that nobody has explained."""
    for reason in get_args(StopReason):
        assert f": {reason}" not in sentence(last("stop", reason))


@pytest.mark.parametrize(
    ("unix_ms", "text"),
    [
        (1_800_000_000_999, "2027-01-15 08:00:00 UTC"),
        (253_402_300_799_999, "9999-12-31 23:59:59 UTC"),
        (253_402_300_800_000, "253402300800000 ms"),
        (2**53 - 1, "9007199254740991 ms"),
        (-1, "-1 ms"),
    ],
)
def test_moment(unix_ms: int, text: str) -> None:
    """A time that no calendar holds is no reason to fail."""
    assert moment(unix_ms) == text
