"""What engines have promised to people who asked, and whether they keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from goalfsm.goal.model import ACTIVE
from goalfsm.session import effects as f
from goalfsm.session import events as e

if TYPE_CHECKING:
    import asyncio

    from tests.simulation import plan as p
    from tests.simulation.process import Process
    from tests.simulation.world import World

RESEND_MS: Final = 3_000
STOPPED_WITHIN_US: Final = 1_000_000
_RECORDED: Final = (f.RunVerifier, f.RunUntil, f.CompactContext)
"""Effects whose end is an event, with which they are marked."""


class Asked:
    """One thing that a person wants to be done, until it has been answered."""

    def __init__(self, number: int, say: p.Say, event: e.Command) -> None:
        self.event_id = f"said-{number}"
        self.thread = say.thread
        self.event = event
        self.by = say.by
        self.stored = False
        """Whether it is in the inbox: then it needs nobody's answer."""
        self.settled = False
        self.owed: tuple[Process, int, int] | None = None
        """For a stop: who is to answer, how often that one had stood still, and since when."""
        self.beginning: frozenset[str] = frozenset()
        """For a stop: the turns that had begun, without a process yet, when it was answered."""
        self.halted_at: int | None = None
        """At which revision the thread was halted when this was asked for once more."""


class Promises:
    """Looks at stops that were answered, and at who waits."""

    _world: World
    _waiting: list[tuple[Process, str, asyncio.Task[Any]]]
    _suspended: list[tuple[Process, Asked]]
    """Stops that were answered and are not recorded yet, with who promised it."""

    # Stops.

    def _look_at_the_time(self, asked: Asked) -> None:
        """Look whether a stop was answered within a second, where nothing stood still."""
        owed, asked.owed = asked.owed, None
        if owed is None or naps_of(owed[0]) < 0:
            return
        process, naps, since_us = owed
        engine = process.engine
        if not process.runs or process.naps != naps or engine is None:
            return
        if process.loop.now_us - since_us > STOPPED_WITHIN_US and not engine._parts.over.is_set():
            self._world.fail("a stop is not answered within a second", asked.event_id)

    def unrecorded(self) -> list[tuple[Process, Asked]]:
        """Return the stops that were answered and are not durable yet."""
        oracle = self._world.oracle
        return [
            (process, asked)
            for process, asked in self._suspended
            if asked.event_id not in oracle.thread(asked.thread).events.keys() | oracle.faulted
        ]

    def look_at_stops(self, process: Process, thread: str, run_id: str) -> None:
        """Look at a worker that starts: nobody was told by this engine that none would."""
        for promised, asked in self.unrecorded():
            follows = asked.thread == thread and run_id not in asked.beginning
            if promised is process and follows:
                self._world.fail("a turn follows a stop that was answered", asked.event_id)

    def left_by(self, process: Process) -> None:
        """Ask again for what an engine has promised that is gone before it could record it."""
        for promised, asked in self.unrecorded():
            if promised is process:
                asked.settled = False
                self._suspended.remove((promised, asked))
                self._world.after(RESEND_MS, lambda asked=asked: self._again(asked))  # type: ignore[misc]

    # Who waits.

    def wait(self, item: p.Waits) -> None:
        """Have somebody wait until a thread comes to rest."""
        process = self._world.serving()
        if process is None or process.inside:
            return

        def begin() -> None:
            engine = process.engine
            if engine is not None and not engine._parts.over.is_set():
                waiting = process.loop.create_task(engine.settled(item.thread))
                waiting.add_done_callback(lambda done: self._told(process, item.thread, done))
                self._waiting.append((process, item.thread, waiting))

        process.call(begin)

    def _told(self, process: Process, thread: str, done: asyncio.Task[Any]) -> None:
        """Look whether a thread rests of which that is said."""
        if process.dead or process.deposed or done.cancelled() or done.exception() is not None:
            return
        process.trace("says that it rests:", thread)
        # Others may be done, and not marked yet; so may what a goal that was stopped had asked for.
        goal = done.result().goal
        is_active = goal is not None and goal.status == ACTIVE
        kinds = _RECORDED if is_active else (f.CompactContext,)
        left = any(
            o.thread == thread and not o.done and isinstance(o.effect, kinds)
            for o in self._world.oracle.effects.values()
        )
        if left or done.result().run is not None:
            self._world.fail("a thread is said to rest that does not", thread)

    def look_at_who_waits(self) -> None:
        """Look whether everybody was told of a thread whose goal is over or stopped."""
        for process, thread, waiting in self._waiting:
            goal = self._world.oracle.session(thread).goal
            rests = goal is None or goal.status != ACTIVE
            if rests and process.runs and not process.deposed and not waiting.done():
                self._world.fail("who waits is not told that a thread rests", thread)


def naps_of(process: Process) -> int:
    """Return how often a process has stood still, -1 where that is not known."""
    return getattr(process, "naps", -1)
