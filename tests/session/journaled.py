"""A checked thread with a store: every step is committed, and its journal can be decided again."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from goalfsm.daemon.flow.decide import prepare
from goalfsm.goal.machine import GoalMachine
from goalfsm.session import codec
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.session.state import RULES_VERSION
from goalfsm.session.thread import Ready, context_of
from goalfsm.store.memory import MemoryDisk, MemoryStore
from goalfsm.store.port import Done, Identity
from goalfsm.testing import CheckedThread
from goalfsm.testing.invariants.course import Course


class JournaledThread(CheckedThread):
    """A thread whose steps are committed as an engine commits them; ids are derived as there."""

    _context = staticmethod(context_of)

    def __init__(self, policy: Policy | None = None, *, machine: GoalMachine | None = None) -> None:
        super().__init__(policy, machine=machine)
        self._thread_id = "t"
        self.machine = machine
        self.rules_version = RULES_VERSION
        self.revision = 0
        self.store = MemoryStore(MemoryDisk())
        identity = Identity(pid=1, start_time=1, boot_id="boot")
        self.store.owner.acquire(identity, socket="", uptime_ms=0)
        self._course = Course(self.session)
        self._done: tuple[str, ...] = ()

    def step(self, event: e.Event, *, id: str, at_ms: int) -> Ready:  # noqa: A002
        before, event_id = self.session, id or f"event {self.revision}"
        ready = super().step(event, id=event_id, at_ms=at_ms)
        self._course.follow(before, event, ready.state)
        decided = prepare(
            "t", self.revision, ready, event_id=event_id, at_ms=at_ms, done=self._done
        )
        self.store.commit([replace(decided.commit, rules_version=self.rules_version)])
        self.revision, self._done = self.revision + 1, ()
        return ready

    def do(self, *events: e.Event, done: str | None = None) -> Ready:
        """Decide events; what the first one commits marks the effect ``done`` as done."""
        self._done = () if done is None else (done,)
        return super().do(*events)

    def owed(self, kind: type[f.Effect]) -> list[tuple[str, Any]]:
        """Return the effects of one kind that are still to be done, by their keys."""
        rows = self.store.outbox.open("t")
        return [(x.key, codec.decode_effect(x.payload)) for x in rows if x.kind == kind.__name__]

    def drop(self, key: str) -> None:
        """Mark an effect as done of which nothing comes."""
        self.store.outbox.mark_done([Done(key=key, at_ms=self.now_ms)])
