"""A dispatch and an end are one event each: they stand for what a host says in eight."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from goalfsm.errors import GoalError
from goalfsm.goal.model import Limits, Usage
from goalfsm.session import Context, Policy, Session
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.rules import claims, host_events, runs, steering
from goalfsm.session.state import Run
from goalfsm.session.thread import GoalThread, handle
from goalfsm.session.work import can_begin, queued
from goalfsm.testing.loop import START_MS
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started
from tests.session.strategies import (
    World,
    answers,
    events_of,
    happenings,
    policies,
    steps,
    tries,
    usages,
)

finished = events_of(e.RunFinished)


class Host:
    """A host that is not ours, with a session of which it does not see the run."""

    def __init__(self, session: Session, ctx: Context) -> None:
        self.session = session
        self.effects: list[f.Effect] = []
        self.ctx = ctx

    def says(self, *happened: e.Event) -> None:
        run, self.session = self.session.run, replace(self.session, run=None)
        for event in happened:
            self.session, effects, _, _ = handle(self.session, event, self.ctx)
            self.effects += effects
        self.session = replace(self.session, run=run)

    def dispatch(self, event: e.RunDispatched, work: e.GoalWork | None) -> None:
        index = (self.session.host.turn_index or 0) + 1
        self.says(e.HostChanged(idle=False), e.AgentStarting(work=work))
        self.session = runs.dispatched(self.session, event, self.ctx)
        message = e.Message(role="custom", work=work)
        self.says(e.TurnStarted(turn_index=index), e.MessageStarted(message=message))
        self.session = host_events.carried(self.session, event.run_id)
        self.says(e.ContextRequested())
        assert self.session.run is not None
        host = replace(self.session.host, turn_goal=self.session.run.goal_id)
        started = runs.started(replace(self.session, host=host))
        self.session = started.session
        self.effects += started.effects

    def end(self, run: Run, event: e.RunFinished, work: e.GoalWork | None) -> None:
        assert event.message is not None
        index = self.session.host.turn_index or 0
        self.says(e.TurnEnded(turn_index=index, message=event.message))
        self.session = runs.finished(self.session, event)
        taken = event.outcome == "finished"
        self.session = steering.settled(self.session, run.run_id, taken=taken)
        claim = self.session.claim
        if not taken and claim is not None and claim.run_id == run.run_id:
            self.session = claims.void(self.session, self.ctx)
        begun = e.Message(role="custom", work=work)
        self.says(e.AgentEnded(messages=(begun, event.message)))
        self.says(e.HostChanged(idle=True))


def but_for_decisions(session: Session) -> Session:
    """Return the session without what is told of a turn, which is told of ours only."""
    return replace(session, decision=None, tally=None)


@tries(60)
@given(policies, happenings(), steps, finished, answers, st.lists(usages, max_size=2))
def test_a_turn_of_ours_is_what_a_host_says_in_eight_events(
    policy: Policy,
    before: tuple[e.Event, ...],
    passed: list[int],
    end: e.RunFinished,
    said: e.Message,
    used: list[Usage],
) -> None:
    """Whatever went before, and whatever the turn used: state and effects are the same."""
    session, world = Session(policy=policy), World(passed)
    for event in before:
        session = handle(session, event, world.next()).session
    if session.run is not None:
        lost = e.RunInterrupted(run_id=session.run.run_id)
        session = handle(session, lost, world.next()).session
    idle = e.HostChanged(idle=True, pending_messages=False)
    for event in (idle, e.EngineStarted(), e.ObjectiveGiven(objective="a", replace=True)):
        if queued(session) is None or not can_begin(session):
            session = handle(session, event, world.next()).session
    waits = queued(session)
    assume(waits is not None and can_begin(session))
    assert waits is not None
    work = None if waits.wind_down else e.GoalWork("continuation", waits.goal_id)
    dispatched = e.RunDispatched(run_id="r", token="t", wind_down=waits.wind_down)
    ctx = world.next()._replace(ids="the-{}".format)  # both sides are given the same
    step, host = handle(session, dispatched, ctx), Host(session, ctx)
    host.dispatch(dispatched, work)
    assert but_for_decisions(step.session) == but_for_decisions(host.session)
    assert list(step.effects) == host.effects
    assert [x for x in step.effects if isinstance(x, f.StartRun)] == [f.StartRun(run_id="r")]
    session = step.session
    for number, usage in enumerate(used):
        reported = e.UsageReported(run_id="r", run_token="t", key=str(number), usage=usage)
        session = handle(session, reported, world.next()).session
    run = session.run
    assert run is not None
    end = replace(end, run_id="r", message=said, gone=True)
    ctx = world.next()._replace(ids="the-{}".format)
    step, host = handle(session, end, ctx), Host(session, ctx)
    host.end(run, end, None if run.wind_down else work)
    assert but_for_decisions(step.session) == but_for_decisions(host.session)
    assert list(step.effects) == host.effects
    assert step.session.run is None


HOSTS_WORDS: tuple[e.Event, ...] = (
    e.AgentStarting(),
    e.TurnStarted(turn_index=7),
    e.MessageStarted(message=e.Message(role="user")),
    e.ContextRequested(),
    e.TurnEnded(turn_index=1, message=e.Message(role="assistant", stop_reason="aborted")),
    e.AgentEnded(messages=(e.Message(role="assistant", stop_reason="aborted"),)),
    e.HostChanged(idle=True),
)


@pytest.mark.parametrize("event", HOSTS_WORDS, ids=lambda event: type(event).__name__)
def test_a_run_of_ours_is_nobody_elses_to_tell_of(event: e.Event) -> None:
    thread = started()
    thread.dispatch()
    before = thread.session
    thread.do(event)
    assert (thread.reply.ok, thread.reply.code) == (False, "run_is_ours")
    assert thread.session == before
    thread.end()
    thread.do(event)
    assert thread.last.reply is None


def test_what_a_host_says_of_itself_is_taken_while_a_run_of_ours_is_open() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.HostChanged(pending_messages=True, context_window=900))
    assert thread.session.host.context_window == 900


@pytest.mark.parametrize("lost", [False, True])
def test_no_turn_follows_while_something_of_the_run_is_left(*, lost: bool) -> None:
    """Its processes cannot be ended yet: the next turn starts when they are gone."""
    thread = started()
    run_id = thread.dispatch()
    if lost:
        thread.do(e.RunInterrupted(run_id=run_id, gone=False))
    else:
        thread.do(e.RunFinished(run_id=run_id, tools_ok=1, gone=False))
    assert thread.session.run is None
    assert (thread.sent(), thread.session.continuation.wanted) == (1, "goal-1")
    thread.do(e.HostChanged(idle=True))
    assert thread.sent() == 2


@pytest.mark.parametrize(
    ("outcome", "status"), [("finished", "active"), ("failed", "paused"), ("aborted", "paused")]
)
def test_an_end_without_a_message_says_how_it_stopped(outcome: Any, status: str) -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.RunFinished(run_id="run-1", outcome=outcome, tools_ok=1))
    assert thread.status == status


def test_a_turn_writes_as_many_rows_as_things_happened_in_it() -> None:
    """A turn of one usage report: dispatched, used, finished."""
    thread = GoalThread.new()
    given = e.ObjectiveGiven(objective="Go on", limits=Limits(tokens=1_000))
    goal = thread.step(given, id="1", at_ms=START_MS).state.goal
    assert goal is not None
    begun = thread.begin_turn("r", "t", can={"steer"}, id="2", at_ms=START_MS)
    assert begun.event == e.RunDispatched(run_id="r", token="t", turn=1, can_steer=True)
    assert f.StartRun(run_id="r") in begun.effects
    usage = e.UsageReported(run_id="r", run_token="t", key="k", usage=Usage(output_tokens=10))
    thread.step(usage, id="3", at_ms=START_MS)
    ended = thread.end_turn(answer="done", tools_ok=2, id="4", at_ms=START_MS + 4_000)
    assert isinstance(ended.event, e.RunFinished)
    assert (ended.event.answer_length, ended.event.tools_ok) == (4, 2)
    assert [x.kind for x in ended.effects if isinstance(x, f.SendWork)] == ["continuation"]
    assert ended.state.goal is not None
    assert (ended.state.goal.tokens_used, ended.state.goal.active_seconds) == (10, 4)


def test_a_wind_down_is_begun_when_one_is_owed() -> None:
    host = CheckedThread()
    host.give(limits=Limits(tokens=10))
    host.dispatch()
    host.use(20)
    host.end()
    thread = GoalThread(host.session)
    begun = thread.begin_turn("r", "t", id="1", at_ms=host.now_ms)
    assert begun.state.wind_down == "running"
    failed = thread.end_turn("failed", id="2", at_ms=host.now_ms)
    assert failed.state.wind_down == "done"


def test_a_turn_that_was_not_begun_cannot_be_ended() -> None:
    thread = GoalThread.new()
    with pytest.raises(GoalError, match="no turn is open") as refused:
        thread.end_turn(id="1", at_ms=START_MS)
    assert refused.value.code == "no_run"
