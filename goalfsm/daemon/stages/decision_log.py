"""The log of what ends or stops a goal, and of what was asked for in vain: a line for each."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import structlog

from goalfsm.goal.model import ACTIVE, BLOCKED, COMPLETE, LIMITED, PAUSED
from goalfsm.session import events as e
from goalfsm.views.status import project

if TYPE_CHECKING:
    from goalfsm.daemon.flow.ports import Landed
    from goalfsm.goal.model import Goal
    from goalfsm.session.state import Session
    from goalfsm.session.thread import Ready

_ENTERED: Final = {
    ACTIVE: "goal goes on",
    PAUSED: "goal paused",
    BLOCKED: "goal blocked",
    LIMITED: "goal limited",
    COMPLETE: "goal completed",
}

_STANDING: Final = attrgetter("goal_id", "status", "pause_reason", "limited_by")
_log = structlog.get_logger(__name__)


class DecisionLog:
    """The stage that logs what ends or stops a goal; a line names thread, goal, run and turn."""

    def committed(self, landed: Landed) -> None:
        """Write what the events of a commit have ended, stopped or refused, in order."""
        before = landed.before
        for decided in landed.decided:
            ready = decided.ready
            if _is_told(before.goal, ready):
                _tell(landed.thread_id, before, ready)
            before = ready.state


def _is_told(before: Goal | None, ready: Ready) -> bool:
    refused = ready.reply is not None and not ready.reply.ok
    return refused or isinstance(ready.event, e.ToolCalled) or not _stands(before, ready.state.goal)


def _tell(thread_id: str, before: Session, ready: Ready) -> None:
    event, reply = ready.event, ready.reply
    log = _log.bind(thread_id=thread_id, **_place(before, ready.state), **_asked(event))
    if isinstance(event, e.ToolCalled) and reply is not None:
        log.info("goal tool", tool=event.name, ok=reply.ok, code=reply.code)
    elif reply is not None and not reply.ok:
        log.info("refused", code=reply.code, reason=reply.message)
    old, new = before.goal, ready.state.goal
    if old is not None and new is None:
        log.bind(goal_id=old.goal_id).info("goal cleared", was=old.status)
    elif old is not None and new is not None and new.goal_id != old.goal_id:
        if old.status != COMPLETE:
            log.bind(goal_id=old.goal_id).info("goal replaced", was=old.status, by=new.goal_id)
        old = None
    if new is None or _stands(old, new) or (old is None and new.status == ACTIVE):
        return
    log.bind(goal_id=new.goal_id).info(
        _ENTERED[new.status],
        why=new.pause_reason or new.limited_by,
        reason=project(ready.state, 0, thread_id=thread_id).detail,
    )


def _stands(before: Goal | None, after: Goal | None) -> bool:
    """Tell whether nothing of a goal has changed that a line is written for."""
    if before is None or after is None:
        return before is after
    return bool(_STANDING(before) == _STANDING(after))


def _place(before: Session, after: Session) -> dict[str, Any]:
    """Return which goal, run and turn a line is about; a run that has just ended is one still."""
    run = after.run or before.run
    goal = after.goal or before.goal
    return {
        "goal_id": None if goal is None else goal.goal_id,
        "run_id": None if run is None else run.run_id,
        "turn": run.turn if run is not None else 0 if goal is None else goal.continuations,
    }


def _asked(event: e.Event) -> dict[str, Any]:
    """Return what led to a line, and who said it, where somebody did."""
    asked: dict[str, Any] = {"asked": type(event).__name__}
    if isinstance(event, e.Expecting):
        asked["origin"] = event.origin
        if event.by is not None and event.by.pid is not None:
            asked["pid"] = event.by.pid
    return asked
