"""The end of a world: nothing breaks any more, so everything has to come to rest and add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.daemon.flow.replay import replay
from goalfsm.daemon.flow.threads import HALTED
from goalfsm.daemon.guards.failures import RETRIES
from goalfsm.goal.model import ACTIVE, BLOCKED, LIMITED, PAUSED
from goalfsm.session import effects as f
from goalfsm.session import events as e
from tests.simulation import plan as p
from tests.simulation.plan import telling

if TYPE_CHECKING:
    from goalfsm.session.state import Session
    from tests.simulation.world import World

REST_S: Final = 7_200
"""How much virtual time everything gets to come to rest."""
ROUNDS: Final = 6


def come_to_rest(world: World) -> None:
    """Let the engine finish; people do their part where only they can; look at what is there."""
    for _ in range(ROUNDS):
        _settle(world)
        if not answer(world):
            break
    else:
        world.fail("people are asked again and again", standing(world))
    look(world)
    world.shut_down(1_000)
    deadline = world.now_us + 60_000_000
    if not world.run_until(deadline, lambda: world.disk.owner is None):
        world.fail("an engine does not stop")
    world.oracle.compare_with_disk()
    for thread in world.plan.threads:
        again = replay(world.front, thread, world.machine)
        if not again.ok or again.skipped:
            world.fail("the journal does not lead to the snapshot", f"{thread}: {again}")
        world.stats.replays += again.rows
    if world.front.integrity():
        world.fail("the store is not what it should be", "; ".join(world.front.integrity()))


def _settle(world: World) -> None:
    """Wait until nothing happens by itself any more."""
    deadline = world.now_us + REST_S * 1_000_000
    if not world.run_until(deadline, lambda: not _unrest(world)):
        world.fail(f"this does not come to rest: {_unrest(world)}", standing(world))


def _unrest(world: World) -> str:
    """Return what does not rest yet, empty when everything does."""
    serving = world.serving()
    if serving is None or serving.deposed or len(world.processes) > 1:
        return "engines"
    if serving.engine is not None and serving.engine._parts.outage.present is not None:
        return "a store that did not commit when it was tried last"
    return unrest(world)


def unrest(world: World) -> str:
    """Return what does not rest yet of commands, workers, effects and threads."""
    if world.people.unanswered() or set(world.oracle.unconsumed()) - _given_up(world):
        return "commands"
    if world.people.unrecorded():
        return "a stop that was answered"
    if world.children.all:
        return "workers"
    for thread, effect in world.oracle.undone().values():
        halted = _is_halted(world, thread)
        if not isinstance(effect, f.WatchProcess) and not halted:
            return f"the effect {type(effect).__name__}"
    for thread in world.plan.threads:
        if not _rested(world.oracle.session(thread), halted=_is_halted(world, thread)):
            return "a thread"
    return ""


def _given_up(world: World) -> set[str]:
    """Return the rows of the inbox that the next engine decides: no record of their fault could be.

    The one that met it has tried as often as it says.
    """
    return {row for row in world.oracle.unconsumed() if world.records_met[row] > RETRIES}


def _is_halted(world: World, thread: str) -> bool:
    """Tell whether a person has halted the thread: nothing runs before they say so."""
    process = world.serving()
    if process is None or process.engine is None:
        return False
    return bool(process.engine._parts.holds.has(HALTED, thread))


def _rested(session: Session, *, halted: bool) -> bool:
    """Tell whether a thread has stopped, or waits for a person as it says."""
    goal = session.goal
    if halted and session.continuation.queued is not None:
        return True
    if session.run is not None or not session.host.idle or session.wind_down == "running":
        return False
    if goal is None or goal.status != ACTIVE:
        due = None if goal is None or goal.status != PAUSED else goal.resume_at_ms
        limited = goal is not None and goal.status == LIMITED
        return due is None and not (limited and session.wind_down == "owed" and not halted)
    if session.claim is not None:
        verifiers, results = goal.verifiers, session.claim.results
        automatic = sum(verifier.kind != "person" for verifier in verifiers)
        return len(results) == automatic and len(verifiers) > automatic
    by_people = [wait for wait in session.waits if wait.kind in {"person", "event"}]
    return any(wait.until_ms is None for wait in by_people)


def answer(world: World) -> bool:
    """Do what only people can do; return whether there was something."""
    asked = False
    halted = {t for t, _ in world.oracle.undone().values() if _is_halted(world, t)}
    held = any(not _may_be_resumed(world.oracle.session(thread)) for thread in halted)
    if held or _given_up(world):
        world.shut_down(0)
        asked = True
    for thread in world.plan.threads:
        session = world.oracle.session(thread)
        goal = session.goal
        if goal is None or (goal.status != ACTIVE and thread not in halted):
            continue
        event: e.Command = e.WakeRequested() if session.claim is None else e.ClaimAccepted()
        if _is_halted(world, thread):
            if not _may_be_resumed(session):
                continue
            event = e.ResumeRequested()
        world.people.say(p.Say(at_ms=0, thread=thread, event=event))
        asked = True
    return asked


def _may_be_resumed(session: Session) -> bool:
    """Tell whether a person's resume takes the thread's goal up, and does what was left undone."""
    return session.goal is not None and session.goal.status in {ACTIVE, PAUSED, BLOCKED}


def look(world: World) -> None:
    """Look at what is left when everything rests."""
    world.people.look_at_who_waits()
    for thread in world.plan.threads:
        session = world.oracle.session(thread)
        if session.continuation.queued is not None or session.continuation.wanted is not None:
            world.fail("work is queued for a thread that rests", _shown(thread, session))
    left = list(world.oracle.undone().items())
    if any(not isinstance(effect, f.WatchProcess) for _, (_, effect) in left):
        world.fail("effects are left undone", str(left))


def standing(world: World) -> str:
    process = world.serving()
    lines = [
        (
            f"served by {process}, {len(world.processes)} processes, "
            f"unanswered {[a.event_id for a in world.people.unanswered()]}, "
            f"unconsumed {world.oracle.unconsumed()}, "
            f"children {[c.run_id for c in world.children.all]}, "
            f"undone {world.oracle.undone()}"
        )
    ]
    lines += [_shown(thread, world.oracle.session(thread)) for thread in world.plan.threads]
    return "\n  ".join(lines)


def _shown(thread: str, session: Session) -> str:
    fields = telling(msgspec.to_builtins(session))
    for name in ("policy", "first_policy", "ledger", "progress", "recovery"):
        fields.pop(name, None)
    return f"{thread}: {fields}"
