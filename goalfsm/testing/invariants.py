"""What holds after every step of every session, whatever happened: written down once.

``check(before, event, step)`` looks at one step of ``goalfsm.session.handle`` and raises
AssertionError with a sentence when an invariant is broken. It keeps nothing between calls, so the
same function serves property tests, simulations and an embedder's own host. Sessions are taken to
come from ``handle``: one that was put together by hand may break an invariant before its first
step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from goalfsm import effects as f
from goalfsm import events as e
from goalfsm.accounting import counted, tokens_of
from goalfsm.machine import used_up
from goalfsm.model import ACTIVE, COMPLETE, LIMITED, MAX_COUNT, PAUSED, Goal
from goalfsm.prompts import notices
from goalfsm.session.runs import KEYS_KEPT
from goalfsm.session.state import Session, Step
from goalfsm.session.waits import next_wake
from recovery.stale_events import IDLE, AbortingTurn, ObservingTurn


class Transition(NamedTuple):
    """One step: the session before, what happened, what came of it, and when (unix ms)."""

    before: Session
    event: e.Event
    step: Step
    now_ms: int | None

    @property
    def after(self) -> Session:
        """Return the session after the step."""
        return self.step.session

    @property
    def same_goal(self) -> tuple[Goal, Goal] | None:
        """Return the goal before and after, None when it is another one or was loaded anew."""
        before, after = self.before.goal, self.after.goal
        if before is None or after is None or before.goal_id != after.goal_id:
            return None
        return None if isinstance(self.event, LOADS) else (before, after)

    def all(self, kind: type[f.Effect]) -> tuple[f.Effect, ...]:
        """Return the effects of one kind, in order."""
        return tuple(effect for effect in self.step.effects if isinstance(effect, kind))


LOADS: Final = (e.SessionStarted, e.TreeChanged)
"""Events that put a history in the place of what was known: nothing has to follow on."""


Look = Callable[[Transition], None]


class Invariant(NamedTuple):
    """What always holds, in words, and the function that raises when it does not."""

    says: str
    look: Look


_written: Final[list[Invariant]] = []


def _invariant(says: str) -> Callable[[Look], Look]:
    def write(look: Look) -> Look:
        _written.append(Invariant(says, look))
        return look

    return write


def check(before: Session, event: e.Event, step: Step, *, now_ms: int | None = None) -> None:
    """Raise AssertionError, naming the invariant, when ``step`` breaks one.

    ``now_ms`` is the time that was given to ``handle``; where it is left out the decision's own
    time is taken.
    """
    if now_ms is None and step.decision is not None:
        now_ms = step.decision.at_ms
    transition = Transition(before, event, step, now_ms)
    for says, look in INVARIANTS:
        try:
            look(transition)
        except AssertionError as broken:
            message = f"{says}\n  broken: {broken}\n  event: {event}"
            raise AssertionError(message) from None


def _hold(condition: object, message: str) -> None:
    if not condition:
        raise AssertionError(message)


# What a session may look like.


@_invariant("Only the active goal has a continuation, queued or wanted, and only one of it.")
def _scheduled_for_the_active_goal(t: Transition) -> None:
    goal, continuation = t.after.goal, t.after.continuation
    for name, goal_id in (("queued", continuation.queued), ("wanted", continuation.wanted)):
        if goal_id is not None:
            _hold(goal is not None and goal.goal_id == goal_id, f"{name} for another goal")
            _hold(goal is not None and goal.status == ACTIVE, f"{name} for a goal that stopped")
    _hold(continuation.wanted is None or continuation.queued is None, "queued and wanted again")


@_invariant("Time is measured for the active goal only.")
def _clock_runs_for_the_active_goal(t: Transition) -> None:
    goal, clock = t.after.goal, t.after.clock
    if clock.goal_id is None:
        return
    _hold(goal is not None and goal.goal_id == clock.goal_id, "the clock runs for another goal")
    _hold(goal is not None and goal.status == ACTIVE, "the clock runs for a goal that stopped")
    _hold(0 <= clock.remainder_ms < 1000, f"a remainder of {clock.remainder_ms} ms")  # noqa: PLR2004  a second


@_invariant("An open claim is about the current, unfinished goal, and nobody answers it twice.")
def _claims_belong_to_the_goal(t: Transition) -> None:
    claim, goal = t.after.claim, t.after.goal
    if claim is None:
        return
    _hold(goal is not None and goal.goal_id == claim.goal_id, "the claim is about another goal")
    _hold(goal is not None and goal.status != COMPLETE, "the goal is complete already")
    known = [result.index for result in claim.results]
    _hold(len(known) == len(set(known)), f"verifiers answered twice: {known}")
    verifiers = () if goal is None else goal.verifiers
    for index in known:
        _hold(0 <= index < len(verifiers), f"there is no verifier {index}")
        _hold(verifiers[index].kind != "person", f"verifier {index} is a person")


@_invariant("What explains a stop is there while the goal is stopped, and gone with the stop.")
def _stops_explain_themselves(t: Transition) -> None:
    goal = t.after.goal
    if goal is None or isinstance(t.event, LOADS) or _loaded_before(t):
        return
    paused, limited = goal.status == PAUSED, goal.status == LIMITED
    _hold(paused == (goal.pause_reason is not None), f"{goal.status}, {goal.pause_reason=}")
    _hold(paused or goal.resume_at_ms is None, f"{goal.status}, {goal.resume_at_ms=}")
    _hold(limited == (goal.limited_by is not None), f"{goal.status}, {goal.limited_by=}")


def _loaded_before(t: Transition) -> bool:
    # A goal from a history keeps the fields that the history gave it until its status changes.
    pair = t.same_goal
    return pair is not None and pair[0].status == pair[1].status


@_invariant("Nothing that others send makes a session grow without end.")
def _bounded(t: Transition) -> None:
    after = t.after
    room = max(after.policy.steering_limit, len(t.before.steering))
    _hold(len(after.steering) <= room, f"{len(after.steering)} steering messages")
    sent = [kept.message_id for kept in after.steering]
    _hold(len(sent) == len(set(sent)), "a steering message is queued twice")
    kinds = [notices.parse(text).kind for text in after.notices]
    _hold(len(kinds) == len(set(kinds)), f"notices pile up: {kinds}")
    _hold(after.run is None or len(after.run.charged) <= KEYS_KEPT, "usage keys pile up")


# What a step may do to the goal.


@_invariant("A goal's revision grows with its status and never falls.")
def _revision_grows(t: Transition) -> None:
    if t.same_goal is None:
        return
    before, after = t.same_goal
    _hold(after.revision >= before.revision, f"{before.revision} became {after.revision}")
    if after.status != before.status:
        _hold(after.revision > before.revision, f"{before.status} became {after.status} unseen")


@_invariant("What a goal used, it used: tokens, seconds, cost, dispatches and times only grow.")
def _usage_never_falls(t: Transition) -> None:
    if t.same_goal is None:
        return
    before, after = t.same_goal
    for name in ("tokens_used", "active_seconds", "cost_used", "continuations", "updated_at"):
        was, now = getattr(before, name), getattr(after, name)
        _hold(now >= was, f"{name} fell from {was} to {now}")
    _hold(after.created_at == before.created_at, "the goal was created anew")


@_invariant("A complete goal stays as it is until it is replaced or cleared.")
def _complete_is_final(t: Transition) -> None:
    if t.same_goal is None or t.same_goal[0].status != COMPLETE:
        return
    before, after = t.same_goal
    _hold(after.status == COMPLETE, f"it is {after.status} again")
    _hold(after.objective == before.objective, "its objective changed")
    _hold(not t.all(f.SendWork), "work on it was sent")


@_invariant("No charge leaves a goal active whose budget it used up.")
def _crossing_limits(t: Transition) -> None:
    if t.same_goal is None:
        return
    before, after = t.same_goal
    budgets = ("token_budget", "time_budget_seconds", "cost_budget")
    if any(getattr(before, name) != getattr(after, name) for name in budgets):
        _hold(after.status != ACTIVE or used_up(after) is None, "the new budget is used up")
    elif before.status == ACTIVE and after.status == ACTIVE and used_up(before) is None:
        _hold(used_up(after) is None, f"its {used_up(after)} are used up")


@_invariant("Every change of status is in the history at once, and the last entry tells the truth.")
def _status_changes_are_written(t: Transition) -> None:
    entries = [effect.entry for effect in t.step.effects if isinstance(effect, f.AppendEntry)]
    goals = [entry for entry in entries if not isinstance(entry, e.UserStartEntry)]
    if goals:
        last = goals[-1]
        if isinstance(last, e.SetEntry):
            _hold(last.goal == t.after.goal or t.after.flush.dirty, "the entry shows another goal")
        else:
            _hold(t.after.goal is None, "cleared in the history only")
    if t.same_goal is not None and t.same_goal[0].status != t.same_goal[1].status:
        written = [entry.goal.status for entry in goals if isinstance(entry, e.SetEntry)]
        _hold(t.same_goal[1].status in written, f"{t.same_goal[1].status} was not written")


@_invariant("A goal that takes the thread over inherits no use, claim, wait, count or message.")
def _successors_start_clean(t: Transition) -> None:
    before, after = t.before.goal, t.after.goal
    if before is None or (after is not None and after.goal_id == before.goal_id):
        return
    session = t.after
    inherited = (session.claim, session.completion, session.wait, session.retry.at_ms)
    _hold(not any(inherited), f"inherited: {inherited}")
    _hold(not (session.blocking.count or session.steering), "inherited counts or messages")
    _hold(session.run is None or session.run.ending is not None, "the old run goes on")
    if after is not None and not isinstance(t.event, LOADS):
        spent = (after.tokens_used, after.active_seconds, after.cost_used, after.continuations)
        _hold(not any(spent), f"inherited use: {spent}")


@_invariant("What is refused leaves the goal alone, except for use that was due anyway.")
def _refusals_change_nothing(t: Transition) -> None:
    # Two refusals tell of a change: a stopped goal without budget left becomes limited when it is
    # resumed, and a fault stops the goal whose event could not be decided.
    reply = t.step.reply
    if reply is None or reply.ok or reply.code in {"budget_limited", "internal_error"}:
        return
    _hold(not _changed_beyond_use(t), f"{reply.code}, but the goal changed")
    work = (f.StartRun, f.RunVerifier, f.CompactContext, f.EndRun)
    _hold(not any(isinstance(effect, work) for effect in t.step.effects), "work was started")


def _changed_beyond_use(t: Transition) -> bool:
    before, after = t.before.goal, t.after.goal
    if before is None or after is None:
        return before is not after
    if before.goal_id != after.goal_id or before.objective != after.objective:
        return True
    crossed = before.status == ACTIVE and after.status == LIMITED and used_up(after) is not None
    return before.status != after.status and not crossed


@_invariant("A model creates goals and claims; nothing else is its to change.")
def _models_only_claim(t: Transition) -> None:
    asked = t.event
    if isinstance(asked, e.Expecting) and asked.origin == "model":
        if isinstance(asked, e.ObjectiveGiven):
            unfinished = t.before.goal is not None and t.before.goal.status != COMPLETE
            _hold(t.same_goal is not None or not unfinished, "it replaced an unfinished goal")
        else:
            _hold(t.step.reply is not None and not t.step.reply.ok, "it was let through")
    if isinstance(asked, e.ToolCalled) and t.same_goal is not None:
        before, after = t.same_goal
        reopened = before.status != ACTIVE and after.status == ACTIVE
        _hold(not reopened, f"a tool took a {before.status} goal up again")
        _hold(after.objective == before.objective, "a tool reworded it")


# What a step may ask for.


@_invariant(
    "A continuation is sent once, for an active goal that nothing holds back, to an idle host."
)
def _continuations_are_due(t: Transition) -> None:
    sent = [w for w in t.step.effects if isinstance(w, f.SendWork) and w.kind == "continuation"]
    if not sent:
        return
    after = t.after
    _hold(len(sent) == 1, f"{len(sent)} continuations in one step")
    goal = after.goal
    _hold(goal is not None and goal.goal_id == sent[0].goal_id, "for another goal")
    _hold(goal is not None and goal.status == ACTIVE, "the goal is not active")
    _hold(goal is not None and used_up(goal) is None, "no budget is left")
    _hold(after.continuation.queued == sent[0].goal_id, "not noted as queued")
    was = t.before.continuation.queued
    _hold(was != sent[0].goal_id or isinstance(t.event, LOADS), "one was queued already")
    _hold(after.host.idle and after.run is None, "the host is busy")
    _hold(not after.host.pending_messages, "a person's messages come first")
    _hold(after.claim is None, "a claim is being verified")
    _hold(after.wait is None, "the work waits for something")
    _hold(not after.stopping, "the engine is shutting down")
    attention = after.recovery.attention
    _hold(attention is None or attention.kind != "pending", "recovery is pending")


@_invariant("The notice of a used-up budget is sent once, when its goal is limited.")
def _limits_are_announced_once(t: Transition) -> None:
    sent = [w for w in t.step.effects if isinstance(w, f.SendWork) and w.kind == "budget_limit"]
    if not sent:
        return
    goal = t.after.goal
    _hold(len(sent) == 1, "it was sent twice")
    _hold(goal is not None and goal.goal_id == sent[0].goal_id, "for another goal")
    _hold(goal is not None and goal.status == LIMITED, "the goal is not limited")
    _hold(t.after.continuation.warned == sent[0].goal_id, "not noted as sent")
    pair = t.same_goal
    if pair is not None and pair[0].status == LIMITED and not isinstance(t.event, e.BudgetChanged):
        _hold(t.before.continuation.warned != sent[0].goal_id, "it was sent before")


@_invariant("A used-up budget gives one wind-down turn: owed, running, done, and never owed again.")
def _one_wind_down(t: Transition) -> None:
    order = {"none": 0, "owed": 1, "running": 2, "done": 3}
    before, after = t.before.wind_down, t.after.wind_down
    if t.same_goal is None or order[after] >= order[before]:
        return
    was, now = t.same_goal
    reopened = was.status != now.status or isinstance(t.event, e.BudgetChanged)
    _hold(reopened, f"{before} became {after}")


@_invariant("A turn is aborted only when all that entered it is stale.")
def _aborts_are_for_stale_turns(t: Transition) -> None:
    if not t.all(f.AbortRun):
        return
    state = t.before.stale
    _hold(isinstance(state, ObservingTurn | AbortingTurn), "nothing stale had entered the turn")
    if isinstance(state, ObservingTurn):
        _hold(state.stale_goal_ids and not state.has_runnable_work, "some of it may run")


@_invariant("A worker is started for the open run alone, and once.")
def _runs_start_once(t: Transition) -> None:
    starts = [effect.run_id for effect in t.step.effects if isinstance(effect, f.StartRun)]
    if not starts:
        return
    run, now = t.before.run, t.after.run
    _hold(starts == [run.run_id if run is not None else None], f"started {starts}, open: {run}")
    _hold(run is not None and not run.started, "it has been started already")
    _hold(run is not None and run.ending is None, "it is being ended")
    _hold(now is not None and now.started, "not noted as started")


@_invariant("A run is opened by its dispatch alone and closed by its own end alone.")
def _runs_open_and_close(t: Transition) -> None:
    before, after = t.before.run, t.after.run
    if before is None and after is not None:
        _hold(isinstance(t.event, e.RunDispatched), "opened without a dispatch")
    if before is not None and after is None:
        ended = isinstance(t.event, e.RunFinished | e.RunInterrupted)
        _hold(ended and getattr(t.event, "run_id", None) == before.run_id, "closed by another")
    if before is not None and after is not None:
        _hold(before.run_id == after.run_id, "another run took its place")


@_invariant("A run is ended early once, while it is open.")
def _ended_runs_are_open(t: Transition) -> None:
    for effect in t.step.effects:
        if isinstance(effect, f.EndRun):
            run = t.before.run
            _hold(run is not None and run.run_id == effect.run_id, "it is not open")
            _hold(run is not None and run.ending is None, "it is being ended already")
            _hold(t.after.run is not None and t.after.run.ending, "not noted as ending")


@_invariant(
    "Verifiers, compaction, steering and callbacks are asked for where there is use for them."
)
def _helpers_fit_the_state(t: Transition) -> None:
    after = t.after
    goal_id = None if after.goal is None else after.goal.goal_id
    for effect in t.step.effects:
        match effect:
            case f.RunVerifier(claim_id=claim_id, index=index):
                claim, goal = after.claim, after.goal
                _hold(claim is not None and claim.claim_id == claim_id, "no such claim is open")
                verifiers = () if goal is None else goal.verifiers
                _hold(index < len(verifiers), f"there is no verifier {index}")
                _hold(verifiers[index].kind != "person", "a person is no program")
            case f.CompactContext():
                _hold(effect.goal_id == goal_id, "compaction for another goal")
                _hold(after.host.can_compact, "the worker cannot compact")
            case f.DeliverSteering():
                run = after.run
                _hold(run is not None and run.run_id == effect.run_id, "steered another run")
                _hold(run is not None and run.can_steer, "the worker cannot be steered")
                queued = {kept.message_id for kept in after.steering}
                _hold(effect.message_id in queued, "the message is not kept")
            case _:
                pass


@_invariant("Once an engine shuts down it sends nothing and has nothing stale to wait for.")
def _nothing_while_stopping(t: Transition) -> None:
    if isinstance(t.event, e.ShutdownStarted):
        _hold(t.after.stopping, "it goes on")
        _hold(t.after.stale == IDLE, "stale work is still owed")
    if t.after.stopping:
        sent = [w for w in t.step.effects if isinstance(w, f.SendWork) and w.kind != "budget_limit"]
        _hold(not sent, f"sent {sent}")


# What is charged.


@_invariant("All that is reported is booked once: charged or not, and why not.")
def _ledger_adds_up(t: Transition) -> None:
    before, after = t.before.ledger, t.after.ledger
    weight = t.before.policy.cached_weight
    uncharged = sum(after.uncharged.values()) - sum(before.uncharged.values())
    charged = after.charged_tokens - before.charged_tokens
    _hold(charged >= 0 and uncharged >= 0, "a sum fell")
    _hold(after.charged_cost >= before.charged_cost, "the charged cost fell")
    for name in ("input_tokens", "output_tokens", "cached_tokens", "cost"):
        _hold(getattr(after.reported, name) >= getattr(before.reported, name), f"{name} fell")
    if isinstance(t.event, e.UsageReported) and after is not before:
        used = tokens_of(counted(t.event.usage), weight)
        _hold(charged + uncharged == used, "booked more or less")
    if weight == 0:
        reported = tokens_of(after.reported) - tokens_of(before.reported)
        _hold(reported == charged + uncharged, f"{reported} != {charged} + {uncharged}")
    _hold(after.charged_cost <= after.reported.cost, "more cost was charged than reported")


@_invariant("What the ledger calls charged is on the goal, and nothing else is.")
def _charges_reach_the_goal(t: Transition) -> None:
    ledger = t.after.ledger
    tokens = ledger.charged_tokens - t.before.ledger.charged_tokens
    cost = ledger.charged_cost - t.before.ledger.charged_cost
    if t.same_goal is None:
        _hold(not tokens and not cost, "charged to a goal that is not there")
        return
    before, after = t.same_goal
    _hold(after.tokens_used == min(MAX_COUNT, before.tokens_used + tokens), "tokens differ")
    _hold(after.cost_used == min(MAX_COUNT, before.cost_used + cost), "cost differs")


@_invariant("A run of another goal, or one that is over, charges, pauses and completes nothing.")
def _strangers_charge_nothing(t: Transition) -> None:
    # Dispatching counts when the worker is started, so what is aborted before counts for nobody.
    token = getattr(t.event, "run_token", None)
    run = t.before.run
    if token is not None and (run is None or run.token != token or run.ending is not None):
        _hold(t.after.goal == t.before.goal, "an old run changed the goal")
        _hold(t.step.reply is not None and not t.step.reply.ok, "an old run was not refused")
    if isinstance(t.event, e.UsageReported) and run is not None and t.before.goal is not None:
        mine = run.goal_id == t.before.goal.goal_id
        _hold(mine or t.after.goal == t.before.goal, "a successor was charged")
    if isinstance(t.event, e.TurnEnded | e.AgentEnded):
        turn = t.before.host.turn_goal
        other = turn is not None and t.same_goal is not None and turn != t.same_goal[0].goal_id
        if other and t.same_goal is not None:
            used = t.same_goal[1].tokens_used - t.same_goal[0].tokens_used
            _hold(not used, f"a successor was charged {used} tokens of the turn before it")


@_invariant("The owed end of an aborted turn is not taken for the end of the work that came after.")
def _skipped_ends_change_nothing(t: Transition) -> None:
    if not isinstance(t.event, e.TurnEnded | e.AgentEnded):
        return
    state = t.before.stale
    owed = getattr(state, "cleanup", None)
    if owed is not None and t.after.stale != state and t.same_goal is not None:
        _hold(t.same_goal[0] == t.same_goal[1], "it changed the goal")
        _hold(not t.step.effects, f"it asked for {t.step.effects}")


# When the thread is looked at again.


@_invariant("After a due timer was handled the next one is later: no timer fires for ever.")
def _timers_come_to_rest(t: Transition) -> None:
    if not isinstance(t.event, e.TimerFired) or t.now_ms is None:
        return
    wake = next_wake(t.after)
    _hold(wake is None or wake > t.now_ms, f"asked again for {wake}, it is {t.now_ms}")


@_invariant(
    "Nothing happens by itself to a goal that is complete, blocked, limited or gone, except that "
    "a turn that goes on without budget is ended."
)
def _finished_goals_sleep(t: Transition) -> None:
    goal = t.after.goal
    if goal is None or goal.status not in {ACTIVE, PAUSED}:
        overruns = goal is not None and goal.status == LIMITED and t.after.run is not None
        _hold(overruns or next_wake(t.after) is None, "a timer is set")


INVARIANTS: Final = tuple(_written)
"""Every invariant, in the order in which they are checked."""
