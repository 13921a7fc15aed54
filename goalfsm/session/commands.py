"""What a person asks of a goal: give, pause, resume, clear, edit, budgets, complete, block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from goalfsm.events import (
    BlockRequested,
    BudgetChanged,
    ClearRequested,
    CompletionRequested,
    EditRequested,
    Expecting,
    ObjectiveGiven,
    PauseRequested,
    PolicyChanged,
    ResumeRequested,
    TriggerFired,
)
from goalfsm.machine import TRIGGERS, used_up
from goalfsm.model import ACTIVE, LIMITED, MAX_ITEMS, PAUSED, Goal, Limits, Origin, Status
from goalfsm.prompts.notices import NoticeKind
from goalfsm.session.change import (
    RESUMED,
    announce_limit,
    charge,
    explained,
    extend,
    notify,
    request,
    restate,
    seconds,
)
from goalfsm.session.state import (
    Blocking,
    Change,
    Completion,
    Context,
    Continuation,
    Progress,
    Quota,
    Reply,
    Retry,
    Session,
    Wait,
)
from goalfsm.transition import Clear, Fire, Rejection, Set, Source, mark
from goalfsm.validation import Rejected, check_budget, check_objective, check_text, create
from recovery import machine as recovery

_LIMIT_FIELDS = {
    "tokens": "token_budget",
    "seconds": "time_budget_seconds",
    "cost": "cost_budget",
    "continuations": "max_continuations",
}


_ASKED: dict[str, str] = {"raise_budget": "raise the budget of"}
"""What a trigger is called in a refusal, where its name is no verb."""

_SOURCES: dict[Origin, Source] = {"person": "command", "model": "tool", "system": "runtime"}
"""How the history names who asked."""


def refused(rejection: Rejection | Rejected) -> Reply:
    """Return the reply that says why something was refused."""
    if isinstance(rejection, Rejected):
        return Reply(ok=False, code=rejection.code, message=rejection.message, hint=rejection.hint)
    where = "the thread has no goal" if rejection.code == "no_goal" else f"it is {rejection.status}"
    asked = _ASKED.get(rejection.trigger) or rejection.trigger.replace("_", " ")
    message = f"cannot {asked} the goal: {where}"
    return Reply(ok=False, code=rejection.code, message=message, hint=rejection.hint)


def inadmissible(session: Session, event: Expecting) -> Reply | None:
    """Return the refusal of a command that is not the asker's to give, or comes too late.

    A model may give a thread without an unfinished goal one, and nothing else; what it claims
    comes as a tool call. None lets the command through.
    """
    if event.origin == "model" and not isinstance(event, ObjectiveGiven):
        return Reply(
            ok=False,
            code="origin_not_allowed",
            message="this is not the model's to ask for",
            hint="a person does it, or the model claims complete or blocked",
        )
    goal = session.goal
    goal_id, revision = event.expected_goal_id, event.expected_revision
    if goal_id is not None and (goal is None or goal.goal_id != goal_id):
        return Reply(
            ok=False,
            code="goal_changed",
            message="the thread's goal is another one by now",
            hint="look at its status and ask again",
        )
    if revision is not None and (goal is None or goal.revision != revision):
        return Reply(
            ok=False,
            code="revision_changed",
            message="the goal was changed meanwhile",
            hint="look at its status and ask again",
        )
    return None


def give(session: Session, event: ObjectiveGiven, ctx: Context) -> Change:
    """Give the thread a goal; the model may only when none is unfinished, and not for ever."""
    by_model = event.origin == "model"
    created = create(
        session.goal,
        objective=event.objective,
        token_budget=event.limits.tokens,
        goal_id=ctx.ids("goal"),
        now=ctx.now,
        replace=event.replace and not by_model,
    )
    fault = created if isinstance(created, Rejected) else _fault(event)
    if fault is None and by_model:
        fault = _too_many(session)
    if fault is not None:
        return Change(session, (), refused(fault))
    assert isinstance(created, Goal)  # noqa: S101  a refusal is a fault
    settled = _settled(session, event.policy)
    if isinstance(settled, Rejected):
        return Change(session, (), refused(settled))
    session = replace(settled, model_goals=settled.model_goals + 1 if by_model else 0)
    goal = replace(
        created, **_limits(event.limits), criteria=event.criteria, verifiers=event.verifiers
    )
    change = request(session, Set(goal, _SOURCES[event.origin]), ctx)
    assert isinstance(change, Change)  # noqa: S101  a decided goal is always stored
    reply = Reply(ok=True, code="created", message=f"goal {goal.goal_id} is active")
    return change._replace(reply=reply)


def _too_many(session: Session) -> Rejected | None:
    """Return why the model may not go on giving itself goals; None while it may."""
    most = session.policy.model_goals
    if not most or session.model_goals < most:
        return None
    return Rejected(
        "model_goals_spent",
        f"the model has given this thread {session.model_goals} goals in a row",
        "a person has to say how it goes on, by an objective or a message",
    )


def _fault(event: ObjectiveGiven) -> Rejected | None:
    for budget in (event.limits.seconds, event.limits.cost):
        if refusal := check_budget(budget):
            return refusal
    if event.limits.continuations and (refusal := check_budget(event.limits.continuations)):
        return refusal
    if len(event.criteria) > MAX_ITEMS or len(event.verifiers) > MAX_ITEMS:
        return Rejected(
            "too_many_items",
            f"more than {MAX_ITEMS} criteria or verifiers",
            "sum some of them up",
        )
    for criterion in event.criteria:
        checked = check_text(criterion.text, "criterion")
        if isinstance(checked, Rejected):
            return checked
    return None


def _settled(session: Session, changes: Mapping[str, object]) -> Session | Rejected:
    if not changes:
        return session
    try:
        policy = session.policy.changed(changes)
    except ValueError as error:
        return Rejected(
            "policy_invalid", str(error), "see Policy for the settings and their ranges"
        )
    first = session.policy if session.first_policy is None else session.first_policy
    return replace(session, policy=policy, first_policy=first)


def change_policy(session: Session, event: PolicyChanged, _ctx: Context) -> Change:
    """Change settings of the thread's policy; what was counted stays counted."""
    settled = _settled(session, event.changes)
    if isinstance(settled, Rejected):
        return Change(session, (), refused(settled))
    return Change(
        settled, (), Reply(ok=True, code="policy_changed", message="the policy is changed")
    )


def _limits(limits: Limits) -> dict[str, int]:
    given = msgspec.structs.asdict(limits)
    return {_LIMIT_FIELDS[name]: value for name, value in given.items() if value is not None}


def change_status(
    session: Session, status: Status, source: Source, ctx: Context, **fields: Any
) -> Change:
    """Give the goal another status by the table, with ``fields`` that belong to it.

    Leaving a status drops what only it meant: the pause's reason, the limit, the note.
    """
    if session.goal is None:
        refusal = mark(None, status, ctx.now)
        assert isinstance(refusal, Rejection)  # noqa: S101  nothing can be marked
        return Change(session, (), refused(refusal))
    change = charge(session, ctx)
    session = change.session
    assert session.goal is not None  # noqa: S101  charging keeps the goal
    marked = mark(session.goal, status, seconds(session, ctx), ctx.rules())
    if isinstance(marked, Rejection):
        return change._replace(reply=refused(marked))
    goal, code = marked
    if code == "marked":
        goal = explained(goal, **fields)
    after = request(session, Set(goal, source), ctx)
    assert isinstance(after, Change)  # noqa: S101  a decided goal is always stored
    reply = Reply(ok=True, code=code, message=f"the goal is {goal.status}")
    return extend(change, after)._replace(reply=reply)


def pause(session: Session, event: PauseRequested, ctx: Context) -> Change:
    """Pause the goal: the running turn ends, none follows."""
    goal, source = session.goal, _SOURCES[event.origin]
    if goal is not None and goal.status == LIMITED and session.wind_down == "owed":
        reply = Reply(
            ok=True,
            code="marked",
            message="the goal stays limited; no turn winds the work down any more",
        )
        return Change(replace(session, wind_down="done"), (), reply)
    if goal is None or not _ends_by_itself(goal):
        asked = change_status(session, "paused", source, ctx, pause_reason=event.reason)
        left = asked.session.goal
        return asked if left is None or left.status != ACTIVE else _held(asked, ctx)
    goal = replace(
        goal,
        pause_reason=event.reason,
        resume_at_ms=None,
        note=None,
        updated_at=seconds(session, ctx),
    )
    change = request(session, Set(goal, source), ctx)
    assert isinstance(change, Change)  # noqa: S101  a decided goal is always stored
    reply = Reply(ok=True, code="marked", message="the goal stays paused until it is resumed")
    return change._replace(reply=reply)


def _held(change: Change, ctx: Context) -> Change:
    """Start no further turn although an embedder's rule keeps the goal from being paused."""
    session = change.session
    note = "a pause was asked for, and a rule of the machine is against it"
    wait = Wait(kind="person", note=note, since_ms=ctx.now_ms, held=True)
    # What was queued before is given up: it would start a turn all the same.
    kept = Continuation(warned=session.continuation.warned)
    reply = Reply(
        ok=True,
        code="suspended",
        message="no turn follows, though a rule of the machine keeps the goal active",
        hint="goalfsm wake THREAD takes the work up again",
    )
    session = replace(session, wait=wait, continuation=kept)
    return change._replace(session=session, reply=reply, decide=True)


def _ends_by_itself(goal: Goal) -> bool:
    """Tell whether the goal is in a pause that a time or the next start of an engine ends."""
    return goal.status == PAUSED and (
        goal.resume_at_ms is not None or goal.pause_reason == "shutdown"
    )


def resume(session: Session, event: ResumeRequested, ctx: Context) -> Change:
    """Take the goal up again; audits and counts start afresh."""
    if session.held:
        reply = Reply(ok=True, code="marked", message="the goal is active")
        return Change(afresh(session, "resumed"), (), reply)
    change = change_status(session, "active", _SOURCES[event.origin], ctx)
    if change.reply is None or not change.reply.ok:
        return change
    goal = change.session.goal
    if goal is not None and goal.status == LIMITED:
        return change._replace(
            reply=Reply(
                ok=False,
                code="budget_limited",
                message=f"the goal is limited by {goal.limited_by}; nothing is left",
                hint="raise the budget: goalfsm budget",
            )
        )
    session = afresh(change.session, "resumed")
    if session.policy.retries == "engine":
        # Whoever resumes has looked: there is no turn of theirs that would say so later.
        calm = recovery.reset(session.recovery)
        session = replace(session, recovery=calm, retry=Retry(), quota=Quota())
    return change._replace(session=session)


def afresh(session: Session, notice: NoticeKind, text: str = "") -> Session:
    """Return the session with its counts at zero, and a notice that says why.

    An open claim is still to be settled, except where a verifier could not: it waits for nobody.
    """
    claim = session.claim
    if claim is not None and any(known.outcome == "unverifiable" for known in claim.results):
        claim = None
    session = replace(
        session, blocking=Blocking(), progress=Progress(), wait=None, claim=claim, wind_down="none"
    )
    return notify(session, notice, text)


def clear(session: Session, event: ClearRequested, ctx: Context) -> Change:
    """Give the goal up."""
    if session.goal is None:
        reply = refused(Rejection("no_goal", "clear", "absent", hint="there is nothing to clear"))
        return Change(session, (), reply)
    cleared = request(session, Clear(_SOURCES[event.origin]), ctx)
    if isinstance(cleared, Rejection):
        return Change(session, (), refused(cleared))
    return cleared._replace(reply=Reply(ok=True, code="cleared", message="the goal is cleared"))


def edit(session: Session, event: EditRequested, ctx: Context) -> Change:
    """Reword the objective; what was counted or claimed about the old words is void."""
    text = check_objective(event.objective)
    if isinstance(text, Rejected):
        return Change(session, (), refused(text))
    allowed = request(session, Fire("edit"), ctx)
    if isinstance(allowed, Rejection):
        return Change(session, (), refused(allowed))
    change = extend(allowed, charge(allowed.session, ctx))
    assert change.session.goal is not None  # noqa: S101  only a goal can be edited
    now = seconds(change.session, ctx)
    goal = replace(change.session.goal, objective=text, updated_at=now)
    stored = request(change.session, Set(goal, _SOURCES[event.origin]), ctx)
    assert isinstance(stored, Change)  # noqa: S101  a decided goal is always stored
    session = notify(
        replace(stored.session, blocking=Blocking(), progress=Progress(), claim=None),
        "objective_updated",
    )
    reply = Reply(ok=True, code="edited", message="the objective is updated")
    return extend(change, stored._replace(session=session, reply=reply))


def change_budget(session: Session, event: BudgetChanged, ctx: Context) -> Change:
    """Change budgets; a limited goal that has something left again goes on."""
    for name, value in msgspec.structs.asdict(event.limits).items():
        free = name == "continuations" and value == 0
        if not free and (refusal := check_budget(value)):
            return Change(session, (), refused(refusal))
    change = charge(session, ctx)
    session = change.session
    goal = session.goal
    if goal is None:
        hint = "give the thread an objective first"
        return Change(
            session, (), refused(Rejection("no_goal", "raise_budget", "absent", hint=hint))
        )
    freed = {
        _LIMIT_FIELDS[name]: 0 if name == "continuations" else None for name in event.unlimited
    }
    goal = replace(goal, **(freed | _limits(event.limits)))
    allowed = request(replace(session, goal=goal), Fire("raise_budget"), ctx)
    if isinstance(allowed, Rejection):
        return change._replace(reply=refused(allowed))
    return extend(change, _rebudgeted(session, allowed, _SOURCES[event.origin], ctx))


def _rebudgeted(before: Session, allowed: Change, source: Source, ctx: Context) -> Change:
    session, goal = allowed.session, allowed.session.goal
    assert goal is not None  # noqa: S101  only a goal has budgets
    reopened = before.goal is not None and before.goal.status == LIMITED and goal.status == ACTIVE
    now = seconds(session, ctx)
    if reopened:
        reply = Reply(ok=True, code="reopened", message="the goal is active again")
        change = restate(allowed, **RESUMED)
        fresh = afresh(change.session, "budget_raised")
        # What the work waits for has nothing to do with what it may cost.
        return change._replace(session=replace(fresh, wait=session.wait), reply=reply)
    by = used_up(goal) or goal.limited_by
    goal = replace(goal, updated_at=now, limited_by=by if goal.status == LIMITED else None)
    stored = request(replace(session, goal=before.goal), Set(goal, source), ctx)
    assert isinstance(stored, Change)  # noqa: S101  a decided goal is always stored
    reply = Reply(ok=True, code="budget_changed", message="the budget is changed")
    if goal.status == LIMITED:
        reply = Reply(
            ok=True,
            code="still_limited",
            message=f"the budget is changed, but the goal is still limited by {goal.limited_by}",
            hint="raise it above what is used",
        )
    if goal.status != ACTIVE or used_up(goal) is None:
        return stored._replace(reply=reply)
    limited = limit(stored.session, used_up(goal) or "tokens", ctx)
    limited = extend(limited, announce_limit(limited.session, ctx))
    return extend(stored, limited)._replace(reply=reply)


def limit(session: Session, by: Any, ctx: Context) -> Change:
    """Mark the goal as limited ``by`` a budget or by its continuations."""
    change = change_status(session, "budgetLimited", "runtime", ctx, limited_by=by)
    return change._replace(reply=None)


def complete(session: Session, event: CompletionRequested, ctx: Context) -> Change:
    """Complete the goal on a person's word."""
    change = change_status(session, "complete", _SOURCES[event.origin], ctx)
    if change.reply is None or change.reply.code != "marked" or change.session.goal is None:
        return change
    record = Completion(
        goal_id=change.session.goal.goal_id,
        evidence=event.evidence,
        accepted_by="person",
        at_ms=ctx.now_ms,
    )
    return change._replace(session=replace(change.session, completion=record, claim=None))


def block(session: Session, event: BlockRequested, ctx: Context) -> Change:
    """Block the goal on a person's word."""
    source = _SOURCES[event.origin]
    return change_status(session, "blocked", source, ctx, note=event.reason or None)


def fire(session: Session, event: TriggerFired, ctx: Context) -> Change:
    """Fire a trigger of an embedder's machine; ours have commands that keep what they mean."""
    if event.trigger in TRIGGERS:
        return Change(
            session,
            (),
            Reply(
                ok=False,
                code="trigger_reserved",
                message=f"{event.trigger!r} is a trigger of goalfsm itself",
                hint="send the command or the event that stands for it",
            ),
        )
    change = charge(session, ctx)
    fired = request(change.session, Fire(event.trigger, _SOURCES[event.origin]), ctx)
    if isinstance(fired, Rejection):
        return change._replace(reply=refused(fired))
    reply = Reply(ok=True, code="fired", message=event.trigger)
    before, goal = change.session.goal, fired.session.goal
    if before is not None and goal is not None and goal.status != before.status:
        why = {name: getattr(explained(goal), name) for name in RESUMED}
        fired = restate(fired, **why)
    return extend(change, fired._replace(reply=reply))
