"""One event in, one step out: the only place that decides whether work goes on."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal.accounting import RunRecord, Tally
from goalfsm.goal.model import ACTIVE, COMPLETE, LIMITED, Goal
from goalfsm.session import events as e
from goalfsm.session.context import Change, Context, Step
from goalfsm.session.effects import AskPerson, Effect
from goalfsm.session.rules import (
    claims,
    commands,
    host_events,
    importing,
    lifecycle,
    objective,
    queue,
    runs,
    scheduling,
    steering,
    tool_calls,
    verification,
    waits,
)
from goalfsm.session.rules.change import announce_limit, extend
from goalfsm.session.state import Reply, Run, Session
from goalfsm.session.work import asked_of_person

_DECIDES = frozenset(
    (
        e.ObjectiveGiven,
        e.ResumeRequested,
        e.EditRequested,
        e.BudgetChanged,
        e.PolicyChanged,
        e.ClaimRejected,
        e.SteeringReceived,
        e.WakeRequested,
        e.TriggerFired,
        e.CompactionEnded,
        e.SessionStarted,
        e.TreeChanged,
        e.EngineStarted,
        e.RunInterrupted,
        e.WaitDeclared,
        e.ProcessEnded,
        e.TimerFired,
        e.VerificationFinished,
        e.UntilChecked,
    )
)
"""After these the decision is taken whatever they changed."""
_HOSTS = (
    e.AgentStarting,
    e.TurnStarted,
    e.MessageStarted,
    e.ContextRequested,
    e.TurnEnded,
    e.AgentEnded,
    e.HostChanged,
)
"""What a host tells of its own runs."""
_RUN_IS_OURS = Reply(
    ok=False,
    code="run_is_ours",
    message="the open run was opened by RunDispatched: a host has nothing to tell of it",
    hint="report its end by RunFinished or RunInterrupted",
)


def handle(session: Session, event: e.Event, ctx: Context) -> Step:
    """Return the session after ``event``, the effects to do in order, the reply, the decision.

    Pure and total: no clock, no I/O, no exception for any well-formed event. What is refused
    leaves the goal as it was and says why in the reply.
    """
    refusal = _refused(session, event)
    if refusal is not None:
        return Step(session, (), refusal)
    change = _react(session, event, ctx)
    was = session.goal
    if change.session.goal is not was and _crossed(was, change.session.goal):
        change = extend(change, announce_limit(change.session, ctx))
    if change.session.check is not None:
        change = extend(change, claims.ask_check(change.session))
    after, effects = change.session, change.effects
    if _decides(session, event, change):
        interrupted = isinstance(event, e.RunInterrupted)
        scheduled = scheduling.schedule(after, ctx, interrupted=interrupted)
        after, effects = scheduled.session, effects + scheduled.effects
    if after.claim is not session.claim:
        after = _counted(session, after)
    goal = after.goal
    if goal and was and (goal.status == ACTIVE) != (was.status == ACTIVE):
        after = runs.bounded(after, goal, ctx)
    # The tally and the queue hang on these three alone.
    if goal is not was or after.run is not session.run or after.claim is not session.claim:
        after = _tallied(session, after, event, ctx.now_ms)
    decided = after.decision if after.decision is not session.decision else None
    if after.claim is not None or after.waits:
        effects += _asked(session, after)
    if goal and goal.status == COMPLETE:
        effects += queue.due(session, after)
    return Step(after, effects, change.reply, decided)


def _refused(session: Session, event: e.Event) -> Reply | None:
    """Return the refusal of what is not the sender's to say, or comes too late; None lets it by.

    A model may give a thread without an unfinished goal one, and nothing else; what it claims
    comes as a tool call.
    """
    if not isinstance(event, e.Expecting):
        theirs = session.run is not None and isinstance(event, _HOSTS)
        if theirs and not (isinstance(event, e.HostChanged) and event.idle is None):
            return _RUN_IS_OURS
        return None
    if event.origin == "model" and not isinstance(event, e.ObjectiveGiven):
        return Reply(
            ok=False,
            code="origin_not_allowed",
            message="this is not the model's to ask for",
            hint="a person does it, or the model claims complete or blocked",
        )
    goal = session.goal
    goal_id, revision = event.expected_goal_id, event.expected_revision
    if goal_id is not None and (goal is None or goal.goal_id != goal_id):
        return _changed("goal_changed", "the thread's goal is another one by now")
    if revision is not None and (goal is None or goal.revision != revision):
        return _changed("revision_changed", "the goal was changed meanwhile")
    return None


def _changed(code: str, message: str) -> Reply:
    look = Remedy("status", does="shows it as it is; then ask again")
    return Reply(ok=False, code=code, message=message, remedies=(look,))


def _asked(before: Session, after: Session) -> tuple[Effect, ...]:
    """Return what tells people, once for each question, that work waits for one of them."""
    asked = asked_of_person(after)
    if asked is None or asked == asked_of_person(before):
        return ()
    return (AskPerson(goal_id=asked.goal_id, about=asked.about),)


def _decides(before: Session, event: e.Event, change: Change) -> bool:
    if change.skipped:
        return False
    refused = change.reply is not None and not change.reply.ok
    if not refused and (change.decide or type(event) in _DECIDES):
        return True
    # What a decision stopped has been decided: the guard that did it is what is told.
    was, goal = before.goal, change.session.goal
    decided = change.session.decision is not before.decision
    return not decided and goal is not was and _stopped(was, goal)


def _counted(before: Session, after: Session) -> Session:
    """Count a claim that was made, or came to nothing, in the revision: a decision hangs on it."""
    was, goal = before.goal, after.goal
    one, other = before.claim, after.claim
    if (one and one.claim_id) == (other and other.claim_id):
        return after
    if was is None or goal is None or (was.goal_id, was.revision) != (goal.goal_id, goal.revision):
        return after
    goal, flush = replace(goal, revision=goal.revision + 1), replace(after.flush, dirty=True)
    return replace(after, goal=goal, flush=flush)


def _crossed(before: Goal | None, after: Goal | None) -> bool:
    """Tell whether a charge used a budget of the goal up, whatever it was made for."""
    if before is None or after is None or before.goal_id != after.goal_id:
        return False
    return before.status == ACTIVE and after.status == LIMITED


def _stopped(before: Goal | None, after: Goal | None) -> bool:
    """Tell whether the goal left its status for one in which nothing is sent; that is said too."""
    if before is None or after is None:
        return before is not after and after is None
    return after.status not in {before.status, ACTIVE}


# What the runs of a goal came to, added up as it happens: nobody has to read a long journal.


def _tallied(before: Session, after: Session, event: e.Event, at_ms: int) -> Session:
    """Return ``after`` with what ``event`` adds; a new goal begins at nothing."""
    was, goal = before.goal, after.goal
    if goal is not was and (goal is None or was is None or goal.goal_id != was.goal_id):
        begun = None if goal is None else Tally(ledger_before=after.ledger.reported)
        return replace(after, tally=begun)
    old, run = before.run, after.run
    if old is not None and run is None:
        return _tally_ended(old, after, event, at_ms)
    if run is not None and (old is None or run.run_id != old.run_id):
        return _tally_dispatched(after, run, at_ms)
    refuses = isinstance(event, e.VerificationFinished | e.ClaimRejected)
    if refuses and before.claim is not None and after.claim is None and after.completion is None:
        tally = _tally_so_far(after, at_ms)
        return replace(after, tally=replace(tally, refused_claims=tally.refused_claims + 1))
    return after


def _tally_dispatched(session: Session, run: Run, at_ms: int) -> Session:
    tally = _tally_so_far(session, at_ms)
    record = RunRecord(run_id=run.run_id, turn=run.turn, started_ms=at_ms, wind_down=run.wind_down)
    return replace(session, tally=replace(tally, runs=tally.runs + 1, last_run=record))


def _tally_ended(run: Run, after: Session, event: e.Event, at_ms: int) -> Session:
    tally = after.tally
    last = None if tally is None else tally.last_run
    if tally is None or last is None or last.run_id != run.run_id:
        return after
    if isinstance(event, e.RunFinished):
        last = replace(last, ended_ms=at_ms, outcome=event.outcome)
        finished = tally.finished + (event.outcome == "finished")
        return replace(after, tally=replace(tally, finished=finished, last_run=last))
    known_ms = event.ended_ms if isinstance(event, e.RunInterrupted) else None
    last = replace(last, ended_ms=at_ms if known_ms is None else known_ms, outcome="interrupted")
    tally = replace(tally, interrupted=tally.interrupted + 1, last_run=last)
    return replace(after, tally=tally)


def _tally_so_far(session: Session, at_ms: int) -> Tally:
    """Return the tally; that of a goal of an earlier version begins here."""
    return session.tally or Tally(since_ms=at_ms, ledger_before=session.ledger.reported)


def _react(session: Session, event: e.Event, ctx: Context) -> Change:  # noqa: C901, PLR0911, PLR0912, PLR0915  one case an event
    match event:
        # What every turn says comes first.
        case e.UsageReported():
            return runs.usage_reported(session, event, ctx)
        case e.RunDispatched():
            return host_events.run_dispatched(session, event, ctx)
        case e.RunFinished():
            return host_events.run_finished(session, event, ctx)
        case e.ToolCalled():
            return runs.fenced(session, event.run_token) or tool_calls.called(session, event, ctx)
        case e.ObjectiveGiven():
            return objective.give(session, event, ctx)
        case e.GoalQueued():
            return queue.add(session, event, ctx)
        case e.QueueMoved():
            return queue.move(session, event)
        case e.QueueDropped():
            return queue.drop(session, event)
        case e.NextGoalRequested():
            return queue.take_next(session, event, ctx)
        case e.GoalImported():
            return importing.bring(session, event, ctx)
        case e.PauseRequested():
            return commands.pause(session, event, ctx)
        case e.InterruptRequested():
            return host_events.interrupt_requested(session, event, ctx)
        case e.ResumeRequested():
            return commands.resume(session, event, ctx)
        case e.ClearRequested():
            return commands.clear(session, event, ctx)
        case e.EditRequested():
            return objective.edit(session, event, ctx)
        case e.BudgetChanged():
            return objective.change_budget(session, event, ctx)
        case e.CompletionRequested():
            return commands.complete(session, event, ctx)
        case e.BlockRequested():
            return commands.block(session, event, ctx)
        case e.PolicyChanged():
            return objective.change_policy(session, event, ctx)
        case e.TriggerFired():
            return commands.fire(session, event, ctx)
        case e.ClaimAccepted():
            return verification.accepted(session, event, ctx)
        case e.ClaimRejected():
            return verification.rejected(session, event, ctx)
        case e.SteeringReceived():
            return steering.received(session, event, ctx)
        case e.SteeringDropped():
            return steering.dropped(session, event)
        case e.SteeringAcknowledged():
            return runs.fenced(session, event.run_token) or steering.acknowledged(session, event)
        case e.WakeRequested():
            return waits.woken(session, event)
        case e.WaitDeclared():
            return runs.fenced(session, event.run_token) or waits.declared(session, event, ctx)
        case e.ProcessEnded():
            return waits.process_ended(session, event, ctx)
        case e.TimerFired():
            fired = waits.timer_fired(session, ctx)
            return extend(fired, runs.fallen_due(fired.session, ctx))
        case e.VerificationFinished():
            return verification.verified(session, event, ctx)
        case e.UntilChecked():
            return verification.until_checked(session, event, ctx)
        case e.InputReceived():
            return host_events.input_received(session, event, ctx)
        case e.AgentStarting():
            return host_events.agent_starting(session, event, ctx)
        case e.TurnStarted():
            return host_events.turn_started(session, event, ctx)
        case e.MessageStarted():
            return host_events.message_started(session, event, ctx)
        case e.ContextRequested():
            return host_events.context_requested(session, ctx)
        case e.ToolFinished():
            return host_events.tool_finished(session, ctx)
        case e.TurnEnded():
            return host_events.turn_ended(session, event, ctx)
        case e.AgentEnded():
            return host_events.agent_ended(session, event, ctx)
        case e.CompactionStarted():
            return host_events.compaction_started(session, ctx)
        case e.CompactionEnded():
            return host_events.compaction_ended(session, event, ctx)
        case e.ShutdownStarted():
            return host_events.shutdown_started(session, ctx)
        case e.SessionStarted() | e.TreeChanged():
            return importing.load(session, event, ctx)
        case e.EngineStarted():
            return host_events.engine_started(session, event, ctx)
        case e.EngineLost():
            return lifecycle.lost(session, event, ctx)
        case e.RulesChanged():
            return Change(session)
        case e.HostChanged():
            return host_events.host_changed(session, event, ctx)
        case e.RunInterrupted():
            return host_events.run_interrupted(session, event, ctx)
        case e.WindDownDelivered():
            return Change(runs.wind_down_delivered(session, event, ctx))
        case e.ClockAdjusted():
            return Change(waits.clock_adjusted(session, event))
        case e.DecisionFailed():
            return lifecycle.failed(session, event, ctx)
        case e.SessionSaved():  # pragma: no branch - there is no other
            return runs.session_saved(session, event)
