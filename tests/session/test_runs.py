"""Runs: one at a time, started once, fenced by their tokens, never blindly repeated."""

from __future__ import annotations

import pytest

from goalfsm.goal.model import Usage
from goalfsm.session import Session
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.continuation import answer_digest
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started


def test_a_dispatch_is_noted_before_its_worker_starts() -> None:
    thread = started()
    thread.do(e.RunDispatched(run_id="r", token="t", can_steer=True, can_compact=True))
    run = thread.session.run
    assert run is not None
    assert (run.goal_id, run.turn) == ("goal-1", 1)
    assert run.can_steer
    assert thread.session.host.can_compact
    assert thread.asked(f.StartRun) == [f.StartRun(run_id="r")]
    assert thread.goal.continuations == 1


def test_without_a_run_nothing_is_started() -> None:
    thread = started()
    thread.do(e.ContextRequested())
    assert not thread.last.effects


def test_nothing_is_dispatched_that_nobody_queued() -> None:
    """Without a goal, and where the turn that was queued has begun already."""
    thread = CheckedThread()
    thread.do(e.RunDispatched(run_id="r", token="t"))
    assert (thread.reply.ok, thread.reply.code) == (False, "nothing_queued")
    assert thread.session == Session()
    thread.give()
    thread.turn()
    thread.do(e.ClearRequested(), e.RunDispatched(run_id="r", token="t"))
    assert thread.reply.code == "nothing_queued"


def test_one_run_at_a_time() -> None:
    thread = started()
    thread.dispatch()
    run = thread.session.run
    thread.do(e.RunDispatched(run_id="run-2", token="token-2"))
    assert (thread.reply.ok, thread.reply.code) == (False, "run_open")
    assert thread.session.run == run


def test_a_repeated_dispatch_is_harmless() -> None:
    thread = started()
    thread.dispatch()
    run = thread.session.run
    thread.do(e.RunDispatched(run_id="run-1", token="token-1"))
    assert thread.reply.ok
    assert thread.session.run == run


def test_no_continuation_is_sent_while_a_run_is_open() -> None:
    thread = started()
    thread.do(e.RunDispatched(run_id="r", token="t"))
    thread.do(e.SteeringReceived(message_id="m", text="hello"))
    assert thread.sent() == 1
    assert thread.session.continuation.wanted == "goal-1"
    thread.do(e.RunFinished(run_id="r"))
    assert thread.sent() == 2


def test_replacing_the_goal_ends_its_run_once() -> None:
    thread = started()
    run_id = thread.dispatch()
    thread.give("Another", replace=True)
    assert thread.asked(f.EndRun) == [
        f.EndRun(run_id=run_id, reason="the goal was replaced or cleared")
    ]
    thread.do(e.ClearRequested())
    assert not thread.asked(f.EndRun)


@pytest.mark.parametrize(
    "event",
    [
        e.ToolCalled(
            name="update_goal",
            arguments={"status": "complete", "evidence": ["x"]},
            run_token="token-1",
        ),
        e.WaitDeclared(kind="event", run_token="token-1"),
        e.SteeringAcknowledged(message_id="m", run_token="token-1"),
        e.UsageReported(run_id="run-1", run_token="token-1", key="k", usage=Usage(input_tokens=9)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_what_comes_from_an_old_run_is_refused(event: e.Event) -> None:
    """Of a run that is over, that is being ended, or whose place another one took."""
    over = started()
    over.turn()
    ending = started()
    ending.dispatch()
    ending.give("Another", replace=True)
    successor = started()
    successor.turn()
    successor.dispatch()
    for thread in (over, ending, successor):
        goal = thread.goal
        thread.do(event)
        assert (thread.reply.ok, thread.reply.code) == (False, "stale_run")
        assert thread.goal == goal


def test_the_end_of_another_run_closes_nothing() -> None:
    thread = started()
    thread.dispatch()
    before = thread.session
    thread.do(e.RunFinished(run_id="run-0"))
    thread.do(e.RunInterrupted(run_id="run-0"))
    assert thread.session.run == before.run
    assert thread.session.progress == before.progress


def test_an_interrupted_run_is_mentioned_in_the_next_prompt() -> None:
    thread = started()
    thread.dispatch()
    thread.interrupt("the supervisor died")
    assert thread.session.notices == ("interrupted:the supervisor died",)
    assert (thread.status, thread.sent()) == ("active", 2)
    assert thread.session.progress.empty == 0
    thread.turn()
    assert not thread.session.notices


def test_what_a_lost_prompt_carried_is_told_again() -> None:
    thread = started()
    thread.do(e.PauseRequested(), e.ResumeRequested())
    thread.dispatch()
    assert not thread.session.notices
    thread.interrupt()
    assert thread.session.notices == ("resumed", "interrupted")
    thread.dispatch()
    thread.fail()
    assert thread.session.notices == (
        "resumed",
        "interrupted",
        "turn_failed:provider error (503 Service Unavailable)",
    )


def test_newer_news_of_a_kind_outrank_those_of_a_lost_prompt() -> None:
    thread = started()
    thread.do(e.WaitDeclared(kind="event"), e.WakeRequested(note="first"))
    thread.dispatch()
    thread.do(e.WaitDeclared(kind="event"), e.WakeRequested(note="second"))
    thread.interrupt()
    assert thread.session.notices == ("woken:second", "interrupted")


def test_an_interrupted_run_of_a_replaced_goal_is_nobodys_news() -> None:
    thread = started()
    thread.do(e.PauseRequested(), e.ResumeRequested())
    thread.dispatch()
    thread.give("Another", replace=True)
    thread.interrupt()
    assert not thread.session.notices
    assert thread.sent() == 3


def test_time_is_charged_up_to_the_known_end_of_an_interrupted_run() -> None:
    thread = started()
    thread.dispatch()
    ended = thread.now_ms + 7_000
    thread.advance(900)
    thread.interrupt(ended_ms=ended)
    assert thread.goal.active_seconds == 7
    assert thread.session.clock.goal_id is None


def test_time_is_never_charged_beyond_now() -> None:
    thread = started()
    thread.dispatch()
    thread.advance(3)
    thread.interrupt(ended_ms=thread.now_ms + 10**9)
    assert thread.goal.active_seconds == 3


def test_time_after_a_crash_of_unknown_length_is_not_charged() -> None:
    thread = started()
    thread.dispatch()
    thread.advance(900)
    thread.restart()
    assert thread.goal.active_seconds == 0


def test_the_run_of_a_replaced_goal_counts_for_no_rule_of_its_successor() -> None:
    thread = started()
    thread.dispatch()
    thread.give("Another", replace=True)
    thread.end(answer="", tools=(0, 3))
    assert thread.session.progress.empty == 0
    assert thread.session.progress.failing_tools == 0


def test_identical_answers_have_one_digest() -> None:
    assert answer_digest("a  b\nc") == answer_digest(" a b c ")
    assert answer_digest("a b c") != answer_digest("a b d")
    assert len(answer_digest("x")) == 16
    assert answer_digest(" \n") == ""


def test_what_a_worker_saves_is_there_for_the_next_turn_of_its_goal() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.SessionSaved(run_token="token-1", data=b"conversation 7"))
    assert thread.session.worker_session == b"conversation 7"
    thread.do(e.SessionSaved(run_token="token-0", data=b"conversation 8"))
    assert thread.reply.code == "stale_run"
    assert thread.session.worker_session == b"conversation 7"
    thread.end()
    assert thread.session.worker_session == b"conversation 7"
    thread.give("y", replace=True)
    assert thread.session.worker_session is None


def test_a_worker_may_forget_its_session() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.SessionSaved(run_token="token-1", data=b"conversation 7"))
    thread.do(e.SessionSaved(run_token="token-1", data=None))
    assert thread.session.worker_session is None


def test_a_compaction_that_consumed_nothing_may_still_save_the_workers_session() -> None:
    thread = started()
    goal_id = thread.goal.goal_id
    thread.do(e.CompactionStarted(), e.CompactionEnded(ok=True, goal_id=goal_id, data=b"shorter"))
    assert thread.session.worker_session == b"shorter"
    assert thread.goal.tokens_used == 0
