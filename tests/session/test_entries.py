"""What the history says of who changed a goal, and what a history that is loaded puts away."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import Evidence, Limits, Usage, Verifier
from goalfsm.session import Context, Policy
from goalfsm.session import events as e
from goalfsm.session.effects import ClearEntry, SetEntry, UserStartEntry
from goalfsm.session.rules.importing import load
from goalfsm.session.state import Continuation, Flush
from goalfsm.testing.loop import START_MS
from goalfsm.testing.threads import CheckedThread
from recovery.obligations import IDLE, ObservingTurn
from tests.session.asking import running, waiting_for_quota
from tests.session.hosts import started

PERSON = Verifier(kind="person")


def source(thread: CheckedThread) -> str:
    """Return who made the last entry."""
    entry = thread.history[-1]
    assert not isinstance(entry, UserStartEntry)
    return entry.source


def accepted() -> CheckedThread:
    """Return a thread whose claim a person accepted."""
    thread = running(verifiers=(PERSON,))
    thread.claim_complete()
    thread.do(e.ClaimAccepted())
    return thread


def stuck() -> CheckedThread:
    """Return a thread whose last turn got nowhere."""
    thread = running(Policy(no_progress=1))
    thread.end(tools=(0, 0))
    return thread


def restarted() -> CheckedThread:
    """Return a thread that a start of the engine paused."""
    thread = started(Policy(on_start="pause"))
    thread.restart()
    return thread


def spent() -> CheckedThread:
    """Return a thread that has no continuation left."""
    thread = running(limits=Limits(continuations=1))
    thread.end(answer="a")
    return thread


def unverifiable() -> CheckedThread:
    """Return a thread whose verifier could not tell."""
    thread = running(verifiers=(Verifier(kind="command"),))
    thread.claim_complete()
    thread.do(e.VerificationFinished(claim_id="claim-2", index=0, outcome="unverifiable"))
    return thread


def asked(*happened: e.Event) -> Callable[[], CheckedThread]:
    """Return what makes a thread with a goal, after these events."""

    def make() -> CheckedThread:
        thread = started()
        thread.do(*happened)
        return thread

    return make


def claimed(evidence: str = "it runs") -> CheckedThread:
    """Return a thread whose claim counted at once."""
    thread = running()
    thread.claim_complete(evidence)
    return thread


def blocked_by_the_model() -> CheckedThread:
    """Return a thread that the model has blocked."""
    thread = running(Policy(blocked_after=1))
    thread.claim_blocked()
    return thread


def paused_again() -> CheckedThread:
    """Return a thread that a person paused while it waited for its quota."""
    thread = waiting_for_quota()
    thread.do(e.PauseRequested())
    return thread


@pytest.mark.parametrize(
    ("make", "who", "status"),
    [
        (asked(), "command", "active"),
        (asked(e.PauseRequested()), "command", "paused"),
        (asked(e.PauseRequested(origin="system")), "runtime", "paused"),
        (asked(e.PauseRequested(), e.ResumeRequested()), "command", "active"),
        (asked(e.EditRequested(objective="y")), "command", "active"),
        (asked(e.BudgetChanged(limits=Limits(tokens=9))), "command", "active"),
        (asked(e.CompletionRequested()), "command", "complete"),
        (asked(e.BlockRequested()), "command", "blocked"),
        (paused_again, "command", "paused"),
        (accepted, "command", "complete"),
        (claimed, "tool", "complete"),
        (blocked_by_the_model, "tool", "blocked"),
        (waiting_for_quota, "runtime", "paused"),
        (stuck, "runtime", "paused"),
        (restarted, "runtime", "paused"),
        (unverifiable, "runtime", "paused"),
        (spent, "runtime", "budgetLimited"),
    ],
)
def test_the_history_says_who_changed_the_goal(
    make: Callable[[], CheckedThread], who: str, status: str
) -> None:
    thread = make()
    assert (source(thread), thread.status) == (who, status)


def test_what_is_cleared_is_cleared_by_a_person() -> None:
    thread = started()
    thread.do(e.ClearRequested())
    assert thread.history[-1] == ClearEntry(source="command", cleared="goal-1")


def test_a_loaded_history_puts_away_what_only_the_process_knew() -> None:
    """Stale work, a shutdown, a silent overflow, what was queued and what was to be written."""
    thread = started()
    before = replace(
        thread.session,
        stopping=True,
        overflow_noted=True,
        stale=ObservingTurn(stale_goal_ids=("goal-0",)),
        flush=Flush(dirty=True, written_ms=5),
        continuation=Continuation(queued="goal-1", wanted="goal-1", warned="goal-1"),
    )
    event = e.TreeChanged(history=tuple(thread.history))
    after = load(before, event, Context(START_MS, str)).session
    assert after.goal == thread.goal
    assert after.stale == IDLE
    assert (after.stopping, after.overflow_noted) == (False, False)
    assert (after.flush, after.continuation) == (Flush(), Continuation())


def test_the_cost_of_a_turn_that_completed_its_goal_is_its_goals() -> None:
    """Usage that arrives after the claim counted: what the goal used, it used."""
    thread = claimed()
    thread.use(7, cost=30)
    assert (thread.status, thread.goal.tokens_used, thread.goal.cost_used) == ("complete", 7, 30)
    assert thread.session.ledger.charged_cost == 30
    thread.end()
    entry = thread.history[-1]
    assert isinstance(entry, SetEntry)
    assert (entry.goal.tokens_used, entry.goal.cost_used) == (7, 30)


def test_the_cached_share_of_late_usage_weighs_as_it_always_does() -> None:
    thread = running(Policy(cached_weight=0.5))
    thread.claim_complete()
    run = thread.session.run
    assert run is not None
    usage = Usage(input_tokens=1, output_tokens=2, cached_tokens=10)
    thread.do(
        e.UsageReported(run_id=run.run_id, run_token=run.token, key="late", usage=usage),
        e.UsageReported(run_id=run.run_id, run_token=run.token, key="none", usage=Usage()),
    )
    assert thread.goal.tokens_used == 8


def test_a_budget_that_stays_used_up_is_not_announced_again() -> None:
    thread = running(limits=Limits(tokens=5))
    thread.use(5)
    assert thread.sent("wind_down") == 1
    thread.end()
    thread.do(e.BudgetChanged(limits=Limits(tokens=4)))
    thread.do(e.TimerFired())
    thread.dispatch()
    thread.use(3)
    thread.end()
    assert thread.status == "budgetLimited"
    assert thread.sent("wind_down") == 1
    assert thread.session.continuation.warned == "goal-1"


def test_a_claim_counts_what_it_shows() -> None:
    thread = claimed("12 passed")
    completion = thread.session.completion
    assert completion is not None
    assert completion.evidence == (Evidence(text="12 passed"),)
    assert completion.accepted_by == "engine"
    by_person = accepted().session.completion
    assert by_person is not None
    assert by_person.accepted_by == "person"
