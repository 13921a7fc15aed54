"""What a goal is given: its objective and its budgets, and the policy of its thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal.model import (
    ACTIVE,
    LIMITED,
    MAX_ITEMS,
    PAUSED,
    Criterion,
    Goal,
    Limit,
    Limits,
    Rejection,
    Source,
    Verifier,
    check_budget,
    check_objective,
    check_text,
    create,
    no_row,
    used_up,
)
from goalfsm.goal.transition import Fire
from goalfsm.session.context import Change, Context
from goalfsm.session.continuation import max_continuations
from goalfsm.session.events import BudgetChanged, EditRequested, ObjectiveGiven, PolicyChanged
from goalfsm.session.rules import steering
from goalfsm.session.rules.change import (
    RESUMED,
    announce_limit,
    charge,
    extend,
    notify,
    request,
    restate,
    seconds,
    store_goal,
)
from goalfsm.session.rules.status_change import SOURCES, afresh, change_status, refused
from goalfsm.session.state import Blocking, Progress, Reply, Session, Steering

_LIMIT_FIELDS = {
    "tokens": "token_budget",
    "seconds": "time_budget_seconds",
    "cost": "cost_budget",
    "continuations": "max_continuations",
}


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
    wrong = created if isinstance(created, Rejection) else fault(event)
    if wrong is None and by_model:
        wrong = _too_many(session)
    if wrong is not None:
        return Change(session, (), refused(wrong))
    assert isinstance(created, Goal)  # noqa: S101  a refusal is a fault
    left = _left(session) if by_model else None
    if isinstance(left, Rejection):
        return Change(session, (), refused(left))
    settled = _settled(session, event.policy)
    if isinstance(settled, Rejection):
        return Change(session, (), refused(settled))
    session = replace(
        settled,
        model_goals=settled.model_goals + 1 if by_model else 0,
        host=replace(settled.host, inputs=0),  # they were about what there was before
    )
    verifiers, limits = event.verifiers, event.limits
    if left is not None and session.goal is not None:
        verifiers, limits = session.goal.verifiers, _lower(limits, left)
    checked = {"criteria": event.criteria, "verifiers": verifiers, "until": event.until}
    goal = replace(created, **_limits(limits), **checked)
    if event.paused:
        goal = replace(goal, status=PAUSED, pause_reason="user")
    change = store_goal(session, goal, SOURCES[event.origin], ctx)
    reply = Reply(ok=True, code="created", message=f"goal {goal.goal_id} is {goal.status}")
    reply = steering.with_unread(reply, steering.left_unread(session))
    return replace(change, session=replace(change.session, grant=left), reply=reply)


def _too_many(session: Session) -> Rejection | None:
    """Return why the model may not go on giving itself goals; None while it may."""
    if session.model_may_create:
        return None
    if not session.policy.model_goals:
        return Rejection(
            "origin_not_allowed",
            message="the next goal of this thread is a person's to give",
            hint="a person gives it, or lets the model: goalfsm policy THREAD --set model_goals=N",
        )
    return Rejection(
        "model_goals_spent",
        message=f"the model has given this thread {session.model_goals} goals in a row",
        hint="a person has to say how it goes on, by an objective or a message",
    )


def _left(session: Session) -> Limits | Rejection | None:
    """Return what the last person's limits have left for a goal that the model gives.

    None where no person has limited anything; a limit that is spent refuses the goal.
    """
    before = session.goal
    if before is None or not session.policy.inherit_limits:
        return None
    grant = session.grant or Limits()
    limited = {
        "tokens": (grant.tokens or before.token_budget, before.tokens_used),
        "seconds": (grant.seconds or before.time_budget_seconds, before.active_seconds),
        "cost": (grant.cost or before.cost_budget, before.cost_used),
        "continuations": (
            grant.continuations or max_continuations(before, session.policy),
            before.continuations,
        ),
    }
    left = {name: most - used for name, (most, used) in limited.items() if most is not None}
    for name, rest in left.items():
        if rest <= 0:
            what = "turns" if name == "continuations" else name
            return Rejection(
                "limit_spent",
                message=f"nothing is left of the {what} that a person allowed",
                hint="a person gives the next goal, with limits of its own",
            )
    return Limits(**left)


def _lower(asked: Limits, left: Limits) -> Limits:
    """Return the limits that are left, or what the model itself named where that is less."""
    pairs = zip(msgspec.structs.astuple(asked), msgspec.structs.astuple(left), strict=True)
    lowest = (min((one for one in pair if one is not None), default=None) for pair in pairs)
    return Limits(**dict(zip(Limits.__struct_fields__, lowest, strict=True)))


def fault(event: ObjectiveGiven) -> Rejection | None:
    """Return why what a goal is given with is refused; None accepts them."""
    for budget in (event.limits.seconds, event.limits.cost):
        if refusal := check_budget(budget):
            return refusal
    if event.limits.continuations and (refusal := check_budget(event.limits.continuations)):
        return refusal
    return _items_fault(event.criteria, event.verifiers)


def _items_fault(
    criteria: tuple[Criterion, ...], verifiers: tuple[Verifier, ...]
) -> Rejection | None:
    if len(criteria) > MAX_ITEMS or len(verifiers) > MAX_ITEMS:
        return Rejection(
            "too_many_items",
            message=f"more than {MAX_ITEMS} criteria or verifiers",
            hint="sum some of them up",
        )
    for criterion in criteria:
        checked = check_text(criterion.text, "criterion")
        if isinstance(checked, Rejection):
            return checked
    return None


def edit(session: Session, event: EditRequested, ctx: Context) -> Change:
    """Change what the goal is, or what is checked; what was counted or claimed before is void.

    A new objective or new criteria are a word of the person's: a turn that has not read it cannot
    claim, and one that can be told is told.
    """
    edited = _edited(session, event)
    if isinstance(edited, Rejection):
        return Change(session, (), refused(edited))
    allowed = request(session, Fire("edit"), ctx)
    if isinstance(allowed, Rejection):
        return Change(session, (), refused(allowed))
    change = extend(allowed, charge(allowed.session, ctx))
    goal = change.session.goal
    assert goal is not None  # noqa: S101  only a goal can be edited
    is_word = "objective" in edited or "criteria" in edited
    goal = replace(
        goal,
        **edited,
        updated_at=seconds(change.session, ctx),
        word=goal.word + is_word,
    )
    stored = store_goal(change.session, goal, SOURCES[event.origin], ctx)
    # What the command that completes the goal finds now is about the goal as it was.
    after = replace(stored.session, blocking=Blocking(), progress=Progress(), check=None)
    if "until" in edited:
        after = replace(after, until_late=False)
    claimed = after.claim
    after = steering.set_aside(after, "edit" if is_word else "verifiers", ctx)
    what = " and ".join(_EDITED[name] for name in edited)
    message = f"the {what} {'is' if edited.keys() in _SINGULAR else 'are'} updated"
    if claimed is not None:
        message += "; the open completion claim is set aside"
    told = Change(after)
    if is_word:
        told = _told(notify(after, "objective_updated"), ctx)
    reply = Reply(ok=True, code="edited", message=message)
    return extend(change, extend(replace(stored, session=told.session, reply=reply), told))


_EDITED = {
    "objective": "objective",
    "criteria": "criteria",
    "verifiers": "checks of completion",
    "until": "command that completes the goal",
}
"""What is edited, in words."""
_SINGULAR = ({"objective"}, {"until"})


def _edited(session: Session, event: EditRequested) -> dict[str, Any] | Rejection:
    """Return the fields of the goal that change, or why the edit is refused."""
    fields: dict[str, Any] = {}
    if event.objective is not None:
        text = check_objective(event.objective)
        if isinstance(text, Rejection):
            return text
        fields["objective"] = text
    if event.criteria is not None:
        fields["criteria"] = event.criteria
    if event.verifiers is not None or event.acceptance is not None:
        before = () if session.goal is None else session.goal.verifiers
        checks = before if event.verifiers is None else event.verifiers
        person = tuple(one for one in before if one.kind == "person")
        if event.acceptance is not None:
            person = (Verifier(kind="person"),) if event.acceptance else ()
        fields["verifiers"] = (*(one for one in checks if one.kind != "person"), *person)
    if event.until is not None or event.no_until:
        fields["until"] = event.until
    if not fields:
        return Rejection(
            "nothing_to_edit",
            message="the edit changes nothing",
            hint="give an objective, criteria, verifiers, until, or whether a person accepts",
        )
    return _items_fault(fields.get("criteria", ()), fields.get("verifiers", ())) or fields


def _told(session: Session, ctx: Context) -> Change:
    """Keep the edit for the run under way, and hand it over where that can be steered.

    The next prompt shows the goal as it is: an edit that comes between runs needs no message.
    """
    goal = session.goal
    if goal is None or steering.reader(session) is None:
        return Change(session)
    numbered = "".join(f"\n{at}. {one.text}" for at, one in enumerate(goal.criteria, 1))
    text = f"The objective was changed. It is now:\n{goal.objective}"
    if numbered:
        text += f"\nCriteria:{numbered}"
    said = Steering(
        message_id=f"edit-{goal.word}", text=text, at_ms=ctx.now_ms, kind="edit", word=goal.word
    )
    kept = tuple(one for one in session.steering if one.kind != "edit")
    session = replace(session, steering=(*kept, said))
    return Change(session, steering.handed(session, said))


def change_policy(session: Session, event: PolicyChanged, _ctx: Context) -> Change:
    """Change settings of the thread's policy; what was counted stays counted."""
    settled = _settled(session, event.changes)
    if isinstance(settled, Rejection):
        return Change(session, (), refused(settled))
    return Change(
        settled, (), Reply(ok=True, code="policy_changed", message="the policy is changed")
    )


def _settled(session: Session, changes: Mapping[str, object]) -> Session | Rejection:
    if not changes:
        return session
    try:
        policy = session.policy.changed(changes)
    except ValueError as error:
        return Rejection(
            "policy_invalid",
            message=str(error),
            hint="see Policy for the settings and their ranges",
        )
    first = session.policy if session.first_policy is None else session.first_policy
    return replace(session, policy=policy, first_policy=first)


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
        return Change(session, (), refused(no_row(None, "raise_budget")))
    if session.grant is not None:
        given = msgspec.structs.asdict(event.limits).items()
        named = dict.fromkeys(event.unlimited) | {k: v for k, v in given if v is not None}
        session = replace(session, grant=replace(session.grant, **named))
    freed = {
        _LIMIT_FIELDS[name]: 0 if name == "continuations" else None for name in event.unlimited
    }
    before, goal = goal, replace(goal, **(freed | _limits(event.limits)))
    if before.status == LIMITED and not event.reopen:
        return extend(change, _kept_limited(session, goal, SOURCES[event.origin], ctx))
    allowed = request(replace(session, goal=goal), Fire("raise_budget"), ctx)
    if isinstance(allowed, Rejection):
        return replace(change, reply=refused(allowed))
    return extend(change, _rebudgeted(session, allowed, SOURCES[event.origin], ctx))


def _kept_limited(session: Session, goal: Goal, source: Source, ctx: Context) -> Change:
    """Store the budgets of ``goal``, which stays limited until somebody takes it up again."""
    stored = store_goal(session, replace(goal, updated_at=seconds(session, ctx)), source, ctx)
    reply = Reply(
        ok=True,
        code="budget_changed",
        message="the budget is changed; the goal stays limited until it is taken up again",
        remedies=(Remedy("budget", does="with the budget takes it up"),),
    )
    return replace(stored, reply=reply)


def _rebudgeted(before: Session, allowed: Change, source: Source, ctx: Context) -> Change:
    session, goal = allowed.session, allowed.session.goal
    assert goal is not None  # noqa: S101  only a goal has budgets
    reopened = before.goal is not None and before.goal.status == LIMITED and goal.status == ACTIVE
    now = seconds(session, ctx)
    if reopened:
        reply = Reply(ok=True, code="reopened", message="the goal is active again")
        change = restate(allowed, **RESUMED)
        return replace(change, session=afresh(change.session, "budget_raised"), reply=reply)
    by = used_up(goal) or goal.limited_by
    goal = replace(goal, updated_at=now, limited_by=by if goal.status == LIMITED else None)
    stored = store_goal(replace(session, goal=before.goal), goal, source, ctx)
    reply = Reply(ok=True, code="budget_changed", message="the budget is changed")
    if goal.status == LIMITED:
        reply = Reply(
            ok=True,
            code="still_limited",
            message=f"the budget is changed, but the goal is still limited by {goal.limited_by}",
            remedies=(Remedy("budget", does="has to raise it above what is used"),),
        )
    if goal.status != ACTIVE or used_up(goal) is None:
        return replace(stored, reply=reply)
    limited = _limited(stored.session, used_up(goal) or "tokens", ctx)
    limited = extend(limited, announce_limit(limited.session, ctx))
    return replace(extend(stored, limited), reply=reply)


def _limited(session: Session, by: Limit, ctx: Context) -> Change:
    """Mark the goal as limited ``by`` a budget or by its continuations."""
    change = change_status(session, "budgetLimited", "runtime", ctx, limited_by=by)
    return replace(change, reply=None)


def _limits(limits: Limits) -> dict[str, int]:
    given = msgspec.structs.asdict(limits)
    return {_LIMIT_FIELDS[name]: value for name, value in given.items() if value is not None}
