"""How the concerns combine over what a host reports: first the stale-work guard, then the rest."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal.accounting import stopped
from goalfsm.goal.model import ACTIVE
from goalfsm.session.context import Change, Context
from goalfsm.session.events import (
    AgentEnded,
    AgentStarting,
    CompactionEnded,
    EngineStarted,
    GoalWork,
    HostChanged,
    InputReceived,
    InterruptRequested,
    Message,
    MessageStarted,
    Outcome,
    RunDispatched,
    RunFinished,
    RunInterrupted,
    SteeringReceived,
    StopReason,
    TurnEnded,
    TurnStarted,
)
from goalfsm.session.rules import (
    claims,
    lifecycle,
    recovering,
    runs,
    scheduling,
    steering,
    turns,
)
from goalfsm.session.rules.change import end_run, extend
from goalfsm.session.state import Decision, Reply, Run, Session
from goalfsm.session.work import queued, route
from recovery.machine import needs_user_start
from recovery.obligations import ContextAbort, TurnEnd

HANDLED = Reply(ok=True, code="handled", message="stale work is swallowed")
ROUTE = "route"
"""What a decision names as its guard by which another program does the turn."""


def input_received(session: Session, event: InputReceived, ctx: Context) -> Change:
    """Swallow stale work; a person's text clears what only they could clear."""
    work = event.work
    if work is None:
        if event.source == "extension":
            return Change(session)
        host = replace(session.host, inputs=session.host.inputs + 1)
        waits = session.waits if session.held else ()
        session = replace(steering.raised(session), host=host, model_goals=0, waits=waits)
        if session.policy.unread_claims == "refuse":
            session = steering.set_aside(session, "message", ctx)
        return recovering.user_input(turns.screen(session, turns.USER_INPUT, ctx).session, ctx)
    if turns.is_stale(session, work):
        return Change(session, (), HANDLED, skipped=True)
    return turns.screen(session, turns.CONTINUATION_ARRIVED, ctx)


def agent_starting(session: Session, event: AgentStarting, ctx: Context) -> Change:
    """Let go of the abort: a run that may proceed is not the one that it was asked for.

    The run before it is over, if nobody said so: its claim can be verified.
    """
    before = Change(session) if session.claim is None else claims.ask(session, over=True)
    host = before.session.host
    if not host.in_run:
        host = replace(host, in_run=True)
    # A turn begins without the waits of those before it.
    waits = tuple(wait for wait in before.session.waits if wait.held)
    session = replace(before.session, host=host, told_word=None, waits=waits, check=None)
    if event.work is None and session.continuation.queued is not None:
        # A person's run came first: what was queued is asked for again when that is over.
        session = replace(session, continuation=replace(session.continuation, queued=None))
    if event.work is not None and turns.is_stale(session, event.work):
        return replace(before, session=session)
    return extend(before, turns.screen(session, turns.AGENT_STARTS, ctx))


def turn_started(session: Session, event: TurnStarted, ctx: Context) -> Change:
    """Start the clock; what was queued is being worked off now, or never will be."""
    session = turns.screen(session, turns.TURN_START, ctx).session
    if session.continuation.queued is not None:
        session = replace(session, continuation=replace(session.continuation, queued=None))
    return turns.started(session, event, ctx)


def message_started(session: Session, event: MessageStarted, ctx: Context) -> Change:
    """Note whose work enters the turn."""
    message = event.message
    if message.role not in {"user", "custom"}:
        return Change(session)
    work = message.work
    if message.role == "user" and session.host.inputs:
        session = replace(session, host=replace(session.host, inputs=0))
    if work is not None and session.run is None and not turns.is_stale(session, work):
        # The prompt was made from the session.
        session = carried(session, steering.HOST_RUN)
    change = turns.entered(session, work, ctx)
    if work is not None and turns.is_stale(session, work):
        return change
    if work is not None and work.kind == "command_resume":
        change = extend(change, recovering.reset(change.session, ctx))
    if not needs_user_start(change.session.recovery):
        return change
    return extend(change, recovering.user_started(change.session, ctx))


def context_requested(session: Session, ctx: Context) -> Change:
    """Abort stale work at the last moment."""
    return turns.screen(session, ContextAbort(turn_index=session.host.turn_index), ctx)


def tool_finished(session: Session, ctx: Context) -> Change:
    """Charge the time that the tool took."""
    change = turns.screen(session, turns.TOOL_END, ctx)
    return change if change.skipped else turns.tool_finished(change.session, ctx)


def turn_ended(session: Session, event: TurnEnded, ctx: Context) -> Change:
    """Charge the turn, then see what its end says: success, an interruption, an overflow."""
    message = event.message
    change = turns.screen(session, TurnEnd(turn_index=event.turn_index), ctx)
    if change.skipped:
        return replace(change, session=turns.unused(change.session, message.usage))
    change = turns.ended(change.session, event, ctx)
    if message.stop_reason == "aborted":
        if turns.superseded(change.session):
            return change
        return extend(change, turns.aborted(change.session, ctx))
    session = change.session
    overflowed = recovering.overflowed(session, message)
    recovers = recovering.is_recovering(session)
    if session.overflow_noted is not overflowed:
        change = replace(change, session=replace(session, overflow_noted=overflowed))
    if overflowed:
        return extend(change, recovering.overflow_seen(change.session, ctx))
    change = extend(change, recovering.turn_ended(change.session, message, ctx))
    # The turn that ends a recovery leaves it to the end of its run whether work goes on.
    return replace(change, decide=message.stop_reason in {"stop", "length"} and not recovers)


def agent_ended(session: Session, event: AgentEnded, ctx: Context, *, gone: bool = True) -> Change:
    """Charge what is left of the run, then see what it ended with.

    What it claimed is verified once nothing of the run is left: when it is ``gone``.
    """
    change = turns.screen_agent_end(session, event, ctx)
    if change.skipped:
        return change
    change = turns.agent_ended(change.session, event, ctx)
    last = turns.last_answer(event.messages)
    failed_turn = last is not None and last.stop_reason in {"error", "aborted"}
    session = claims.turn_over(change.session, counts=not failed_turn)
    change = extend(change, _over(session, ctx, well=not failed_turn, gone=gone))
    session = change.session
    if not session.policy.idle_time_counts and session.clock.goal_id is not None:
        session = replace(session, clock=stopped(session.clock))
    noted = session.overflow_noted
    if noted:
        session = replace(session, overflow_noted=False)
    change = replace(change, session=session)
    if last is None or (failed_turn and _not_ours(session, last)):
        if not failed_turn:
            change = replace(change, session=_due_check(session, ctx))
        return replace(change, decide=True)
    if last.stop_reason == "error":
        # The host's own retry follows by itself; where the engine retries, say what it waits for.
        failed = recovering.failed(session, last, ctx)
        return replace(extend(change, failed), decide=session.policy.retries == "engine")
    if last.stop_reason == "aborted":
        return extend(change, turns.aborted(session, ctx))
    if noted or recovering.overflowed(session, last):
        return extend(change, recovering.silent_overflow(session, ctx))
    return replace(change, session=_due_check(session, ctx), decide=True)


def _over(session: Session, ctx: Context, *, well: bool, gone: bool) -> Change:
    """Let go of the run that has ended: what it was told, and what it claimed."""
    if session.host.in_run:
        session = replace(session, host=replace(session.host, in_run=False))
    session = steering.settled(session, steering.HOST_RUN, taken=well)
    if not well:
        session = claims.void(session, ctx)
    return claims.ask(session, over=True) if gone else Change(session)


def _due_check(session: Session, ctx: Context) -> Session:
    """Have the command that completes the goal run, where the turn was the goal's own."""
    return session if turns.superseded(session) else claims.due_check(session, ctx)


def _not_ours(session: Session, last: Message) -> bool:
    """Tell whether what went wrong was the turn of a goal that was replaced meanwhile.

    A host that retries by itself tells of its own turns; whichever goal there is has the trouble.
    An interruption was meant for the goal that there was.
    """
    mends_itself = session.policy.retries == "host" and last.stop_reason == "error"
    return turns.superseded(session) and not mends_itself


def compaction_started(session: Session, ctx: Context) -> Change:
    """Write usage down before the context changes."""
    change = turns.screen(session, turns.BEFORE_COMPACT, ctx)
    return change if change.skipped else turns.written(change.session, ctx)


def compaction_ended(session: Session, event: CompactionEnded, ctx: Context) -> Change:
    """Go on with the shorter context."""
    used = runs.compaction_used(session, event, ctx)
    change = extend(used, turns.screen(used.session, turns.COMPACT, ctx))
    if change.skipped:
        return change
    change = extend(change, turns.written(change.session, ctx))
    return extend(change, recovering.compacted(change.session, event, ctx))


def shutdown_started(session: Session, ctx: Context) -> Change:
    """Let the thread go."""
    return lifecycle.stopping(turns.screen(session, turns.SHUTDOWN, ctx).session, ctx)


def run_dispatched(session: Session, event: RunDispatched, ctx: Context) -> Change:
    """Open the run on the work that is queued; its prompt carries every message that waits."""
    if session.run is not None:
        return Change(session, (), runs.open_already(session.run, event))
    waits = queued(session)
    if waits is None or waits.wind_down is not event.wind_down:
        return Change(session, (), _NOTHING_QUEUED)
    if event.route is not None and event.route != route(session):
        return Change(session, (), _OTHER_ROUTE)
    work = None if waits.wind_down else GoalWork(kind="continuation", goal_id=waits.goal_id)
    change = agent_starting(session, AgentStarting(work=work), ctx)
    session = carried(runs.dispatched(change.session, event, ctx), event.run_id)
    index = (session.host.turn_index or 0) + 1
    change = extend(change, turn_started(session, TurnStarted(turn_index=index), ctx))
    message = Message(role="custom", work=work)
    change = extend(change, message_started(change.session, MessageStarted(message=message), ctx))
    change = extend(change, context_requested(change.session, ctx))
    # Commit before StartRun: a crash from here on must reconcile, not repeat.
    change = extend(change, runs.started(change.session))
    if event.route is None or event.wind_down:
        # That the goal has stopped stays the last decision while its work is wound down.
        return change
    decision = Decision(
        decision="continue", guard=ROUTE, reason=f"routed to {event.route.text}", at_ms=ctx.now_ms
    )
    return replace(change, session=replace(change.session, decision=decision))


def carried(session: Session, run_id: str) -> Session:
    """Note that the prompt of ``run_id`` carries all that waits, and the goal as it is."""
    kept = tuple(replace(one, carried_by=run_id) for one in session.steering if one.kind != "edit")
    if kept == session.steering and session.told_word is None:
        return session
    return replace(session, steering=kept, told_word=None)


def run_finished(session: Session, event: RunFinished, ctx: Context) -> Change:
    """Close the run; what it was told was taken into account when it finished well.

    Where it did not, what it claimed is void.
    """
    run = session.run
    if run is None or run.run_id != event.run_id:
        return Change(session)
    message = event.message or Message(role="assistant", stop_reason=_STOPS[event.outcome])
    index = session.host.turn_index or 0
    change = turn_ended(session, TurnEnded(turn_index=index, message=message), ctx)
    session, taken = runs.finished(change.session, event), event.outcome == "finished"
    session = steering.settled(session, event.run_id, taken=taken)
    if not taken and session.claim is not None and session.claim.run_id == event.run_id:
        session = claims.void(session, ctx)
    change = extend(change, Change(session))
    begun = Message(role="custom", work=_work_of(run))
    ended = AgentEnded(messages=(begun, message))
    change = extend(change, agent_ended(session, ended, ctx, gone=event.gone))
    return _idle(change, gone=event.gone)


def _work_of(run: Run) -> GoalWork | None:
    if run.goal_id is None or run.wind_down:
        return None
    return GoalWork(kind="continuation", goal_id=run.goal_id)


def _idle(change: Change, *, gone: bool) -> Change:
    """Note that the thread is idle again; what was wanted while it was busy may leave now."""
    session = change.session
    if not gone:
        return replace(change, skipped=False)
    wanted = session.continuation.wanted is not None
    session = replace(session, host=replace(session.host, idle=True, in_run=False))
    change = extend(change, claims.ask(session))
    return replace(change, decide=change.decide or wanted, skipped=False)


def run_interrupted(session: Session, event: RunInterrupted, ctx: Context) -> Change:
    """Close the run; what its prompt carried is sent again."""
    if session.run is None or session.run.run_id != event.run_id:
        return Change(session)
    change = runs.interrupted(session, event, ctx)
    settled = steering.settled(change.session, event.run_id, taken=False)
    return _idle(replace(change, session=settled), gone=event.gone)


def host_changed(session: Session, event: HostChanged, ctx: Context) -> Change:
    """Note what the host says; once it is idle the claim of the run that ended is verified."""
    change = scheduling.noted(session, event)
    if event.idle:
        session = change.session
        if session.host.in_run:
            session = replace(session, host=replace(session.host, in_run=False))
        change = claims.ask(session)
    return extend(change, scheduling.caught_up(change.session, ctx))


def interrupt_requested(session: Session, event: InterruptRequested, ctx: Context) -> Change:
    """End the running turn for a person; what it claimed is void, and the text opens the next."""
    run, goal = session.run, session.goal
    if run is None or goal is None:
        return Change(session, (), _NO_TURN)
    change = end_run(session, "a person interrupted it")
    if event.text:
        said = SteeringReceived(message_id=event.message_id or run.run_id, text=event.text)
        told = steering.received(change.session, said, ctx)
        if told.reply is not None and not told.reply.ok:
            return Change(session, (), told.reply)
        change = extend(change, told)
    session = change.session
    if session.claim is not None and session.claim.run_id == run.run_id:
        session = claims.void(session, ctx, "interrupt")
    reply = Reply(ok=True, code="interrupted", message="the turn is ended, and the next one starts")
    if goal.status != ACTIVE:
        reply = replace(reply, message=f"the turn is ended; the goal stays {goal.status}")
    return replace(change, session=session, reply=reply)


def engine_started(session: Session, event: EngineStarted, ctx: Context) -> Change:
    """Take the thread over; an open claim is verified, whatever became of its run."""
    change = lifecycle.started(session, event, ctx)
    return change if session.claim is None else extend(change, claims.ask(change.session))


_STOPS: dict[Outcome, StopReason] = {
    "finished": "stop",
    "failed": "error",
    "timed_out": "error",
    "aborted": "aborted",
}
_OTHER_ROUTE = Reply(
    ok=False,
    code="route_changed",
    message="the turn takes another route by now",
    hint="look which program does it, and dispatch it by that one",
)
_NOTHING_QUEUED = Reply(
    ok=False,
    code="nothing_queued",
    message="no such turn of the thread waits to be begun",
    hint="the last decision says why: goalfsm explain THREAD",
)
_NO_TURN = Reply(
    ok=False,
    code="no_run",
    message="no turn is running",
    remedies=(Remedy("steer", {"text": None}, "tells the next one"),),
)
