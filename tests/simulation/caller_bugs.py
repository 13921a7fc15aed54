"""Bugs in what an engine owes to those outside of it, to be switched on: who asks, who waits.

Worlds that end in 5 have the engine's real door, with programs of runs that pretend to be persons,
crowds, locks that are held for long, and other engines, here and elsewhere.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any
from unittest.mock import patch

from msgspec.structs import replace

from goalfsm.daemon.flow import inbox
from goalfsm.daemon.flow.authority import admitted
from goalfsm.daemon.guards.ownership import Liveness
from goalfsm.daemon.guards.upkeep import Upkeep
from goalfsm.daemon.remote import server
from goalfsm.daemon.remote.listener import Link, Listener
from goalfsm.daemon.service import Service
from goalfsm.daemon.stages.subscriptions import Subscriptions
from goalfsm.session.events import Expecting
from goalfsm.store import owner
from goalfsm.store.port import EXPIRY_MS
from goalfsm.workers.supervisor import peers
from tests.simulation.switching import Patches, bug

_bug = partial(bug, first=5, every=10)

# Authority.


@_bug("the origin of a command is what its sender says", 20)
def believe_the_sender() -> Patches:
    def believed(event: Any, peer: Any) -> Any:
        return event if peer.of_a_run else admitted(event, peer)

    yield patch.object(server, "admitted", believed)


@_bug("the record does not say who asked", 20)
def forget_who_asked() -> Patches:
    def forgotten(event: Any, peer: Any) -> Any:
        allowed = admitted(event, peer)
        return replace(allowed, by=None) if isinstance(allowed, Expecting) else allowed

    yield patch.object(server, "admitted", forgotten)


@_bug("a program inside a run is taken for a person", 20)
def take_a_run_for_a_person() -> Patches:
    judged = peers._judged
    yield patch.object(
        peers, "_judged", lambda *asked: judged(*asked)._replace(of_a_run=False, why="")
    )


@_bug("a program that has left its run's processes is taken for a person", 20)
def lose_sight_of_what_detaches() -> Patches:
    judged = peers._judged

    def of_those_above(chain: Any, *asked: Any) -> Any:
        return judged([link._replace(environment={}, mark=0) for link in chain], *asked)

    yield patch.object(peers, "_judged", of_those_above)


@_bug("a row of the inbox is taken for what it says it is", 20)
def believe_a_row() -> Patches:
    yield patch.object(inbox, "of_a_row", lambda event: event)


# Crowds.


@_bug("who asks nothing keeps everybody else out", 20)
def keep_places_for_the_idle() -> Patches:
    yield patch.object(Listener, "_make_room", lambda _self, _link: False)


@_bug("the place of a follower that has gone stays taken", 40)
def keep_places_for_the_gone() -> Patches:
    yield patch.object(Link, "has_gone", property(lambda _self: False))


@_bug("what is left in the inbox is not looked at before the next start", 20)
def read_the_inbox_once() -> Patches:
    look = Upkeep._look

    def _look(self: Any) -> None:
        with patch.object(type(self.rows), "take", lambda _self: None):
            look(self)

    yield patch.object(Upkeep, "_look", _look)


@_bug("who follows a thread is not told of what is decided", 20)
def leave_followers_alone() -> Patches:
    yield patch.object(Subscriptions, "committed", lambda _self, _landed: None)


# A pause that cannot be written.


@_bug("who asks for a pause waits for as long as it cannot be written", 60)
def wait_with_a_stop() -> Patches:
    async def stopped(_self: Any, told: asyncio.Future[Any]) -> Any:
        return await asyncio.shield(told)

    def take(self: Any, thread_id: str, envelope: Any, *, stop: bool) -> Any:
        envelope.kept = envelope.kept or stop
        return taken(self, thread_id, envelope, stop=stop)

    taken = Service._take
    yield patch.object(Service, "_stopped", stopped)
    yield patch.object(Service, "_take", take)


@_bug("a pause that was answered is forgotten when it cannot be written", 20)
def forget_a_stop() -> Patches:
    yield patch.object(
        Service,
        "_take",
        lambda self, thread_id, envelope, **_: self.threads.take(thread_id, envelope),
    )


# Two of us.


@_bug("an owner that answers is replaced because its row is old", 60)
def believe_the_row_alone() -> Patches:
    async def unanswered(_self: Any, _owner: Any) -> None:
        return None

    yield patch.object(Liveness, "unanswered_ms", unanswered)


@_bug("an owner is killed because another program holds the lock", 60)
def kill_who_owns() -> Patches:
    def end(held: Any) -> bool:
        if held.owner is None or not held.locked or held.silent_for_ms < EXPIRY_MS:
            return False
        with owner._Pinned(held.owner.identity.pid) as process:
            process.kill()
        return True

    yield patch.object(owner, "end_stalled", end)


@_bug("an owner of another boot is dead, on whatever machine", 60)
def bury_who_is_elsewhere() -> Patches:
    lives = owner.is_alive
    yield patch.object(owner, "is_alive", lambda who: who.boot_id == owner.boot_id() and lives(who))
