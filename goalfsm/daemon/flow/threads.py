"""The threads that an engine has in memory: loaded when needed, let go when nothing is going on."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from goalfsm.daemon.flow.mailbox import Actor, Host
from goalfsm.session import codec
from goalfsm.session.state import Session

if TYPE_CHECKING:
    from goalfsm.session.policy import Policy
    from goalfsm.store.port import Store

KEEP_QUIET: Final = 256
"""How many quiet threads stay in memory, so that the next event need not load them."""


class Actors:
    """All actors of an engine, by thread."""

    def __init__(
        self, host: Host, store: Store, policy: Policy, needed: Callable[[Actor], bool]
    ) -> None:
        """Load from ``store``; a new thread gets ``policy``; keep what is ``needed``."""
        self._host = host
        self._store = store
        self._policy = policy
        self._needed = needed
        self._all: dict[str, Actor] = {}
        # Whoever still holds one that was let go has to meet it again: two for one thread would
        # decide on states of which only one is stored.
        self._held: WeakValueDictionary[str, Actor] = WeakValueDictionary()
        self._quiet: OrderedDict[str, None] = OrderedDict()

    def get(self, thread_id: str) -> Actor:
        """Return the thread's actor; load it where it is not in memory."""
        actor = self._all.get(thread_id)
        if actor is None:
            actor = self._all[thread_id] = self._held.get(thread_id) or self._loaded(thread_id)
        self._quiet.pop(thread_id, None)
        return actor

    def _loaded(self, thread_id: str) -> Actor:
        session, revision = self.load(thread_id)
        actor = self._held[thread_id] = Actor(self._host, thread_id, session, revision)
        return actor

    def back(self, actor: Actor) -> None:
        """Keep an actor that was let go, and had more to do for somebody who still held it."""
        self._all.setdefault(actor.thread_id, actor)

    def known(self, thread_id: str) -> Actor | None:
        """Return the thread's actor if it is in memory."""
        return self._all.get(thread_id)

    def all(self) -> list[Actor]:
        """Return every actor in memory."""
        return list(self._all.values())

    def load(self, thread_id: str) -> tuple[Session, int]:
        """Return what is stored of the thread, and its revision; a new session at 0."""
        stored = self._store.sessions.load(thread_id)
        if stored is None:
            return Session(policy=self._policy), 0
        return codec.decode(stored.state), stored.revision

    def quiet(self, actor: Actor) -> None:
        """Take note that the actor has nothing to decide; let the longest quiet ones go."""
        thread_id = actor.thread_id
        if self._all.get(thread_id) is not actor:
            return
        self._quiet[thread_id] = None
        self._quiet.move_to_end(thread_id)
        while len(self._quiet) > KEEP_QUIET:
            oldest, _ = self._quiet.popitem(last=False)
            if not self._needed(self._all[oldest]):
                del self._all[oldest]
