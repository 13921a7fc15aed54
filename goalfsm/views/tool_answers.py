"""What the model is told when it has called a goal tool: the same on every surface."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from goalfsm.goal.accounting import live
from goalfsm.goal.model import Goal, Limit, PauseReason, Status
from goalfsm.session.continuation import Progress, budget_lines, max_continuations, progress
from goalfsm.session.tools import READ
from goalfsm.text import xml
from goalfsm.views.activity import activity
from goalfsm.views.parts import BlockedClaims

if TYPE_CHECKING:
    from goalfsm.session.state import Reply, Session


class GoalSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The goal as the model may see it; ``verifiers`` counts the checks of a completion claim."""

    goal_id: str
    objective: str
    status: Status
    criteria: tuple[str, ...]
    verifiers: int
    token_budget: int | None
    tokens_used: int
    time_budget_seconds: int | None
    active_seconds: int
    max_continuations: int | None
    continuations: int
    created_at: int
    updated_at: int
    pause_reason: PauseReason | None
    limited_by: Limit | None
    note: str | None


class ToolAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How the goal stands, as data beside the text of an answer.

    ``unread`` is what a person has said and the turn has not read, ``word`` what a second claim
    gives back as ``read``.
    """

    code: str
    unread: tuple[str, ...]
    word: int | None
    goal: GoalSnapshot | None
    activity: str
    budgets: Progress | None
    blocked_claims: BlockedClaims
    hint: str = ""


class ToolResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What the model is told: ``text`` to read, ``data`` for a host that shows structured results.

    ``ok`` False: the call was refused, nothing changed, and the text says why and what to do.
    """

    ok: bool
    text: str
    data: ToolAnswer


def respond(reply: Reply, session: Session, now_ms: int) -> ToolResponse:
    """Return what the model is told: the session's ``reply``, and how the goal stands after it."""
    goal = live(session.goal, session.clock, now_ms)
    spent = None if goal is None else progress(goal, session.policy)
    doing = activity(session).text
    audit = BlockedClaims(
        count=session.blocking.count,
        needed=session.policy.blocked_after,
        reason=session.blocking.reason,
    )
    lines = [_sentence(reply.message), *_unread(reply), _sentence(reply.hint)]
    if goal is None:
        lines.append("This thread has no goal.")
    elif reply.ok:
        lines.append(f"Status: {goal.status} ({doing}).")
        lines += _described(goal) if reply.code == READ else ()
    if spent is not None and reply.ok:
        lines += budget_lines(spent)
        if audit.count:
            lines.append(f"blocked claims in a row: {audit.count} of {audit.needed}")
    return ToolResponse(
        ok=reply.ok,
        text="\n".join(text for text in lines if text),
        data=ToolAnswer(
            code=reply.code,
            unread=reply.unread,
            word=reply.word,
            goal=None if goal is None else _snapshot(goal, session),
            activity=doing,
            budgets=spent,
            blocked_claims=audit,
            hint=reply.hint,
        ),
    )


def _unread(reply: Reply) -> list[str]:
    """Return what a person has said as data, each in a block of its own."""
    return [f"<message>\n{xml(text)}\n</message>" for text in reply.unread]


def _described(goal: Goal) -> list[str]:
    criteria = [
        f"  {number}. {xml(criterion.text)}" for number, criterion in enumerate(goal.criteria, 1)
    ]
    return [
        f"<objective>\n{xml(goal.objective)}\n</objective>",
        *(["Criteria:", *criteria] if criteria else ()),
    ]


def _snapshot(goal: Goal, session: Session) -> GoalSnapshot:
    return GoalSnapshot(
        goal_id=goal.goal_id,
        objective=goal.objective,
        status=goal.status,
        criteria=tuple(criterion.text for criterion in goal.criteria),
        verifiers=len(goal.verifiers),
        token_budget=goal.token_budget,
        tokens_used=goal.tokens_used,
        time_budget_seconds=goal.time_budget_seconds,
        active_seconds=goal.active_seconds,
        max_continuations=max_continuations(goal, session.policy),
        continuations=goal.continuations,
        created_at=goal.created_at,
        updated_at=goal.updated_at,
        pause_reason=goal.pause_reason,
        limited_by=goal.limited_by,
        note=goal.note,
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""
