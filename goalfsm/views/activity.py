"""What goes on in a thread, why, until when, and which command takes it on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from goalfsm.errors import Remedy, told
from goalfsm.goal.model import ACTIVE, BLOCKED, COMPLETE, LIMITED, PAUSED, Goal
from goalfsm.session.work import advances, awaits_person, waits_end
from goalfsm.text import awaited, line, speaker
from goalfsm.views.parts import (
    Driver,
)
from recovery.machine import blocks_continuation

if TYPE_CHECKING:
    from goalfsm.session.state import Claim, Run, Session, Wait


ActivityKind = Literal[
    "none",
    "continuing",
    "running",
    "verifying",
    "recovering",
    "waiting",
    "paused",
    "blocked",
    "limited",
    "complete",
    "unattended",
]


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """What goes on: ``text`` for people, ``detail`` why, ``until_ms`` when that ends by itself."""

    kind: ActivityKind
    text: str
    detail: str = ""
    until_ms: int | None = None


_TAKES_UP: Final = "goalfsm run --thread THREAD"


TAKES_NEXT: Final = "goalfsm run --advance --thread THREAD"
"""The command that goes on to what is queued."""


_SERVES: Final = "goalfsm node DATABASE --places {}"


_STORES: Final = "goalfsm set --thread THREAD -- PROGRAM ARGS"


NO_GOAL: Final = Activity(kind="none", text="no goal")


_SUSPENDED: Final = {
    "disk_full": "the disk is full; work goes on by itself when there is space",
    "busy": "another process holds the database's lock; work goes on by itself when it lets go",
    "cannot_write": "the disk or the file is read-only; work goes on by itself when it is not",
}


_NO_PROGRAM: Final = Activity(
    kind="unattended",
    text="waits: no program",
    detail="who does its turns was never said",
)


_WHY_PAUSED: Final = {
    "user": "somebody asked for it",
    "interrupt": "the running turn was interrupted",
    "recovery": "recovery gave up; somebody has to look",
    "no_progress": "the last turns got nowhere",
    "usage_limit": "the provider's quota is used up",
    "verification": "the completion claim could not be verified",
    "shutdown": "the engine shut down",
}


_WHY_LIMITED: Final = {
    "tokens": "the token budget is used up",
    "time": "the time budget is used up",
    "cost": "the cost budget is used up",
    "continuations": "all continuations are spent",
}


def activity(session: Session) -> Activity:
    """Return what goes on in ``session``: the first that holds, a stopped goal before all else."""
    goal = session.goal
    if goal is None:
        return NO_GOAL
    if goal.status == COMPLETE:
        return Activity(kind="complete", text="complete", detail=goal.note or "")
    if goal.status == BLOCKED:
        why = goal.note or session.blocking.reason
        return Activity(kind="blocked", text="blocked", detail=why)
    if goal.status == LIMITED:
        return _limited(session, goal)
    if goal.status == PAUSED:
        return _paused(session, goal)
    return _active(session, goal)


def standing(session: Session, driver: Driver | None, held: str = "") -> tuple[Activity, str]:
    """Return what goes on, and the command that takes it on, as the thread's ``driver`` has it.

    Without a driver one is taken to work, but for what ``held`` says that it is kept from. What
    nobody is there to do is not said to be done.
    """
    now, advice = activity(session), hint(session)
    if driver is None:
        return _driven(session, held, now) if held else now, advice
    if _lacks_program(session, driver):
        return (_NO_PROGRAM if _is_going(session) else now), takes_up(driver, session)
    if driver.works:
        return _driven(session, held or driver.held, now), advice
    left = unattended(session, driver) or _left_paused(session, now)
    if left is not None:
        return left, takes_up(driver, session)
    return now, TAKES_NEXT if advances(session) else advice


def suspended_by(code: str) -> str:
    """Return what keeps an engine from writing, by the code of the error; "" for none."""
    return _SUSPENDED.get(code, "the disk fails; goalfsm doctor looks at it") if code else ""


def _driven(session: Session, held: str, now: Activity) -> Activity:
    """Return what goes on where an engine works; ``held`` says why it keeps turns from starting."""
    if session.run is not None and now.kind in _STOPPED:
        return _also(now, f"turn {session.run.turn} is still running")
    if not held or not _is_going(session):
        return now
    if session.run is not None:
        return _also(now, f"no turn follows, suspended: {held}")
    return Activity(kind="unattended", text="suspended", detail=held)


_STOPPED: Final = frozenset({"paused", "blocked", "complete"})


def _also(now: Activity, words: str) -> Activity:
    detail = f"{now.detail}; {words}" if now.detail else words
    return msgspec.structs.replace(now, detail=detail)


def _left_paused(session: Session, now: Activity) -> Activity | None:
    """Return a pause that an engine would end by itself; None where that is not what it is."""
    goal = session.goal
    if goal is None or goal.status != PAUSED:
        return None
    if goal.resume_at_ms is None and goal.pause_reason != "shutdown":
        return None
    left = msgspec.structs.replace(now, until_ms=None)
    return _also(left, "nobody is there to take it up by itself")


def _is_going(session: Session) -> bool:
    """Tell whether somebody's work is to be done: of an engine, not of a person."""
    goal = session.goal
    if goal is None:
        return False
    winds_down = goal.status == LIMITED and session.wind_down in {"owed", "running"}
    return winds_down or (goal.status == ACTIVE and not awaits_person(session))


def unattended(session: Session, driver: Driver | None) -> Activity | None:
    """Return what a thread is whose engine is dead; None where it waits for nobody's work."""
    goal = session.goal
    if goal is None or not _is_going(session):
        return None
    gone = _gone(driver)
    cut_off = f"turn {session.run.turn} was running" if session.run is not None else ""
    was = cut_off or ("" if goal.status == LIMITED else _left_at(_active(session, goal)))
    detail = ", ".join(part for part in (gone, was) if part)
    return Activity(kind="unattended", text="nobody works on this", detail=detail)


def _left_at(now: Activity) -> str:
    """Return in words what would be done next: nothing goes on by itself."""
    if now.kind == "continuing":
        return "the next turn is due"
    return f"{now.text}: {now.detail}" if now.detail else now.text


def _lacks_program(session: Session, driver: Driver) -> bool:
    """Tell whether a goal waits for who does its turns: none is stored, and none was done yet.

    Once there was a turn, somebody does without a stored program.
    """
    goal = session.goal
    unfinished = goal is not None and goal.status in {ACTIVE, PAUSED, BLOCKED}
    begun = session.run is not None or (goal is not None and goal.continuations > 0)
    return driver.lacks_program and unfinished and not begun


def takes_up(driver: Driver | None, session: Session) -> str:
    """Return the command that takes up what nobody works on; empty where a node does by itself."""
    if driver is None or driver.nodes is None:
        lacks = driver is not None and _lacks_program(session, driver)
        return f"{_TAKES_UP} {_program(session)}" if lacks else _TAKES_UP
    if not driver.place:
        return _STORES
    return "" if driver.nodes else _SERVES.format(driver.place)


def _program(session: Session) -> str:
    """Return the words that name a program: the agent that a goal was brought here from."""
    brought, goal = session.imported, session.goal
    if brought is None or goal is None or brought.goal_id != goal.goal_id:
        return "-- PROGRAM ARGS"
    return f"--agent {brought.source.partition(':')[0]}"


def unserved(driver: Driver) -> str:
    """Return why no node takes a thread's turns, where none does."""
    if not driver.place:
        return "no program is stored for the thread"
    return f"no node serves the place {driver.place}"


def _gone(driver: Driver | None) -> str:
    """Return in words who worked on a thread, and why nobody does now."""
    if driver is None or (driver.pid is None and driver.nodes is None):
        return ""
    if driver.nodes is None and driver.alive:
        return f"process {driver.pid} does not answer: it is stopped, or hangs"
    if driver.nodes is None:
        return f"process {driver.pid} has ended"
    silent = "" if driver.pid is None else f"node {driver.node} on {driver.host} is silent"
    if driver.nodes:
        return f"{silent}, {' or '.join(driver.nodes)} takes over"
    return ", ".join(part for part in (silent, unserved(driver)) if part)


def _limited(session: Session, goal: Goal) -> Activity:
    limit = goal.limited_by or "tokens"
    detail = _WHY_LIMITED[limit]
    if session.wind_down in {"owed", "running"}:
        detail += "; one last turn winds the work down"
    return Activity(kind="limited", text=f"limited by {limit}", detail=detail)


def _paused(session: Session, goal: Goal) -> Activity:
    attention = session.recovery.attention
    asks = attention is not None and attention.kind == "paused"
    reason = goal.pause_reason or ("recovery" if asks else "user")
    detail = goal.note or _WHY_PAUSED[reason]
    if attention is not None and asks:
        detail = attention.reason
    return Activity(
        kind="paused", text=f"paused ({reason})", detail=detail, until_ms=goal.resume_at_ms
    )


def _active(session: Session, goal: Goal) -> Activity:
    claim = session.claim
    if claim is not None and session.run is not None and not claim.results:
        detail = f"{_running(session.run)}, which has claimed completion"
        return Activity(kind="running", text="running a turn", detail=detail)
    if claim is not None:
        return _verifying(session, goal, claim)
    if session.run is not None:
        return Activity(kind="running", text="running a turn", detail=_running(session.run))
    attention, retry = session.recovery.attention, session.retry
    if attention is not None or retry.at_ms is not None or blocks_continuation(session.recovery):
        detail = retry.reason if attention is None else attention.reason
        return Activity(kind="recovering", text="recovering", detail=detail, until_ms=retry.at_ms)
    if not session.host.idle:
        return Activity(kind="running", text="running a turn")
    return _idle(session, goal)


def _verifying(session: Session, goal: Goal, claim: Claim) -> Activity:
    if awaits_person(session):
        detail = "a completion claim is to be accepted or rejected"
        return Activity(kind="waiting", text="waiting on a person", detail=detail)
    answered = f"{len(claim.results)} of {len(goal.verifiers)} verifiers have answered"
    return Activity(kind="verifying", text="verifying", detail=answered)


def _idle(session: Session, goal: Goal) -> Activity:
    if session.check is not None and session.check.asked:
        named = "" if goal.until is None else line(goal.until.name)
        return Activity(kind="verifying", text="verifying", detail=f"--until: {named}")
    if session.waits:
        return _waiting(session.waits)
    if session.host.pending_messages:
        return Activity(kind="waiting", text="waiting on a person's messages")
    if session.stopping:
        return Activity(kind="waiting", text="waiting on the next start of the engine")
    return Activity(kind="continuing", text="continuing")


def _running(run: Run) -> str:
    ending = "" if run.ending is None else f", being ended: {run.ending}"
    by = "" if run.route is None else f" by {line(run.route.text)}"
    return f"turn {run.turn}{by}{ending}"


def _waiting(waits: tuple[Wait, ...]) -> Activity:
    first, *others = waits
    until_ms = waits_end(waits)
    if not others:
        on = awaited(first.kind, first.pid)
        text, detail = f"waiting on {on}", first.note
    else:
        how = "the first of" if any(wait.any for wait in waits) else "all of"
        text = f"waiting on {how} {len(waits)}"
        named = [awaited(wait.kind, wait.pid) + _note(wait) for wait in waits]
        detail = ", ".join(named)
    return Activity(kind="waiting", text=text, detail=detail, until_ms=until_ms)


def _note(wait: Wait) -> str:
    return f" ({wait.note})" if wait.note else ""


def hint(session: Session) -> str:
    """Return the command that takes the work on from where it is; empty where none is needed."""
    goal = session.goal
    if session.queue and (goal is None or goal.status == COMPLETE):
        return TAKES_NEXT if goal is None or not session.policy.advance else ""
    if agent := _understood_by(session):
        return f"{_TAKES_UP} --agent {agent}"
    return told(remedies(session))


def remedies(session: Session) -> tuple[Remedy, ...]:
    """Return what takes the work on from where it is, as data; one of them is enough."""
    goal = session.goal
    if goal is None or goal.status == COMPLETE:
        if session.queue:
            return (Remedy("queue next"),)
        return (Remedy("set", {"objective": None}),) if goal is None else ()
    if goal.status in {PAUSED, BLOCKED}:
        # What could not be verified stays a claim: a person may take it as it is.
        unsure = goal.pause_reason == "verification" and session.claim is not None
        taken = (Remedy("accept", does="takes the claim"),) if unsure else ()
        # A program whose output nobody understands would only write it again.
        goes_on = () if _understood_by(session) else (Remedy("resume"),)
        return (*taken, *goes_on)
    if goal.status == LIMITED:
        return (Remedy("budget", {goal.limited_by or "tokens": None}),)
    if session.claim is not None:
        asks = _asks_person(goal, session.claim)
        return (Remedy("accept"), Remedy("reject")) if asks else ()
    return (Remedy("wake"),) if session.waits else ()


def _understood_by(session: Session) -> str:
    """Return the agent that understands the program whose output has paused the goal."""
    goal, attention = session.goal, session.recovery.attention
    if goal is None or goal.status not in {PAUSED, BLOCKED} or attention is None:
        return ""
    return speaker(attention.reason) if attention.kind == "paused" else ""


def _asks_person(goal: Goal, claim: Claim) -> bool:
    """Tell whether a person's answer counts: also one that comes before a verifier's."""
    answered = {result.index for result in claim.results}
    return any(
        verifier.kind == "person" and index not in answered
        for index, verifier in enumerate(goal.verifiers)
    )
