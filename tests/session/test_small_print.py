"""Consequences that show late: what stays, what is put aside, and what is sent once more."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import Limits
from goalfsm.session import Policy, Session
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.context import Change
from goalfsm.session.effects import SetEntry
from goalfsm.session.rules.change import extend
from goalfsm.session.rules.steering import MAX_WAITING
from goalfsm.session.state import Steering
from goalfsm.testing.threads import CheckedThread
from recovery.obligations import AbortingTurn, AwaitingTerminalCleanup
from tests.session.hosts import started
from tests.session.refusing import at_work

STALE = e.GoalWork("continuation", "goal-1")


def aborting() -> CheckedThread:
    """Return a thread whose running turn is the stale work of a goal that was replaced."""
    thread = started(Policy.reference())
    thread.give("Another", replace=True)
    thread.do(
        e.HostChanged(idle=False),
        e.AgentStarting(work=STALE),
        e.TurnStarted(turn_index=1),
        e.MessageStarted(message=e.Message(role="custom", work=STALE)),
        e.ContextRequested(),
    )
    assert isinstance(thread.session.stale, AbortingTurn)
    return thread


# Stale work.


def test_the_end_of_a_tool_in_stale_work_is_nobodys_time() -> None:
    thread = aborting()
    clock = thread.session.clock
    entries = len(thread.history)
    thread.advance(90)
    thread.do(e.ToolFinished())
    assert thread.goal.active_seconds == 0
    assert thread.session.clock == clock
    assert len(thread.history) == entries


def test_a_run_that_may_proceed_lets_go_of_the_abort() -> None:
    thread = aborting()
    thread.do(e.AgentStarting(work=None))
    assert isinstance(thread.session.stale, AwaitingTerminalCleanup)
    thread.do(e.TurnStarted(turn_index=2), e.ContextRequested())
    assert thread.asked(f.AbortRun) == []


def test_stale_work_that_starts_lets_go_of_nothing() -> None:
    thread = aborting()
    thread.do(e.AgentStarting(work=STALE))
    assert isinstance(thread.session.stale, AbortingTurn)


def test_an_abort_stops_the_clock_and_other_stale_work_does_not() -> None:
    thread = aborting()
    assert thread.session.clock.goal_id is None
    thread.do(
        e.TurnEnded(turn_index=1, message=e.Message(role="assistant", stop_reason="aborted")),
        e.AgentStarting(work=None),
        e.TurnStarted(turn_index=2),
    )
    assert thread.session.clock.goal_id == thread.goal.goal_id
    # The end of the aborted run arrives while the next one works: its time goes on.
    ended = e.Message(role="assistant", stop_reason="aborted")
    thread.do(e.AgentEnded(messages=(e.Message(role="custom", work=STALE), ended)))
    assert thread.session.clock.goal_id == thread.goal.goal_id


# Steering.


def test_a_message_that_an_interrupted_run_carried_is_sent_again() -> None:
    thread = started()
    thread.do(e.SteeringReceived(message_id="m", text="left"))
    run_id = thread.dispatch()
    assert thread.session.steering[0].carried_by == run_id
    thread.interrupt()
    (kept,) = thread.session.steering
    assert (kept.message_id, kept.carried_by) == ("m", None)


def test_messages_that_fill_a_prompt_are_enough() -> None:
    thread = started()
    for number in range(MAX_WAITING // 10_000):
        thread.do(e.SteeringReceived(message_id=f"m{number}", text="x" * 10_000))
        assert thread.reply.ok
    thread.do(e.SteeringReceived(message_id="m", text="x"))
    assert (thread.reply.ok, thread.reply.code) == (False, "steering_full")


def test_a_persons_message_lets_the_model_give_goals_again() -> None:
    thread = CheckedThread(Policy(model_goals=1))
    thread.call("create_goal", objective="Mine")
    assert thread.session.model_goals == 1
    thread.do(e.SteeringReceived(message_id="m", text="go on"), e.CompletionRequested())
    assert thread.session.model_goals == 0
    assert thread.call("create_goal", objective="Mine again").ok


# Pauses, starts and waits.


def test_a_goal_that_may_not_be_paused_is_held_with_a_reason() -> None:
    thread = at_work("pause")
    thread.do(e.PauseRequested())
    (wait,) = thread.session.waits
    assert (wait.kind, wait.held) == ("person", True)
    assert wait.note == "a pause was asked for, and a rule of the machine is against it"
    assert (wait.since_ms, wait.until_ms) == (thread.now_ms, None)


def test_a_start_that_asks_first_gives_up_what_was_queued() -> None:
    thread = started(Policy(on_start="ask"))
    assert thread.session.continuation.queued == "goal-1"
    thread.restart()
    assert thread.session.continuation.queued is None
    (wait,) = thread.session.waits
    question = "the engine was restarted; somebody has to say that the work goes on"
    assert (wait.kind, wait.note, wait.since_ms) == ("person", question, thread.now_ms)
    thread.do(e.WakeRequested())
    assert thread.sent() == 2


def test_a_timer_of_a_thread_without_a_goal_does_nothing() -> None:
    thread = CheckedThread()
    thread.do(e.TimerFired())
    assert thread.session.goal is None
    assert thread.last.effects == ()


def test_a_due_resume_that_is_refused_is_written_down_later() -> None:
    thread = at_work("resume")
    thread.fail("You exceeded your current quota", retry_after=60.0)
    thread.advance(60)
    thread.do(e.TimerFired(), e.ShutdownStarted())
    entry = thread.history[-1]
    assert isinstance(entry, SetEntry)
    assert (entry.goal.status, entry.goal.resume_at_ms) == ("paused", None)


# Failures.


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        ({"error": "failed", "code": "insufficient_quota"}, "paused", "usage_limit"),
        ({"error": "failed", "code": "invalid_api_key"}, "paused", "recovery"),
        ({"error": "failed", "status": 401}, "paused", "recovery"),
        ({"error": "failed", "status": 503}, "active", None),
    ],
)
def test_a_code_and_a_status_say_what_the_words_do_not(
    said: dict[str, Any], status: str, reason: str | None
) -> None:
    thread = started()
    thread.dispatch()
    thread.end(outcome="failed", **said)
    assert (thread.status, thread.goal.pause_reason) == (status, reason)


def test_a_failure_without_a_word_is_told_by_its_status() -> None:
    thread = started()
    thread.dispatch()
    thread.end(outcome="failed", error=None, status=503)
    assert thread.session.retry.reason == "provider error (503)"


def test_a_quota_without_a_known_end_is_noted() -> None:
    thread = started()
    thread.dispatch()
    thread.fail("You exceeded your current quota, please check your plan and billing details")
    assert thread.goal.note is not None
    assert thread.goal.note.startswith("usage limit (You exceeded your current quota")


@pytest.mark.parametrize(("days", "known"), [(366, True), (367, False)])
def test_a_reset_in_more_than_a_year_is_no_reset(days: int, *, known: bool) -> None:
    thread = started()
    thread.dispatch()
    thread.fail("You exceeded your current quota", retry_after=days * 86_400.0)
    resume_at = thread.now_ms + days * 86_400_000 if known else None
    assert (thread.status, thread.goal.resume_at_ms) == ("paused", resume_at)


@pytest.mark.parametrize(("jitter", "share", "wait"), [(0.0, 0.5, 2_000), (1.0, 0.5, 3_000)])
def test_waits_are_spread_as_the_policy_says(jitter: float, share: float, wait: int) -> None:
    thread = started(Policy(retry_initial_s=2.0, retry_jitter=share))
    thread.jitter = jitter
    thread.dispatch()
    thread.fail()
    assert thread.wake == wait


def test_a_fault_is_told_with_what_shows_more_and_what_goes_on() -> None:
    thread = started()
    thread.do(e.PauseRequested(reason="shutdown", origin="system"))
    thread.do(e.DecisionFailed(kind="TimerFired", error="KeyError: 'x'"))
    assert thread.reply.message == (
        "TimerFired could not be decided: KeyError: 'x'; nothing of it was done"
    )
    assert thread.reply.hint == (
        "goalfsm log THREAD shows what happened; goalfsm resume THREAD goes on"
    )
    entry = thread.history[-1]
    assert isinstance(entry, SetEntry)
    assert (entry.source, entry.goal.pause_reason) == ("runtime", "recovery")


# Commands.


def test_an_edit_is_a_change_of_the_goal_at_that_time() -> None:
    thread = started()
    thread.advance(5)
    thread.do(e.EditRequested(objective="Make it work well"))
    assert thread.goal.updated_at == thread.now_ms // 1000
    assert thread.goal.updated_at == thread.goal.created_at + 5


def test_a_persons_objective_lets_the_model_give_goals_again() -> None:
    thread = CheckedThread(Policy(model_goals=1))
    thread.call("create_goal", objective="Mine")
    thread.do(e.CompletionRequested())
    thread.give("A person's")
    assert thread.session.model_goals == 0


def test_a_claim_that_the_machine_refuses_counts_once_a_turn() -> None:
    thread = at_work("complete", policy=Policy(no_progress=2))
    thread.claim_complete()
    thread.claim_complete()
    assert thread.session.progress.same_gaps == 1
    thread.end(answer="a")
    assert thread.status == "active"
    thread.dispatch()
    thread.claim_complete()
    assert thread.session.progress.same_gaps == 2


# Values.


def test_what_comes_after_is_skipped_where_it_says_so() -> None:
    first = Change(Session(), (f.AbortRun(),))
    assert extend(first, Change(Session(), skipped=True)).skipped
    assert not extend(replace(first, skipped=True), Change(Session())).skipped
    second = Change(Session(), (f.StartRun(run_id="r"),), decide=True)
    both = extend(first, second)
    assert both.effects == (f.AbortRun(), f.StartRun(run_id="r"))
    assert both.decide


@pytest.mark.parametrize(
    "settings",
    [
        {"retry_jitter": 1.0},
        {"retry_jitter": 0.0},
        {"cached_weight": 1.0},
        {"blocked_after": 1, "steering_limit": 1},
        {"no_progress": 0, "max_continuations": 0, "model_goals": 0},
        {"short_wait_s": 0.0},
    ],
)
def test_the_ends_of_a_range_belong_to_it(settings: dict[str, Any]) -> None:
    policy = Policy(**settings)
    assert {name: getattr(policy, name) for name in settings} == settings


def test_a_message_in_the_queue_is_the_one_that_was_sent() -> None:
    thread = started(limits=Limits(tokens=1_000))
    thread.do(e.SteeringReceived(message_id="m", text=" left "))
    assert thread.session.steering == (
        Steering(message_id="m", text="left", at_ms=thread.now_ms, word=1),
    )
