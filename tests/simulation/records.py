"""The oracle's own record of what became durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.state import Reply, Session
from goalfsm.testing.invariants.course import Course
from tests.simulation.plan import telling

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World


class Thread:
    """What the oracle knows of one thread."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.revision = 0
        self.events: dict[str, int] = {}
        """The revision of each committed event."""
        self.digests: list[bytes] = []
        self.course = Course(session)
        self.seen: set[str] = set()
        """Steering messages that some worker has been shown."""
        self.tool_calls: dict[str, int] = {}
        """Committed tool calls, by the token of their run."""
        self.last: tuple[Process, int] | None = None
        """Who committed last, and when the goal's time was counted last."""


class Open:
    """An effect that was committed."""

    def __init__(self, thread: str, effect: f.Effect, *, done: bool = False) -> None:
        self.thread = thread
        self.effect = effect
        self.done = done


class Records:
    """What is known of one world: its threads, its effects, and who owns its store."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._threads: dict[str, Thread] = {}
        self.effects: dict[str, Open] = {}
        self.epoch = 0
        self._owner: Process | None = None
        self._beat_ms = 0
        self._abandoned: dict[str, tuple[tuple[str, int], int]] = {}
        """Open runs that nobody does, by thread: which, in which process, since when."""
        self._inbox: dict[str, str] = {}
        self._consumed: dict[str, tuple[str, int]] = {}
        self._replies: dict[str, Reply] = {}
        self.faulted: set[str] = set()
        """Events in whose place a fault is recorded, with which the goal was paused."""
        self._started: set[str] = set()
        self._wound_down: set[str] = set()
        """Runs whose worker was told to wind its work down."""
        self._callbacks: dict[str, int] = {}
        self.wound_down: set[str] = set()
        """Goals of which it was committed that their work is to be wound down."""
        self._goal_threads: dict[str, str] = {}

    def fail(self, rule: str, detail: str = "") -> None:
        """End the world: this must not happen."""
        self._world.fail(rule, detail)

    def thread(self, thread_id: str) -> Thread:
        """Return what is known of a thread."""
        known = self._threads.get(thread_id)
        if known is None:
            fresh = Session(policy=self._world.plan.policy)
            known = self._threads[thread_id] = Thread(fresh)
        return known

    def session(self, thread_id: str) -> Session:
        """Return the committed session of a thread."""
        return self.thread(thread_id).session

    def thread_of(self, goal_id: str) -> str:
        """Return whose goal it is."""
        return self._goal_threads[goal_id]


def short(event: e.Event) -> str:
    """Return an event in a line."""
    fields = telling(msgspec.to_builtins(event))
    fields.pop("type", None)
    return f"{type(event).__name__}({', '.join(f'{k}={v}' for k, v in fields.items())})"
