"""What every concern builds with: applying a plan, charging time, writing history.

Nothing here decides; it carries out on the immutable session what a plan or a charge says.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal import accounting
from goalfsm.goal.accounting import Clock, Ledger, apply_usage, elapsed, tokens_of
from goalfsm.goal.machine import CALLBACK_PREFIX, FORGET
from goalfsm.goal.model import (
    ACTIVE,
    LIMITED,
    MAX_COUNT,
    PAUSED,
    Goal,
    Rejection,
    Source,
    Usage,
    used_up,
)
from goalfsm.goal.transition import (
    Plan,
    Request,
    ResumeActive,
    RuntimeAccounting,
    Set,
    plan,
    plan_set,
)
from goalfsm.session import prompt_notices as notices
from goalfsm.session.context import Change, Context
from goalfsm.session.continuation import max_continuations
from goalfsm.session.effects import (
    AppendEntry,
    ClearEntry,
    Effect,
    EndRun,
    RunCallback,
    SendWork,
    SetEntry,
)
from goalfsm.session.state import (
    Blocking,
    Continuation,
    Flush,
    Progress,
    Quota,
    Reply,
    Retry,
    Session,
)
from recovery import machine as recovery

CIRCLE: Final = 6
"""How many turns have to show that answers go round in a circle."""


def seconds(session: Session, ctx: Context) -> int:
    """Return the time in unix seconds, never before the goal's last change."""
    now = ctx.now_ms // 1000
    goal = session.goal
    return now if goal is None or now >= goal.updated_at else goal.updated_at


def request(session: Session, asked: Request, ctx: Context) -> Change | Rejection:
    """Plan ``asked`` and carry it out, or return why not."""
    planned = plan(session.goal, asked, seconds(session, ctx), ctx.machine)
    return planned if isinstance(planned, Rejection) else apply(session, planned, ctx)


def store_goal(session: Session, goal: Goal, source: Source, ctx: Context) -> Change:
    """Store ``goal``, which was decided already, and carry out what that brings."""
    return apply(session, plan_set(ctx.machine, session.goal, Set(goal, source), ctx.now), ctx)


def apply(session: Session, planned: Plan, ctx: Context) -> Change:
    """Return the session after ``planned``: effects, the goal and its entry, effects after."""
    goal = _stamped(session.goal, planned)
    # A goal that has stopped waits for nothing but for a person.
    works = goal is not None and goal.status == ACTIVE
    fields: dict[str, Any] = {"goal": goal, "waits": session.waits if works else ()}
    effects: list[Effect] = []
    for name in planned.before:
        _EFFECTS[name](session, planned, fields, ctx) if name in _EFFECTS else effects.append(
            _callback(name, session.goal if goal is None else goal)
        )
    match planned.persist:
        case "set":
            assert goal is not None  # noqa: S101  a plan that sets has a goal
            effects.insert(0, AppendEntry(entry=SetEntry(source=planned.source, goal=goal)))
            fields["flush"] = Flush(dirty=False, written_ms=ctx.now_ms)
        case "clear":
            cleared = None if session.goal is None else session.goal.goal_id
            effects.insert(0, AppendEntry(entry=ClearEntry(source=planned.source, cleared=cleared)))
            fields["flush"] = Flush()
        case "defer":
            fields["flush"] = replace(session.flush, dirty=True)
        case "skip":  # pragma: no branch - there is no other
            pass
    for name in planned.after:
        _EFFECTS[name](session, planned, fields, ctx)
    if session.wind_down == "owed" and (goal is None or goal.status != LIMITED):
        fields["wind_down"] = "done"  # a goal that is limited no more has nothing to wind down
    if succeeded_by(session.goal, goal):
        for name in FORGET:  # an embedder's row into no goal at all need not name them
            _EFFECTS[name](session, planned, fields, ctx)
        effects += forget(session, fields)
    return Change(replace(session, **fields), tuple(effects))


def _stamped(before: Goal | None, planned: Plan) -> Goal | None:
    """Return the planned goal with the revision of a mutation; usage alone is none."""
    goal = planned.next_goal
    if goal is None or before is None or goal.goal_id != before.goal_id:
        return goal
    if planned.persist == "set" or goal.status != before.status:
        return replace(goal, revision=before.revision + 1)
    return goal


NOTHING_YET: dict[str, Any] = {
    "claim": None,
    "check": None,
    "until_late": False,
    "set_aside": None,
    "told_word": None,
    "completion": None,
    "blocking": Blocking(),
    "progress": Progress(),
    "waits": (),
    "retry": Retry(),
    "quota": Quota(),
    "notices": (),
    "grant": None,
    "wind_down": "none",
}
"""What a goal starts with, besides its own fields."""


def succeeded_by(before: Goal | None, after: Goal | None) -> bool:
    """Tell whether the goal ``before`` is given up for ``after`` or for none."""
    return before is not None and (after is None or after.goal_id != before.goal_id)


def forget(session: Session, fields: dict[str, Any]) -> list[Effect]:
    """Drop in ``fields`` what belonged to the goal before, and end its run."""
    fields.update(**NOTHING_YET, steering=())
    ended = end_run(session, "the goal was replaced or cleared")
    fields["run"] = ended.session.run
    return list(ended.effects)


def end_run(session: Session, reason: str) -> Change:
    """Have the open run ended now, unless it is being ended already or none is open."""
    run = session.run
    if run is None or run.ending is not None:
        return Change(session)
    ending = replace(session, run=replace(run, ending=reason))
    return Change(ending, (EndRun(run_id=run.run_id, reason=reason),))


def _callback(name: str, goal: Goal | None) -> Effect:
    assert goal is not None  # noqa: S101  without a goal nothing has callbacks
    return RunCallback(
        name=name.removeprefix(CALLBACK_PREFIX), goal_id=goal.goal_id, status=goal.status
    )


_Fields = dict[str, Any]


def _clear_continuation(session: Session, _planned: Plan, fields: _Fields, _ctx: Context) -> None:
    fields["continuation"] = Continuation(
        warned=fields.get("continuation", session.continuation).warned
    )


def _clear_budget_warning(session: Session, _planned: Plan, fields: _Fields, _ctx: Context) -> None:
    fields["continuation"] = replace(fields.get("continuation", session.continuation), warned=None)


def _clear_accounting(session: Session, _planned: Plan, fields: _Fields, _ctx: Context) -> None:
    fields["clock"] = accounting.stopped(session.clock)


def _reset_recovery(session: Session, _planned: Plan, fields: _Fields, ctx: Context) -> None:
    fields["recovery"] = recovery.reset(
        fields.get("recovery", session.recovery), table=ctx.rules.phases
    )
    fields["retry"] = Retry()


def _clear_overflow(session: Session, _planned: Plan, fields: _Fields, ctx: Context) -> None:
    fields["recovery"] = recovery.clear_overflow_active(
        fields.get("recovery", session.recovery), table=ctx.rules.phases
    )


def _set_paused_attention(session: Session, planned: Plan, fields: _Fields, _ctx: Context) -> None:
    state = fields.get("recovery", session.recovery)
    fields["recovery"] = recovery.set_paused(state, planned.reason)


def _nothing(_session: Session, _planned: Plan, _fields: _Fields, _ctx: Context) -> None:
    """Surfaces read the status where they need it; there is no refresh to stop."""


_EFFECTS = {
    "clear_continuation": _clear_continuation,
    "clear_active_accounting": _clear_accounting,
    "reset_recovery": _reset_recovery,
    "clear_budget_warning": _clear_budget_warning,
    "clear_host_overflow_recovery": _clear_overflow,
    "set_recovery_paused_attention": _set_paused_attention,
    "stop_status_refresh": _nothing,
}


def restate(change: Change, **fields: Any) -> Change:
    """Return ``change`` with ``fields`` set on its goal, in its history entry too."""
    assert change.session.goal is not None  # noqa: S101  there is a goal to describe
    goal = replace(change.session.goal, **fields)
    effects = tuple(
        replace(effect, entry=replace(effect.entry, goal=goal))
        if isinstance(effect, AppendEntry) and isinstance(effect.entry, SetEntry)
        else effect
        for effect in change.effects
    )
    return replace(change, session=replace(change.session, goal=goal), effects=effects)


RESUMED: dict[str, Any] = {
    "pause_reason": None,
    "resume_at_ms": None,
    "limited_by": None,
    "note": None,
    "blocked_by": None,
}
"""What a goal loses when it leaves the status that these explained."""


def explained(goal: Goal, **fields: Any) -> Goal:
    """Return ``goal``, which has entered its status, with what explains that and no more.

    ``fields`` say why; a status that nobody explained, because an embedder's row led there, is a
    person's pause or a limit of continuations.
    """
    why = RESUMED | fields
    if goal.status == PAUSED:
        why["pause_reason"] = why["pause_reason"] or "user"
    else:
        why |= {"pause_reason": None, "resume_at_ms": None}
    if goal.status == LIMITED:
        why["limited_by"] = why["limited_by"] or used_up(goal) or "continuations"
    return replace(goal, **why)


def resume(session: Session, ctx: Context) -> Change | Rejection:
    """Take a paused or blocked goal up again, without what explained its stop."""
    resumed = request(session, ResumeActive(), ctx)
    if isinstance(resumed, Rejection) or resumed.session.goal is None:
        return resumed
    limit = used_up(resumed.session.goal) if resumed.session.goal.status == LIMITED else None
    return restate(resumed, **RESUMED | {"limited_by": limit})


def charge(session: Session, ctx: Context, *, tokens: int = 0, cost: int = 0) -> Change:
    """Charge what has passed on the clock, and ``tokens`` and ``cost``, to the goal it runs for.

    A crossed budget changes the status; ``announce_limit`` is what follows from that.
    """
    goal, clock = session.goal, session.clock
    if goal is None or clock.goal_id != goal.goal_id:
        return Change(session)
    passed, clock = elapsed(clock, ctx.now_ms)
    now = seconds(session, ctx)
    charged = apply_usage(goal, now=now, tokens=tokens, seconds=passed, cost=cost)
    if charged.goal is None or charged.goal == goal:
        return Change(session if clock == session.clock else replace(session, clock=clock))
    session = replace(session, clock=clock)
    planned = plan(session.goal, RuntimeAccounting(charged.goal), ctx.now, ctx.machine)
    assert isinstance(planned, Plan)  # noqa: S101  a charge keeps every rule of accounting
    return apply(session, planned, ctx)


def charge_usage(session: Session, usage: Usage, ctx: Context) -> Change:
    """Charge the time and ``usage`` to the active goal, and book it as charged.

    A clock that does not run is started: the goal is being worked on.
    """
    if session.clock.goal_id is None:
        session = replace(session, clock=start_clock(session, ctx))
    tokens = tokens_of(usage, session.policy.cached_weight)
    change = charge(session, ctx, tokens=tokens, cost=usage.cost)
    return replace(change, session=book(change.session, usage))


def charge_late(session: Session, usage: Usage, ctx: Context) -> Session:
    """Charge ``usage`` to a goal that stopped during its own turn: what it used, it used."""
    goal = session.goal
    if goal is None or usage == _NO_USAGE:
        return session
    tokens = tokens_of(usage, session.policy.cached_weight)
    charged = replace(
        goal,
        tokens_used=min(MAX_COUNT, goal.tokens_used + tokens),
        cost_used=min(MAX_COUNT, goal.cost_used + usage.cost),
        updated_at=seconds(session, ctx),
    )
    late = replace(session, goal=charged, flush=replace(session.flush, dirty=True))
    return book(late, usage)


def book(session: Session, usage: Usage, *, unless: str | None = None) -> Session:
    """Return the session with ``usage`` in its ledger, as charged; ``unless`` says why not."""
    if usage == _NO_USAGE:
        return session
    before = session.ledger
    uncharged = before.uncharged
    tokens, cost = tokens_of(usage, session.policy.cached_weight), usage.cost
    if unless is not None:
        uncharged = {**uncharged, unless: uncharged.get(unless, 0) + tokens}
        tokens = cost = 0
    ledger = Ledger(
        reported=before.reported + usage,
        charged_tokens=before.charged_tokens + tokens,
        charged_cost=before.charged_cost + cost,
        uncharged=uncharged,
    )
    return replace(session, ledger=ledger)


_NO_USAGE: Final = Usage()


def announce_limit(session: Session, ctx: Context) -> Change:
    """Say once that a budget of the goal is used up, and have its status written."""
    goal = session.goal
    if goal is None or goal.status != LIMITED or session.continuation.warned == goal.goal_id:
        return Change(session)
    change = flush(session, ctx)
    most = max_continuations(goal, session.policy)
    steered = session.run is not None and session.run.can_steer
    if most is not None and goal.continuations >= most and not steered:
        # The limit of continuations holds whatever else ends; the running turn was the last.
        told = replace(session.continuation, warned=goal.goal_id)
        return replace(change, session=replace(change.session, continuation=told, wind_down="done"))
    warned = replace(
        change.session,
        continuation=replace(session.continuation, warned=goal.goal_id),
        wind_down="owed",
    )
    notice = SendWork(kind="wind_down", goal_id=goal.goal_id, deliver_as="steer", trigger_turn=True)
    return Change(warned, (*change.effects, notice))


def flush(session: Session, ctx: Context) -> Change:
    """Write the goal to the history when it changed since it was last written."""
    if not session.flush.dirty or session.goal is None:
        return Change(session)
    entry = SetEntry(source="runtime", goal=session.goal)
    written = replace(session, flush=Flush(dirty=False, written_ms=ctx.now_ms))
    return Change(written, (AppendEntry(entry=entry),))


def notify(session: Session, kind: notices.NoticeKind, detail: str = "") -> Session:
    """Return the session with a notice that the next prompt carries, once."""
    return replace(session, notices=notices.add(session.notices, kind, detail))


def start_clock(session: Session, ctx: Context) -> Clock:
    """Return the clock of the session's active goal from now on, the remainder kept."""
    goal = session.goal
    assert goal is not None  # noqa: S101  only an active goal is measured
    return accounting.started(session.clock, goal.goal_id, ctx.now_ms)


def extend(first: Change, second: Change) -> Change:
    """Return ``second`` as what came after ``first``."""
    if not first.effects and first.reply is None and not first.decide:
        return second
    reply = second.reply if second.reply is not None else first.reply
    decide = first.decide or second.decide
    return Change(second.session, first.effects + second.effects, reply, decide, second.skipped)


def refuse(change: Change, code: str, message: str, hint: str | Remedy) -> Change:
    """Return ``change`` with a refusal in words as its reply; ``hint`` may be a remedy."""
    remedies = (hint,) if isinstance(hint, Remedy) else ()
    reply = Reply(ok=False, code=code, message=message, hint=str(hint), remedies=remedies)
    return replace(change, reply=reply)
