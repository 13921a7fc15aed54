"""What commands build with: another status for the goal, counts at zero, a refusal in words."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from goalfsm.goal.model import Origin, Rejection, Source, Status, advice, remedies
from goalfsm.goal.transition import mark
from goalfsm.session.context import Change, Context
from goalfsm.session.prompt_notices import NoticeKind
from goalfsm.session.rules.change import charge, explained, extend, notify, seconds, store_goal
from goalfsm.session.state import Blocking, Progress, Reply, Session

SOURCES: dict[Origin, Source] = {"person": "command", "model": "tool", "system": "runtime"}
"""How the history names who asked."""


def refused(rejection: Rejection) -> Reply:
    """Return the reply that says why something was refused, and what a person can do about it."""
    return Reply(
        ok=False,
        code=rejection.code,
        message=rejection.message,
        hint=advice(rejection),
        remedies=remedies(rejection),
    )


def change_status(
    session: Session, status: Status, source: Source, ctx: Context, **fields: Any
) -> Change:
    """Give the goal another status by the table, with ``fields`` that belong to it.

    Leaving a status drops what only it meant: the pause's reason, the limit, the note.
    """
    if session.goal is None:
        rejection = mark(None, status, ctx.now)
        assert isinstance(rejection, Rejection)  # noqa: S101  nothing can be marked
        return Change(session, (), refused(rejection))
    change = charge(session, ctx)
    session = change.session
    assert session.goal is not None  # noqa: S101  charging keeps the goal
    marked = mark(session.goal, status, seconds(session, ctx), ctx.machine)
    if isinstance(marked, Rejection):
        return replace(change, reply=refused(marked))
    goal, code = marked
    if code == "marked":
        goal = explained(goal, **fields)
    after = store_goal(session, goal, source, ctx)
    reply = Reply(ok=True, code=code, message=f"the goal is {goal.status}")
    return replace(extend(change, after), reply=reply)


def afresh(session: Session, notice: NoticeKind) -> Session:
    """Return the session with its counts at zero, and a notice that says why.

    An open claim is still to be settled, except where a verifier could not: it waits for nobody.
    """
    claim = session.claim
    if claim is not None and any(known.outcome == "unverifiable" for known in claim.results):
        claim = None
    session = replace(
        session, blocking=Blocking(), progress=Progress(), waits=(), claim=claim, wind_down="none"
    )
    return notify(session, notice)
