"""The queue of a thread: who may fill it, its order, and when a thread goes on to it."""

from __future__ import annotations

from typing import Any

import pytest

from goalfsm.goal.model import Criterion, Limits, Verifier
from goalfsm.session import Policy, codec
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.work import is_wanted
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started

GOES_ON = Policy(advance=True)
CHECK = Verifier(kind="command", name="make test", argv=("make", "test"))


def queued(thread: CheckedThread, *objectives: str, **fields: Any) -> None:
    """Queue goals, each behind the ones before it."""
    for objective in objectives:
        thread.do(e.GoalQueued(objective=objective, **fields))
        assert thread.reply.code == "queued"


def order(thread: CheckedThread) -> list[str]:
    """Return the objectives of the queue."""
    return [one.objective for one in thread.session.queue]


def taken(thread: CheckedThread) -> f.TakeNextGoal:
    """Return the one request for the next goal that the last event made."""
    (asked,) = thread.asked(f.TakeNextGoal)
    return asked


def advance(thread: CheckedThread, goal_id: str) -> None:
    """Ask for the next goal, as the engine does."""
    thread.do(e.NextGoalRequested(origin="system", expected_goal_id=goal_id))


def test_goals_are_queued_in_order_and_have_names_of_their_own() -> None:
    thread = started()
    queued(thread, "second", "third")
    thread.do(e.GoalQueued(objective="urgent", first=True))
    assert thread.reply.message == "queued as q3, in place 1 of 3"
    assert order(thread) == ["urgent", "second", "third"]
    thread.do(e.QueueDropped(queue_id="q1"))
    thread.do(e.GoalQueued(objective="fourth"))
    assert [one.queue_id for one in thread.session.queue] == ["q3", "q2", "q4"]
    assert thread.goal.objective == "Make it work"
    assert codec.decode(codec.encode(thread.session)) == thread.session


def test_they_are_moved_and_taken_out_by_name() -> None:
    thread = started()
    queued(thread, "a", "b", "c")
    thread.do(e.QueueMoved(queue_id="q3", place=1))
    assert (thread.reply.message, order(thread)) == ("q3 is in place 1 of 3", ["c", "a", "b"])
    thread.do(e.QueueMoved(queue_id="q3", place=3))
    assert order(thread) == ["a", "b", "c"]
    for place in (0, 4):
        thread.do(e.QueueMoved(queue_id="q3", place=place))
        assert (thread.reply.ok, thread.reply.code) == (False, "place_invalid")
    thread.do(e.QueueDropped(queue_id="q2"))
    assert (thread.reply.message, order(thread)) == ("q2 is out of the queue: b", ["a", "c"])
    for event in (e.QueueDropped(queue_id="q2"), e.QueueMoved(queue_id="q2", place=1)):
        thread.do(event)
        assert (thread.reply.code, thread.reply.hint) == ("queue_unknown", "there are q1, q3")
    queue = thread.session.queue
    for one in queue:
        thread.do(e.QueueDropped(queue_id=one.queue_id))
    thread.do(e.QueueDropped(queue_id="q1"))
    assert thread.reply.hint == "the queue is empty"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"objective": "  "}, "objective_empty"),
        ({"objective": "x" * 8_001}, "objective_too_long"),
        ({"objective": "x", "limits": Limits(tokens=0)}, "budget_invalid"),
        ({"objective": "x", "limits": Limits(cost=-1)}, "budget_invalid"),
        ({"objective": "x", "criteria": (Criterion(text=" "),)}, "text_empty"),
        ({"objective": "x", "policy": {"no_progress": -1}}, "policy_invalid"),
    ],
)
def test_what_would_be_refused_later_is_refused_now(fields: dict[str, Any], code: str) -> None:
    thread = started()
    thread.do(e.GoalQueued(**fields))
    assert (thread.reply.ok, thread.reply.code, thread.session.queue) == (False, code, ())


def test_a_queue_has_an_end() -> None:
    thread = started()
    queued(thread, *(f"goal {number}" for number in range(100)))
    thread.do(e.GoalQueued(objective="one more"))
    assert (thread.reply.ok, thread.reply.code) == (False, "queue_full")
    assert len(thread.session.queue) == 100


@pytest.mark.parametrize(
    "event",
    [
        e.GoalQueued(objective="mine", origin="model"),
        e.QueueMoved(queue_id="q1", place=1, origin="model"),
        e.QueueDropped(queue_id="q1", origin="model"),
        e.NextGoalRequested(origin="model"),
    ],
)
def test_the_model_has_no_say_in_it(event: e.Event) -> None:
    thread = started()
    queued(thread, "next")
    thread.do(event)
    assert (thread.reply.ok, thread.reply.code) == (False, "origin_not_allowed")
    assert order(thread) == ["next"]


def test_without_advance_a_complete_goal_is_the_end() -> None:
    thread = started()
    queued(thread, "next")
    takes = "goalfsm run --advance --thread THREAD"
    assert thread.reply.hint == f"{takes} goes on to it when the goal before it is complete"
    thread.dispatch()
    thread.claim_complete()
    thread.end()
    assert (thread.status, thread.asked(f.TakeNextGoal)) == ("complete", [])
    advance(thread, thread.goal.goal_id)
    assert (thread.reply.ok, thread.reply.code) == (False, "not_advancing")
    queued(thread, "last")
    assert thread.reply.hint == f"{takes} begins with the first"
    assert order(thread) == ["next", "last"]


def test_with_advance_the_next_is_asked_for_when_the_run_is_over() -> None:
    thread = started(GOES_ON)
    queued(thread, "next", "last")
    assert not thread.reply.hint
    thread.dispatch()
    thread.claim_complete()
    assert (thread.status, thread.asked(f.TakeNextGoal)) == ("complete", [])
    thread.end()
    asked = taken(thread)
    assert asked.goal_id == thread.goal.goal_id
    assert is_wanted(asked, thread.session)
    advance(thread, asked.goal_id)
    assert (thread.goal.objective, thread.status, order(thread)) == ("next", "active", ["last"])
    assert thread.decision == ("continue", "otherwise")
    assert (
        thread.reply.message == f"goal {thread.goal.goal_id} is active, from the queue (q1): next"
    )
    assert not is_wanted(asked, thread.session)
    # Asked once more after a crash it changes nothing.
    before = thread.session
    advance(thread, asked.goal_id)
    assert (thread.reply.code, thread.session) == ("goal_changed", before)


def test_a_thread_goes_through_its_queue_and_stops_at_its_end() -> None:
    thread = started(GOES_ON)
    queued(thread, "second", "third")
    seen = []
    for _ in range(3):
        seen.append(thread.goal.objective)
        thread.dispatch()
        thread.claim_complete()
        thread.end()
        for asked in thread.asked(f.TakeNextGoal):
            advance(thread, asked.goal_id)
    assert seen == ["Make it work", "second", "third"]
    assert (thread.status, thread.asked(f.TakeNextGoal)) == ("complete", [])


@pytest.mark.parametrize(
    "stop",
    [
        e.PauseRequested(),
        e.BlockRequested(reason="no key"),
        e.BudgetChanged(limits=Limits(tokens=10)),
        e.ClearRequested(),
    ],
)
def test_nothing_but_completion_leads_on(stop: e.Event) -> None:
    thread = started(GOES_ON)
    thread.dispatch()
    thread.use(50)
    queued(thread, "next")
    thread.do(stop)
    thread.end()
    assert not any(isinstance(effect, f.TakeNextGoal) for effect in thread.effects)
    assert order(thread) == ["next"]


def test_an_unfinished_goal_is_not_given_up_for_the_next() -> None:
    thread = started()
    queued(thread, "next")
    thread.do(e.NextGoalRequested())
    assert (thread.reply.ok, thread.reply.code) == (False, "goal_unfinished")
    thread.do(e.ClearRequested())
    thread.do(e.NextGoalRequested())
    assert (thread.reply.ok, thread.goal.objective) == (True, "next")
    thread.do(e.CompletionRequested(), e.NextGoalRequested())
    assert (thread.reply.ok, thread.reply.code) == (False, "queue_empty")


def test_a_queued_goal_has_its_own_terms_and_nothing_of_the_one_before() -> None:
    thread = started(GOES_ON, limits=Limits(tokens=1_000))
    by = e.By(uid=1000, pid=7)
    thread.do(
        e.GoalQueued(
            objective="next",
            limits=Limits(seconds=60, continuations=3),
            criteria=(Criterion(text="it builds"),),
            verifiers=(CHECK, Verifier(kind="person")),
            until=CHECK,
            policy={"no_progress": 7},
            by=by,
        )
    )
    assert thread.session.queue[0].by == by
    thread.dispatch()
    thread.use(700)
    thread.claim_complete()
    thread.end()
    assert thread.session.policy.no_progress == 3
    advance(thread, thread.goal.goal_id)
    goal = thread.goal
    assert (goal.tokens_used, goal.token_budget, goal.time_budget_seconds) == (0, None, 60)
    assert (goal.max_continuations, goal.until) == (3, CHECK)
    assert goal.criteria == (Criterion(text="it builds"),)
    assert goal.verifiers == (CHECK, Verifier(kind="person"))
    assert (thread.session.policy.no_progress, thread.session.model_goals) == (7, 0)
    assert thread.session.completion is None


def test_settings_that_do_not_go_together_any_more_leave_the_queue_as_it_is() -> None:
    thread = started()
    queued(thread, "next", policy={"no_progress": 2})
    broken = codec.decode(
        codec.encode(thread.session).replace(b'"no_progress":2', b'"no_progress":-2')
    )
    thread._session = broken
    thread.do(e.CompletionRequested(), e.NextGoalRequested())
    assert (thread.reply.ok, thread.reply.code, order(thread)) == (
        False,
        "policy_invalid",
        ["next"],
    )


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(e.PolicyChanged(changes={"advance": True}), id="policy"),
        pytest.param(e.GoalQueued(objective="late"), id="queued"),
    ],
)
def test_what_lets_a_complete_thread_go_on_leads_on_at_once(event: e.Event) -> None:
    thread = started(Policy() if isinstance(event, e.PolicyChanged) else GOES_ON)
    if isinstance(event, e.PolicyChanged):
        queued(thread, "next")
    thread.do(e.CompletionRequested())
    assert not thread.asked(f.TakeNextGoal)
    thread.do(event)
    assert taken(thread).goal_id == thread.goal.goal_id
    thread.do(e.GoalQueued(objective="later still"))
    assert not thread.asked(f.TakeNextGoal)


def test_an_engine_that_starts_again_asks_once_more_only_by_its_outbox() -> None:
    thread = started(GOES_ON)
    queued(thread, "next")
    thread.do(e.CompletionRequested())
    asked = taken(thread)
    thread.do(e.EngineStarted(after_crash=True))
    assert not thread.asked(f.TakeNextGoal)
    advance(thread, asked.goal_id)
    assert thread.goal.objective == "next"


def test_a_queue_outlives_another_objective_and_a_history_that_is_loaded() -> None:
    thread = started()
    queued(thread, "next")
    thread.give("instead", replace=True)
    thread.do(e.SessionStarted(history=()))
    assert (order(thread), thread.session.goal) == (["next"], None)


def test_a_snapshot_from_before_there_were_queues_is_read() -> None:
    thread = started()
    stored = codec.encode(thread.session)
    for field in (b',"queue":[]', b',"queue_count":0', b',"imported":null', b',"advance":false'):
        assert stored.count(field) == 1
        stored = stored.replace(field, b"")
    assert codec.decode(stored) == thread.session


@pytest.mark.parametrize("form", ["report", "pr"])
def test_a_record_is_written_once_when_the_run_is_over(form: str) -> None:
    thread = started(Policy().changed({"on_complete": form, "advance": True}))
    queued(thread, "next")
    thread.dispatch()
    thread.claim_complete()
    assert not thread.asked(f.WriteReport)
    thread.end()
    (written,) = thread.asked(f.WriteReport)
    assert (written.goal_id, written.form) == (thread.goal.goal_id, form)
    kinds = [type(effect) for effect in thread.last.effects]
    assert kinds.index(f.WriteReport) < kinds.index(f.TakeNextGoal)
    thread.do(e.EngineStarted())
    assert not thread.asked(f.WriteReport)
    advance(thread, thread.goal.goal_id)
    thread.do(e.PauseRequested())
    assert not thread.asked(f.WriteReport)
